//! Reserving payments, and finding them again.

use std::collections::BTreeSet;

use facilitator::domain::authorization::PaymentKey;
use facilitator::domain::id::PaymentId;
use facilitator::domain::request::{PaymentReference, ReferenceKind};
use facilitator::domain::settlement::{Event, Settlement, State};
use facilitator::domain::tenant::TenantId;
use facilitator::store::{NewPayment, Record, Reservation, StoreFault};

use super::{Payment, Tables};

/// A caller's name for a payment, as it is stored.
pub(super) type Name = (TenantId, &'static str, String);

fn names(tenant: TenantId, references: &[PaymentReference]) -> BTreeSet<Name> {
    references
        .iter()
        .map(|it| (tenant, it.kind.as_str(), it.value.clone()))
        .collect()
}

fn reference((_, kind, value): &Name) -> PaymentReference {
    let kinds = [ReferenceKind::PaymentIdentifier, ReferenceKind::IdempotencyKey];
    PaymentReference {
        kind: kinds.into_iter().find(|it| it.as_str() == *kind).unwrap(),
        value: value.clone(),
    }
}

impl Tables {
    pub(super) fn payment_reserve(&mut self, new: &NewPayment) -> Result<Reservation, StoreFault> {
        let names = names(new.tenant(), &new.verified.request().references);
        let known = self.keys.get(&new.verified.authorization().key.0).copied();
        if known.is_none() && self.payments.contains_key(&new.id) {
            return Err(StoreFault::Corrupt {
                operation: "payment_reserve",
                what: "payment id of another key",
            });
        }
        let old = known.and_then(|id| self.record(id));
        if let Some(old) = old.clone().filter(|it| it.tenant != new.tenant()) {
            return Ok(Reservation::Seen(old));
        }
        let id = known.unwrap_or(new.id);
        let taken = names
            .iter()
            .find(|name| self.names.get(name).is_some_and(|owner| *owner != id));
        if let Some(taken) = taken {
            return Ok(Reservation::ReferenceTaken(reference(taken)));
        }
        let Some(old) = old else {
            self.insert(new, &names);
            return Ok(Reservation::New(self.record(new.id).unwrap()));
        };
        if old.settlement != Settlement::Withdrawn {
            return Ok(Reservation::Seen(old));
        }
        self.reopen(new, &names, &old);
        Ok(Reservation::Reopened(self.record(id).unwrap()))
    }

    fn insert(&mut self, new: &NewPayment, names: &BTreeSet<Name>) {
        let (request, authorization) = (new.verified.request(), new.verified.authorization());
        let record = Record {
            id: new.id,
            tenant: new.tenant(),
            network: request.rail.network.clone(),
            scheme: request.rail.scheme.clone(),
            authorization: authorization.clone(),
            settlement: Settlement::Reserved,
            version: 0,
            digest: new.digest,
            envelope: request.envelope.into(),
            resource_url: request.resource.url.clone(),
            references: names.iter().map(reference).collect(),
            labels: request.labels.clone(),
            txs: Vec::new(),
            since_height: new.verified.facts().height,
            must_go_alone: new.verified.facts().must_go_alone,
            tries: 0,
            granted_at: None,
            answer: None,
            created_at: self.now,
            confirmed_at: None,
            final_at: None,
        };
        self.keys.insert(authorization.key.0, new.id);
        self.names.extend(names.iter().map(|name| (name.clone(), new.id)));
        let payment = Payment {
            record,
            seats: Vec::new(),
        };
        self.payments.insert(new.id, payment);
        self.tell(new.id, "payment.reserved");
    }

    /// Puts the new request in the place of the one that was withdrawn, except what the key consists of.
    fn reopen(&mut self, new: &NewPayment, names: &BTreeSet<Name>, old: &Record) {
        let (request, authorization) = (new.verified.request(), new.verified.authorization());
        let record = &mut self.payments.get_mut(&old.id).unwrap().record;
        record.scheme = request.rail.scheme.clone();
        record.authorization = authorization.clone();
        record.authorization.asset.clone_from(&old.authorization.asset);
        record.authorization.nonce.clone_from(&old.authorization.nonce);
        record.settlement = Settlement::Reserved;
        record.version += 1;
        record.digest = new.digest;
        record.envelope = request.envelope.into();
        record.resource_url.clone_from(&request.resource.url);
        record.references = names.iter().map(reference).collect();
        record.labels = request.labels.clone();
        record.since_height = new.verified.facts().height;
        record.must_go_alone = new.verified.facts().must_go_alone;
        self.names.retain(|_, owner| *owner != old.id);
        self.names.extend(names.iter().map(|name| (name.clone(), old.id)));
        self.tell(old.id, Event::Reopened.as_str());
    }

    pub(super) fn payment_find(&self, key: &PaymentKey) -> Option<Record> {
        self.record(*self.keys.get(&key.0)?)
    }

    pub(super) fn reference_find(&self, tenant: TenantId, references: &[PaymentReference]) -> Option<Record> {
        let owners: BTreeSet<PaymentId> = names(tenant, references)
            .iter()
            .filter_map(|name| self.names.get(name).copied())
            .collect();
        self.payments_where(|record| owners.contains(&record.id))
            .into_iter()
            .next()
    }

    /// Oldest first.
    pub(super) fn payments_where(&self, is_asked_for: impl Fn(&Record) -> bool) -> Vec<Record> {
        let payments = self
            .payments
            .values()
            .map(|it| &it.record)
            .filter(|it| is_asked_for(it));
        let mut found: Vec<&Record> = payments.collect();
        found.sort_by_key(|record| (record.created_at, record.id));
        found.into_iter().filter_map(|it| self.record(it.id)).collect()
    }

    /// In these states, none of which may be final.
    pub(super) fn settlements_open(
        &self,
        network: &facilitator::domain::network::NetworkId,
        states: &[State],
    ) -> Vec<Record> {
        use facilitator::domain::authorization::Window;
        let mut open = self.payments_where(|record| {
            let state = record.settlement.state();
            record.network == *network && states.contains(&state) && state != State::Final
        });
        open.sort_by_key(|record| {
            let before = match record.authorization.window {
                Window::Time { before, .. } => Some(before),
                Window::Recent => None,
            };
            (before, record.id)
        });
        open
    }
}
