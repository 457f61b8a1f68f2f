//! What version 1 of x402 calls networks: the only table of such names.
//!
//! Names and chain ids are those of the reference TypeScript packages (`@x402/core` 2.27.0, its map of legacy
//! network names). A network without a row has no version 1 name and can only be spoken of in version 2.

use crate::domain::network::NetworkId;

const NAMES: [(&str, &str); 26] = [
    ("base", "eip155:8453"),
    ("base-sepolia", "eip155:84532"),
    ("ethereum", "eip155:1"),
    ("sepolia", "eip155:11155111"),
    ("polygon", "eip155:137"),
    ("polygon-amoy", "eip155:80002"),
    ("avalanche", "eip155:43114"),
    ("avalanche-fuji", "eip155:43113"),
    ("sei", "eip155:1329"),
    ("sei-testnet", "eip155:1328"),
    ("celo", "eip155:42220"),
    ("abstract", "eip155:2741"),
    ("abstract-testnet", "eip155:11124"),
    ("iotex", "eip155:4689"),
    ("peaq", "eip155:3338"),
    ("story", "eip155:1514"),
    ("educhain", "eip155:41923"),
    ("skale-base-sepolia", "eip155:324705682"),
    ("megaeth", "eip155:4326"),
    ("monad", "eip155:143"),
    ("stable", "eip155:988"),
    ("stable-testnet", "eip155:2201"),
    ("flare", "eip155:14"),
    ("solana", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"),
    ("solana-devnet", "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"),
    ("solana-testnet", "solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z"),
];

/// The network that version 1 calls so.
pub(super) fn network_named(name: &str) -> Option<NetworkId> {
    let (_, network) = NAMES.iter().find(|(known, _)| *known == name)?;
    network.parse().ok()
}

/// What version 1 calls the network, if it has a name for it.
pub(super) fn name_of(network: &NetworkId) -> Option<&'static str> {
    let (name, _) = NAMES.iter().find(|(_, known)| *known == network.as_str())?;
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_its_network_and_back() {
        for (name, caip2) in NAMES {
            let network = network_named(name).unwrap();
            assert_eq!(network.as_str(), caip2);
            assert_eq!(name_of(&network), Some(name));
        }
    }

    #[test]
    fn networks_without_a_name_have_none() {
        for caip2 in ["eip155:42161", "eip155:10", "eip155:31337", "cloudflare:402"] {
            assert_eq!(name_of(&caip2.parse().unwrap()), None, "{caip2}");
        }
        for name in ["arbitrum", "Base", "eip155:8453", ""] {
            assert_eq!(network_named(name), None, "{name}");
        }
    }
}
