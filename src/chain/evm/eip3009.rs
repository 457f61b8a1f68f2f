//! EIP-3009 as tokens implement it: what is signed, what makes it unique, and the call that executes it.
//!
//! Outside facts are those of FiatTokenV2_2 (circlefin/stablecoin-evm `contracts/v2/EIP3009.sol`,
//! `contracts/v2/FiatTokenV2_2.sol`), EIP-712 and Multicall3 (mds1/multicall3).

use std::sync::LazyLock;

use alloy::primitives::{Address, B256, Bytes, Keccak256, U256, address, keccak256};
use alloy::sol;
use alloy::sol_types::SolCall;

use super::body::{Body, Domain, Wallet};
use crate::domain::authorization::PaymentKey;
use crate::domain::network::NetworkId;

/// Multicall3, at the same address on every chain that has it (mds1/multicall3, "Deployments").
pub(super) const MULTICALL3: Address = address!("cA11bde05977b3631167028862bE2a173976CA11");

/// An ECDSA signature: r and s of 32 bytes, v of one.
pub(super) const ECDSA_BYTES: usize = 65;

sol! {
    /// The part of an EIP-3009 token that is used here.
    interface Token {
        function DOMAIN_SEPARATOR() external view returns (bytes32);
        function decimals() external view returns (uint8);
        function balanceOf(address account) external view returns (uint256);
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
    }

    /// `transferWithAuthorization` for the payer's own ECDSA signature (EIP-3009).
    interface TransferParts {
        function transferWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
            uint8 v, bytes32 r, bytes32 s
        ) external;
    }

    /// `transferWithAuthorization` for any signature that the payer's code accepts (FiatTokenV2_2).
    interface TransferBytes {
        function transferWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
            bytes signature
        ) external;
    }

    /// One call of a Multicall3 batch.
    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }

    /// How one call of a Multicall3 batch ended.
    struct Ended {
        bool success;
        bytes returnData;
    }

    /// The part of Multicall3 that is used here.
    interface Multicall3 {
        function aggregate3(Call3[] calls) external payable returns (Ended[] returnData);
    }

    /// A wallet that judges signatures (ERC-1271).
    interface Wallet1271 {
        function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
    }
}

static DOMAIN_TYPE: LazyLock<B256> =
    LazyLock::new(|| keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"));

static TRANSFER_TYPE: LazyLock<B256> = LazyLock::new(|| {
    keccak256(concat!(
        "TransferWithAuthorization(address from,address to,uint256 value,",
        "uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    ))
});

/// The EIP-712 domain separator of a token, as its `DOMAIN_SEPARATOR()` gives it.
pub(super) fn domain_separator(domain: &Domain, chain_id: u64, token: Address) -> B256 {
    let mut hash = Keccak256::new();
    hash.update(*DOMAIN_TYPE);
    hash.update(keccak256(&domain.name));
    hash.update(keccak256(&domain.version));
    hash.update(U256::from(chain_id).to_be_bytes::<32>());
    hash.update(token.into_word());
    hash.finalize()
}

/// The EIP-712 digest of the transfer under the token's domain.
pub(super) fn digest(body: &Body, separator: B256) -> B256 {
    keccak256(signed_message(body, separator))
}

/// What the payer signs the Keccak-256 of: the transfer under the token's domain (EIP-712).
pub(super) fn signed_message(body: &Body, separator: B256) -> Vec<u8> {
    let mut content = Keccak256::new();
    content.update(*TRANSFER_TYPE);
    content.update(body.from.into_word());
    content.update(body.to.into_word());
    content.update(U256::from(body.value).to_be_bytes::<32>());
    content.update(U256::from(body.valid_after).to_be_bytes::<32>());
    content.update(U256::from(body.valid_before).to_be_bytes::<32>());
    content.update(body.nonce);
    [&[0x19, 0x01][..], separator.as_slice(), content.finalize().as_slice()].concat()
}

/// What a token lets happen once: it keeps one state for each payer and nonce (`_authorizationStates`).
pub(super) fn payment_key(network: &NetworkId, token: Address, from: Address, nonce: B256) -> PaymentKey {
    PaymentKey::of_eip3009(network, &token, &from, &nonce)
}

/// The call that settles one payment: whom to call and with what. The token itself, or Multicall3 where the
/// payer's wallet may have to be deployed first: then both happen or neither does, except that a deployment that
/// is no longer needed may fail.
pub(super) fn transfer_call(body: &Body) -> (Address, Bytes) {
    match deployment_then_transfer(body, false) {
        Some(batch) => (MULTICALL3, batch),
        None => (body.token, transfer(body)),
    }
}

/// As [`transfer_call`], but a failed transfer after a deployment is returned instead of reverting the whole, so
/// that a simulation can tell which of the two failed.
pub(super) fn trial_call(body: &Body) -> (Address, Bytes) {
    match deployment_then_transfer(body, true) {
        Some(batch) => (MULTICALL3, batch),
        None => (body.token, transfer(body)),
    }
}

fn deployment_then_transfer(body: &Body, report_failure: bool) -> Option<Bytes> {
    let Wallet::Deployable { factory, call } = &body.wallet else {
        return None;
    };
    let deployment = Call3 {
        target: *factory,
        allowFailure: true,
        callData: call.clone(),
    };
    let transfer = Call3 {
        target: body.token,
        allowFailure: report_failure,
        callData: transfer(body),
    };
    let calls = Multicall3::aggregate3Call {
        calls: vec![deployment, transfer],
    };
    Some(calls.abi_encode().into())
}

/// How the deployment and the transfer of a trial ended: whether each succeeded, and what it returned.
pub(super) type TrialEnds<'a> = [(bool, &'a [u8]); 2];

/// Reads what a [`trial_call`] that deploys returned: `abi.encode(Ended[2])`, of which the end may have been cut
/// off. None when that has cost one of the two outcomes themselves.
pub(super) fn trial_ends(returned: &[u8]) -> Option<TrialEnds<'_>> {
    let size = |at: &[u8], word: usize| -> Option<usize> {
        let start = word.checked_mul(32)?;
        let word = at.get(start..start.checked_add(32)?)?;
        U256::from_be_slice(word).try_into().ok()
    };
    let list = returned.get(size(returned, 0)?..)?;
    if size(list, 0)? != 2 {
        return None;
    }
    let entries = list.get(32..)?;
    let end = |index: usize| {
        let entry = entries.get(size(entries, index)?..)?;
        let data = size(entry, 1)
            .and_then(|offset| entry.get(offset..))
            .unwrap_or_default();
        let bytes = data.get(32..).unwrap_or_default();
        let length = size(data, 0).unwrap_or_default();
        Some((size(entry, 0)? == 1, bytes.get(..length).unwrap_or(bytes)))
    };
    Some([end(0)?, end(1)?])
}

