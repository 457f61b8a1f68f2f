// node compile.mjs lens            rewrites src/chain/evm/lens.hex
// node compile.mjs lens --check    fails when that file is not what the source compiles to
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import solc from 'solc';

const here = path.dirname(fileURLToPath(import.meta.url));
const evm = path.join(here, '../../src/chain/evm');

const settings = {
  viaIR: true,
  optimizer: { enabled: true, runs: 200 },
  // Paris has no PUSH0: it runs on Base, Ethereum, Arbitrum, Optimism, Polygon and Avalanche whatever
  // their fork, and on chains an operator adds that never took Shanghai.
  evmVersion: 'paris',
  metadata: { bytecodeHash: 'none', appendCBOR: false },
  outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object', 'evm.deployedBytecode.object'] } },
};

function compile(files) {
  const sources = {};
  for (const file of files) sources[path.basename(file)] = { content: fs.readFileSync(file, 'utf8') };
  const input = { language: 'Solidity', sources, settings };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const errors = (output.errors ?? []).filter((e) => e.severity === 'error');
  if (errors.length) throw new Error(errors.map((e) => e.formattedMessage).join('\n'));
  const contracts = {};
  for (const file of Object.values(output.contracts)) {
    for (const [name, c] of Object.entries(file)) {
      contracts[name] = {
        abi: c.abi,
        bytecode: `0x${c.evm.bytecode.object}`,
        runtime: `0x${c.evm.deployedBytecode.object}`,
      };
    }
  }
  return contracts;
}

export function compileLens() {
  return compile([path.join(evm, 'lens.sol')]).Lens.bytecode;
}

// Every contract of contracts/, by name: { abi, bytecode, runtime }.
export function compileTestContracts() {
  const dir = path.join(here, 'contracts');
  const files = fs.readdirSync(dir).filter((f) => f.endsWith('.sol')).sort();
  return compile(files.map((f) => path.join(dir, f)));
}

function main([what, flag, ...rest]) {
  if (what !== 'lens' || rest.length || (flag !== undefined && flag !== '--check')) {
    console.error('usage: node compile.mjs lens [--check]');
    return 2;
  }
  const file = path.join(evm, 'lens.hex');
  const fresh = `${compileLens()}\n`;
  const size = fresh.length / 2 - 1.5;
  if (flag === undefined) {
    fs.writeFileSync(file, fresh);
    console.log(`lens.hex: ${size} bytes of creation code`);
    return 0;
  }
  if (!fs.existsSync(file) || fs.readFileSync(file, 'utf8') !== fresh) {
    console.error('lens.hex is not what lens.sol compiles to: run node compile.mjs lens');
    return 1;
  }
  console.log(`lens.hex is current: ${size} bytes`);
  return 0;
}

if (process.argv[1] && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    process.exitCode = main(process.argv.slice(2));
  } catch (e) {
    console.error(e.message);
    process.exitCode = 1;
  }
}
