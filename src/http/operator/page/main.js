// The page: which view is shown, what it is told, and how one gets from one to another.

import { begin } from "./api.js";
import { clear, h, icon, toast } from "./dom.js";
import { help, listen } from "./keys.js";
import { Live } from "./live.js";
import exceptions from "./exceptions.js";
import networks from "./networks.js";
import payments from "./payments.js";
import search from "./search.js";
import signers from "./signers.js";
import story from "./story.js";
import volume from "./volume.js";
import webhooks from "./webhooks.js";

const VIEWS = [
  ["payments", "Payments", payments, "M4 7h16M4 12h16M4 17h10"],
  ["exceptions", "Exceptions", exceptions, "M12 4 2.500 20h19zM12 10v4M12 17v.5"],
  ["signers", "Signers", signers, "M14 10a4 4 0 1 0-3.500 2L4 18.500V21h3l1-1v-2h2l1.500-1.500V14M15.500 7h.1"],
  ["networks", "Networks", networks, "M3 12h4l3-8 4 16 3-8h4"],
  ["volume", "Volume", volume, "M5 20V11M12 20V4M19 20v-6"],
  ["webhooks", "Webhooks", webhooks, "M4 12h12M12 6l6 6-6 6M20 4v16"],
];

const main = document.getElementById("main");
const nav = document.getElementById("nav");
let shown = null;

const links = new Map(VIEWS.map(([name, label, , path]) => [name,
  h("a", { href: `#/${name}` }, icon(path), h("span", null, label), h("span", { class: "number", hidden: true }))]));
clear(nav, [...links.values()]);

/** A number beside a view's name, for what waits there. */
function mark(name, number) {
  const place = links.get(name).querySelector(".number");
  place.textContent = number > 99 ? "99+" : number;
  place.hidden = !number;
  place.setAttribute("aria-label", `${number} open`);
}

function show(isFirst) {
  const [path, text = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "payments", id] = (path || "payments").split("/");
  const parameters = Object.fromEntries(new URLSearchParams(text));
  const found = VIEWS.find(([it]) => it === name);
  const view = name === "search" ? search : name === "payments" && id ? story : found?.[2];
  if (!view) { location.replace("#/payments"); return; }
  shown?.stop?.();
  for (const [it, link] of links) {
    if (it === name) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  clear(main);
  const title = view === story ? "Payment" : view === search ? "Search" : found[1];
  document.title = `${title} · facilitator`;
  shown = view({ main, id: id && decodeURIComponent(id), parameters, mark });
  scrollTo(0, 0);
  // Whoever follows a link is where it leads, also without seeing it.
  if (!isFirst) main.focus({ preventScroll: true });
}

const state = document.getElementById("live");
const live = new Live((event) => shown?.told?.(event), (kind, text) => {
  state.dataset.state = kind;
  document.getElementById("live-text").textContent = text;
});
const pause = () => state.setAttribute("aria-pressed", String(live.toggle()));
const sun = "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.400 1.400M17.600 17.600 19 19M5 19l1.400-1.400M17.600 6.400 19 5";
const moon = "M20 14.500A8.500 8.500 0 0 1 9.500 4 8.500 8.500 0 1 0 20 14.500z";
const button = document.getElementById("theme");
const drawn = (name) => clear(button, icon(name === "dark" ? sun : moon));
const theme = () => { const name = globalThis.toggleTheme(); drawn(name); toast(name === "dark" ? "Dark" : "Light"); };

state.addEventListener("click", pause);
button.addEventListener("click", theme);
document.getElementById("help").addEventListener("click", help);
document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = document.getElementById("q");
  const wanted = field.value.trim();
  if (!wanted) return;
  field.blur();
  location.hash = `#/search?${new URLSearchParams({ q: wanted })}`;
});
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
drawn(document.documentElement.dataset.theme);
listen({ live: pause, theme });

async function open() {
  clear(main, h("p", { class: "wait" }, "Loading…"));
  try {
    await begin();
  } catch (error) {
    clear(main, h("div", { class: "trouble", role: "alert" }, h("strong", null, "The page cannot begin. "), error.message, " ",
      h("button", { type: "button", onclick: open }, "Try again")));
    return;
  }
  addEventListener("hashchange", () => show(false));
  show(true);
  live.start();
}

open();
