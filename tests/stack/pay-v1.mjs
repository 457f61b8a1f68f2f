// One purchase over protocol version 1: official Express server, official fetch client, our facilitator between them.
import { createWalletClient, http, publicActions } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { baseSepolia } from 'viem/chains';
import { paymentMiddleware } from 'x402-express';
import { wrapFetchWithPayment } from 'x402-fetch';
import { PATH, run, USDC } from './shop.mjs';

await run({
  protocol: 'v1',
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
