//! Whether an account's owner has signed a text: Ed25519 over its bytes as they are, as wallets sign messages.

use ed25519_dalek::{Signature, VerifyingKey};
use solana_pubkey::Pubkey;

/// Whether the account, in base58, has signed the text, by a signature in base58. An address that is no public key, as those
/// of programs' accounts are not, signs nothing.
pub(super) fn has_signed(account: &str, text: &str, signature: &str) -> bool {
    let (Ok(account), Ok(signature)) = (
        account.parse::<Pubkey>(),
        signature.parse::<solana_signature::Signature>(),
    ) else {
        return false;
    };
    let key = VerifyingKey::from_bytes(account.as_array());
    let signature = Signature::from_bytes(signature.as_array());
    key.is_ok_and(|key| key.verify_strict(text.as_bytes(), &signature).is_ok())
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    #[test]
    fn only_the_accounts_own_signature_of_that_text_counts() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let account = Pubkey::from(key.verifying_key().to_bytes()).to_string();
        let signature = solana_signature::Signature::from(key.sign(b"mine").to_bytes()).to_string();
        assert!(has_signed(&account, "mine", &signature));
        let other = Pubkey::from(SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes()).to_string();
        let program = "11111111111111111111111111111111";
        for (account, text, signature) in [
            (&*account, "mine ", &*signature),
            (&account, "", &signature),
            (&other, "mine", &signature),
            (program, "mine", &signature),
            (program, "mine", &"1".repeat(64)),
            (&account, "mine", ""),
            (&account, "mine", "0x00"),
            (&account, "mine", &signature[1..]),
            ("", "mine", &signature),
        ] {
            assert!(!has_signed(account, text, signature), "{account} {text} {signature}");
        }
    }
}
