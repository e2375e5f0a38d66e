// How are symbols and numbers typeset?  Italic letters and indices, a true minus sign, no more digits than one reads.

export const italic = (text) => `<i>${text}</i>`;

// The laws that are marked and listed: how they are written, in words, and the class that colours them.
export const LAWS = {
  ref: { base: "π", sub: "ref", says: "reference" },
  target: { base: "π", sup: "*", says: "target" },
  q: { base: "q", says: "differential information, q ∝ π* / π_ref" },
  chosen: { base: "π", sub: "w", says: "chosen responses" },
  rejected: { base: "π", sub: "l", says: "rejected responses" },
  start: { base: "π", sub: "0", says: "start of the run" },
  least: { base: "π", sub: "min", says: "minimiser of the loss" },
  end: { base: "π", sub: "end", says: "end of the run" },
};

const part = (tag, text) => (text ? `<${tag}>${text}</${tag}>` : "");

/** A law's symbol as HTML. */
export const symbol = (name) => italic(LAWS[name].base) + part("sub", LAWS[name].sub) + (LAWS[name].sup ?? "");

/** A law's symbol for a text of SVG, which knows no sub. */
export function svgSymbol(name) {
  const { base, sub, sup } = LAWS[name];
  return `<tspan font-style="italic">${base}</tspan>${sub ? `<tspan dy="3.5" font-size="0.75em">${sub}</tspan><tspan dy="-3.5">\u200b</tspan>` : ""}${sup ?? ""}`;
}

/** A number to some significant digits, with a true minus sign. */
export function number(x, digits = 4) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "–" : x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size < 1e-12) return "0";
  if (size < 1e-3 || size >= 1e5) {
    const [mantissa, power] = x.toExponential(Math.min(digits - 1, 1)).split("e");
    return `${mantissa} · 10<sup>${Number(power)}</sup>`.replaceAll("-", "−");
  }
  return String(Number(x.toPrecision(digits))).replace("-", "−");
}

/** A number with its sign. */
export const signed = (x) => (x > 0 ? `+${number(x, 3)}` : number(x, 3));

/** A probability: three decimals, and never rounded to nothing. */
export const share = (p) => (p > 0 && p < 0.0005 ? "&lt;.001" : p.toFixed(3));
