// By keyboard alone: single keys, and pairs that begin with g.

import { h } from "./dom.js";

const SHORTCUTS = [
  ["/", "Search"],
  ["g p", "Payments"], ["g e", "Exceptions"], ["g s", "Signers"], ["g n", "Networks"], ["g v", "Volume"], ["g w", "Webhooks"],
  ["j  k", "Next and previous row"], ["Enter", "Open the row"], ["u", "Back to the list"],
  ["r  i", "Resolve or ignore the exception in focus"],
  [".", "Pause or go on"], ["t", "Dark or light"], ["?", "These shortcuts"], ["Esc", "Close, or leave the search"],
];

const GO = { p: "#/payments", e: "#/exceptions", s: "#/signers", n: "#/networks", v: "#/volume", w: "#/webhooks" };

export function help() {
  const dialog = h("dialog", { class: "help", "aria-labelledby": "help-title" },
    h("h2", { id: "help-title" }, "Keyboard shortcuts"),
    h("dl", { class: "shortcuts" }, SHORTCUTS.map(([keys, what]) => h("div", null,
      h("dt", null, keys.split(/\s+/).map((key) => [h("kbd", null, key), " "])), h("dd", null, what)))),
    h("p", null, h("button", { type: "button", class: "main", onclick: () => dialog.close() }, "Close")));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

const isTyping = (node) => node.closest("input, textarea, select, [contenteditable]");

function step(by) {
  const rows = [...document.querySelectorAll("main tbody tr")].map((row) => row.querySelector("a, button")).filter(Boolean);
  if (!rows.length) return;
  const at = rows.findIndex((it) => it.closest("tr") === document.activeElement?.closest?.("tr"));
  const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1);
  rows[next].focus();
  rows[next].scrollIntoView({ block: "nearest" });
}

export function listen({ live, theme }) {
  let isGoing = 0;
  const search = document.getElementById("q");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape" && event.target === search) { search.blur(); document.getElementById("main").focus(); }
      return;
    }
    const went = Date.now() - isGoing < 1200;
    isGoing = 0;
    const own = document.activeElement?.closest?.("tr")?.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (went && GO[event.key]) location.hash = GO[event.key];
    else if (event.key === "/") search.focus();
    else if (event.key === "g") { isGoing = Date.now(); return; }
    else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "u") history.length > 1 ? history.back() : (location.hash = GO.p);
    else if (event.key === "t") theme();
    else if (event.key === ".") live();
    else if (event.key === "?") help();
    else if (own) own.click();
    else return;
    event.preventDefault();
  });
}
