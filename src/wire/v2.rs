//! Version 2: networks are CAIP-2, the payload repeats the requirements that the client accepted.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::network::{NetworkId, RailId, Scheme};
use crate::domain::rejection::Malformed;
use crate::domain::request::{Offer, PaymentRequest, Proof, Resource, Terms};
use crate::wire::json::Field;
use crate::wire::{ADDRESS_MAX, Dialect, EXTRA_MAX, Envelope, NAME_MAX, URL_MAX, extensions};

const PAYLOAD: &str = "paymentPayload";
const ACCEPTED: &str = "paymentPayload.accepted";
const REQUIREMENTS: &str = "paymentRequirements";

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    accepted: Option<&'a RawValue>,
    #[serde(borrow, rename = "payload")]
    proof: Option<&'a RawValue>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(borrow)]
    extensions: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ResourceInfo<'a> {
    #[serde(borrow)]
    url: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Requirements<'a> {
    #[serde(borrow)]
    scheme: Option<&'a RawValue>,
    #[serde(borrow)]
    network: Option<&'a RawValue>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
    #[serde(borrow)]
    asset: Option<&'a RawValue>,
    #[serde(borrow)]
    pay_to: Option<&'a RawValue>,
    #[serde(borrow)]
    max_timeout_seconds: Option<&'a RawValue>,
    #[serde(borrow)]
    extra: Option<&'a RawValue>,
}

struct Asked {
    scheme: Scheme,
    network: NetworkId,
    terms: Terms,
}

impl Requirements<'_> {
    fn read(&self, place: &'static str) -> Result<Asked, Malformed> {
        let at = |key, value| Field::new(place, key, value);
        let network = at("network", self.network);
        Ok(Asked {
            scheme: Scheme::named(&at("scheme", self.scheme).text(NAME_MAX)?),
            network: network
                .any_text()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| network.malformed("a CAIP-2 chain id such as eip155:8453"))?,
            terms: Terms {
                asset: at("asset", self.asset).text(ADDRESS_MAX)?.into_owned(),
                pay_to: at("payTo", self.pay_to).text(ADDRESS_MAX)?.into_owned(),
                amount: at("amount", self.amount).amount()?,
                timeout_seconds: at("maxTimeoutSeconds", self.max_timeout_seconds).seconds()?,
                extra: at("extra", self.extra).object_text_if_any(EXTRA_MAX)?,
            },
        })
    }
}

/// The request in domain words.
pub(super) fn read(payload: Field<'_>, requirements: Field<'_>) -> Result<Envelope, Malformed> {
    let asked = requirements.object::<Requirements<'_>>()?.read(REQUIREMENTS)?;
    let given: Payload<'_> = payload.object()?;
    let of_payload = |key, value| Field::new(PAYLOAD, key, value);

    let accepted = of_payload("accepted", given.accepted)
        .object::<Requirements<'_>>()?
        .read(ACCEPTED)?;
    let proof = of_payload("payload", given.proof).object_text(usize::MAX)?;
    let url = match of_payload("resource", given.resource).object_if_any()? {
        None => None,
        Some(ResourceInfo { url }) => {
            let url = Field::new("paymentPayload.resource", "url", url);
            Some(url.text(URL_MAX)?.into_owned())
        }
    };
    let identifier = extensions::payment_identifier(of_payload("extensions", given.extensions))?;

    Ok(Envelope {
        dialect: Dialect::V2,
        network_text: asked.network.to_string(),
        request: Ok(PaymentRequest {
            rail: RailId {
                scheme: asked.scheme,
                network: asked.network,
            },
            offer: Offer {
                scheme: accepted.scheme,
                network: Some(accepted.network),
                terms: accepted.terms,
            },
            terms: asked.terms,
            proof: Proof(proof.into()),
            resource: Resource { url },
            references: identifier.into_iter().collect(),
            labels: crate::domain::labels::Labels::default(),
            tenant: crate::domain::tenant::TenantId::SOLE,
            envelope: Dialect::V2.envelope(),
        }),
    })
}
