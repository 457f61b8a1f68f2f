// One purchase in version 1 on Solana, our facilitator between the official Express server and fetch client.
import { paymentMiddleware } from 'x402-express';
import { createSigner, wrapFetchWithPayment } from 'x402-fetch';
import { PATH, run } from './shop.mjs';
import { asset, solana } from './solana-chain.mjs';

const NETWORK = 'solana-devnet';
const DECIMALS = 6;

await run({
  protocol: 'v1',
  chain: solana,
  paymentHeader: 'X-PAYMENT',
  responseHeader: 'X-PAYMENT-RESPONSE',
  paywall({ facilitatorUrl, payTo, price }) {
    const route = {
      price: { amount: price, asset: { address: asset, decimals: DECIMALS } },
      network: NETWORK,
      config: { description: 'A report', mimeType: 'application/json' },
    };
    return paymentMiddleware(payTo, { [`GET ${PATH}`]: route }, { url: facilitatorUrl });
  },
  async client(fetch, { rpcUrl, payerKey, price }) {
    const signer = await createSigner(NETWORK, payerKey);
    return wrapFetchWithPayment(fetch, signer, BigInt(price), undefined, { svmConfig: { rpcUrl } });
  },
});
