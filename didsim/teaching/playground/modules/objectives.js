// What is minimised?  Ten objectives as implicit reward × link × terms of single responses.
//
//     L(π) = Σ ν_ab ℓ(g(a) - g(b)) + Σ ν_w f_w + Σ ν_l f_l + Σ h
//
// Each part is a function of one log-probability x = log π(y) that answers [value, slope, curvature].

import { dot, exp, kl, minus, normalize, sigmoid, sum, tilt } from "./laws.js";
import { chosenMass, connected, pairLaws, rejectedMass } from "./samplers.js";

/** -log σ(m), the logistic link. */
export const logistic = (m) => [
  Math.log1p(Math.exp(-Math.abs(m))) + Math.max(-m, 0),
  -sigmoid(-m),
  sigmoid(m) * sigmoid(-m),
];
const squared = (m, aim) => [(m - aim) ** 2, 2 * (m - aim), 2];
const linear = (slope, x, shift = 0) => [slope * x + shift, slope, 0];
const scaled = (factor, parts) => parts.map((part) => factor * part);
const added = (one, two) => one.map((part, k) => part + two[k]);

/** f(-m) as a function of m. */
const mirrored = (f, m) => {
  const [value, slope, curvature] = f(-m);
  return [value, -slope, curvature];
};

/** σ(x). */
const squashed = (x) => {
  const [up, down] = [sigmoid(x), sigmoid(-x)];
  return [up, up * down, up * down * (down - up)];
};

/** log-odds of π = e^x. */
const logOdds = (x) => {
  const rest = -Math.expm1(x);
  return [x - Math.log(rest), 1 / rest, Math.exp(x) / rest ** 2];
};

/** KTO's loss σ(s (z₀ - a)) of one response, s = β on chosen and -β on rejected ones; z₀ = KL(π‖π_ref) is held still. */
const kto =
  (scale) =>
  (x, ref, { divergence }) => {
    const [value, slope, curvature] = squashed(scale * (divergence - (x - ref)));
    return [value, -scale * slope, scale ** 2 * curvature];
  };

/** -π r + β π log(π/π_ref) of one response. */
const regularised =
  (beta) =>
  (x, ref, { reward }) => {
    const mass = Math.exp(x);
    const value = mass * (beta * (x - ref) - reward);
    return [value, value + beta * mass, value + 2 * beta * mass];
  };

const ratio = (beta) => (x, ref) => linear(beta, x - ref);
const plain = (beta) => (x) => linear(beta, x);

/** IPO's end on independent draws: π_ref e^{D s/β}, s = π_w/(π_w + π_l), D = 1/(1 + E_w s - E_l s). */
function ipoEnd(world, beta) {
  const { chosen, rejected } = pairLaws(world);
  const share = minus(chosen, rejected).map(sigmoid);
  return tilt(world.ref, share, 1 / (beta * (1 + dot(exp(chosen), share) - dot(exp(rejected), share))));
}

const fromRef = (world, { beta }) => tilt(world.ref, world.reward, 1 / beta);
const I = (text) => `<i>${text}</i>`;
const END = `${I("π")}<sub>ref</sub> e<sup>${I("r")}/${I("β")}</sup>, normalised`;
const LOG = `−log ${I("σ")}`;

