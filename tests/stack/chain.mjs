// node chain.mjs <state.json> <addresses.json>
//
// Builds the chain the tests and the demo run on and writes it as a state file, so that
// `anvil --chain-id 84532 --load-state state.json` starts with everything in place.
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import {
  createPublicClient, createTestClient, createWalletClient, getAddress, http, keccak256, pad, toHex,
} from 'viem';
import { mnemonicToAccount, privateKeyToAccount } from 'viem/accounts';
import { baseSepolia } from 'viem/chains';
import { compileTestContracts } from './compile.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const packages = path.join(here, 'node_modules');
const anvilBinary = path.join(packages, '.bin/anvil');

const USDC = '0x036CbD53842c5426634e7929541eC2318f3dCF7e';
const MULTICALL3 = '0xcA11bde05977b3631167028862bE2a173976CA11';
const PERMIT2 = '0x000000000022D473030F116dDEE9F6B43aC78BA3';
const DEAD = '0x000000000000000000000000000000000000dEaD';
const ZERO_SALT = pad('0x', { size: 32 });
const MILLION = 1_000_000_000_000n;

// Anvil's own published accounts; they hold nothing anywhere else.
const key = (account) => toHex(account.getHdKey().privateKey);
const accounts = Array.from({ length: 10 }, (_, addressIndex) =>
  mnemonicToAccount('test test test test test test test test test test test junk', { addressIndex }));
const testKey = (label) => keccak256(toHex(`facilitator stack: ${label}`));

const step = (text) => console.log(text);

