//! What this rail has signed, and by whom: allowed by the policy, then signed at once by a key that is here, or by whoever
//! keeps it.

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::fee_payer::{self, FeePayer};
use super::policy::{AllowedTx, Policy};
use super::settings::Settings;
use super::{SolanaRail, instructions};
use crate::chain::custody::{Compact, Source};
use crate::domain::amount::Amount;
use crate::domain::authorization::Authorization;
use crate::domain::rail::{LaneId, RailFault, SignedTx, Unsigned};

const OPERATION: &str = "sign";

/// How many signatures are asked for at once.
const AT_ONCE: usize = 16;

/// The fee payers of these settings, those that are advertised first.
///
/// # Errors
/// Names the key and what was expected there.
pub(super) fn fee_payers(settings: &Settings) -> Result<Vec<FeePayer>, String> {
    each(
        settings,
        |source| FeePayer::of(source, &settings.id),
        |it| it.address().to_string(),
    )
}

/// Their addresses. Asks nobody.
///
/// # Errors
/// Names the key and what was expected there.
pub(super) fn addresses(settings: &Settings) -> Result<Vec<String>, String> {
    each(
        settings,
        |source| fee_payer::address(source).map(|it| it.to_string()),
        Clone::clone,
    )
}

/// What `read` makes of each key, no two of one address.
fn each<T>(
    settings: &Settings,
    read: impl Fn(&Source) -> Result<T, String>,
    address: impl Fn(&T) -> String,
) -> Result<Vec<T>, String> {
    let lists = [
        ("signers", &settings.signers),
        ("retired_signers", &settings.retired_signers),
    ];
    let (mut found, mut known) = (Vec::new(), Vec::new());
    for (list, sources) in lists {
        for (index, source) in sources.iter().enumerate() {
            let it = read(source).map_err(|what| format!("{list}[{index}]: {what}"))?;
            let own = address(&it);
            if known.contains(&own) {
                return Err(format!("{list}[{index}]: expected each key once"));
            }
            known.push(own);
            found.push(it);
        }
    }
    Ok(found)
}

impl SolanaRail {
    pub(super) fn fee_payer(&self, lane: &LaneId) -> Result<&FeePayer, RailFault> {
        let ours = self.lanes.iter().zip(&self.fee_payers).find(|(ours, _)| *ours == lane);
        match ours {
            Some((_, fee_payer)) => Ok(fee_payer),
            None => Err(self.fault(OPERATION, "the lane is not one of this rail's")),
        }
    }

    /// Signs with a key that is here.
    pub(super) fn sign_here(&self, lane: &LaneId, cargo: &[&Authorization]) -> Result<Vec<SignedTx>, RailFault> {
        let fee_payer = self.fee_payer(lane)?;
        let sign = |authorization: &&Authorization| {
            let tx = self.allowed(fee_payer, authorization)?;
            let signature = fee_payer.sign_at_once(tx.allowed());
            let signature = signature.map_err(|cause| self.fault(OPERATION, cause))?;
            Ok(carrier(&tx, signature))
        };
        cargo.iter().map(sign).collect()
    }

    /// Has them signed by whoever keeps the key, some at a time.
    pub(super) async fn have_signed(&self, lane: &LaneId, cargo: &[&Authorization]) -> Result<Vec<SignedTx>, Unsigned> {
        let fee_payer = self.fee_payer(lane).map_err(Unsigned::Unfit)?;
        let allowed = cargo.iter().map(|authorization| self.allowed(fee_payer, authorization));
        let allowed = allowed.collect::<Result<Vec<_>, _>>().map_err(Unsigned::Unfit)?;
        let signed = allowed.iter().map(|tx| async move {
            let signature = fee_payer.sign(tx.allowed()).await;
            let signature = signature.map_err(|fault| Unsigned::Unheard(self.fault(OPERATION, &fault.to_string())))?;
            Ok(carrier(tx, signature))
        });
        let signed: Vec<_> = signed.collect();
        stream::iter(signed).buffered(AT_ONCE).try_collect().await
    }

    fn allowed(&self, fee_payer: &FeePayer, authorization: &Authorization) -> Result<AllowedTx, RailFault> {
        let body = self.body(OPERATION, authorization)?;
        let allowed = Policy::of(&self.listing).payment(fee_payer.address(), authorization, body);
        allowed.map_err(|forbidden| self.fault(OPERATION, &forbidden.to_string()))
    }
}

fn carrier(tx: &AllowedTx, signature: Compact) -> SignedTx {
    let sealed = tx.sealed(signature);
    SignedTx {
        id: sealed.id,
        raw: sealed.raw,
        cost_max: Amount::from_units(instructions::cost_max(tx.transaction())),
        payments: 1,
    }
}
