//! Whether an account's owner has signed a text: as wallets sign one (EIP-191, `personal_sign`), or, where the account has
//! code, as that code judges it (ERC-1271).

use alloy::primitives::{Address, B256, Bytes, U64, eip191_hash_message, hex};
use alloy::sol_types::SolCall;
use serde_json::json;

use super::eip3009::Wallet1271;
use super::reader::{ACCEPTED, is_execution};
use super::signature::recovered;
use crate::chain::pool::Pool;
use crate::chain::rpc::{Call, RpcError};
use crate::domain::rail::RailFault;

const OPERATION: &str = "has_signed";

/// Bytes of a signature: wallets of many owners put all of theirs into one.
const SIGNATURE_BYTES_MAX: usize = 8 * 1024;

/// Whether the account, in canonical text, has signed the text, by a signature in hexadecimal with `0x`. A wallet that
/// spends more than `gas` on its judgement has not. One that is not deployed cannot judge: its owner may deploy it first.
///
/// # Errors
/// The chain could not be asked.
pub(super) async fn has_signed(
    rpc: &Pool,
    account: &str,
    text: &str,
    signature: &str,
    gas: u64,
) -> Result<bool, RailFault> {
    let bytes = signature.strip_prefix("0x").and_then(|it| hex::decode(it).ok());
    let (Ok(account), Some(bytes)) = (account.parse::<Address>(), bytes) else {
        return Ok(false);
    };
    if bytes.len() > SIGNATURE_BYTES_MAX {
        return Ok(false);
    }
    let hash = eip191_hash_message(text);
    if recovered(&bytes, &hash, &account).is_some() {
        return Ok(true);
    }
    accepts(rpc, account, hash, bytes.into(), gas).await
}

/// What the account's code says of the signature; an account without any says nothing.
async fn accepts(rpc: &Pool, account: Address, hash: B256, signature: Bytes, gas: u64) -> Result<bool, RailFault> {
    let data = Wallet1271::isValidSignatureCall { hash, signature }.abi_encode();
    // What every call costs before its callee begins comes on top.
    let calldata = u64::try_from(data.len()).unwrap_or(u64::MAX).saturating_mul(40);
    let gas = U64::from(gas.saturating_add(calldata).saturating_add(21_000));
    let call = Call {
        method: "eth_call",
        params: json!([{ "to": account, "data": hex::encode_prefixed(data), "gas": gas }, "latest"]),
    };
    match rpc.batch(OPERATION, &[call]).await?.pop() {
        Some(Ok(answer)) => {
            let returned: Bytes = rpc.read(OPERATION, &answer)?;
            let word = B256::right_padding_from(ACCEPTED.as_slice());
            Ok(returned.get(..32) == Some(word.as_slice()))
        }
        Some(Err(RpcError::Node { code, message, data })) if is_execution(code, &message, data.as_deref()) => Ok(false),
        Some(Err(error)) => Err(rpc.refused(OPERATION, error)),
        None => Err(rpc.fault(OPERATION, "the batch came back short")),
    }
}
