//! One verification for all rails: `/verify` is this and nothing more, `/settle` begins with it.

use tracing::Instrument;

use crate::app::{App, Track, Trouble};
use crate::domain::authorization::Authorization;
use crate::domain::rejection::{Refused, Rejection};
use crate::domain::request::PaymentRequest;
use crate::domain::screening::{Parties, Stage, Ticket};
use crate::domain::verdict::{Verified, check_rail, precheck};
use crate::trace;

/// The answer to `/verify`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyAnswer {
    /// Who would pay, when that could be read.
    pub payer: Option<String>,
    /// Valid, or the first rule broken.
    pub verdict: Result<(), Rejection>,
}

/// Judges a payment. Writes nothing and sends nothing.
///
/// # Errors
/// The request is malformed, the payer's are too many, or the chain could not be asked; then nothing is known about the
/// payment.
pub async fn verify(app: &App, request: PaymentRequest) -> Result<VerifyAnswer, Trouble> {
    let (track, authorization) = match read(app, &request)? {
        Ok(read) => read,
        Err(rejection) => {
            return Ok(VerifyAnswer {
                payer: None,
                verdict: Err(rejection),
            });
        }
    };
    app.pass_payer(request.tenant, &authorization.payer)?;
    let claimed = authorization.payer.clone();
    let verdict = judge(app, track, request, authorization, Stage::Verify).await?;
    // Who pays may be for the chain to tell.
    let payer = match &verdict {
        Ok(verified) => verified.authorization().payer.clone(),
        Err(_) => claimed,
    };
    Ok(VerifyAnswer {
        payer: Some(payer),
        verdict: verdict.map(drop),
    })
}

/// Finds the rail and reads the authorization: everything that needs neither chain nor clock.
pub(super) fn read<'a>(
    app: &'a App,
    request: &PaymentRequest,
) -> Result<Result<(&'a Track, Authorization), Rejection>, Trouble> {
    let track = match app.track(&request.rail) {
        Ok(track) => track,
        Err(rejection) => return Ok(Err(rejection)),
    };
    if let Err(rejection) = check_rail(request) {
        return Ok(Err(rejection));
    }
    match track.rail.decode(request) {
        Ok(authorization) => Ok(Ok((track, authorization))),
        Err(Refused::Malformed(malformed)) => Err(Trouble::Malformed(malformed)),
        Err(Refused::Rejected(rejection)) => Ok(Err(rejection)),
    }
}

/// Applies every rule in its order; the chain is asked only about a payment that everything else allows, and that
/// somebody could send.
pub(super) async fn judge(
    app: &App,
    track: &Track,
    request: PaymentRequest,
    authorization: Authorization,
    stage: Stage,
) -> Result<Result<Ticket<Verified>, Rejection>, Trouble> {
    let rail = &track.rail;
    let (now, lifetime) = (app.clock.now(), rail.pace().lifetime_min_seconds);
    let canonical = |text: &str| rail.canonical_account(text);
    if let Err(rejection) = precheck(&request, &authorization, now, lifetime, canonical) {
        return Ok(Err(rejection));
    }
    let parties = Parties {
        network: &rail.id().network,
        payer: &authorization.payer,
        pay_to: &authorization.pay_to,
    };
    if let Err(rejection) = app.screening.glance(stage, parties, now).await {
        return Ok(Err(rejection));
    }
    track.able(&authorization)?;
    let ahead = app
        .screening
        .ask_ahead(&**rail, [&authorization.payer, &authorization.pay_to], now);
    let looks = async { futures_util::join!(rail.inspect(&authorization), ahead) };
    let (facts, ()) = looks.instrument(trace::step("ask the chain")).await;
    let facts = facts?;
    match Verified::judge(request, authorization, facts) {
        Ok(verified) => Ok(app.screening.ticket(stage, verified, &**rail, None, now).await),
        Err(rejection) => Ok(Err(rejection)),
    }
}
