// Columns over time, with a table that says the same.

import { h, s } from "./dom.js";

const WIDTH = 440;
const HEIGHT = 150;
const FOOT = 20;

/** How high a value is beside the highest, in thousandths: whole numbers all the way. */
const part = (value, most) => most > 0n ? Number(value * 1000n / most) : 0;

/**
 * `columns`: a label, a longer one, a value and a value of what failed, both BigInt, and both in words. Of several charts each
 * has a scale of its own.
 */
export function chart({ title, columns, every }) {
  const most = columns.reduce((high, it) => it.value + it.lost > high ? it.value + it.lost : high, 0n);
  const step = WIDTH / columns.length;
  const width = Math.max(2, Math.min(step * 0.72, 36));
  const high = HEIGHT - FOOT - 6;
  const bar = (it, index) => {
    const good = Math.round(part(it.value, most) * high / 1000);
    const bad = Math.round(part(it.lost, most) * high / 1000);
    const x = index * step + (step - width) / 2;
    const foot = HEIGHT - FOOT;
    const least = (size, value) => value > 0n ? Math.max(size, 2) : 0;
    const up = least(good, it.value);
    return s("g", null, s("title", null, `${it.long}: ${it.words}`),
      s("rect", { class: "hit", x: index * step, y: 0, width: step, height: HEIGHT }),
      up ? s("rect", { class: "good", x, y: foot - up, width, height: up, rx: 2 }) : null,
      it.lost > 0n ? s("rect", { class: "bad", x, y: foot - up - least(bad, it.lost) - 1, width, height: least(bad, it.lost), rx: 1 }) : null);
  };
  const label = (it, index) => index % every === 0
    ? s("text", { x: index * step + step / 2, y: HEIGHT - 4, "text-anchor": "middle" }, it.label) : null;
  return h("figure", { class: "chart" },
    s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title },
      [0.25, 0.5, 0.75].map((at) => s("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT - FOOT - high * at, y2: HEIGHT - FOOT - high * at })),
      s("line", { class: "base", x1: 0, x2: WIDTH, y1: HEIGHT - FOOT, y2: HEIGHT - FOOT }),
      columns.map(bar), columns.map(label)));
}
