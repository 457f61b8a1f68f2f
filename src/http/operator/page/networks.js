// The networks: whether each chain goes on, how far we have read, and how its endpoints stand.

import { read } from "./api.js";
import { clear, h, loading, nothing } from "./dom.js";
import { badge, count, network, span, state, time } from "./format.js";

const verdict = (it) => it.stalled ? badge("bad", "stands still") : it.withdrawn ? badge("bad", "withdrawn: no signer can pay")
  : it.finalized === null ? badge("warn", "does not answer") : badge("good", "goes on");

const behind = (from, to) => from === null || to === null ? "unknown" : from <= to ? "up to date" : `${count(from - to)} blocks behind`;

function endpoint(it, place, best) {
  const lag = it.head === null || best === null ? null : Math.max(0, best - it.head);
  const words = it.foreign ? "of another chain" : it.fit ? "asked" : "passed over";
  return h("li", null, badge(it.fit && !it.foreign ? "good" : "bad", words), ` endpoint ${place + 1}`,
    h("span", { class: "small" }, ` · ${it.latencyMs} ms`, it.faults > 0 && ` · ${it.faults} ${it.faults === 1 ? "fault" : "faults"} in a row`, lag ? ` · ${count(lag)} blocks behind the best` : null));
}

function card(it) {
  const best = it.endpoints.reduce((most, one) => one.head !== null && (most === null || one.head > most) ? one.head : most, null);
  return h("li", { class: "card" },
    h("div", { class: "top" }, h("h2", null, network(it.network)), verdict(it)),
    h("p", { class: "small" }, h("code", null, it.network)),
    h("dl", { class: "facts" }, [
      ["Newest block", it.newest === null ? "not seen yet" : h("span", null, count(it.newest), h("span", { class: "unit" }, ` seen ${span(it.seenSecondsAgo)} ago`))],
      ["No newer for", it.pausedSeconds === null ? "–" : span(it.pausedSeconds)],
      ["Finalized", it.finalized === null ? "not answered" : h("span", null, count(it.finalized), it.newest !== null && h("span", { class: "unit" }, ` ${count(Math.max(0, it.newest - it.finalized))} behind the newest`))],
      ["Reconciled to", it.reconciled ? h("span", null, count(it.reconciled.height), h("span", { class: "unit" }, ` ${behind(it.finalized, it.reconciled.height)} · ${count(it.reconciled.accounts)} accounts`)) : "no account is followed yet"],
      ["Exceptions", it.exceptions ? h("a", { href: "#/exceptions" }, `${count(it.exceptions)} open`) : "none"],
      ...(it.open.length ? it.open.map((open) => [h("span", null, state(open.state)), h("span", null, count(open.payments), h("span", { class: "unit" }, " the oldest since "), time(open.since, { brief: true }))]) : [["Under way", "nothing"]]),
    ].map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)))),
    h("ul", { class: "endpoints", "aria-label": "Endpoints" }, it.endpoints.map((one, place) => endpoint(one, place, best))));
}

export default function networks({ main, mark }) {
  const place = h("div");
  main.append(h("div", { class: "head" }, h("h1", null, "Networks")), place);
  const view = loading(place, (signal) => read("/v1/operator/networks", signal), (content, { networks: found }) => {
    mark("exceptions", found.reduce((sum, it) => sum + it.exceptions, 0));
    clear(content, found.length ? h("ul", { class: "cards-grid" }, found.map(card)) : nothing("No network is served."));
  });
  view.refresh();
  const again = setInterval(() => { if (!document.hidden) view.refresh(); }, 10000);
  return { told: (event) => { if (event?.type.startsWith("network.")) view.refresh(); }, stop: () => { clearInterval(again); view.stop(); } };
}
