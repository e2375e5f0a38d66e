// Where is the loss least?  A closed form where there is one, else Newton's method.
//
// With three responses there are two unknowns: the logits of the other two against that of the likeliest.  Their Hessian is scaled
// to unit diagonal, so that rare responses lose no digits, and turned round through its two eigenvalues.

import { at } from "./descent.js";
import { exp, largest, log, normalize, sum } from "./laws.js";
import { OBJECTIVES } from "./objectives.js";
import { orderedSlope, SAMPLERS } from "./samplers.js";

const STEPS = 300;
const LONGEST = 10; // nats a logit may move in one step
const FARTHEST = -80; // log-probability below which mass is taken to vanish for good
const RARE = -20; // log-probability of a response that is losing its mass
const CLOSE = 1e-13;
const FALLS = "The loss falls for ever as a response loses its mass.";
const OWN_PAIRS = "On pairs of its own the policy never rests: a response loses its mass for good.";
const NULL = 1e-9;
const STARTS = [
  [1, 1, 1],
  [8, 1, 1],
  [1, 8, 1],
  [1, 1, 8],
].map((weights) => normalize(log(weights)));

/** Eigenvalues, larger first, and orthonormal eigenvectors of [[a, b], [b, c]]. */
export function eigen(a, b, c) {
  const half = Math.hypot((a - c) / 2, b);
  const angle = Math.atan2(2 * b, a - c) / 2;
  const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
  return {
    values: [(a + c) / 2 + half, (a + c) / 2 - half],
    vectors: [
      [cosine, sine],
      [-sine, cosine],
    ],
  };
}

/** The two responses that are not the likeliest. */
function others(policy) {
  const top = policy.indexOf(Math.max(...policy));
  return [0, 1, 2].filter((y) => y !== top);
}

/** Newton direction in logits, -|H|⁺ g with the signs of eigenvalues dropped, and the number of null directions. */
function direction({ gradient, hessian }, policy) {
  const pair = others(policy);
  // Of a response that is never shown nothing but rounding is left; of one that loses its mass, curvature in proportion to it.
  const rounding = 1e-13 * largest(hessian.flat());
  const isFree = (y) => hessian[y][y] === 0 || (Math.abs(hessian[y][y]) <= rounding && policy[y] > RARE);
  const scale = pair.map((y) => (isFree(y) ? 0 : 1 / Math.sqrt(Math.abs(hessian[y][y]))));
  const [a, b, c] = [
    [0, 0],
    [0, 1],
    [1, 1],
  ].map(([i, j]) => scale[i] * scale[j] * hessian[pair[i]][pair[j]]);
  const { values, vectors } = eigen(a, b, c);
  const move = [0, 0, 0];
  let free = 0;
  values.forEach((value, k) => {
    if (Math.abs(value) < NULL) {
      free += 1;
      return;
    }
    const along = sum(pair.map((y, i) => vectors[k][i] * scale[i] * gradient[y]));
    pair.forEach((y, i) => {
      move[y] -= (scale[i] * vectors[k][i] * along) / Math.abs(value);
    });
  });
  return { move, free };
}

const moved = (policy, move, length) => normalize(policy.map((x, y) => x + length * move[y]));

/** Newton's method from a policy, damped so that the loss on the pairs shown falls. */
function newton(problem, start) {
  let policy = start;
  for (let step = 0; step < STEPS; step += 1) {
    const here = at(problem, policy);
    const { move, free } = direction(here, policy);
    const size = largest(move);
    if (size < CLOSE) return { policy, value: here.value, free };
    const slope = sum(move.map((m, y) => m * here.gradient[y]));
    let length = Math.min(1, LONGEST / size);
    const allowed = () => here.value + 1e-4 * length * slope + 4e-16 * (1 + Math.abs(here.value));
    while (length > 1e-9 && !(at(problem, moved(policy, move, length), here.nu).value <= allowed())) length /= 2;
    policy = moved(policy, move, length);
    if (!policy.every((x) => x > FARTHEST)) return null;
    if (step === STEPS - 1 && size < 1e-6) return { policy, value: here.value, free };
  }
  return null;
}

