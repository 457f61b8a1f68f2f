//! Finding payments by many names at once.

use sqlx::types::Uuid;

use super::reports::{Name, PAGE_MAX};
use super::rows::OutOfPlace;
use super::{Store, StoreFault};
use crate::domain::id::PaymentId;
use crate::domain::request::ReferenceKind;

/// `named!("p.order_id = n.value")`: the first `$3` payments of each of these names.
macro_rules! named {
    ($lead:literal) => {
        concat!(
            "select n.place, f.id from unnest($1::bigint[], $2::text[]) as n(place, value)
            join lateral (select p.id, p.created_at from payments p where ",
            $lead,
            " and ($4::uuid is null or p.tenant = $4) order by p.created_at, p.id limit $3) f on true
            order by n.place, f.created_at, f.id"
        )
    };
}

statements! {
    OF_ID = named!("p.id = n.value::uuid");
    OF_KEY = named!("p.key = decode(n.value, 'hex')");
    OF_PAYMENT_IDENTIFIER = named!("p.id in (select r.payment_id from payment_references r
        where r.kind = 'payment_identifier' and r.value = n.value)");
    OF_IDEMPOTENCY_KEY = named!("p.id in (select r.payment_id from payment_references r
        where r.kind = 'idempotency_key' and r.value = n.value)");
    OF_TRANSACTION = named!("p.id in (select a.payment_id from chain_transactions t
            join settlement_attempts a on a.network = t.network and a.signer = t.signer and a.nonce = t.nonce
            where t.tx = n.value and not t.is_empty
            union select e.payment_id from evidence e where e.tx = n.value)");
    OF_MEMO = named!("p.memo = n.value");
    OF_MERCHANT_REFERENCE = named!("p.merchant_reference = n.value");
    OF_ORDER = named!("p.order_id = n.value");
    OF_RESOURCE = named!("p.resource_url = n.value");
}

impl Store {
    /// The payments of each of these names, in their order: of each, the first [`PAGE_MAX`] that were reserved.
    ///
    /// # Errors
    /// [`StoreFault::Unavailable`].
    pub async fn payments_named(&self, names: &[&Name]) -> Result<Vec<Vec<PaymentId>>, StoreFault> {
        let operation = "payments_named";
        let mut found = vec![Vec::new(); names.len()];
        let mut rest: Vec<(i64, &Name)> = (0..).zip(names.iter().copied()).collect();
        while let Some(statement) = rest.first().map(|(_, name)| statement(name)) {
            let (same, others): (Vec<_>, Vec<_>) = rest
                .into_iter()
                .partition(|(_, name)| self::statement(name) == statement);
            rest = others;
            let (places, values): (Vec<i64>, Vec<String>) =
                same.into_iter().map(|(place, name)| (place, name.text())).unzip();
            let rows: Vec<(i64, Uuid)> = sqlx::query_as(statement)
                .bind(places)
                .bind(values)
                .bind(i64::from(PAGE_MAX))
                .bind(self.seen())
                .fetch_all(&mut *self.reading(operation).await?)
                .await
                .map_err(StoreFault::reading(operation))?;
            for (place, id) in rows {
                let of_name = usize::try_from(place).ok().and_then(|it| found.get_mut(it));
                let of_name = of_name
                    .ok_or(OutOfPlace("place"))
                    .map_err(OutOfPlace::during(operation))?;
                of_name.push(PaymentId::from_uuid(id));
            }
        }
        Ok(found)
    }
}

impl Name {
    /// Only few payments can have it, so that whoever looks for them by it needs no plan of its own.
    pub(super) const fn is_of_few(&self) -> bool {
        match self {
            Self::Id(_) | Self::Key(_) | Self::Reference(_) | Self::Transaction(_) | Self::Order(_) => true,
            Self::Memo(_) | Self::MerchantReference(_) | Self::Resource(_) => false,
        }
    }

    /// What its statement compares first.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Id(id) => id.as_uuid().to_string(),
            Self::Key(key) => hex::encode(key.0),
            Self::Reference(it) => it.value.clone(),
            Self::Transaction(tx) => tx.0.clone(),
            Self::Memo(text) | Self::Resource(text) => text.clone(),
            Self::MerchantReference(label) | Self::Order(label) => label.to_string(),
        }
    }
}

const fn statement(name: &Name) -> &'static str {
    match name {
        Name::Id(_) => OF_ID,
        Name::Key(_) => OF_KEY,
        Name::Reference(it) => match it.kind {
            ReferenceKind::PaymentIdentifier => OF_PAYMENT_IDENTIFIER,
            ReferenceKind::IdempotencyKey => OF_IDEMPOTENCY_KEY,
        },
        Name::Transaction(_) => OF_TRANSACTION,
        Name::Memo(_) => OF_MEMO,
        Name::MerchantReference(_) => OF_MERCHANT_REFERENCE,
        Name::Order(_) => OF_ORDER,
        Name::Resource(_) => OF_RESOURCE,
    }
}
