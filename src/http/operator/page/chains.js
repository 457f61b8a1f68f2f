// What the networks are called, and where their explorers are. A network that is not here is served as well, without links.

const HASH = /^0x[0-9a-f]{64}$/;
const ADDRESS = /^0x[0-9a-fA-F]{40}$/;
const BASE58 = /^[1-9A-HJ-NP-Za-km-z]{32,90}$/;

const evm = (name, coin, at) => ({
  name,
  coin,
  tx: (it) => HASH.test(it) && at ? `${at}/tx/${it}` : null,
  account: (it) => ADDRESS.test(it) && at ? `${at}/address/${it}` : null,
  block: (it) => Number.isInteger(it) && at ? `${at}/block/${it}` : null,
});

const solana = (name, cluster) => ({
  name,
  coin: "SOL",
  tx: (it) => BASE58.test(it) ? `https://explorer.solana.com/tx/${it}${cluster}` : null,
  account: (it) => BASE58.test(it) ? `https://explorer.solana.com/address/${it}${cluster}` : null,
  block: (it) => Number.isInteger(it) ? `https://explorer.solana.com/block/${it}${cluster}` : null,
});

const CHAINS = {
  "eip155:1": evm("Ethereum", "ETH", "https://etherscan.io"),
  "eip155:10": evm("Optimism", "ETH", "https://optimistic.etherscan.io"),
  "eip155:137": evm("Polygon", "POL", "https://polygonscan.com"),
  "eip155:8453": evm("Base", "ETH", "https://basescan.org"),
  "eip155:42161": evm("Arbitrum One", "ETH", "https://arbiscan.io"),
  "eip155:43114": evm("Avalanche", "AVAX", "https://snowtrace.io"),
  "eip155:84532": evm("Base Sepolia", "ETH", "https://sepolia.basescan.org"),
  "eip155:11155111": evm("Sepolia", "ETH", "https://sepolia.etherscan.io"),
  "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp": solana("Solana", ""),
  "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1": solana("Solana devnet", "?cluster=devnet"),
};

const UNKNOWN = { coin: "coin" };

export const chain = (id) => CHAINS[id] ?? { ...UNKNOWN, name: id.length > 24 ? `${id.slice(0, 20)}…` : id };
