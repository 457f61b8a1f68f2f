-- With many accounts, those that are the furthest behind are found without reading all.
create index watched_accounts_by_height on watched_accounts (network, scanned_height, asset, holder);
