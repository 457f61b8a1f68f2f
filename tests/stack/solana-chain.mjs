// What shop.mjs has to know of Solana. Two more settings: ASSET, the mint to be paid in, and (version 2) MEMO, what the
// shop wants the payment to say on chain.
import { createKeyPairSignerFromBytes, getBase58Encoder } from '@solana/kit';
import { rpc } from './rpc.mjs';

const DEVNET_USDC = '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU';
export const asset = process.env.ASSET || DEVNET_USDC;
export const memo = process.env.MEMO;

export const signerOf = (key) => createKeyPairSignerFromBytes(getBase58Encoder().encode(key));

export const solana = {
  payerOf: async (key) => (await signerOf(key)).address,
  same: (a, b) => a === b,
  // A transaction has no nonce of its own.
  nonceOf: () => undefined,

  // The transaction's own account of who had how much of the token before it and after it.
  async hasMoved({ rpcUrl, payTo, price }, { transaction, payer }) {
    const how = { commitment: 'confirmed', encoding: 'json', maxSupportedTransactionVersion: 0 };
    const found = await rpc(rpcUrl, 'getTransaction', transaction, how);
    if (!found || found.meta.err !== null) throw new Error(`transaction ${transaction} did not succeed on chain`);
    const sum = (balances, holder) =>
      balances
        .filter(({ mint, owner }) => mint === asset && owner === holder)
        .reduce((total, { uiTokenAmount }) => total + BigInt(uiTokenAmount.amount), 0n);
    const change = (holder) => sum(found.meta.postTokenBalances, holder) - sum(found.meta.preTokenBalances, holder);
    return change(payTo) === BigInt(price) && change(payer) === -BigInt(price);
  },
};