async function freePort() {
  const server = net.createServer();
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function startAnvil() {
  const port = await freePort();
  const child = spawn(anvilBinary, ['--host', '127.0.0.1', '--port', String(port), '--chain-id', '84532', '--silent'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  let failure;
  child.once('error', (e) => (failure = e.message));
  child.once('exit', (code, signal) => (failure ??= `it ended (${signal ?? code})`));
  process.once('exit', () => child.kill());
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  const transport = http(`http://127.0.0.1:${port}`, { retryCount: 0 });
  const node = createPublicClient({ chain: baseSepolia, transport, pollingInterval: 20 });
  const deadline = Date.now() + 20_000;
  for (;;) {
    if (failure) throw new Error(`anvil did not start: ${failure}`);
    const id = await node.getChainId().catch(() => undefined);
    if (id === 84532) return { child, port, transport, node };
    if (Date.now() > deadline) throw new Error('anvil did not answer within 20 s');
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

function artifact(name) {
  const dir = path.join(packages, '@stargatefinance/stg-evm-sdk-v2/artifacts/src/usdc/impl');
  return JSON.parse(fs.readFileSync(path.join(dir, name), 'utf8'));
}

function linked(art, library) {
  let code = art.bytecode.slice(2);
  for (const file of Object.values(art.linkReferences)) {
    for (const { start, length } of Object.values(file).flat()) {
      code = code.slice(0, start * 2) + library.slice(2).toLowerCase() + code.slice((start + length) * 2);
    }
  }
  return `0x${code}`;
}

function preinstall(name) {
  const file = path.join(packages, '@eth-optimism/contracts-bedrock/src/libraries/Preinstalls.sol');
  const match = fs.readFileSync(file, 'utf8').match(new RegExp(`${name}\\s*=\\s*hex"([0-9a-fA-F]+)"`));
  if (!match) throw new Error(`${name} is not in Preinstalls.sol`);
  return `0x${match[1]}`;
}

async function build({ node, transport }) {
  const admin = accounts[0];
  const wallet = createWalletClient({ account: admin, chain: baseSepolia, transport });
  const test = createTestClient({ mode: 'anvil', chain: baseSepolia, transport });
  const mined = async (hash, what) => {
    const receipt = await node.waitForTransactionReceipt({ hash });
    if (receipt.status !== 'success') throw new Error(`${what} reverted`);
    return receipt;
  };
  const deploy = async ({ abi, bytecode }, args = [], what = 'a deployment') =>
    getAddress((await mined(await wallet.deployContract({ abi, bytecode, args }), what)).contractAddress);
  const write = async (address, abi, functionName, args) =>
    mined(await wallet.writeContract({ address, abi, functionName, args }), functionName);

  const checker = await deploy(artifact('util/SignatureChecker.sol/SignatureChecker.json'));
  const fiat = artifact('v2/FiatTokenV2_2.sol/FiatTokenV2_2.json');
  const implementation = await deploy({ abi: fiat.abi, bytecode: linked(fiat, checker) });
  const proxy = await deploy(artifact('v1/FiatTokenProxy.sol/FiatTokenProxy.json'), [implementation]);
  await test.setCode({ address: USDC, bytecode: await node.getCode({ address: proxy }) });
  const slot = (name) => keccak256(toHex(`org.zeppelinos.proxy.${name}`));
  await test.setStorageAt({ address: USDC, index: slot('implementation'), value: pad(implementation) });
  // The proxy's admin may not call the token, so it is nobody.
  await test.setStorageAt({ address: USDC, index: slot('admin'), value: pad(DEAD) });
  const usdc = (functionName, args) => write(USDC, fiat.abi, functionName, args);
  const a = admin.address;
  await usdc('initialize', ['USDC', 'USDC', 'USD', 6, a, a, a, a]);
  await usdc('initializeV2', ['USDC']);
  await usdc('initializeV2_1', [DEAD]);
  await usdc('initializeV2_2', [[], 'USDC']);
  await usdc('configureMinter', [a, 10n ** 24n]);
  step(`USDC (FiatTokenV2_2) at ${USDC}`);

  await test.setCode({ address: MULTICALL3, bytecode: preinstall('MultiCall3Code') });
  step(`Multicall3 at ${MULTICALL3}`);
  await test.setCode({ address: PERMIT2, bytecode: preinstall('Permit2TemplateCode') });
  step(`Permit2 at ${PERMIT2}`);

  const contracts = compileTestContracts();
  const owner = privateKeyToAccount(testKey('owner of the wallet'));
  const put = async (name, args) => {
    const address = await deploy(contracts[name], args, name);
    step(`${name} at ${address}`);
    return address;
  };
  const at = {
    ownerWallet: await put('OwnerWallet', [owner.address]),
    permissiveWallet: await put('PermissiveWallet'),
    refusingWallet: await put('RefusingWallet'),
    gasHogWallet: await put('GasHogWallet'),
    bombWallet: await put('BombWallet'),
    walletFactory: await put('WalletFactory'),
    revertingFactory: await put('RevertingFactory'),
    plainToken: await put('PlainToken'),
    trickToken: await put('TrickToken'),
  };
  const counterfactualWallet = await node.readContract({
    address: at.walletFactory, abi: contracts.WalletFactory.abi, functionName: 'addressOf', args: [owner.address, ZERO_SALT],
  });

  const holders = [
    ...accounts.slice(1).map((x) => x.address),
    at.ownerWallet, at.permissiveWallet, at.refusingWallet, at.gasHogWallet, at.bombWallet, counterfactualWallet,
  ];
  for (const holder of holders) {
    await usdc('mint', [holder, MILLION]);
    await write(at.plainToken, contracts.PlainToken.abi, 'mint', [holder, MILLION]);
    await write(at.trickToken, contracts.TrickToken.abi, 'mint', [holder, MILLION]);
  }
  step(`1,000,000 of each token to each of ${holders.length} accounts and wallets`);

  const read = (functionName, args) => node.readContract({ address: USDC, abi: fiat.abi, functionName, args });
  const facts = [await read('name'), await read('symbol'), await read('version'), await read('decimals')].join(' ');
  if (facts !== 'USDC USDC 2 6') throw new Error(`the token describes itself as ${facts}`);
  if ((await read('balanceOf', [holders[0]])) !== MILLION) throw new Error('the mint did not arrive');

  const payee = privateKeyToAccount(testKey('the seller'));
  return {
    chainId: 84532,
    network: 'eip155:84532',
    usdc: USDC,
    usdcName: 'USDC',
    usdcVersion: '2',
    usdcImplementation: implementation,
    multicall3: MULTICALL3,
    permit2: PERMIT2,
    ...at,
    ownerWalletOwner: owner.address,
    ownerWalletOwnerKey: testKey('owner of the wallet'),
    // Funded, not deployed: walletFactory.deploy(ownerWalletOwner, counterfactualSalt) puts it there.
    counterfactualWallet,
    counterfactualSalt: ZERO_SALT,
    payTo: payee.address,
    payToKey: testKey('the seller'),
    // 0 administers USDC; 1 to 9 hold a million of each token.
    accounts: accounts.map((x) => ({ address: x.address, key: key(x) })),
  };
}

// The node hands its state over zipped, and reads it back plain.
async function dump(node) {
  const state = await node.request({ method: 'anvil_dumpState', params: [] });
  const bytes = Buffer.from(state.slice(2), 'hex');
  return bytes[0] === 0x1f ? gunzipSync(bytes) : bytes;
}

function write(file, content) {
  // Renamed into place: a reader never sees half a file.
  fs.writeFileSync(`${file}.part`, content);
  fs.renameSync(`${file}.part`, file);
}

async function main([stateFile, addressesFile, ...rest]) {
  if (!stateFile || !addressesFile || rest.length) throw new Error('usage: node chain.mjs <state.json> <addresses.json>');
  for (const file of [stateFile, addressesFile]) {
    const dir = path.dirname(path.resolve(file));
    if (!fs.existsSync(dir)) throw new Error(`no such directory: ${dir}`);
  }
  if (!fs.existsSync(anvilBinary)) throw new Error('anvil is not installed: run npm ci in tests/stack');
  const anvil = await startAnvil();
  step(`anvil on port ${anvil.port}`);
  const addresses = await build(anvil);
  write(stateFile, await dump(anvil.node));
  step(`state in ${stateFile}`);
  write(addressesFile, `${JSON.stringify(addresses, null, 2)}\n`);
  step(`addresses in ${addressesFile}`);
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (e) => {
    console.error(`chain.mjs: ${e.shortMessage ?? e.message}`);
    process.exit(1);
  },
);
