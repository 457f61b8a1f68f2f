-- A transaction that is not mined is replaced by one that pays more: a slot may have several, of which one at most is
-- ever mined. An empty one carries no payment; it only uses its slot up.

alter table chain_transactions add column is_empty boolean not null default false;