// `parts({beta, extra})` gives the functions; `end` a closed form of the minimiser, or nothing where there is none; `where` says it.
export const OBJECTIVES = {
  dpo: {
    title: "DPO",
    formula: `E[${LOG}(${I("β")}(${I("a")} − ${I("b")}))]`,
    parts: ({ beta }) => ({ reward: ratio(beta), link: logistic }),
    end: (world, sampler, setting) => connected(sampler) && fromRef(world, setting),
    where: END,
  },
  cdpo: {
    title: "cDPO, smoothed labels",
    formula: `E[−(1−${I("ε")}) log ${I("σ")}(${I("m")}) − ${I("ε")} log ${I("σ")}(−${I("m")})], ${I("m")} = ${I("β")}(${I("a")} − ${I("b")})`,
    extra: { symbol: "ε", says: "share of flipped labels", low: 0, high: 0.45, usual: 0.1 },
    parts: ({ beta, extra }) => ({
      reward: ratio(beta),
      link: (m) => added(scaled(1 - extra, logistic(m)), scaled(extra, mirrored(logistic, m))),
    }),
  },
  "ipo[sum]": {
    title: "IPO",
    formula: `E[(${I("a")} − ${I("b")} − 1/(2${I("β")}))<sup>2</sup>]`,
    parts: ({ beta }) => ({ reward: ratio(1), link: (m) => squared(m, 0.5 / beta) }),
    end: (world, sampler, { beta }) => sampler === "chosen_rejected" && ipoEnd(world, beta),
    where: `${I("π")}<sub>ref</sub> e<sup>${I("Ds")}/${I("β")}</sup>, normalised, with ${I("s")} = ${I("π")}<sub>w</sub>/(${I("π")}<sub>w</sub> + ${I("π")}<sub>l</sub>)`,
  },
  rebel: {
    title: "REBEL, η = 1/β",
    formula: `E[(${I("β")}(${I("a")} − ${I("b")}) − (${I("r")}<sub>w</sub> − ${I("r")}<sub>l</sub>))<sup>2</sup>]`,
    parts: ({ beta }) => ({
      reward: (x, ref, { reward }) => linear(beta, x - ref, -reward),
      link: (m) => squared(m, 0),
    }),
    end: (world, sampler, setting) => connected(sampler) && fromRef(world, setting),
    where: END,
  },
  kto: {
    title: "KTO",
    formula: `E[${I("σ")}(${I("β")}(${I("z")}<sub>0</sub> − ${I("a")})) + ${I("σ")}(${I("β")}(${I("b")} − ${I("z")}<sub>0</sub>))], ${I("z")}<sub>0</sub> = KL(${I("π")}‖${I("π")}<sub>ref</sub>)`,
    parts: ({ beta }) => ({ chosen: kto(beta), rejected: kto(-beta) }),
    never: `KTO’s loss falls for ever as responses with ${I("π")}<sub>w</sub> &lt; ${I("π")}<sub>l</sub> lose their mass.`,
  },
  rlhf: {
    title: "RLHF, the exact reward objective",
    formula: `−E<sub>${I("π")}</sub> ${I("r")} + ${I("β")} KL(${I("π")}‖${I("π")}<sub>ref</sub>)`,
    parts: ({ beta }) => ({ policy: regularised(beta) }),
    end: (world, sampler, setting) => fromRef(world, setting),
    where: END,
  },
  simpo: {
    title: "SimPO, no reference",
    formula: `E[${LOG}(${I("β")}(log ${I("π")}<sub>w</sub> − log ${I("π")}<sub>l</sub>) − ${I("γ")})]`,
    extra: { symbol: "γ", says: "margin asked for", low: 0, high: 2, usual: 0 },
    parts: ({ beta, extra }) => ({ reward: plain(beta), link: (m) => logistic(m - extra) }),
    end: (world, sampler, { beta, extra }) =>
      connected(sampler) && extra === 0 && normalize(scaled(1 / beta, world.reward)),
    where: `${I("q")} ∝ e<sup>${I("r")}/${I("β")}</sup>, not ${I("π")}*`,
  },
  cpo: {
    title: "CPO, no reference",
    formula: `E[${LOG}(${I("β")}(log ${I("π")}<sub>w</sub> − log ${I("π")}<sub>l</sub>)) − ${I("α")} log ${I("π")}<sub>w</sub>]`,
    extra: { symbol: "α", says: "weight of the likelihood of chosen responses", low: 0.05, high: 2, usual: 1 },
    parts: ({ beta, extra }) => ({ reward: plain(beta), link: logistic, chosen: (x) => linear(-extra, x) }),
  },
  orpo: {
    title: "ORPO, no reference",
    formula: `E[−log ${I("π")}<sub>w</sub> − ${I("λ")} log ${I("σ")}(log-odds<sub>w</sub> − log-odds<sub>l</sub>)]`,
    extra: { symbol: "λ", says: "weight of the odds", low: 0, high: 2, usual: 0.5 },
    parts: ({ extra }) => ({ reward: logOdds, link: (m) => scaled(extra, logistic(m)), chosen: (x) => linear(-1, x) }),
  },
  sft: {
    title: "Likelihood of chosen responses",
    formula: `E[−log ${I("π")}<sub>w</sub>]`,
    parts: () => ({ chosen: (x) => linear(-1, x) }),
    end: (world, sampler, setting, nu) =>
      setting.still && connected(sampler) && normalize(chosenMass(nu).map(Math.log)),
    where: "the law of chosen responses",
  },
};

