// What shop.mjs has to know of an EVM chain.
import { privateKeyToAccount } from 'viem/accounts';
import { rpc } from './rpc.mjs';

export const USDC = { address: '0x036CbD53842c5426634e7929541eC2318f3dCF7e', name: 'USDC', version: '2', decimals: 6 };
const TRANSFER = '0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef';

const same = (a, b) => a?.toLowerCase() === b?.toLowerCase();

export const evm = {
  payerOf: async (key) => privateKeyToAccount(key).address,
  same,
  nonceOf: (payload) => payload.authorization.nonce,

  // The token's own Transfer event.
  async hasMoved({ rpcUrl, payTo, price }, { transaction, payer }) {
    const receipt = await rpc(rpcUrl, 'eth_getTransactionReceipt', transaction);
    if (receipt?.status !== '0x1') throw new Error(`transaction ${transaction} did not succeed on chain`);
    const topic = (address) => `0x${address.slice(2).toLowerCase().padStart(64, '0')}`;
    return receipt.logs.some(
      ({ address, topics, data }) =>
        same(address, USDC.address) &&
        topics[0] === TRANSFER &&
        topics[1] === topic(payer) &&
        topics[2] === topic(payTo) &&
        BigInt(data) === BigInt(price),
    );
  },
};
