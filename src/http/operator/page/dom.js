// Elements out of values. Text is only ever set as text, so that nothing that was paid for, named or noted can be markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  add(node, children);
  return node;
}

function add(node, child) {
  if (Array.isArray(child)) child.forEach((it) => add(node, it));
  else if (child instanceof Node) node.append(child);
  else if (child !== null && child !== undefined && child !== false) node.append(document.createTextNode(String(child)));
}

/** An element. */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** An element of a drawing. */
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export const clear = (node, ...children) => {
  node.replaceChildren();
  add(node, children);
  return node;
};

/** Says something to whoever looks or listens, for a while. */
export function toast(text) {
  const place = document.getElementById("toast");
  place.textContent = text;
  place.classList.add("shown");
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { place.classList.remove("shown"); place.textContent = ""; }, 4000);
}

/** A small drawing of 24 by 24. */
export const icon = (path) => s("svg", { viewBox: "0 0 24 24", class: "glyph", "aria-hidden": "true" }, s("path", { d: path }));

/** Copies the text. */
export function copy(text, what) {
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy ${what}`, title: `Copy ${what}` },
    icon("M9 9h10v11H9zM5 15V4h10"));
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(text); toast(`Copied ${what}`); } catch { toast("The browser does not let this page copy"); }
  });
  return button;
}

/**
 * A table that becomes cards where there is no room. `columns`: label, cell(item), and a class. `row(item)` may name a row's
 * link target. Roles are spelled out, since rows that are laid out as cards are no rows to assistive technology otherwise.
 */
export function table({ caption, columns, items, row, key, wide }) {
  const body = h("tbody", { role: "rowgroup" });
  const view = h("table", { class: wide ? "wide" : "cards", role: "table" },
    h("caption", { class: "hidden" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
      columns.map((it) => h("th", { role: "columnheader", scope: "col", class: it.class }, it.label)))),
    body);
  const rows = new Map();
  const build = (item) => {
    const cells = columns.map((it) => h("td", { role: "cell", class: it.class, "data-label": it.label }, it.cell(item)));
    const line = h("tr", { role: "row" }, cells);
    const target = row?.(item);
    if (target) {
      line.classList.add("leads");
      line.addEventListener("click", (event) => {
        if (!event.target.closest("a, button") && !String(getSelection())) location.hash = target;
      });
    }
    return line;
  };
  const show = (shown, isNews) => {
    const focused = document.activeElement?.closest?.("tr");
    const seen = new Set();
    const lines = shown.map((item, index) => {
      const name = key ? key(item) : index;
      const signature = JSON.stringify(item);
      seen.add(name);
      const known = rows.get(name);
      if (known?.signature === signature) return known.line;
      const line = build(item);
      if (isNews) line.classList.add("news");
      if (known?.line === focused) queueMicrotask(() => line.querySelector("a, button")?.focus({ preventScroll: true }));
      rows.set(name, { signature, line });
      return line;
    });
    for (const name of rows.keys()) if (!seen.has(name)) rows.delete(name);
    body.replaceChildren(...lines);
  };
  show(items ?? [], false);
  return { node: wide ? h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, view) : view, show };
}

/** A section of a view. */
export const section = (title, ...children) => h("section", null, h("h2", null, title), children);

/** Names and values. What is not there is not shown. */
export const facts = (pairs) => h("dl", { class: "facts" }, pairs
  .filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false)
  .map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));

export const nothing = (text) => h("p", { class: "empty" }, text);

/**
 * Shows what `read` brings by `render`, and honestly what it does not: that it is under way, and that it failed. What was
 * shown stays while it is read again.
 */
export function loading(place, read, render) {
  let control = null;
  let isShown = false;
  const trouble = h("div", { class: "trouble", role: "alert", hidden: true });
  const content = h("div", { "aria-busy": "true" }, h("p", { class: "wait" }, "Loading…"));
  clear(place, trouble, content);
  const refresh = async () => {
    control?.abort();
    const mine = control = new AbortController();
    try {
      const found = await read(mine.signal);
      if (mine.signal.aborted) return;
      trouble.hidden = true;
      content.removeAttribute("aria-busy");
      isShown = render(content, found, isShown) !== false;
    } catch (error) {
      if (mine.signal.aborted) return;
      if (!isShown) clear(content).removeAttribute("aria-busy");
      clear(trouble, h("strong", null, isShown ? "Not up to date. " : "Could not be read. "), error.message, " ",
        h("button", { type: "button", onclick: refresh }, "Try again"));
      trouble.hidden = false;
    }
  };
  return { refresh, stop: () => control?.abort() };
}
