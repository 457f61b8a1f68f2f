// What disagrees between the records and the chain, and saying what was done about it.

import { act, query, read } from "./api.js";
import { clear, h, loading, nothing, table, toast } from "./dom.js";
import { amount, badge, brief, explored, network, short, time, words } from "./format.js";

const PAGES_MAX = 20;

const kept = () => { try { return localStorage.getItem("actor") ?? ""; } catch { return ""; } };
const keep = (name) => { try { localStorage.setItem("actor", name); } catch { /* It is asked for again. */ } };

/** Asks what was done, why and by whom. */
function ask(it, action, done) {
  const title = action === "resolve" ? "Resolve exception" : "Ignore exception";
  const note = h("textarea", { id: "note", rows: "3", maxlength: "1000", required: true });
  const actor = h("input", { id: "actor", maxlength: "255", required: true, autocomplete: "name", value: kept() });
  const trouble = h("p", { class: "trouble", role: "alert", hidden: true });
  const send = h("button", { type: "submit", class: "main" }, action === "resolve" ? "Resolve" : "Ignore");
  const dialog = h("dialog", { "aria-labelledby": "ask-title" }, h("form", { onsubmit: submit },
    h("h2", { id: "ask-title" }, title),
    h("p", { class: "small" }, badge("bad", words(it.state)), " ", it.reason),
    h("label", { for: "note" }, "What was found out or done"), note,
    h("label", { for: "actor" }, "Your name"), actor,
    trouble,
    h("p", { class: "buttons" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), send)));
  async function submit(event) {
    event.preventDefault();
    send.disabled = true;
    try {
      await act(`/v1/reconciliation/exceptions/${encodeURIComponent(it.id)}/actions`, { action, note: note.value, actor: actor.value });
      keep(actor.value);
      dialog.close();
      toast(action === "resolve" ? "Resolved" : "Ignored");
      done();
    } catch (error) {
      trouble.textContent = error.message;
      trouble.hidden = false;
      send.disabled = false;
    }
  }
  const before = document.activeElement;
  dialog.addEventListener("close", () => { dialog.remove(); if (before?.isConnected) before.focus(); else document.getElementById("main").focus(); });
  document.body.append(dialog);
  dialog.showModal();
  note.focus();
}

async function all(handled, signal) {
  const found = [];
  let cursor = null;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const part = await read(`/v1/reconciliation/exceptions${query({ handled, limit: 500, cursor })}`, signal);
    found.push(...part.exceptions);
    cursor = part.nextCursor;
    if (!cursor) break;
  }
  return { found, isCut: Boolean(cursor) };
}

export default function exceptions({ main, parameters, mark }) {
  const handled = parameters.handled ?? "";
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Handled" },
    [["", "Open"], ["resolve", "Resolved"], ["ignore", "Ignored"]].map(([value, label]) =>
      h("a", { href: `#/exceptions${query({ handled: value })}`, "aria-current": value === handled ? "true" : null }, label)));
  const place = h("div");
  main.append(h("div", { class: "head" }, h("h1", null, "Exceptions"), chips), place);
  const button = (it, action, key, label) => h("button", { type: "button", "data-key": key, onclick: () => ask(it, action, () => view.refresh()) }, label);
  const columns = [
    { label: "What", class: "what", cell: (it) => badge("bad", words(it.state)) },
    { label: "Amount", class: "number", cell: (it) => amount(it.amount, it.network, it.asset) },
    { label: "Reason", class: "why", cell: (it) => brief(it.reason) },
    { label: "Network", class: "where", cell: (it) => network(it.network) },
    { label: "Account", class: "whom", cell: (it) => explored("account", it.network, it.payTo) },
    { label: "Transaction", class: "tx", cell: (it) => it.transaction ? explored("tx", it.network, it.transaction) : "–" },
    { label: "Since (UTC)", class: "when", cell: (it) => time(it.since, { brief: true }) },
    { label: "Payment", class: "who", cell: (it) => it.payment ? h("a", { href: `#/payments/${it.payment}` }, short(it.payment, 8, 4)) : "none" },
    { label: "Action", class: "act", cell: (it) => it.handled ? badge("plain", it.handled === "resolve" ? "resolved" : "ignored")
      : h("span", { class: "buttons" }, button(it, "resolve", "r", "Resolve"), button(it, "ignore", "i", "Ignore")) },
  ];
  const view = loading(place, (signal) => all(handled, signal), (content, { found, isCut }) => {
    const items = handled ? found : found.filter((it) => !it.handled);
    if (!handled) mark("exceptions", items.length);
    const list = table({ caption: "Exceptions, the oldest first", columns, items, key: (it) => it.id });
    clear(content,
      isCut && h("p", { class: "small" }, "Only the oldest 10,000 are shown."),
      items.length ? list.node : nothing(handled ? "None." : "Nothing disagrees: records and chain say the same."));
  });
  view.refresh();
  let soon = null;
  return {
    told: (event) => {
      if (event && !event.type.startsWith("reconciliation.")) return;
      soon ??= setTimeout(() => { soon = null; if (!document.querySelector("dialog[open]")) view.refresh(); }, 400);
    },
    stop: () => { clearTimeout(soon); view.stop(); },
  };
}
