//! The wallets that refunds are paid from.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::custody::Source;

/// One `[[network.refund_wallet]]` table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalletSettings {
    /// The wallet's key, or who keeps it, written as a signer's is. No signer of ours.
    pub key: Source,
    /// The recipients whose payments it refunds; when absent, its own address alone: a merchant's wallet pays back what it
    /// was paid.
    #[serde(default)]
    pub pay_to: Option<Vec<String>>,
}

/// Which wallet refunds the payments to which recipient: recipient and wallet, in canonical text. `wallets` are the
/// settings with each one's address.
///
/// # Errors
/// Names the table and what was expected there.
pub(super) fn assigned(
    wallets: &[(&WalletSettings, String)],
    signers: &[String],
    canonical: impl Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, String> {
    let (mut assigned, mut known) = (Vec::new(), BTreeSet::new());
    for (index, (settings, address)) in wallets.iter().enumerate() {
        if signers.contains(address) {
            return Err(format!("refund_wallet[{index}].key: expected the key of no signer"));
        }
        let own = vec![address.clone()];
        for text in settings.pay_to.as_ref().unwrap_or(&own) {
            let pay_to = canonical(text).ok_or_else(|| format!("refund_wallet[{index}].pay_to: expected addresses"))?;
            if !known.insert(pay_to.clone()) {
                return Err(format!("refund_wallet[{index}].pay_to: expected each recipient once"));
            }
            assigned.push((pay_to, address.clone()));
        }
    }
    Ok(assigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wallet(pay_to: Option<&[&str]>) -> WalletSettings {
        WalletSettings {
            key: Source::Key(String::new().into()),
            pay_to: pay_to.map(|all| all.iter().map(|it| (*it).to_owned()).collect()),
        }
    }

    #[test]
    fn a_recipient_is_refunded_by_one_wallet_that_sends_nothing_else() {
        let canonical = |text: &str| (text.len() == 1).then(|| text.to_uppercase());
        let read = |wallets: &[(&WalletSettings, String)]| assigned(wallets, &["S".to_owned()], canonical);
        let (own, of_two) = (wallet(None), wallet(Some(&["b", "c"])));
        let text = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            read(&[(&own, "A".into()), (&of_two, "D".into())]).unwrap(),
            [text("A", "A"), text("B", "D"), text("C", "D")]
        );
        assert!(read(&[(&own, "S".into())]).is_err(), "a signer");
        assert!(read(&[(&of_two, "A".into()), (&of_two, "D".into())]).is_err(), "twice");
        assert!(read(&[(&wallet(Some(&["no"])), "A".into())]).is_err(), "no address");
    }
}
