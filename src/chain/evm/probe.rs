//! The proof, before anything is served, that a network is what its settings say.
//!
//! Money rules rest on these settings: a wrong chain, domain or number of decimals would misjudge every payment,
//! so any of them stops the process. Only the lens may be missing.

use std::collections::VecDeque;

use alloy::primitives::{Address, B256, Bytes, U64, U256, hex};
use alloy::sol_types::SolCall;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;

use super::cost::GAS_PRICE_ORACLE;
use super::eip3009::{MULTICALL3, Token};
use super::lens::{Finding, Question};
use super::listing::{Asset, Listing};
use super::reader::Reader;
use crate::chain::endpoint::Dialect;
use crate::chain::pool::Pool;
use crate::chain::rpc::{Call, RpcError};
use crate::domain::rail::AuthorizationState;

const OPERATION: &str = "start-up proof";

/// Blocks by which the lens and the node may differ when they count the same chain's.
const HEIGHT_TOLERANCE: u64 = 1_000;

/// How the network's nodes say which chain they are of, and how far it has come.
#[derive(Debug)]
pub(super) struct Chain {
    /// The chain id that they must have.
    pub(super) id: u64,
}

impl Dialect for Chain {
    fn identity(&self) -> &'static str {
        "eth_chainId"
    }

    fn judge(&self, identity: &RawValue) -> Result<(), String> {
        match quantity(identity) {
            Some(id) if id == self.id => Ok(()),
            Some(id) => Err(format!("expected chain id {}, the node says {id}", self.id)),
            None => Err(format!("expected chain id {}, the node says none", self.id)),
        }
    }

    fn head(&self) -> &'static str {
        "eth_blockNumber"
    }

    fn height(&self, head: &RawValue) -> Option<u64> {
        quantity(head)
    }
}

fn quantity(result: &RawValue) -> Option<u64> {
    serde_json::from_str::<U64>(result.get()).ok().map(|it| it.to())
}

/// Proves the network, of which the chain id is proven already: that it charges for data where that is expected and
/// only there. Finds out how its node is best asked.
///
/// # Errors
/// What was expected and what was found; without the endpoint's address.
pub(super) async fn prove(reader: &Reader, listing: &Listing, pays_for_data: bool) -> Result<(), String> {
    let rpc = reader.rpc();
    let height = prove_accounts(rpc, listing, pays_for_data).await?;
    prove_lens(reader, listing, height).await
}

/// Proves the contracts and our own accounts; gives the newest block's number.
async fn prove_accounts(rpc: &Pool, listing: &Listing, pays_for_data: bool) -> Result<u64, String> {
    let mut calls = vec![
        Call {
            method: "eth_blockNumber",
            params: json!([]),
        },
        code(MULTICALL3),
        code(GAS_PRICE_ORACLE),
    ];
    for asset in &listing.assets {
        calls.extend(questions(asset));
    }
    for &signer in &listing.signers {
        calls.push(code(signer));
        calls.push(Call {
            method: "eth_getBalance",
            params: json!([signer, "latest"]),
        });
    }
    let answers = rpc.batch(OPERATION, &calls).await.map_err(|fault| fault.cause)?;
    let mut answers = Answers(rpc, answers.into());

    let height = answers.next::<U64>("eth_blockNumber")?.to();
    if answers.next::<Bytes>("Multicall3")?.is_empty() {
        return Err(format!("expected Multicall3 at {MULTICALL3}, found no contract"));
    }
    let charges_for_data = !answers.next::<Bytes>("the oracle of the price of data")?.is_empty();
    match (charges_for_data, pays_for_data) {
        (true, false) => {
            return Err("data_fee_max_gwei: expected more than 0, since the chain charges for data".to_owned());
        }
        (false, true) => {
            return Err(format!(
                "data_fee_max_gwei: expected 0, since the chain has no oracle of the price of data at {GAS_PRICE_ORACLE}"
            ));
        }
        (true, true) | (false, false) => {}
    }
    for asset in &listing.assets {
        prove_asset(asset, &mut answers)?;
    }
    for signer in &listing.signers {
        let code: Bytes = answers.next(&format!("signer {signer}"))?;
        if !code.is_empty() {
            return Err(format!(
                "signer {signer}: expected an account without code, found {} bytes of it",
                code.len()
            ));
        }
        let balance: U256 = answers.next(&format!("signer {signer}"))?;
        // One that is retired may have spent its last coin.
        if balance.is_zero() && listing.active().any(|it| it == signer) {
            return Err(format!("signer {signer}: expected a balance to pay gas with, found 0"));
        }
    }
    Ok(height)
}

fn code(address: Address) -> Call {
    Call {
        method: "eth_getCode",
        params: json!([address, "latest"]),
    }
}

