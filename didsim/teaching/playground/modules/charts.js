// How do numbers along a run become a line chart?

import { number } from "./symbols.js";

const BOX = { left: 48, right: 62, top: 10, bottom: 26, width: 340, height: 200 };

/** Round numbers that divide a range into about four. */
function ticks(low, high) {
  const rough = (high - low) / 4;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((one) => one * unit >= rough);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, k) => (first + k) * step);
}

const plain = (x) => number(Number(x.toPrecision(6)), 4).replace(/ · 10<sup>(.*?)<\/sup>/, "e$1");

/** Lines `{name, kind, values}` against steps, and a dashed level if there is one; inner text of an SVG of 340 by 200. */
export function chart(steps, lines, level = null) {
  const all = [...lines.flatMap(({ values }) => values), ...(level === null ? [] : [level])].filter(Number.isFinite);
  let [low, high] = [Math.min(...all), Math.max(...all)];
  const spare = high - low > 1e-9 ? 0.06 * (high - low) : Math.max(0.05 * Math.abs(high), 0.01);
  [low, high] = [low - spare, high + spare];
  const last = Math.max(steps.at(-1), 1);
  const x = (step) => BOX.left + (Math.log1p(step) / Math.log1p(last)) * (BOX.width - BOX.left - BOX.right);
  const y = (value) => BOX.top + ((high - value) / (high - low)) * (BOX.height - BOX.top - BOX.bottom);
  const [start, end, ground] = [BOX.left, BOX.width - BOX.right, BOX.height - BOX.bottom];
  const marks = ticks(low, high).map(
    (value) =>
      `<path class="grid${Math.abs(value) < 1e-12 ? " zero" : ""}" d="M${start},${y(value).toFixed(1)}H${end}"/>` +
      `<text class="tick" x="${start - 6}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${plain(value)}</text>`,
  );
  const decades = [0, 1, 10, 100, 1000, 10000].filter((step) => step <= last && (step === 0 || x(step) - x(0) > 14));
  const below = decades.map(
    (step) => `<text class="tick" x="${x(step).toFixed(1)}" y="${ground + 16}" text-anchor="middle">${step}</text>`,
  );
  const drawn = lines.map(({ kind, values }) => {
    const points = values
      .map((value, k) => (Number.isFinite(value) ? `${x(steps[k]).toFixed(1)},${y(value).toFixed(1)}` : ""))
      .filter(Boolean);
    return `<polyline class="line ${kind}" points="${points.join(" ")}"/>`;
  });
  const dashed = level === null ? "" : `<path class="level" d="M${start},${y(level).toFixed(1)}H${end}"/>`;
  return [...marks, ...below, dashed, ...drawn, ...names(lines, level, y, end)].join("");
}

/** Names at the right ends of lines, pushed apart where they would cover each other. */
function names(lines, level, y, end) {
  const wanted = lines.map(({ name, kind, values }) => ({ name, kind, at: y(values.findLast(Number.isFinite) ?? 0) }));
  if (level !== null) wanted.push({ name: "least", kind: "quiet", at: y(level) });
  wanted.sort((a, b) => a.at - b.at);
  wanted.forEach((one, k) => {
    if (k > 0) one.at = Math.max(one.at, wanted[k - 1].at + 14);
  });
  const over = Math.max(0, (wanted.at(-1)?.at ?? 0) - (BOX.height - BOX.bottom - 12));
  return wanted.map(
    ({ name, kind, at }) =>
      `<text class="name ${kind}" x="${end + 6}" y="${(at - over + 4).toFixed(1)}">${name}</text>`,
  );
}
