//! Version 1: networks have names, the price is `maxAmountRequired`, the payload repeats only scheme and network.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::network::{RailId, Scheme};
use crate::domain::rejection::{Malformed, Rejection};
use crate::domain::request::{Offer, PaymentRequest, Proof, Resource, Terms};
use crate::wire::json::Field;
use crate::wire::{ADDRESS_MAX, Dialect, EXTRA_MAX, Envelope, NAME_MAX, URL_MAX, names};

const PAYLOAD: &str = "paymentPayload";
const REQUIREMENTS: &str = "paymentRequirements";

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    scheme: Option<&'a RawValue>,
    #[serde(borrow)]
    network: Option<&'a RawValue>,
    #[serde(borrow, rename = "payload")]
    proof: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Requirements<'a> {
    #[serde(borrow)]
    scheme: Option<&'a RawValue>,
    #[serde(borrow)]
    network: Option<&'a RawValue>,
    #[serde(borrow)]
    max_amount_required: Option<&'a RawValue>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(borrow)]
    pay_to: Option<&'a RawValue>,
    #[serde(borrow)]
    max_timeout_seconds: Option<&'a RawValue>,
    #[serde(borrow)]
    asset: Option<&'a RawValue>,
    #[serde(borrow)]
    extra: Option<&'a RawValue>,
}

/// The request in domain words. A network without a name in the table is a refusal, not an error.
pub(super) fn read(payload: Field<'_>, requirements: Field<'_>) -> Result<Envelope, Malformed> {
    let asked: Requirements<'_> = requirements.object()?;
    let given: Payload<'_> = payload.object()?;
    let of_payload = |key, value| Field::new(PAYLOAD, key, value);
    let of_requirements = |key, value| Field::new(REQUIREMENTS, key, value);

    let scheme = of_requirements("scheme", asked.scheme).text(NAME_MAX)?;
    let network_text = of_requirements("network", asked.network).text(NAME_MAX)?.into_owned();
    let terms = Terms {
        asset: of_requirements("asset", asked.asset).text(ADDRESS_MAX)?.into_owned(),
        pay_to: of_requirements("payTo", asked.pay_to).text(ADDRESS_MAX)?.into_owned(),
        amount: of_requirements("maxAmountRequired", asked.max_amount_required).amount()?,
        timeout_seconds: of_requirements("maxTimeoutSeconds", asked.max_timeout_seconds).seconds()?,
        extra: of_requirements("extra", asked.extra).object_text_if_any(EXTRA_MAX)?,
    };
    let url = of_requirements("resource", asked.resource).text(URL_MAX)?.into_owned();
    let offered_scheme = of_payload("scheme", given.scheme).text(NAME_MAX)?;
    let offered_network = of_payload("network", given.network).text(NAME_MAX)?;
    let proof = of_payload("payload", given.proof).object_text(usize::MAX)?;

    let request = match names::network_named(&network_text) {
        None => Err(Rejection::UnsupportedNetwork(network_text.clone())),
        Some(network) => Ok(PaymentRequest {
            rail: RailId {
                scheme: Scheme::named(&scheme),
                network,
            },
            offer: Offer {
                scheme: Scheme::named(&offered_scheme),
                network: names::network_named(&offered_network),
                terms: terms.clone(),
            },
            terms,
            proof: Proof(proof.into()),
            resource: Resource { url: Some(url) },
            references: Vec::new(),
            labels: crate::domain::labels::Labels::default(),
            tenant: crate::domain::tenant::TenantId::SOLE,
            envelope: Dialect::V1.envelope(),
        }),
    };
    Ok(Envelope {
        dialect: Dialect::V1,
        network_text,
        request,
    })
}
