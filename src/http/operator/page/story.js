// One payment's whole story: what was asked, what was decided, what was sent, what the chain showed, and who was told.

import { about, read } from "./api.js";
import { clear, copy, facts, h, loading, nothing, section, table } from "./dom.js";
import { amount, badge, brief, count, explored, native, network, short, state, time, words } from "./format.js";

const TOLD = {
  "payment.reserved": "Verified and reserved", "payment.signed": "Signed and sent", "payment.set_back": "Set back: mined without moving the money",
  "payment.confirmed": "Confirmed", "payment.late_settled": "Settled after all", "payment.reversed": "Reorganized away",
  "payment.finalized": "Final", "payment.failed": "Failed for good", "payment.withdrawn": "Withdrawn: nothing was signed", "payment.reopened": "Verified anew",
};

const STEPS = [["reserved", "Reserved"], ["in_flight", "In flight"], ["confirmed", "Confirmed"], ["final", "Final"]];

function steps(payment) {
  const at = STEPS.findIndex(([name]) => name === payment.state);
  const over = at < 0 ? h("li", { class: "over", "aria-current": "step" }, state(payment.state)) : null;
  const reached = at < 0 ? (payment.transactions.length ? 1 : 0) : at;
  const kept = STEPS.slice(0, at < 0 ? reached + 1 : STEPS.length);
  return h("ol", { class: "steps", "aria-label": "Progress" },
    kept.map(([, label], index) => h("li", { class: index <= reached ? "done" : null, "aria-current": index === at ? "step" : null }, label)), over);
}

const named = (text, what) => h("span", { class: "long" }, h("code", null, text), copy(text, what));
const account = (id, text, what) => h("span", { class: "long" }, explored("account", id, text, h("code", null, text)), copy(text, what));
const window = (seconds) => seconds === null || BigInt(seconds) > 253402300799n ? seconds : time(new Date(Number(seconds) * 1000).toISOString());

function request(it) {
  return section("Request",
    facts([
      ["Resource", it.resource && h("span", { class: "text" }, it.resource)],
      ["Merchant reference", it.merchantReference && h("span", { class: "text" }, it.merchantReference)],
      ["Order", it.orderId && h("span", { class: "text" }, it.orderId)],
      ["Memo", it.memo && h("span", { class: "text" }, it.memo)],
      ...it.references.map((reference) => [words(reference.kind), h("span", { class: "text" }, reference.value)]),
      ...Object.entries(it.metadata ?? {}).map(([name, value]) => [h("span", { class: "text" }, name), h("span", { class: "text" }, value)]),
      ["Payer", account(it.network, it.payer, "payer")],
      ["Paid to", account(it.network, it.payTo, "recipient")],
      ["Asset", account(it.network, it.asset, "asset")],
      ["Nonce", named(it.nonce, "nonce")],
      ["Authorization reference", named(it.authorizationReference, "authorization reference")],
      ["Valid after", it.validAfter === "0" ? "from the beginning" : window(it.validAfter)],
      ["Valid before", window(it.validBefore)],
    ]));
}

function verdict(it, { admission }) {
  const answer = {
    final: "Settled for good", confirmed: "Settled, not final yet", failed: "Can never land", withdrawn: "Nothing was signed and nothing will be",
    reserved: "Not known yet", in_flight: "Not known yet",
  }[it.state];
  return section("Verdict", facts([
    ["Verified", h("span", null, "Unused at block ", explored("block", it.network, admission.sinceBlock, count(admission.sinceBlock)), ", and accepted")],
    ["Asked in", admission.protocol],
    ["Outcome", answer],
    ["Proof that it failed", it.failure && h("span", null, words(it.failure.proof), ", as of block ", explored("block", it.network, it.failure.block.number, count(it.failure.block.number)))],
    ["Set back", it.setback && words(it.setback.kind)],
    ["Success granted", time(admission.answeredAt)],
    ["Named signer", admission.signer && short(admission.signer)],
    ["Sent alone", admission.alone && "yes: the payer's account runs code"],
    ["Signing tried again", admission.tries > 0 && `${admission.tries} times`],
    ["Cost", it.gasCost && native(it.gasCost, it.network)],
    ["Refunded", it.refunded !== "0" && amount(it.refunded, it.network, it.asset)],
    ["Refund under way", it.refundPending !== "0" && amount(it.refundPending, it.network, it.asset)],
  ]));
}

