// The signers: what they hold, how long that will do, and what becomes of their lanes.

import { read } from "./api.js";
import { clear, copy, h, loading, nothing, s } from "./dom.js";
import { badge, count, explored, native, network, span, time } from "./format.js";

/** For how many seconds the balance does at the last day's pace; none where nothing was spent. */
function runway({ balance, burn }) {
  if (balance === null || !burn || burn.cost === "0") return null;
  const over = burn.since ? BigInt(Math.max(1, Math.round((Date.now() - Date.parse(burn.since)) / 1000))) : 86400n;
  return Number(BigInt(balance) * over / BigInt(burn.cost));
}

/** How full it is, from the least that it must hold to a hundred times that: each tenth is a step. */
function gauge(it) {
  if (it.settlementsLeft === null) return null;
  const left = it.settlementsLeft;
  const part = Math.min(100, Math.round(Math.log10(left + 1) / 5 * 100));
  const kind = left < 20 ? "bad" : left < 200 ? "warn" : "good";
  return s("svg", { class: `gauge ${kind}`, viewBox: "0 0 100 4", preserveAspectRatio: "none", role: "img", "aria-label": `${count(left)} settlements left at their worst` },
    s("rect", { class: "back", width: 100, height: 4 }), s("rect", { class: "front", width: part, height: 4 }));
}

function lane(it) {
  const isLow = it.balance !== null && it.balanceMin !== null && BigInt(it.balance) < BigInt(it.balanceMin);
  const seconds = runway(it);
  return h("li", { class: "card" },
    h("div", { class: "top" }, network(it.network), " ",
      it.quarantinedAt ? badge("bad", "closed") : it.driven ? badge("good", "driven") : badge("warn", "not driven"),
      isLow && badge("bad", "too little"), !it.configured && badge("plain", "not of this process")),
    h("div", { class: "long" }, explored("account", it.network, it.signer, h("code", null, it.signer)), copy(it.signer, "signer")),
    h("div", { class: "big" }, native(it.balance, it.network)),
    gauge(it),
    h("dl", { class: "facts" }, [
      ["Settlements left", it.settlementsLeft === null ? "unknown" : h("span", null, count(it.settlementsLeft), h("span", { class: "unit" }, " at their worst"))],
      ["Runway", seconds === null ? "nothing spent to go by" : `about ${span(seconds)} at the last day's pace`],
      ["Spent", it.burn ? h("span", null, native(it.burn.cost, it.network), ` in ${count(it.burn.transactions)} transactions, `, it.burn.since ? h("span", null, "since ", time(it.burn.since)) : "last 24 h") : "nothing in 24 h"],
      ["Must hold", it.balanceMin === null ? "unknown" : native(it.balanceMin, it.network)],
      ["In flight", count(it.inFlight)],
      ["Next nonce", count(it.nextNonce)],
      ["Balance read", it.balanceAt ? time(it.balanceAt) : "not yet"],
      ...(it.quarantinedAt ? [["Closed since", time(it.quarantinedAt)]] : []),
    ].map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)))),
    it.quarantinedAt && h("p", { class: "small" }, "Somebody else has used its key, or what was signed with it is not on record: see ", h("code", null, "facilitator lanes"), "."));
}

export default function signers({ main }) {
  const place = h("div");
  main.append(h("div", { class: "head" }, h("h1", null, "Signers")), place);
  const view = loading(place, (signal) => read("/v1/operator/signers", signal), (content, { signers: found }) => {
    clear(content, found.length ? h("ul", { class: "cards-grid" }, found.map(lane)) : nothing("No signer is on record yet."));
  });
  view.refresh();
  const again = setInterval(() => { if (!document.hidden) view.refresh(); }, 15000);
  return {
    told: (event) => { if (event?.type.startsWith("signer.")) view.refresh(); },
    stop: () => { clearInterval(again); view.stop(); },
  };
}