/** The resting point near a policy where pairs come from the policy itself: Newton's method on the whole derivative of ∇L. */
function settled(problem, start) {
  let policy = start;
  for (let step = 0; step < 30; step += 1) {
    const here = at(problem, policy);
    const extra = [0, 1, 2].map((c) => {
      const slope = orderedSlope(here.nu, policy, c);
      return at(problem, policy, slope).gradient;
    });
    const alone = at(
      problem,
      policy,
      here.nu.map((row) => row.map(() => 0)),
    ).gradient; // what does not come from pairs
    const [i, j] = others(policy);
    const entry = (a, b) => here.hessian[a][b] + extra[b][a] - alone[a];
    const [p, q, r, s] = [entry(i, i), entry(i, j), entry(j, i), entry(j, j)];
    const [u, v] = [here.gradient[i], here.gradient[j]];
    const move = [0, 0, 0];
    move[i] = (q * v - s * u) / (p * s - q * r);
    move[j] = (r * u - p * v) / (p * s - q * r);
    if (!move.every(Number.isFinite) || largest(move) > 1) return null;
    policy = moved(policy, move, 1);
    if (largest(move) < CLOSE) return policy;
  }
  return policy;
}

/** Largest over smallest positive eigenvalue of the Hessian in the logits: how slowly plain gradient descent arrives (S4). */
export function condition(hessian) {
  const basis = [[1, -1, 0].map((x) => x / Math.SQRT2), [1, 1, -2].map((x) => x / Math.sqrt(6))];
  const [a, b, c] = [
    [0, 0],
    [0, 1],
    [1, 1],
  ].map(([i, j]) => sum(hessian.flatMap((row, y) => row.map((entry, z) => basis[i][y] * entry * basis[j][z]))));
  const { values } = eigen(a, b, c);
  return values[1] > NULL * values[0] ? values[0] / values[1] : values[0] > 0 ? 1 : NaN;
}

/** All minimisers: kind "point", "line" (with its two ends), "all" or "none", one of them, and how it was found. */
export function minimise(problem, start) {
  const { objective, sampler, setting, world } = problem;
  const { follows } = SAMPLERS[sampler];
  const { end, never } = OBJECTIVES[objective];
  if (never) return { kind: "none", why: never };
  const closed = end?.(world, sampler, { ...setting, still: !follows }, at(problem, start).nu);
  if (closed) return { kind: "point", law: closed, how: "closed form" };
  const found = searched(problem, start);
  if (!found) return { kind: "none", why: follows ? OWN_PAIRS : FALLS };
  if (found.free === 2) return { kind: "all", law: start, how: "Newton’s method" };
  if (found.free === 1)
    return { kind: "line", law: conserved(found.policy, start), ends: line(found.policy), how: "Newton’s method" };
  return { kind: "point", law: (follows && settled(problem, found.policy)) || found.policy, how: "Newton’s method" };
}

/** The best end of Newton's method; where the loss may have several minima, from several starts. */
function searched(problem, start) {
  const several = problem.objective === "orpo" && !SAMPLERS[problem.sampler].follows;
  const ends = [start, ...(several ? STARTS : [])].map((from) => newton(problem, from));
  if (several && ends[0] === null) return null;
  return ends.filter(Boolean).reduce((best, one) => (!best || one.value < best.value - 1e-13 ? one : best), null);
}

/** From the edge, where the first two have all mass, to the corner of the third, which is never shown (S1). */
function line(law) {
  const mass = exp(law).slice(0, 2);
  return [
    [...mass.map((p) => p / sum(mass)), 0],
    [0, 0, 1],
  ];
}

/** The point of that line at which gradient descent ends: the mean logit of the first two against the third stays (S2). */
function conserved(law, start) {
  const lead = (x) => (x[0] + x[1]) / 2 - x[2];
  const shift = lead(start) - lead(law);
  return normalize([law[0] + shift, law[1] + shift, law[2]]);
}
