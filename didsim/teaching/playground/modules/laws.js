// How is arithmetic done on laws of a few responses?  A law is an array of log-probabilities, natural logarithms throughout.

export const sum = (values) => values.reduce((total, value) => total + value, 0);
export const dot = (a, b) => sum(a.map((value, y) => value * b[y]));
export const exp = (logs) => logs.map(Math.exp);
export const log = (values) => values.map(Math.log);
export const minus = (a, b) => a.map((value, y) => value - b[y]);
export const largest = (values) => Math.max(...values.map(Math.abs));

/** σ(x) = 1 / (1 + e^-x), right in both tails. */
export const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));

/** The law proportional to e^logits. */
export function normalize(logits) {
  const top = Math.max(...logits);
  const total = top + Math.log(sum(logits.map((x) => Math.exp(x - top))));
  return logits.map((x) => x - total);
}

/** The law ∝ base · e^{amount · score}. */
export const tilt = (base, score, amount) => normalize(base.map((x, y) => x + amount * score[y]));

/** The point of the path from `start` (0) to `end` (1): the law ∝ start^{1-place} end^place. */
export const between = (start, end, place) => tilt(start, minus(end, start), place);

/** The differential information distribution q ∝ law / ref. */
export const differential = (law, ref) => normalize(minus(law, ref));

/** E f(Y) for Y from a law. */
export const mean = (law, values) => dot(exp(law), values);

/** Shannon entropy, nats. */
export const entropy = (law) => -mean(law, law);

/** KL(p‖q), nats; summed as p δ + q - p with δ = log(p/q), so that close laws keep their digits. */
export function kl(p, q) {
  return sum(
    p.map((x, y) => {
      const gap = x - q[y];
      return Math.exp(x) * (Math.abs(gap) < 0.05 ? excess(gap) : gap + Math.expm1(-gap));
    }),
  );
}

/** δ + e^-δ - 1 near zero, where that sum would cancel: δ²/2! - δ³/3! + … */
function excess(gap) {
  let term = (gap * gap) / 2;
  let total = 0;
  for (let k = 3; k < 14; k += 1) {
    total += term;
    term *= -gap / k;
  }
  return total;
}
