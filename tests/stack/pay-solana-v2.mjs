// One purchase in version 2 on Solana, our facilitator between the official Express server and fetch client.
import { HTTPFacilitatorClient } from '@x402/core/server';
import { paymentMiddleware, x402ResourceServer } from '@x402/express';
import { wrapFetchWithPayment, x402Client } from '@x402/fetch';
import { ExactSvmScheme as ClientScheme } from '@x402/svm/exact/client';
import { ExactSvmScheme as ServerScheme } from '@x402/svm/exact/server';
import { PATH, run } from './shop.mjs';
import { asset, memo, signerOf, solana } from './solana-chain.mjs';

const NETWORK = 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1';

await run({
  protocol: 'v2',
  chain: solana,
  paymentHeader: 'PAYMENT-SIGNATURE',
  responseHeader: 'PAYMENT-RESPONSE',
  paywall({ facilitatorUrl, payTo, price }) {
    const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitatorUrl })).register(
      NETWORK,
      new ServerScheme(),
    );
    const accepts = {
      scheme: 'exact',
      network: NETWORK,
      payTo,
      price: { amount: price, asset, extra: memo ? { memo } : {} },
    };
    return paymentMiddleware(
      { [`GET ${PATH}`]: { accepts, description: 'A report', mimeType: 'application/json' } },
      server,
    );
  },
  async client(fetch, { rpcUrl, payerKey, price }) {
    const scheme = new ClientScheme(await signerOf(payerKey), { rpcUrl });
    // By itself the client pays with the tokens of its own table only.
    const allowedAssets = [{ network: NETWORK, asset, maxAmountPerPayment: price }];
    const config = { schemes: [{ network: NETWORK, client: scheme }], spendControls: { allowedAssets } };
    return wrapFetchWithPayment(fetch, x402Client.fromConfig(config));
  },
});
