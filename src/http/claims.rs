//! `/v1/claims`: a merchant shows that an account is its own.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::app::claims::{Assertion, ClaimFault};
use crate::app::question::NETWORK;
use crate::domain::claim::Claim;
use crate::domain::network::NetworkId;
use crate::domain::tenant::{Access, MerchantId};
use crate::domain::time::Timestamp;
use crate::http::access::Seen;
use crate::http::error::{Denied, json};
use crate::http::records::{answer, keys, malformed};
use crate::http::{Edge, body};
use crate::wire::NETWORK_UNKNOWN;

const QUESTION: &str = "merchant, network and payTo, each once and not empty";

const PROOF: &str = "an object with merchant, network, payTo, time and signature, and nothing else";

/// `GET /v1/claims/text`.
pub(super) async fn text(Seen(edge): Seen, uri: Uri) -> Response {
    answer(drafted(&edge, &uri))
}

fn drafted(edge: &Edge, uri: &Uri) -> Result<Vec<u8>, Denied> {
    let access = access(edge)?;
    let mut keys = keys(uri, QUESTION)?;
    let merchant: Option<MerchantId> = keys.parsed("merchant", MerchantId::SHAPE)?;
    let network: Option<NetworkId> = keys.parsed("network", NETWORK)?;
    let (Some(merchant), Some(network), Some(pay_to)) = (merchant, network, keys.take("payTo")) else {
        return Err(malformed("query", QUESTION));
    };
    keys.end(QUESTION)?;
    let assertion = Assertion {
        tenant: access.tenant,
        merchant,
        network,
        pay_to,
    };
    let claim = edge.parts.claims.draft(&assertion)?;
    let text = TextView {
        text: claim.to_string(),
        time: claim.at.0.to_string(),
    };
    Ok(serde_json::to_vec(&text).unwrap_or_default())
}

/// `POST /v1/claims`.
pub(super) async fn prove(Seen(edge): Seen, headers: HeaderMap, body: Body) -> Response {
    match proven(&edge, &headers, body).await {
        Ok(claim) => {
            let view = ClaimView {
                merchant: claim.merchant.to_string(),
                network: claim.network.as_str(),
                pay_to: &claim.pay_to,
            };
            json(StatusCode::CREATED, serde_json::to_vec(&view).unwrap_or_default())
        }
        Err(denied) => denied.answer(None, NETWORK_UNKNOWN),
    }
}

async fn proven(edge: &Edge, headers: &HeaderMap, body: Body) -> Result<Claim, Denied> {
    let access = access(edge)?;
    let body = body::read(headers, body).await?;
    let said: Proof = serde_json::from_slice(&body).map_err(|_| malformed("body", PROOF))?;
    let assertion = Assertion {
        tenant: access.tenant,
        merchant: said
            .merchant
            .parse()
            .map_err(|_| malformed("merchant", MerchantId::SHAPE))?,
        network: said.network.parse().map_err(|_| malformed("network", NETWORK))?,
        pay_to: said.pay_to,
    };
    let at = said.time.parse();
    let claim = Claim {
        at: Timestamp(at.map_err(|_| malformed("time", "the time that came with the text"))?),
        ..edge.parts.claims.draft(&assertion)?
    };
    edge.parts.claims.prove(&claim, &said.signature, access.key).await?;
    Ok(claim)
}

/// Who asks. Where there is one tenant only, every account is its own.
fn access(edge: &Edge) -> Result<&Access, Denied> {
    edge.access.as_ref().ok_or_else(Denied::no_tenants)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Proof {
    merchant: String,
    network: String,
    pay_to: String,
    time: String,
    signature: String,
}

#[derive(Serialize)]
struct TextView {
    text: String,
    time: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClaimView<'a> {
    merchant: String,
    network: &'a str,
    pay_to: &'a str,
}

impl From<ClaimFault> for Denied {
    fn from(fault: ClaimFault) -> Self {
        match fault {
            ClaimFault::Network => malformed("network", "one that is served here"),
            ClaimFault::Account => malformed("payTo", "an account of the network"),
            ClaimFault::Merchant => malformed("merchant", "one of the tenant's"),
            ClaimFault::Unproven(_) => Self::unproven(fault.to_string()),
            ClaimFault::Nameless => Self::conflict("claims_off", fault.to_string()),
            ClaimFault::Taken => Self::conflict("account_taken", fault.to_string()),
            ClaimFault::AtOnce => Self::conflict("at_once", fault.to_string()),
            ClaimFault::Rail(fault) => crate::app::Trouble::from(fault).into(),
            ClaimFault::Store(fault) => fault.into(),
        }
    }
}
