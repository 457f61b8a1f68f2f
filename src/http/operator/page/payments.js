// The newest payments, as they come and as they change.

import { query, read } from "./api.js";
import { h, loading, nothing, table } from "./dom.js";
import { amount, explored, network, short, state, time } from "./format.js";

const FILTERS = [
  ["", "All"], ["reserved,in_flight,confirmed", "Open"], ["final", "Final"], ["failed", "Failed"], ["withdrawn", "Withdrawn"],
];

/** What a payment is for, in the words of whoever named it first. */
export const purpose = (it) => {
  const text = it.merchantReference ?? it.orderId ?? it.memo ?? it.resource;
  return text ? h("span", { class: "clip", title: text }, text) : h("span", { class: "none" }, "–");
};

export const columns = [
  { label: "Begun (UTC)", class: "when", cell: (it) => h("a", { href: `#/payments/${it.id}`, class: "row" }, time(it.createdAt, { brief: true })) },
  { label: "State", class: "what", cell: (it) => state(it.state, Boolean(it.setBack ?? it.setback)) },
  { label: "Amount", class: "number", cell: (it) => amount(it.amount, it.network, it.asset) },
  { label: "Network", class: "where", cell: (it) => network(it.network) },
  { label: "Payer", class: "who", cell: (it) => short(it.payer) },
  { label: "Paid to", class: "whom", cell: (it) => short(it.payTo) },
  { label: "For", class: "why", cell: purpose },
  { label: "Transaction", class: "tx", cell: (it) => it.transaction ? explored("tx", it.network, it.transaction) : h("span", { class: "none" }, "–") },
];

export default function payments({ main, parameters }) {
  const states = parameters.state ?? "";
  const wanted = states ? states.split(",") : null;
  const chips = h("div", { class: "chips", role: "group", "aria-label": "State" }, FILTERS.map(([value, label]) =>
    h("a", { href: `#/payments${query({ state: value })}`, "aria-current": value === states ? "true" : null }, label)));
  const place = h("div");
  main.append(h("div", { class: "head" }, h("h1", null, "Payments"), chips), place);

  let items = [];
  let older = null;
  let list = null;
  const more = h("button", { type: "button", class: "more" }, "Older payments");
  const none = nothing(wanted ? "No payments in this state." : "No payments yet. They appear here as they come.");
  const page = (cursor, signal) => read(`/v1/operator/payments${query({ state: states, cursor })}`, signal);
  const show = (isNews) => {
    items = items.filter((it) => !wanted || wanted.includes(it.state));
    items.sort((a, b) => a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : a.id < b.id ? 1 : -1);
    list.show(items, isNews);
    none.hidden = items.length > 0;
    list.node.hidden = items.length === 0;
    more.hidden = !older;
  };
  const merge = (found) => {
    const known = new Map(items.map((it) => [it.id, it]));
    found.forEach((it) => known.set(it.id, it));
    items = [...known.values()];
  };
  const view = loading(place, (signal) => page(null, signal), (content, found, isShown) => {
    if (!isShown) {
      list = table({ caption: "Payments, the newest first", columns, row: (it) => `#/payments/${it.id}`, key: (it) => it.id });
      content.replaceChildren(list.node, none, more);
    }
    if (items.length <= found.payments.length) older = found.nextCursor;
    merge(found.payments);
    show(isShown);
  });
  more.addEventListener("click", async () => {
    more.disabled = true;
    try {
      const found = await page(older);
      older = found.nextCursor;
      merge(found.payments);
      show(false);
      more.textContent = "Older payments";
    } catch (error) {
      more.textContent = `${error.message} Try again`;
    }
    more.disabled = false;
  });
  view.refresh();
  let soon = null;
  return {
    told: (event) => {
      if (event && !event.payment) return;
      const known = event && items.find((it) => it.id === event.payment);
      // What is told of a payment in the list is shown at once; the rest of it is read a moment later.
      if (known && list) {
        items = items.map((it) => it === known ? { ...it, state: event.data.state ?? it.state, transaction: event.data.transaction ?? it.transaction } : it);
        show(true);
      }
      soon ??= setTimeout(() => { soon = null; view.refresh(); }, 400);
    },
    stop: () => { clearTimeout(soon); view.stop(); },
  };
}
