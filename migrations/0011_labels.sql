-- The gateway's own words for a payment, and what finds payments by any name they have.
alter table payments add column merchant_reference text;
alter table payments add column order_id text;
alter table payments add column metadata text;
alter table payments add constraint payments_labels_length check (
    char_length(merchant_reference) between 1 and 255 and char_length(order_id) between 1 and 255
);
alter table payments add constraint payments_metadata_length check (octet_length(metadata) between 2 and 65536);
create index payments_by_merchant_reference on payments (merchant_reference, created_at, id)
    where merchant_reference is not null;
create index payments_by_order on payments (order_id, created_at, id) where order_id is not null;
create index payments_by_resource on payments (resource_url, created_at, id) where resource_url is not null;
create index reconciliations_by_payment on reconciliations (payment_id) where payment_id is not null;
