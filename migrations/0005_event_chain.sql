-- Each event seals all that was told of its payment before it: SHA-256 over the previous event's seal and the event's own
-- content. Null where a program wrote it that knows nothing of seals.

alter table events add column seal bytea;
alter table events add constraint events_seal_length check (octet_length(seal) = 32);