/// `transferWithAuthorization`, in the form that takes v, r and s for a signature of 65 bytes that needs no
/// deployment, else in the form that takes bytes.
fn transfer(body: &Body) -> Bytes {
    let (value, after, before) = (
        U256::from(body.value),
        U256::from(body.valid_after),
        U256::from(body.valid_before),
    );
    let parts = <&[u8; ECDSA_BYTES]>::try_from(body.signature.as_ref());
    if let (Ok(parts), Wallet::AsIs | Wallet::Refused { .. }) = (parts, &body.wallet) {
        let (r, s, v) = split(parts);
        TransferParts::transferWithAuthorizationCall {
            from: body.from,
            to: body.to,
            value,
            validAfter: after,
            validBefore: before,
            nonce: body.nonce,
            v,
            r,
            s,
        }
        .abi_encode()
        .into()
    } else {
        TransferBytes::transferWithAuthorizationCall {
            from: body.from,
            to: body.to,
            value,
            validAfter: after,
            validBefore: before,
            nonce: body.nonce,
            signature: body.signature.clone(),
        }
        .abi_encode()
        .into()
    }
}

/// r, s and v of an ECDSA signature in its usual order.
pub(super) fn split(signature: &[u8; ECDSA_BYTES]) -> (B256, B256, u8) {
    let [r @ .., _] = signature;
    let (r, s) = r.split_at(32);
    let [.., v] = signature;
    (B256::from_slice(r), B256::from_slice(s), *v)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::b256;

    use super::*;

    fn body(wallet: Wallet, signature: Vec<u8>) -> Body {
        Body {
            token: address!("036CbD53842c5426634e7929541eC2318f3dCF7e"),
            from: address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
            to: address!("15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
            value: 10_000,
            valid_after: 0,
            valid_before: 1_760_000_000,
            nonce: B256::repeat_byte(0xab),
            signature: signature.into(),
            is_recovered: false,
            wallet,
            stated: None,
        }
    }

    fn usdc() -> Domain {
        Domain {
            name: "USDC".into(),
            version: "2".into(),
        }
    }

    /// Computed with viem 2.57 (`domainSeparator`, `hashTypedData`).
    #[test]
    fn digests_are_those_of_other_implementations() {
        let body = body(Wallet::AsIs, vec![]);
        let separator = domain_separator(&usdc(), 84_532, body.token);
        assert_eq!(
            separator,
            b256!("71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818")
        );
        assert_eq!(
            digest(&body, separator),
            b256!("db67cf8e32a980fffc85d903a892278eb654d757a76ce7d402b4864de83bc418")
        );
        let usdt0 = Domain {
            name: "USD₮0".into(),
            version: "1".into(),
        };
        assert_eq!(
            domain_separator(&usdt0, 14, address!("e7cd86e13AC4309349F30B3435a9d337750fC82D")),
            b256!("4c53d754dcb2f406ecf83695856d8c10b13296a318d9a481043412bf253d43ae")
        );
    }

    #[test]
    fn a_key_is_over_what_the_token_lets_happen_once() {
        let network = |text: &str| text.parse::<NetworkId>().unwrap();
        let (token, from, nonce) = (Address::repeat_byte(1), Address::repeat_byte(2), B256::repeat_byte(3));
        let key = payment_key(&network("eip155:1"), token, from, nonce);
        // Stored payments are found by it: it must never change.
        assert_eq!(
            hex::encode(key.0),
            "6dac2fe7ae3b7e1c866113a4ebe5ed4321da88af1ca34c3a90a06fd31a567286"
        );
        for other in [
            payment_key(&network("eip155:10"), token, from, nonce),
            payment_key(&network("eip155:1"), from, token, nonce),
            payment_key(&network("eip155:1"), token, token, nonce),
            payment_key(&network("eip155:1"), token, from, B256::ZERO),
        ] {
            assert_ne!(other, key);
        }
    }

    #[test]
    fn the_call_follows_the_signature_and_the_wallet() {
        let mut ecdsa = vec![0x11; 32];
        ecdsa.extend([0x22; 32]);
        ecdsa.push(28);
        let (target, call) = transfer_call(&body(Wallet::AsIs, ecdsa.clone()));
        assert_eq!(target, body(Wallet::AsIs, vec![]).token);
        // The selectors of the FiatTokenV2_2 ABI.
        assert_eq!(call[..4], [0xe3, 0xee, 0x16, 0x0e]);
        let decoded = TransferParts::transferWithAuthorizationCall::abi_decode(&call).unwrap();
        assert_eq!(
            (decoded.v, decoded.r, decoded.s),
            (28, B256::repeat_byte(0x11), B256::repeat_byte(0x22))
        );
        assert_eq!(
            (decoded.value, decoded.nonce),
            (U256::from(10_000), B256::repeat_byte(0xab))
        );

        for length in [0, 64, 66, 300] {
            let (_, call) = transfer_call(&body(Wallet::AsIs, vec![7; length]));
            assert_eq!(call[..4], [0xcf, 0x09, 0x29, 0x95]);
            let decoded = TransferBytes::transferWithAuthorizationCall::abi_decode(&call).unwrap();
            assert_eq!(decoded.signature.len(), length);
        }
        let factory = Address::repeat_byte(9);
        let refused = body(Wallet::Refused { factory }, ecdsa.clone());
        assert_eq!(transfer_call(&refused).0, refused.token, "never the factory");
    }

    #[test]
    fn the_ends_of_a_trial_survive_a_cut() {
        use alloy::sol_types::SolValue;
        let ended = |success: bool, length: usize| Ended {
            success,
            returnData: vec![7; length].into(),
        };
        for (first, second) in [(true, false), (false, true), (true, true), (false, false)] {
            let whole = vec![ended(first, 100), ended(second, 90)].abi_encode();
            let data = [vec![7; 100], vec![7; 90]];
            assert_eq!(
                trial_ends(&whole),
                Some([(first, data[0].as_slice()), (second, data[1].as_slice())])
            );
            let [deployment, transfer] = trial_ends(&whole[..512]).unwrap();
            assert_eq!((deployment.0, transfer.0), (first, second));
            assert!(transfer.1.starts_with(&[7; 32]));
        }
        let long = vec![ended(true, 600), ended(true, 0)].abi_encode();
        assert_eq!(trial_ends(&long[..512]), None);
        for other in [&[][..], &[0xff; 512], &[0; 512]] {
            assert_eq!(trial_ends(other), None);
        }
    }

    #[test]
    fn a_deployment_and_its_transfer_are_one_call() {
        let factory = Address::repeat_byte(9);
        let deploy = Wallet::Deployable {
            factory,
            call: vec![8; 40].into(),
        };
        let body = body(deploy, vec![7; 65]);
        for ((target, call), reports) in [(transfer_call(&body), false), (trial_call(&body), true)] {
            assert_eq!(target, MULTICALL3);
            let calls = Multicall3::aggregate3Call::abi_decode(&call).unwrap().calls;
            let [first, second] = calls.as_slice() else {
                panic!("two calls")
            };
            assert_eq!((first.target, first.allowFailure), (factory, true));
            assert_eq!(first.callData, vec![8; 40]);
            assert_eq!((second.target, second.allowFailure), (body.token, reports));
            assert_eq!(second.callData[..4], [0xcf, 0x09, 0x29, 0x95]);
        }
    }
}
