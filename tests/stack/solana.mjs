// node solana.mjs [milliseconds a slot takes, 400 if not given]
//
// A Solana node (surfpool, offline) with everything in place that the tests and the demo need. Once it serves, it says
// so in one line of JSON: where it is, and every address and key it was given. Addresses and keys are the same each
// time. It ends with the process that started it, or when the pipe that is its standard input closes.
import fs from 'node:fs';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import {
  createKeyPairSignerFromPrivateKeyBytes, getAddressEncoder, getBase58Decoder, getProgramDerivedAddress, getU16Encoder,
  getU32Encoder, getU64Encoder,
} from '@solana/kit';
import { AccountState, getMintEncoder, getTokenEncoder } from '@solana-program/token-2022';
import { extensionsOf } from './mints.mjs';
import { rpc } from './rpc.mjs';
import { smartWallet } from './smart-wallet.mjs';

const NETWORK = 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1';
const SYSTEM = '11111111111111111111111111111111';
const PROGRAMS = {
  token: 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA',
  'token-2022': 'TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb',
};
const MEMO = 'MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr';
const LIGHTHOUSE = 'L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95';
// A wallet that the facilitator knows: Swig.
const SMART_WALLET = 'swigypWHEksbC64pWKwah1WTeh9JXwx8H1rJHLdbQMB';
const LOADER = 'BPFLoader2111111111111111111111111111111111';
const LOOKUP_TABLES = 'AddressLookupTab1e1111111111111111111111111';
const SOL = 1_000_000_000;
const HOLDING = 1_000_000n;

// Keys that anybody can compute: worth nothing anywhere.
const sha256 = (text) => createHash('sha256').update(text).digest();
const seed = (label) => sha256(`facilitator stack: ${label}`);
const base58 = (bytes) => getBase58Decoder().decode(bytes);
const bytesOf = (address) => getAddressEncoder().encode(address);

async function keypair(label) {
  const { address } = await createKeyPairSignerFromPrivateKeyBytes(seed(label));
  return { address, key: base58(Buffer.concat([seed(label), bytesOf(address)])) };
}

const keypairs = (label, count) => Promise.all(Array.from({ length: count }, (_, i) => keypair(`${label} ${i}`)));

// What a mint is called here, where it is, and what is special about it. The named addresses are those of the public
// clusters; the others are addresses of nobody's key.
const MINTS = {
  usdc: { address: '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU', program: 'token', decimals: 6 },
  mainnetUsdc: { address: 'EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v', program: 'token', decimals: 6 },
  unlisted: { program: 'token', decimals: 6 },
  nineDecimals: { program: 'token', decimals: 9 },
  pyusd: { address: 'CXk2AMBfi3TwaEL2468s6zP8xq9NxTXjp9gjMgzeUynM', program: 'token-2022', decimals: 6 },
  ousd: { address: 'ousd2mJsPEckLHcSCDxyKD7NDGARZcfLbDZkKiatYHB', program: 'token-2022', decimals: 6 },
  transferFee: { program: 'token-2022', decimals: 6 },
  transferHook: { program: 'token-2022', decimals: 6 },
  nonTransferable: { program: 'token-2022', decimals: 6 },
};

function load() {
  try {
    return createRequire(import.meta.url)('@solana/surfpool-linux-x64-gnu').Surfnet;
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error;
    throw new Error('the Solana node (surfpool) is not installed here: it exists for Linux on x64 with glibc only');
  }
}

const rent = (length) => (128 + length) * 6960;

function put(node, address, owner, data) {
  node.setAccount(address, rent(data.length), [...data], owner);
}

function putMint(node, { address, program, decimals, extensions }, authority, supply) {
  const data = getMintEncoder().encode({
    mintAuthority: authority,
    supply,
    decimals,
    isInitialized: true,
    freezeAuthority: authority,
    extensions: extensions.mint,
  });
  put(node, address, PROGRAMS[program], data);
}

// The owner's associated token account, with the amount in it.
function putTokens(node, mint, owner, amount) {
  const address = node.getAta(owner, mint.address, PROGRAMS[mint.program]);
  const data = getTokenEncoder().encode({
    mint: mint.address,
    owner,
    amount,
    delegate: null,
    state: AccountState.Initialized,
    isNative: null,
    delegatedAmount: 0,
    closeAuthority: null,
    extensions: mint.extensions.account,
  });
  put(node, address, PROGRAMS[mint.program], data);
  return address;
}

// Layout of ProgramState::LookupTable: 56 bytes of header, then the addresses. This one can never be changed.
function putLookupTable(node, address, addresses) {
  const never = getU64Encoder().encode(2n ** 64n - 1n);
  const header = Buffer.concat([
    getU32Encoder().encode(1), // it is a table
    never, // deactivated at this slot
    getU64Encoder().encode(0n), // extended last at this slot, so that everything in it counts
    Buffer.from([0]),
    Buffer.from([0]), // no authority
    Buffer.alloc(32),
    getU16Encoder().encode(0),
  ]);
  put(node, address, LOOKUP_TABLES, Buffer.concat([header, ...addresses.map(bytesOf)]));
}