/** Loss at a policy on pairs ν, with its gradient and Hessian in the logits; what the objective holds still is held still. */
export function expand(objective, setting, world, nu, policy) {
  const { reward, link, ...single } = OBJECTIVES[objective].parts(setting);
  const seen = policy.map((_, y) => ({ reward: world.reward[y], divergence: 0 }));
  if (single.rejected)
    seen.forEach((one) => {
      one.divergence = kl(policy, world.ref);
    });
  const of = (part) => policy.map((x, y) => part(x, world.ref[y], seen[y]));
  const weights = { chosen: chosenMass, rejected: rejectedMass, policy: () => policy.map(() => 1) };
  // In the log-probabilities: value, gradient and Hessian, first of responses alone, then of pairs.
  const total = { value: 0, gradient: policy.map(() => 0), hessian: policy.map(() => policy.map(() => 0)) };
  for (const [role, part] of Object.entries(single)) addSingle(total, weights[role](nu), of(part));
  if (link) addPairs(total, nu, of(reward), link);
  return { value: total.value, ...inLogits(total.gradient, total.hessian, exp(policy)) };
}

function addSingle(total, weight, parts) {
  parts.forEach(([value, slope, curvature], y) => {
    if (weight[y] === 0) return;
    total.value += weight[y] * value;
    total.gradient[y] += weight[y] * slope;
    total.hessian[y][y] += weight[y] * curvature;
  });
}

function addPairs(total, nu, reward, link) {
  const { gradient, hessian } = total;
  for (let a = 0; a < nu.length; a += 1) {
    for (let b = 0; b < nu.length; b += 1) {
      const mass = nu[a][b];
      if (mass === 0) continue;
      const [[ga, da, ca], [gb, db, cb]] = [reward[a], reward[b]];
      const [value, slope, bend] = link(ga - gb);
      total.value += mass * value;
      gradient[a] += mass * slope * da;
      gradient[b] -= mass * slope * db;
      hessian[a][a] += mass * (bend * da * da + slope * ca);
      hessian[b][b] += mass * (bend * db * db - slope * cb);
      hessian[a][b] -= mass * bend * da * db;
      hessian[b][a] -= mass * bend * da * db;
    }
  }
}

/** Gradient and Hessian in logits θ from those in x = θ - log Σ e^θ, whose Jacobian is I - 1πᵀ. */
function inLogits(gradient, hessian, mass) {
  const total = sum(gradient);
  const rows = hessian.map(sum);
  const all = sum(rows);
  const entry = (a, b) =>
    hessian[a][b] -
    mass[b] * rows[a] -
    mass[a] * rows[b] +
    mass[a] * mass[b] * all -
    total * ((a === b) * mass[a] - mass[a] * mass[b]);
  return {
    gradient: gradient.map((slope, y) => slope - mass[y] * total),
    hessian: mass.map((_, a) => mass.map((_, b) => entry(a, b))),
  };
}