fn questions(asset: &Asset) -> [Call; 4] {
    let call = |data: Vec<u8>| Call {
        method: "eth_call",
        params: json!([{ "to": asset.address, "data": hex::encode_prefixed(data) }, "latest"]),
    };
    let state = Token::authorizationStateCall {
        authorizer: asset.address,
        nonce: B256::ZERO,
    };
    [
        code(asset.address),
        call(Token::DOMAIN_SEPARATORCall {}.abi_encode()),
        call(Token::decimalsCall {}.abi_encode()),
        call(state.abi_encode()),
    ]
}

fn prove_asset(asset: &Asset, answers: &mut Answers<'_>) -> Result<(), String> {
    let address = asset.address;
    if answers.next::<Bytes>(&format!("asset {address}"))?.is_empty() {
        return Err(format!("asset {address}: expected a token, found no contract"));
    }
    let separator: Bytes = answers.next(&format!("asset {address}: DOMAIN_SEPARATOR()"))?;
    if separator.as_ref() != asset.separator.as_slice() {
        return Err(format!(
            "asset {address}: expected DOMAIN_SEPARATOR() {} for name {:?} and version {:?}, found {separator}",
            asset.separator, asset.domain.name, asset.domain.version
        ));
    }
    let decimals: Bytes = answers.next(&format!("asset {address}: decimals()"))?;
    let found = U256::try_from_be_slice(&decimals).filter(|_| !decimals.is_empty());
    if found != Some(U256::from(asset.decimals)) {
        return Err(format!(
            "asset {address}: expected {} decimals, found {}",
            asset.decimals,
            found.map_or_else(|| "none".to_owned(), |found| found.to_string())
        ));
    }
    let state: Bytes = answers.next(&format!("asset {address}: authorizationState()"))?;
    if state.len() == 32 {
        Ok(())
    } else {
        Err(format!(
            "asset {address}: expected an EIP-3009 token, found no authorizationState()"
        ))
    }
}

/// Asks the lens about the first asset. A node that does not run it is asked otherwise from then on.
async fn prove_lens(reader: &Reader, listing: &Listing, height: u64) -> Result<(), String> {
    let Some(asset) = listing.assets.first() else {
        return Err("expected at least one asset".to_owned());
    };
    let question = Question {
        token: asset.address,
        payer: Address::repeat_byte(0x11),
        pay_to: Address::repeat_byte(0x22),
        value: 0,
        nonce: B256::ZERO,
        digest: B256::ZERO,
        signature: Bytes::new(),
        target: asset.address,
        call: Token::DOMAIN_SEPARATORCall {}.abi_encode().into(),
        deploys: false,
    };
    let network = &listing.network;
    let finding = match reader.through_lens(&[&question]).await {
        Ok(answers) => answers.into_iter().next().flatten(),
        Err(RpcError::Node { code, message, .. }) => {
            tracing::warn!(%network, code, message, "the node does not run the lens: asking by batches of reads");
            reader.forgo_lens();
            return Ok(());
        }
        Err(RpcError::Fault(fault)) => return Err(fault.cause),
    };
    let Some(finding) = finding.filter(|finding| is_as_known(finding, asset)) else {
        tracing::warn!(%network, "the node runs the lens wrongly: asking by batches of reads");
        reader.forgo_lens();
        return Ok(());
    };
    if finding.height.abs_diff(height) > HEIGHT_TOLERANCE {
        tracing::info!(%network, "the chain's block.number is not its own: taking heights from the node");
        reader.ask_height();
    }
    Ok(())
}

/// The lens finds what was just found without it.
fn is_as_known(finding: &Finding, asset: &Asset) -> bool {
    finding.token_has_code
        && finding.authorization != AuthorizationState::Unsupported
        && finding.is_transferred
        && finding.returned == asset.separator.as_slice()
}

/// The batch's answers, in the order of the questions.
struct Answers<'a>(&'a Pool, VecDeque<Result<Box<RawValue>, RpcError>>);

impl Answers<'_> {
    fn next<T: DeserializeOwned>(&mut self, what: &str) -> Result<T, String> {
        let Self(rpc, answers) = self;
        match answers.pop_front() {
            Some(Ok(answer)) => rpc
                .read(OPERATION, &answer)
                .map_err(|fault| format!("{what}: {}", fault.cause)),
            Some(Err(error)) => Err(format!("{what}: {}", said(&error))),
            None => Err(format!("{what}: no answer")),
        }
    }
}

fn said(error: &RpcError) -> String {
    match error {
        RpcError::Fault(fault) => fault.cause.clone(),
        RpcError::Node { .. } => error.to_string(),
    }
}
