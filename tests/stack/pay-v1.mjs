// One purchase in version 1 on an EVM chain, our facilitator between the official Express server and fetch client.
import { createWalletClient, http, publicActions } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { baseSepolia } from 'viem/chains';
import { paymentMiddleware } from 'x402-express';
import { wrapFetchWithPayment } from 'x402-fetch';
import { evm, USDC } from './evm-chain.mjs';
import { PATH, run } from './shop.mjs';

await run({
  protocol: 'v1',
  chain: evm,
  paymentHeader: 'X-PAYMENT',
  responseHeader: 'X-PAYMENT-RESPONSE',
  paywall({ facilitatorUrl, payTo, price }) {
    const asset = {
      address: USDC.address,
      decimals: USDC.decimals,
      eip712: { name: USDC.name, version: USDC.version },
    };
    const route = {
      price: { amount: price, asset },
      network: 'base-sepolia',
      config: { description: 'A report', mimeType: 'application/json' },
    };
    return paymentMiddleware(payTo, { [`GET ${PATH}`]: route }, { url: facilitatorUrl });
  },
  client(fetch, { rpcUrl, payerKey, price }) {
    const wallet = createWalletClient({
      account: privateKeyToAccount(payerKey),
      chain: baseSepolia,
      transport: http(rpcUrl),
    }).extend(publicActions);
    return wrapFetchWithPayment(fetch, wallet, BigInt(price));
  },
});
