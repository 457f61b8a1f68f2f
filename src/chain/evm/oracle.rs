//! Asks a contract that knows sanctioned addresses, as Chainalysis deploys it on many chains (`isSanctioned(address)`,
//! go.chainalysis.com/chainalysis-oracle-docs.html). It says nothing of how recent its knowledge is.

use alloy::primitives::{Address, Bytes, U256, hex};
use alloy::sol;
use alloy::sol_types::SolCall;
use serde_json::json;
use serde_json::value::RawValue;

use crate::chain::pool::Pool;
use crate::chain::rpc::{Call, RpcError};
use crate::domain::rail::RailFault;

const OPERATION: &str = "oracle";

sol! {
    /// The part of it that is used here.
    interface Oracle {
        function isSanctioned(address addr) external view returns (bool);
    }
}

/// Which of the accounts the contract has, in their order, by one request.
///
/// # Errors
/// An address is none, the chain could not be asked, or what answers is no such contract: an account without code answers
/// with nothing, which is not "no".
pub(super) async fn ask(rpc: &Pool, oracle: &str, accounts: &[&str]) -> Result<Vec<bool>, RailFault> {
    let address = |text: &str| {
        text.parse::<Address>()
            .map_err(|_| rpc.fault(OPERATION, "an address that is none"))
    };
    let oracle = address(oracle)?;
    let mut calls = Vec::with_capacity(accounts.len());
    for account in accounts {
        let addr = address(account)?;
        let data = hex::encode_prefixed(Oracle::isSanctionedCall { addr }.abi_encode());
        calls.push(Call {
            method: "eth_call",
            params: json!([{ "to": oracle, "data": data }, "latest"]),
        });
    }
    let answers = rpc.batch(OPERATION, &calls).await?;
    if answers.len() != accounts.len() {
        return Err(rpc.fault(OPERATION, "the batch came back short"));
    }
    let read = |answer: Result<Box<RawValue>, RpcError>| {
        let answer = answer.map_err(|error| rpc.refused(OPERATION, error))?;
        let word: Bytes = rpc.read(OPERATION, &answer)?;
        match <[u8; 32]>::try_from(word.as_ref()).map(U256::from_be_bytes) {
            Ok(U256::ZERO) => Ok(false),
            Ok(U256::ONE) => Ok(true),
            Ok(_) | Err(_) => Err(rpc.fault(OPERATION, "the contract does not answer yes or no")),
        }
    };
    answers.into_iter().map(read).collect()
}
