// How much is paid: by network and asset over time, by tenant and by recipient.

import { query, read } from "./api.js";
import { chart } from "./chart.js";
import { clear, h, loading, nothing, section, table } from "./dom.js";
import { amount, asset, coins, count, network, short, time } from "./format.js";

const sums = (rows) => rows.reduce((sum, it) => ({
  payments: sum.payments + it.payments, settled: sum.settled + it.settled, failed: sum.failed + it.failed, amount: sum.amount + BigInt(it.amount),
}), { payments: 0, settled: 0, failed: 0, amount: 0n });

/** Every span of the period, those in which nothing was paid too. */
function spans(found, rows) {
  const known = new Map(rows.map((it) => [Date.parse(it.startsAt), it]));
  const begin = Date.parse(found.since);
  const end = Date.parse(found.asOf);
  const all = [];
  for (let at = begin; at <= end; at += found.spanSeconds * 1000) {
    const start = new Date(at).toISOString();
    all.push({ start, ...(known.get(at) ?? { payments: 0, settled: 0, failed: 0, amount: "0" }) });
  }
  return all;
}

function drawn(found, rows, id, address, by, period) {
  const label = (start) => period === "day" ? start.slice(11, 16) : start.slice(5, 10);
  const known = asset(id, address);
  const columns = spans(found, rows).map((it) => ({
    label: label(it.start),
    long: `${it.start.slice(0, 16).replace("T", " ")} UTC`,
    value: by === "amount" ? BigInt(it.amount) : BigInt(it.payments - it.failed),
    lost: by === "amount" ? 0n : BigInt(it.failed),
    words: `${known ? `${coins(it.amount, known.decimals)} ${known.symbol}` : `${it.amount} units`} settled, ${it.payments} payments, ${it.failed} failed`,
  }));
  const all = sums(rows);
  const name = known?.symbol ?? address;
  const lines = table({
    wide: true, caption: `${name}, ${period === "day" ? "by the hour" : "by the day"}`, items: spans(found, rows).filter((it) => it.payments).reverse(), columns: [
      { label: "From (UTC)", cell: (it) => it.start.slice(0, 16).replace("T", " ") },
      { label: "Settled", class: "number", cell: (it) => amount(it.amount, id, address) },
      { label: "Payments", class: "number", cell: (it) => count(it.payments) },
      { label: "Failed", class: "number", cell: (it) => count(it.failed) },
    ] });
  return h("section", { class: "card" },
    h("div", { class: "top" }, h("h2", null, network(id), " ", name), h("span", { class: "big" }, amount(String(all.amount), id, address))),
    h("p", { class: "small" }, `${count(all.payments)} payments · ${count(all.settled)} settled · `, h("span", { class: all.failed ? "red" : null }, `${count(all.failed)} failed or withdrawn`)),
    chart({ title: `${name} ${by === "amount" ? "settled" : "payments"} over time; the table below says the same`, columns, every: period === "day" ? 4 : 5 }),
    h("details", null, h("summary", null, "As a table"), lines.node));
}

export default function volume({ main, parameters }) {
  const period = parameters.period === "month" ? "month" : "day";
  const by = parameters.by === "payments" ? "payments" : "amount";
  const chip = (pairs, label, isOn) => h("a", { href: `#/volume${query({ period, by, ...pairs })}`, "aria-current": isOn ? "true" : null }, label);
  const place = h("div");
  main.append(h("div", { class: "head" }, h("h1", null, "Volume"),
    h("div", { class: "chips", role: "group", "aria-label": "Period" }, chip({ period: "day" }, "24 hours", period === "day"), chip({ period: "month" }, "30 days", period === "month")),
    h("div", { class: "chips", role: "group", "aria-label": "Measure" }, chip({ by: "amount" }, "Amount", by === "amount"), chip({ by: "payments" }, "Payments", by === "payments"))), place);
  const view = loading(place, async (signal) => {
    const [found, tenants, recipients] = await Promise.all(["asset", "tenant", "recipient"]
      .map((subject) => read(`/v1/operator/volume${query({ period, by: subject })}`, signal)));
    return { found, tenants, recipients };
  }, (content, { found, tenants, recipients }) => {
    const groups = new Map();
    for (const it of found.sums) {
      const name = `${it.network} ${it.asset}`;
      groups.set(name, [...(groups.get(name) ?? []), it]);
    }
    const charts = [...groups.values()].map((rows) => drawn(found, rows, rows[0].network, rows[0].asset, by, period));
    const list = (caption, items, who) => table({ caption: `${caption}, those with the most payments first`, items, columns: [
      who,
      { label: "Settled", class: "number", cell: (it) => amount(it.amount, it.network, it.asset) },
      { label: "Network", class: "where", cell: (it) => network(it.network) },
      { label: "Payments", class: "number", cell: (it) => count(it.payments) },
      { label: "Failed", class: "number", cell: (it) => count(it.failed) },
    ] }).node;
    const paidTo = { label: "Paid to", class: "what", cell: (it) => h("a", { href: `#/search${query({ q: it.payTo })}` }, short(it.payTo, 10, 8)) };
    const tenant = { label: "Tenant", class: "what", cell: (it) => it.tenant };
    // Where nobody has tenants, all is the sole one's.
    const areSeveral = new Set(tenants.sums.map((it) => it.tenant)).size > 1;
    clear(content,
      found.countedFrom && h("p", { class: "note" }, `Only the newest ${count(found.countedMax)} payments are counted: complete since `, time(found.countedFrom), "."),
      charts.length ? h("div", { class: "charts" }, charts) : nothing("Nothing was paid in this time."),
      areSeveral ? section("By tenant", list("By tenant", tenants.sums, tenant)) : null,
      recipients.sums.length ? section("By recipient", list("By recipient", recipients.sums, paidTo)) : null,
      h("p", { class: "small" }, "Counted ", time(found.asOf), ". Days and hours are UTC, by when a payment was begun."));
  });
  view.refresh();
  const again = setInterval(() => { if (!document.hidden && !document.querySelector("details[open]")) view.refresh(); }, 30000);
  return { stop: () => { clearInterval(again); view.stop(); } };
}