const transactions = (it, { transactions: rows }) => section("Transactions", rows.length ? table({
  wide: true, caption: "Every transaction that carried it", items: rows, columns: [
    { label: "Transaction", cell: (row) => h("span", null, explored("tx", it.network, row.transaction, short(row.transaction, 10, 8)), copy(row.transaction, "transaction")) },
    { label: "Status", cell: (row) => badge(row.status === "mined" ? "good" : row.status === "dead" ? "bad" : "plain", row.empty ? `${row.status}, empty` : row.status) },
    { label: "Lane", cell: (row) => short(row.signer) },
    { label: "Nonce", class: "number", cell: (row) => count(row.nonce) },
    { label: "Seat", class: "number", cell: (row) => `${row.seat + 1} of ${row.seats}` },
    { label: "Fee", class: "number", cell: (row) => row.cost ? native(row.cost, it.network) : h("span", { title: "At most" }, "≤ ", native(row.costMax, it.network)) },
    { label: "Block", class: "number", cell: (row) => row.block ? explored("block", it.network, row.block.number, count(row.block.number)) : "–" },
    { label: "Signed (UTC)", cell: (row) => time(row.signedAt, { brief: true }) },
  ] }).node : nothing("Nothing was signed for it."));

const evidence = (it, { evidence: rows }) => section("Evidence", rows.length ? table({
  wide: true, caption: "What the chain showed", items: rows, columns: [
    { label: "Claim", cell: (row) => badge(row.claim === "landed" ? "good" : "bad", words(row.claim)) },
    { label: "Version", class: "number", cell: (row) => row.version },
    { label: "Transaction", cell: (row) => row.transaction ? explored("tx", it.network, row.transaction) : "–" },
    { label: "Log", class: "number", cell: (row) => row.logIndex ?? "–" },
    { label: "By", cell: (row) => row.transaction ? (row.ours ? "us" : "somebody else") : "–" },
    { label: "Block", class: "number", cell: (row) => explored("block", it.network, row.block.number, count(row.block.number)) },
    { label: "Block time (UTC)", cell: (row) => time(row.block.time, { brief: true }) },
    { label: "Block hash", cell: (row) => short(row.block.hash) },
  ] }).node : nothing("The chain has shown nothing yet."));

const book = (text) => {
  const at = text.lastIndexOf(":");
  return at < 0 || text.length < 28 ? h("code", null, text) : h("code", { title: text }, text.slice(0, at + 1), text.length - at > 14 ? `${text.slice(at + 1, at + 7)}…${text.slice(-4)}` : text.slice(at + 1));
};

const ledger = (it, { ledger: rows }) => section("Ledger", rows.length ? table({
  wide: true, caption: "What the books moved", items: rows, columns: [
    { label: "Purpose", cell: (row) => row.correction ? `${row.purpose}, correction ${row.correction}` : row.purpose },
    { label: "Stage", cell: (row) => badge(row.stage === "posted" ? "good" : "plain", row.stage) },
    { label: "Debit", cell: (row) => book(row.debit) },
    { label: "Credit", cell: (row) => book(row.credit) },
    { label: "Amount", class: "number", cell: (row) => row.purpose === "gas" ? native(row.amount, it.network) : amount(row.amount, it.network, row.asset) },
    { label: "Version", class: "number", cell: (row) => row.version },
    { label: "Booked (UTC)", cell: (row) => time(row.bookedAt, { brief: true }) },
  ] }).node : nothing("Nothing was booked."));

const REFUND = { awaiting: "plain", executing: "plain", paid: "good", cancelled: "warn", failed: "bad" };

const refunds = (it, { refunds: rows, isCut }) => section("Refunds",
  it.refundOf && h("div", { class: "note" }, "This is itself a refund of ", h("a", { href: `#/payments/${it.refundOf}` }, it.refundOf), "."),
  rows.length ? table({
    wide: true, caption: "What of it goes back", items: rows, columns: [
      { label: "Refund", cell: (row) => h("span", null, short(row.id, 8, 4), copy(row.id, "refund id")) },
      { label: "State", cell: (row) => badge(REFUND[row.state] ?? "plain", words(row.state)) },
      { label: "Amount", class: "number", cell: (row) => amount(row.amount, row.network, row.asset) },
      { label: "To", cell: (row) => explored("account", row.network, row.recipient) },
      { label: "Paid by", cell: (row) => row.wallet ? explored("account", row.network, row.wallet) : "the merchant" },
      { label: "Transaction", cell: (row) => row.transaction ? explored("tx", row.network, row.transaction)
        : row.settlement ? h("a", { href: `#/payments/${row.settlement}` }, "under way") : row.claimedTransaction ? h("span", null, short(row.claimedTransaction), " claimed") : "–" },
      { label: "Why", cell: (row) => h("span", { class: "clip", title: row.problem ?? row.reason }, row.problem ?? row.reason ?? row.merchantReference ?? "–") },
      { label: "Recorded (UTC)", cell: (row) => time(row.createdAt, { brief: true }) },
    ] }).node : it.refundOf ? null : nothing("Nothing of it goes back."),
  isCut && h("p", { class: "small" }, "Only the first 100 are shown."));

