// One purchase in version 2 on an EVM chain, our facilitator between the official Express server and fetch client.
import { HTTPFacilitatorClient } from '@x402/core/server';
import { ExactEvmScheme as ClientScheme } from '@x402/evm/exact/client';
import { ExactEvmScheme as ServerScheme } from '@x402/evm/exact/server';
import { paymentMiddleware, x402ResourceServer } from '@x402/express';
import { wrapFetchWithPayment, x402Client } from '@x402/fetch';
import { privateKeyToAccount } from 'viem/accounts';
import { evm, USDC } from './evm-chain.mjs';
import { PATH, run } from './shop.mjs';

const NETWORK = 'eip155:84532';

await run({
  protocol: 'v2',
  chain: evm,
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
      price: { amount: price, asset: USDC.address, extra: { name: USDC.name, version: USDC.version } },
    };
    return paymentMiddleware(
      { [`GET ${PATH}`]: { accepts, description: 'A report', mimeType: 'application/json' } },
      server,
    );
  },
  client(fetch, { payerKey }) {
    return wrapFetchWithPayment(
      fetch,
      new x402Client().register(NETWORK, new ClientScheme(privateKeyToAccount(payerKey))),
    );
  },
});
