// What the pay-*.mjs share: everything that is neither the official server or client of one protocol version nor a
// matter of one chain.
import express from 'express';

export const PATH = '/report';
const CONTENT = { report: 'what the payment was for' };
const TIME_LIMIT_MS = 60_000;

// stdout carries the one JSON line; whatever a library says goes elsewhere.
console.log = console.info = console.debug = console.error;

function settings() {
  const missing = ['FACILITATOR_URL', 'RPC_URL', 'PAYER_KEY', 'PAY_TO'].filter((name) => !process.env[name]);
  if (missing.length > 0) throw new Error(`not set: ${missing.join(', ')}`);
  const { FACILITATOR_URL, RPC_URL, PAYER_KEY, PAY_TO, PRICE = '10000' } = process.env;
  if (!/^[1-9][0-9]*$/.test(PRICE)) throw new Error(`PRICE must be atomic units, not ${JSON.stringify(PRICE)}`);
  return { facilitatorUrl: FACILITATOR_URL, rpcUrl: RPC_URL, payerKey: PAYER_KEY, payTo: PAY_TO, price: PRICE };
}

async function open(paywall) {
  const app = express();
  app.use(paywall);
  app.get(PATH, (_request, response) => response.json(CONTENT));
  const server = app.listen(0, '127.0.0.1');
  await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject));
  return `http://127.0.0.1:${server.address().port}${PATH}`;
}

const decode = (header) => JSON.parse(Buffer.from(header, 'base64').toString('utf8'));

async function describe(response) {
  const parts = [`status ${response.status}`, (await response.text()).slice(0, 1000)];
  for (const name of ['payment-required', 'payment-response', 'x-payment-response']) {
    const header = response.headers.get(name);
    if (header) parts.push(`${name}: ${JSON.stringify(decode(header))}`);
  }
  return parts.join('; ');
}

async function buy({ protocol, chain, paymentHeader, responseHeader, paywall, client }) {
  const shop = settings();
  const url = await open(paywall(shop));

  const unpaid = await fetch(url);
  if (unpaid.status !== 402) throw new Error(`unpaid request: ${await describe(unpaid)}`);
  await unpaid.arrayBuffer();

  let sent;
  const watched = (input, init) => {
    const request = new Request(input, init);
    sent = request.headers.get(paymentHeader) ?? sent;
    return fetch(request);
  };
  const pay = await client(watched, shop);
  const paid = await pay(url, { method: 'GET' });
  if (paid.status !== 200) throw new Error(`paid request: ${await describe(paid)}`);
  const receipt = paid.headers.get(responseHeader);
  if (!sent || !receipt) throw new Error(`the payment left no ${sent ? responseHeader : paymentHeader} header`);

  const { success, transaction, network, payer } = decode(receipt);
  if (success !== true)
    throw new Error(`content was served though the settlement says ${JSON.stringify(decode(receipt))}`);
  const signer = await chain.payerOf(shop.payerKey);
  if (!chain.same(payer, signer)) throw new Error(`paid by ${signer}, but the settlement names ${payer}`);
  // The facilitator's word is not proof; the chain's is.
  if (!(await chain.hasMoved(shop, { transaction, payer })))
    throw new Error(`transaction ${transaction} does not move ${shop.price} from ${payer} to ${shop.payTo}`);
  return {
    protocol,
    unpaidStatus: unpaid.status,
    paidStatus: paid.status,
    content: await paid.json(),
    nonce: chain.nonceOf(decode(sent).payload),
    payer,
    transaction,
    network,
  };
}

export async function run(protocol) {
  const fail = (reason) => {
    process.stderr.write(`${protocol.protocol}: ${reason}\n`);
    process.exit(1);
  };
  setTimeout(() => fail(`no result within ${TIME_LIMIT_MS / 1000} s`), TIME_LIMIT_MS);
  try {
    const line = `${JSON.stringify(await buy(protocol))}\n`;
    process.stdout.write(line, () => process.exit(0));
  } catch (error) {
    fail(error?.stack ?? error);
  }
}