// Layout of nonce::state::Versions::Current(State::Initialized): version, state, authority, nonce, fee per signature.
function putNonceAccount(node, address, authority, nonce) {
  const [one, fee] = [getU32Encoder().encode(1), getU64Encoder().encode(5000n)];
  put(node, address, SYSTEM, Buffer.concat([one, one, bytesOf(authority), nonce, fee]));
}

// Programs that are not in the node; Memo in its place takes any data, and refuses what is not UTF-8.
async function putStandIn(url, address) {
  const { value } = await rpc(url, 'getAccountInfo', MEMO, { encoding: 'base64' });
  const data = Buffer.from(value.data[0], 'base64').toString('hex');
  await rpc(url, 'surfnet_setAccount', address, {
    lamports: value.lamports, owner: value.owner, data, executable: true,
  });
}

// A program in the place of a smart wallet's, and a vault of it that holds the mint's tokens.
async function putSmartWallet(node, mint, amount) {
  const data = smartWallet();
  await rpc(node.rpcUrl, 'surfnet_setAccount', SMART_WALLET, {
    lamports: rent(data.length), owner: LOADER, data: data.toString('hex'), executable: true,
  });
  const [vault, bump] = await getProgramDerivedAddress({ programAddress: SMART_WALLET, seeds: ['wallet'] });
  return { program: SMART_WALLET, vault, bump, account: putTokens(node, mint, vault, amount) };
}

async function furnish(node) {
  const [feePayers, payers] = await Promise.all([keypairs('fee payer', 2), keypairs('payer', 10)]);
  const [retiredFeePayer, poorFeePayer, administrator, seller, sellerWithoutAccounts, standIn, table, durable] =
    await Promise.all(
      [
        'retired fee payer', 'poor fee payer', 'administrator', 'seller', 'seller without accounts', 'transfer hook',
        'lookup table', 'nonce account',
      ].map(keypair),
    );
  node.fundSolMany(
    [...feePayers, retiredFeePayer, administrator].map(({ address }) => ({ address, lamports: 10 * SOL })),
  );
  node.fundSol(poorFeePayer.address, 0.001 * SOL);

  const mints = {};
  for (const [name, { program, decimals, ...fixed }] of Object.entries(MINTS)) {
    const address = fixed.address ?? base58(seed(`mint ${name}`));
    const extensions = extensionsOf(name, { mint: address, authority: administrator.address, hook: standIn.address });
    const mint = { address, program, decimals, extensions };
    const holding = HOLDING * 10n ** BigInt(decimals);
    putMint(node, mint, administrator.address, holding * BigInt(payers.length));
    for (const payer of payers) putTokens(node, mint, payer.address, holding);
    const sellerAccount = putTokens(node, mint, seller.address, 0n);
    mints[name] = { address, program, decimals, sellerAccount };
  }

  const listed = [mints.usdc.sellerAccount, mints.usdc.address, mints.pyusd.sellerAccount, mints.pyusd.address];
  putLookupTable(node, table.address, listed);
  const nonce = sha256('a durable nonce');
  putNonceAccount(node, durable.address, payers[0].address, nonce);
  await putStandIn(node.rpcUrl, LIGHTHOUSE);
  const wallet = await putSmartWallet(node, { ...mints.usdc, extensions: extensionsOf('usdc') }, HOLDING);
  return {
    mints,
    feePayers,
    retiredFeePayer,
    poorFeePayer,
    // May mint and freeze every token, and pays for what happens behind the facilitator's back.
    administrator,
    payers,
    seller,
    sellerWithoutAccounts,
    lighthouse: LIGHTHOUSE,
    smartWallet: wallet,
    lookupTable: { address: table.address, addresses: listed },
    nonceAccount: { address: durable.address, authority: payers[0].address, nonce: base58(nonce) },
  };
}

// Whoever starts a node may be killed without a chance to end it.
function endWithParent() {
  const parent = process.ppid;
  setInterval(() => process.ppid === parent || process.exit(0), 200);
  if (fs.fstatSync(0).isFIFO()) process.stdin.once('close', () => process.exit(0)).resume();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(0));
}

async function main([slot = '400', ...rest]) {
  if (!/^[1-9][0-9]*$/.test(slot) || rest.length) throw new Error('usage: node solana.mjs [milliseconds a slot takes]');
  endWithParent();
  const node = load().startWithConfig({ offline: true, blockProductionMode: 'clock', slotTimeMs: Number(slot) });
  // The node stops for good when 1024 of its events wait to be taken, and when it is collected as garbage.
  setInterval(() => node.drainEvents(), 50);
  process.once('exit', () => node.stop());
  const { rpcUrl, wsUrl } = node;
  const placed = await furnish(node);
  const genesisHash = await rpc(rpcUrl, 'getGenesisHash');
  // The network is what it stands in for: official clients pay on named clusters only.
  process.stdout.write(`${JSON.stringify({ rpcUrl, wsUrl, network: NETWORK, genesisHash, ...placed })}\n`);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`solana.mjs: ${error.message}`);
  process.exit(1);
});
