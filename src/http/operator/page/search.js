// A payment by any reference: every kind of name that the text could be is looked up at once.

import { query, read } from "./api.js";
import { clear, h, loading, nothing, table } from "./dom.js";
import { columns } from "./payments.js";

/** Hexadecimal names are kept in lower case. */
const lower = (text) => /^0x[0-9a-f]{64}$/i.test(text) ? text.toLowerCase() : text;

// What names of a kind look like, so that nothing is asked that is refused: texts are whatever somebody wrote.
const isWord = (it) => /^[!-~]+$/.test(it);
const isLabel = (it) => /^[ -~]{1,255}$/.test(it);
const isText = () => true;

const KINDS = [
  ["payment id", "id", (it) => /^pay_[0-9a-z]{26}$/.test(it)],
  ["authorization reference", "authorizationReference", (it) => /^[0-9a-f]{64}$/.test(it)],
  ["transaction", "transaction", isWord, lower],
  ["merchant reference", "merchantReference", isLabel],
  ["order", "orderId", isLabel],
  ["idempotency key", "idempotencyKey", isWord],
  ["payment identifier", "paymentIdentifier", isWord],
  ["memo", "memo", isText],
  ["resource", "resource", isText],
];

const OWN = [["nonce", "nonce", lower], ["payer or recipient", "account", (it) => it]];

export default function search({ main, parameters }) {
  const wanted = (parameters.q ?? "").trim();
  document.getElementById("q").value = wanted;
  const place = h("div", { role: "status" });
  main.append(h("div", { class: "head" }, h("h1", null, "Search"), h("span", { class: "clip" }, wanted)), place);
  const lookUp = async (signal) => {
    const asked = [
      ...KINDS.filter(([, , fits]) => fits(wanted)).map(([label, key, , write = (it) => it]) =>
        [label, `/payments/lookup${query({ [key]: write(wanted), limit: 50 })}`]),
      ...(/^rfd_[0-9a-z]{26}$/.test(wanted) ? [["refund", `/v1/refunds/${encodeURIComponent(wanted)}`]] : []),
      ...OWN.filter(() => isWord(wanted)).map(([label, key, write]) => [label, `/v1/operator/payments${query({ [key]: write(wanted), limit: 50 })}`]),
    ];
    const answers = await Promise.all(asked.map(async ([label, path]) => {
      try {
        const found = await read(path, signal);
        if (label === "refund") return [label, [await read(`/v1/settlements/${found.payment}`, signal)]];
        return [label, found.settlements ?? found.payments];
      } catch (error) {
        // It is no name of this kind, or there is no such refund.
        if (error.status === 400 || error.status === 404) return [label, []];
        throw error;
      }
    }));
    const found = new Map();
    for (const [label, payments] of answers) {
      for (const it of payments) {
        const known = found.get(it.id);
        found.set(it.id, { ...it, by: known ? `${known.by}, ${label}` : label });
      }
    }
    return [...found.values()];
  };
  const view = loading(place, lookUp, (content, found) => {
    if (found.length === 1) { location.replace(`#/payments/${found[0].id}`); return; }
    if (!found.length) {
      clear(content, nothing("No payment has this name. Searched: id, transaction, nonce, authorization reference, merchant reference, order, "
        + "idempotency key, payment identifier, memo, resource, refund, payer and recipient. Names are compared whole."));
      return;
    }
    const by = { label: "Found by", cell: (it) => it.by };
    const list = table({ caption: "Payments found", columns: [...columns.slice(0, 3), by, ...columns.slice(3)], items: found, row: (it) => `#/payments/${it.id}`, key: (it) => it.id });
    clear(content, h("p", { class: "small" }, `${found.length} payments`), list.node);
    list.node.querySelector("a")?.focus();
  });
  view.refresh();
  return { stop: view.stop };
}
