// How things are written. Amounts are whole numbers of the smallest unit in decimal text, and stay whole numbers.

import { h } from "./dom.js";
import { about } from "./api.js";
import { chain } from "./chains.js";

const grouped = (digits) => digits.replace(/\B(?=(\d{3})+(?!\d))/g, ",");

/** Atomic units as whole coins: at least two places after the point, and no zeros after those. */
export function coins(units, decimals) {
  const negative = units.startsWith("-");
  const digits = (negative ? units.slice(1) : units).padStart(decimals + 1, "0");
  const whole = grouped(digits.slice(0, digits.length - decimals));
  const least = Math.min(2, decimals);
  let part = digits.slice(digits.length - decimals);
  while (part.length > least && part.endsWith("0")) part = part.slice(0, -1);
  return `${negative ? "-" : ""}${whole}${part ? `.${part}` : ""}`;
}

export const asset = (network, address) => about().assets.find((it) => it.network === network && it.asset === address);

/** An amount with what it is of. In atomic units where the asset is not configured. */
export function amount(units, network, address) {
  const known = asset(network, address);
  const [value, unit] = known ? [coins(units, known.decimals), known.symbol] : [grouped(units), "units"];
  return h("span", { class: "amount", title: `${units} atomic units of ${address}` }, value, " ", h("span", { class: "unit" }, unit));
}

/** What the chain's own coin comes to: six significant digits or so, cut and never rounded up. */
export function native(units, network) {
  const decimals = about().networks.find((it) => it.id === network)?.decimals;
  if (units === null || units === undefined) return "unknown";
  if (decimals === undefined) return `${grouped(units)} units`;
  const [whole, part = ""] = coins(units, decimals).split(".");
  const zeros = whole === "0" ? part.match(/^0*/)[0].length : 0;
  const shown = part.slice(0, Math.max(2, zeros + (whole === "0" ? 4 : 4)));
  const cut = shown.length < part.length ? "…" : "";
  return h("span", { class: "amount", title: `${units} of the smallest unit` }, `${whole}${shown ? `.${shown}` : ""}${cut}`, " ",
    h("span", { class: "unit" }, chain(network).coin));
}

const utc = (text) => text.slice(0, 19).replace("T", " ");

/** A time in UTC; in the reader's own zone on hover. */
export function time(text, { brief = false } = {}) {
  if (!text) return null;
  const local = new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
  const full = utc(text);
  const today = new Date().toISOString().slice(0, 10);
  const shown = brief ? (full.startsWith(today) ? full.slice(11) : full.slice(5)) : `${full} UTC`;
  return h("time", { datetime: text, title: `${full} UTC\n${local} here` }, shown);
}

/** A number of seconds in words. */
export function span(seconds) {
  for (const [name, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= size * 2) return `${Math.floor(seconds / size)} ${name}`;
  }
  return `${seconds} s`;
}

/** A long name by its ends; whole on hover. */
export const short = (text, head = 6, tail = 4) => text.length <= head + tail + 2
  ? h("code", null, text)
  : h("code", { title: text }, `${text.slice(0, head)}…${text.slice(-tail)}`);

/** A sentence whose long names are cut to their ends; whole on hover. */
export const brief = (text) => h("span", { class: "text", title: text },
  text.replace(/\b(0x[0-9a-fA-F]{40,64}|[1-9A-HJ-NP-Za-km-z]{32,90})\b/g, (name) => `${name.slice(0, 6)}…${name.slice(-4)}`));

export const count = (number) => grouped(String(number));

const WORDS = {
  reserved: "Reserved", in_flight: "In flight", confirmed: "Confirmed", final: "Final", failed: "Failed", withdrawn: "Withdrawn",
};

/** Where a payment's money is. The shape of the mark says it as well as its colour. */
export const state = (name, setBack) => h("span", { class: `state ${name}${setBack ? " back" : ""}` },
  h("span", { class: "mark", "aria-hidden": "true" }), setBack ? "Set back" : WORDS[name] ?? name);

/** A word about how something stands: good, warn, bad or plain. */
export const badge = (kind, text) => h("span", { class: `badge ${kind}` }, text);

export const words = (text) => text.replaceAll("_", " ");

/** The network's name, with its id on hover. */
export const network = (id) => h("span", { class: "network", title: id }, chain(id).name);

/** A link to the chain's explorer, where one is known; else the name alone. */
export function explored(kind, id, text, shown = short(text)) {
  const address = chain(id)[kind]?.(text);
  return address
    ? h("a", { class: "out", href: address, target: "_blank", rel: "noopener noreferrer" }, shown, h("span", { class: "hidden" }, " on the explorer"))
    : shown;
}