const standing = ({ reconciliation: rows }) => section("Reconciliation", rows.length ? rows.map((row) => h("div", { class: "note" },
  badge(row.state === "matched" ? "good" : row.state === "pending" ? "plain" : "bad", words(row.state)), " ", brief(row.reason), " since ", time(row.since),
  row.action && h("p", null, h("strong", null, `${row.action.action === "resolve" ? "Resolved" : "Ignored"} by `, row.action.actor), ": ", row.action.note, " (", time(row.action.at), ")")))
  : nothing("Not held against the chain yet."));

const webhooks = ({ deliveries: rows }) => section("Webhooks", rows.length ? table({
  wide: true, caption: "Who was told of it", items: rows, columns: [
    { label: "Event", cell: (row) => row.type?.replace("payment.", "") ?? row.event },
    { label: "Endpoint", cell: (row) => short(row.endpoint, 9, 4) },
    { label: "State", cell: (row) => badge(row.state === "delivered" ? "good" : row.state === "given_up" ? "bad" : "plain", words(row.state)) },
    { label: "Tries", class: "number", cell: (row) => row.attempts },
    { label: "Outcome", cell: (row) => h("span", { class: "clip", title: row.outcome }, row.outcome ?? "–") },
    { label: "When (UTC)", cell: (row) => row.endedAt ? time(row.endedAt, { brief: true }) : h("span", null, "due ", time(row.dueAt, { brief: true })) },
  ] }).node : nothing("No webhook tells of it."));

const timeline = (it, events) => h("ol", { class: "line", "aria-label": "What happened" }, events.map((event) => {
  const { transaction, reason } = event.data;
  return h("li", { class: event.type.replace("payment.", "") }, h("div", null, h("strong", null, TOLD[event.type] ?? event.type)),
    h("div", { class: "small" }, time(event.createdAt), reason && [" · ", words(reason)], transaction && [" · ", explored("tx", it.network, transaction)]));
}));

function receipt(it) {
  if (!about().receipts || !["confirmed", "final"].includes(it.state)) return null;
  const place = h("div");
  const show = async () => {
    try {
      const found = await read(`/v1/settlements/${it.id}/receipt`);
      const text = found.receipt ?? JSON.stringify(found);
      clear(place, h("pre", { class: "receipt", tabindex: "0" }, JSON.stringify(found, null, 2)), copy(text, "receipt"));
    } catch (error) {
      clear(place, h("p", { class: "trouble" }, error.message));
    }
  };
  return section("Receipt", place, h("button", { type: "button", onclick: show }, "Show the signed receipt"));
}

export default function story({ main, id }) {
  const place = h("div");
  main.append(h("p", { class: "path" }, h("a", { href: "#/payments" }, "Payments"), " / ", h("span", null, id)), place);
  const at = encodeURIComponent(id);
  const view = loading(place, async (signal) => {
    const [payment, history, rest, back] = await Promise.all([
      read(`/v1/settlements/${at}`, signal), read(`/v1/settlements/${at}/events`, signal), read(`/v1/operator/payments/${at}`, signal),
      read(`/v1/settlements/${at}/refunds`, signal)]);
    return { payment, events: history.events, rest, back: { refunds: back.refunds, isCut: Boolean(back.nextCursor) } };
  }, (content, { payment: it, events, rest, back }, isShown) => {
    document.title = `Payment ${it.id} · facilitator`;
    const open = isShown && content.querySelector(".receipt");
    if (open) return;
    clear(content,
      h("div", { class: "head story" },
        h("h1", null, amount(it.amount, it.network, it.asset)),
        state(it.state, Boolean(it.setback)), network(it.network),
        h("span", { class: "long" }, h("code", null, it.id), copy(it.id, "payment id"))),
      steps(it),
      h("div", { class: "columns" },
        h("aside", null, section("What happened", timeline(it, events)), verdict(it, rest), standing(rest), receipt(it)),
        h("div", null, request(it), transactions(it, rest), evidence(it, rest), ledger(it, rest), refunds(it, back), webhooks(rest))));
  });
  view.refresh();
  let soon = null;
  return {
    told: (event) => {
      if (event && event.payment !== id) return;
      soon ??= setTimeout(() => { soon = null; view.refresh(); }, 300);
    },
    stop: () => { clearTimeout(soon); view.stop(); },
  };
}
