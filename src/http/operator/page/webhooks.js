// Who is told of what happens, and the newest deliveries.

import { read } from "./api.js";
import { clear, copy, h, loading, nothing, section, table } from "./dom.js";
import { badge, count, short, time, words } from "./format.js";

export default function webhooks({ main }) {
  const place = h("div");
  main.append(h("div", { class: "head" }, h("h1", null, "Webhooks")), place);
  const view = loading(place, (signal) => read("/v1/operator/webhooks", signal), (content, { endpoints, deliveries }) => {
    const who = table({ caption: "Endpoints", items: endpoints, columns: [
      { label: "Endpoint", class: "why", cell: (it) => h("span", { class: "long" }, h("code", null, it.id), copy(it.id, "endpoint")) },
      { label: "State", class: "what", cell: (it) => it.disabledBecause ? h("span", { title: it.disabledBecause }, badge("bad", "disabled"), " ", it.disabledBecause) : badge("good", "told") },
      { label: "Since", class: "plain", cell: (it) => it.waitingSince ? time(it.waitingSince, { brief: true }) : "–" },
      { label: "Waiting", class: "number", cell: (it) => count(it.waiting) },
      { label: "Told of", class: "why", cell: (it) => it.types.length ? it.types.join(", ") : "everything" },
    ] });
    const what = table({ caption: "The newest deliveries", items: deliveries, columns: [
      { label: "Began (UTC)", class: "when", cell: (it) => time(it.createdAt, { brief: true }) },
      { label: "State", class: "what", cell: (it) => badge(it.state === "delivered" ? "good" : it.state === "given_up" ? "bad" : "warn", words(it.state)) },
      { label: "Event", class: "why", cell: (it) => it.type ?? "a notice" },
      { label: "Payment", class: "who", cell: (it) => it.payment ? h("a", { href: `#/payments/${it.payment}` }, short(it.payment, 8, 4)) : "–" },
      { label: "Endpoint", class: "whom", cell: (it) => short(it.endpoint, 9, 4) },
      { label: "Tries", class: "number", cell: (it) => count(it.attempts) },
      { label: "Outcome", class: "why", cell: (it) => h("span", { class: "clip", title: it.outcome }, it.outcome ?? "–") },
    ] });
    clear(content,
      section("Endpoints", endpoints.length ? who.node : nothing("No endpoint is told: facilitator admin webhooks add makes one.")),
      section("Newest deliveries", deliveries.length ? what.node : nothing("Nothing was to be delivered yet.")));
  });
  view.refresh();
  let soon = null;
  return {
    told: () => { soon ??= setTimeout(() => { soon = null; view.refresh(); }, 1500); },
    stop: () => { clearTimeout(soon); view.stop(); },
  };
}
