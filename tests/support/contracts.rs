//! What the tests ask of the contracts on the prepared chain, and who lives there.

use std::sync::OnceLock;

use alloy::primitives::{Address, B256, Bytes, hex};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol;
use serde::Deserialize;

sol! {
    /// What the payer signs to pay (EIP-3009).
    #[derive(Debug)]
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    /// What the payer signs to take an authorization back (EIP-3009).
    struct CancelAuthorization {
        address authorizer;
        bytes32 nonce;
    }

    interface Token {
        event Transfer(address indexed from, address indexed to, uint256 value);
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);

        function balanceOf(address owner) external view returns (uint256);
        function transfer(address to, uint256 value) external returns (bool);
        function transferWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
            uint8 v, bytes32 r, bytes32 s
        ) external;
        function receiveWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
            uint8 v, bytes32 r, bytes32 s
        ) external;
        function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        function pause() external;
        function blacklist(address account) external;
        function setMode(uint8 mode) external;
    }

    /// What the payer signs so that the recipient alone may collect (EIP-3009).
    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }

    interface Multicall3 {
        function aggregate3(Call3[] calls) external payable;
    }

    interface Factory {
        function deploy(address owner, bytes32 salt) external returns (address wallet);
    }
}

/// How the trick token misbehaves when a transaction (not a simulation) moves it; `contracts/Tokens.sol`.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum Trick {
    Honest = 0,
    NoTransferEvent = 1,
    Revert = 2,
    Nothing = 3,
    BurnAllGas = 4,
    Half = 5,
}

/// An account with its key.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Account {
    pub(crate) address: Address,
    pub(crate) key: B256,
}

impl Account {
    /// Whoever has this key.
    pub(crate) fn of(key: B256) -> Self {
        let address = PrivateKeySigner::from_bytes(&key).unwrap().address();
        Self { address, key }
    }
}

/// Who is where on the prepared chain: what `tests/stack/chain.mjs` wrote.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Addresses {
    pub(crate) usdc: Address,
    pub(crate) multicall3: Address,
    pub(crate) owner_wallet: Address,
    pub(crate) permissive_wallet: Address,
    pub(crate) refusing_wallet: Address,
    pub(crate) gas_hog_wallet: Address,
    pub(crate) bomb_wallet: Address,
    pub(crate) wallet_factory: Address,
    pub(crate) reverting_factory: Address,
    pub(crate) plain_token: Address,
    pub(crate) trick_token: Address,
    pub(crate) owner_wallet_owner: Address,
    pub(crate) owner_wallet_owner_key: B256,
    pub(crate) counterfactual_wallet: Address,
    pub(crate) counterfactual_salt: B256,
    pub(crate) pay_to: Address,
    /// 0 administers USDC; 1 to 9 hold a million of each token. The facilitator signs with 9, and with 8
    /// when it has two signers; 7 is a third party; the others pay.
    pub(crate) accounts: Vec<Account>,
}

pub(crate) fn addresses() -> &'static Addresses {
    static ADDRESSES: OnceLock<Addresses> = OnceLock::new();
    ADDRESSES.get_or_init(|| {
        let text = std::fs::read(super::provided("FACILITATOR_CHAIN_ADDRESSES")).unwrap();
        serde_json::from_slice(&text).unwrap()
    })
}

/// Pauses and blacklists; sends the tests' own transactions.
pub(crate) fn admin() -> Address {
    addresses().accounts[0].address
}

/// Somebody who has nothing to do with a payment.
pub(crate) fn third_party() -> Address {
    addresses().accounts[7].address
}

impl Trick {
    pub(crate) fn on(self) -> Token::setModeCall {
        Token::setModeCall { mode: self as u8 }
    }
}

/// Returns the top of the stack as the one word of an answer.
const ANSWER: [u8; 8] = hex!("6000 52 6020 6000 f3");

/// The code of a wallet that takes every signature in a block of even number and none in the others.
pub(crate) fn flipping_wallet() -> Bytes {
    // number & 1 == 0, times ERC-1271's word.
    let word = hex!("43 6001 16 15 63 1626ba7e 60e0 1b 02");
    [&word[..], &ANSWER].concat().into()
}

/// The code of a wallet that, asked for a signature, first makes this call of the contract and then takes every one.
pub(crate) fn reentering_wallet(contract: Address, call: &[u8]) -> Bytes {
    let length = u16::try_from(call.len()).unwrap().to_be_bytes();
    let code = |at: u16| {
        [
            // The call, which stands behind the code, into memory.
            &[0x61][..],
            &length,
            &[0x61],
            &at.to_be_bytes(),
            &hex!("6000 39"),
            // Made without value, with all gas; what comes of it does not matter.
            &hex!("6000 6000 61"),
            &length,
            &hex!("6000 6000 73"),
            contract.as_slice(),
            &hex!("5a f1 50"),
            &hex!("63 1626ba7e 60e0 1b"),
            &ANSWER,
        ]
        .concat()
    };
    let behind = u16::try_from(code(0).len()).unwrap();
    [&code(behind)[..], call].concat().into()
}
