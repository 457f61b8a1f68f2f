// A gateway in front of a server that sells something: one charge for each order, however often and however badly it is asked.
// An example to read and to start from; Node 20 or later, nothing else.
//
//   FACILITATOR_URL=http://127.0.0.1:4021 UPSTREAM_URL=http://127.0.0.1:8080 NETWORK=eip155:8453 ASSET=0x8335… \
//   ASSET_NAME='USD Coin' ASSET_VERSION=2 PAY_TO=0x… PRICE=10000 node gateway-example.mjs
//
// GET /orders/{id} is answered with 402 until the order is paid, and from then on with what UPSTREAM_URL/{id} says. Whoever
// knows an order's id may have it, so let ids be such as nobody guesses, and let your shop make them.
//
// Five rules keep it to one charge:
// 1. The name under which an order is settled (Idempotency-Key) comes from the order, not from the request.
// 2. The facilitator is asked what it has under that name before anything is settled: it remembers when this process does not.
// 3. One request at a time settles for an order, and goes on when whoever asked has hung up.
// 4. What is not known is neither served nor refused: the answer is "ask again", never "pay again".
// 5. What was paid stays paid when it cannot be delivered; the next request is served without another charge.
import { createServer } from 'node:http';

const { FACILITATOR_URL, FACILITATOR_KEY, UPSTREAM_URL, NETWORK, ASSET, ASSET_NAME, ASSET_VERSION, PAY_TO, PRICE, PORT } = process.env;

/** What an order costs, in the protocol's words. The gateway's own: never what the client says that it accepted. */
const TERMS = {
  scheme: 'exact', network: NETWORK, asset: ASSET, amount: PRICE, payTo: PAY_TO, maxTimeoutSeconds: 60,
  extra: { name: ASSET_NAME, version: ASSET_VERSION },
};

// What a payment's state makes of its order. In any other state nobody knows yet.
const PAID = ['confirmed', 'final'];
const OVER = ['failed', 'withdrawn'];

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64');

function decode(header) {
  try {
    return JSON.parse(Buffer.from(header, 'base64').toString('utf8'));
  } catch {
    return null;
  }
}

/** Asks the facilitator, for longer than /settle ever waits. 400 is an answer too; all others throw: nothing is known by them. */
async function ask(path, body, headers = {}) {
  const key = FACILITATOR_KEY ? { authorization: `Bearer ${FACILITATOR_KEY}` } : {};
  const answer = await fetch(FACILITATOR_URL + path, {
    method: body ? 'POST' : 'GET',
    headers: { 'content-type': 'application/json', ...key, ...headers },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  });
  if (answer.status !== 200 && answer.status !== 400) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** The orders that were paid for or tried to: a shop keeps them in its database, where they are counted and expire. */
const orders = new Map();

const receipt = ({ transaction, network, payer }) => ({ success: true, transaction, network, payer });

/** Charges for the order unless it is paid. Gives why it is not paid, or null once it is; throws where that is not known. */
async function charge(order, payment) {
  while (!order.receipt) {
    const name = `order-${order.id}-${order.attempt}`;
    const [begun] = (await ask(`/payments/lookup?idempotencyKey=${name}`)).settlements;
    if (!begun) return settle(order, name, payment);
    if (PAID.includes(begun.state)) order.receipt = receipt(begun);
    else if (OVER.includes(begun.state)) order.attempt += 1; // proven not to have moved: the next has a name of its own
    else throw new Error(`${name} is ${begun.state}`);
  }
  return null;
}

async function settle(order, name, payment) {
  const request = { x402Version: 2, paymentPayload: payment, paymentRequirements: TERMS };
  const verdict = await ask('/verify', request);
  if (!verdict.isValid) return verdict.invalidReason;
  const settled = await ask('/settle', request, { 'idempotency-key': name, 'order-id': order.id });
  if (settled.errorReason === 'settlement_pending') throw new Error(`${name} is pending`);
  if (settled.success) order.receipt = receipt(settled);
  return settled.success ? null : settled.errorReason;
}

function say(response, status, body, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers });
  response.end(JSON.stringify(body));
}

function demand(response, url, error) {
  const body = { x402Version: 2, error, resource: { url }, accepts: [TERMS] };
  say(response, 402, body, { 'payment-required': encode(body) });
}

async function deliver(order, response) {
  const upstream = await fetch(`${UPSTREAM_URL}/${order.id}`, { signal: AbortSignal.timeout(10_000) }).catch(() => null);
  if (!upstream?.ok) return say(response, 502, { error: 'paid and not delivered: ask again, it costs nothing more' });
  const type = upstream.headers.get('content-type') ?? 'application/octet-stream';
  response.writeHead(200, { 'content-type': type, 'cache-control': 'no-store', 'payment-response': encode(order.receipt) });
  return response.end(Buffer.from(await upstream.arrayBuffer()));
}

async function answer(request, response) {
  const id = /^\/orders\/([A-Za-z0-9-]{1,64})$/.exec(request.url)?.[1];
  if (!id || request.method !== 'GET') return say(response, 404, { error: 'expected GET /orders/{id}' });
  const payment = decode(request.headers['payment-signature'] ?? '');
  const order = orders.get(id) ?? { id, attempt: 1, receipt: null, turn: Promise.resolve() };
  if (!payment && !order.receipt) return demand(response, request.url, 'PAYMENT-SIGNATURE is missing or no base64 of JSON');
  orders.set(id, order);
  // In turn: once all that asked before are answered, whether they are still there or not.
  order.turn = order.turn.catch(() => {}).then(() => charge(order, payment));
  const refused = await order.turn;
  return order.receipt ? deliver(order, response) : demand(response, request.url, refused);
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error.message);
    if (response.headersSent) return response.destroy();
    return say(response, 503, { error: 'not known yet: ask again, with the same payment' }, { 'retry-after': '2' });
  });
});
server.listen(Number(PORT ?? 0), '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
