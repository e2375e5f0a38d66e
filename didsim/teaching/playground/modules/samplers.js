// Which pairs is the learner shown, and who wins them?  μ[a][b] is the chance that a is shown first and b second.

import { between, exp, sigmoid, sum } from "./laws.js";

const BEST_OF = 4;
const table = (n, entry) => Array.from({ length: n }, (_, a) => Array.from({ length: n }, (_, b) => entry(a, b)));
const product = (first, second) => table(first.length, (a, b) => Math.exp(first[a] + second[b]));
const uniform = (n) => Array(n).fill(-Math.log(n));

/** π_w, the point `place` of the path from π_ref to π*, and π_l, which lies β before it (D7, D9). */
export function pairLaws({ ref, target, place, beta }) {
  return { chosen: between(ref, target, place), rejected: between(ref, target, place - beta) };
}

/** Law of the best of k draws: F(y)^k - F(y⁻)^k, the mass of tied responses split as the law does (S10). */
export function bestOf(law, score, k) {
  return law.map((x, y) => {
    const below = sum(exp(law.filter((_, z) => score[z] < score[y])));
    const tied = sum(exp(law.filter((_, z) => score[z] === score[y])));
    return x + Math.log(((below + tied) ** k - below ** k) / tied);
  });
}

/** Pairs ∝ 1/σ'(r_a - r_b): rare where the reward settles who wins, so that all weights of the Hessian are equal (S5). */
function mixR({ reward }) {
  const weight = table(reward.length, (a, b) => 2 + 2 * Math.cosh(reward[a] - reward[b]));
  const total = sum(weight.map(sum));
  return weight.map((row) => row.map((entry) => entry / total));
}

/** Uniform pairs of all responses but the last one. */
function lastNeverShown({ ref }) {
  const n = ref.length - 1;
  return table(ref.length, (a, b) => (a < n && b < n ? 1 / (n * n) : 0));
}

function chosenRejected(world) {
  const { chosen, rejected } = pairLaws(world);
  return product(chosen, rejected);
}

// `shown`: the first response is the chosen one; else soft Bradley-Terry labels say who wins.  `follows`: μ moves with the policy.
export const SAMPLERS = {
  chosen_rejected: {
    title: "Chosen and rejected draws",
    law: "<i>π</i><sub>w</sub> ⊗ <i>π</i><sub>l</sub>",
    pairs: chosenRejected,
    shown: true,
  },
  uniform: {
    title: "Uniform pairs",
    law: "<i>U</i> ⊗ <i>U</i>",
    pairs: ({ ref }) => product(uniform(ref.length), uniform(ref.length)),
  },
  reference: {
    title: "Pairs from the reference",
    law: "<i>π</i><sub>ref</sub> ⊗ <i>π</i><sub>ref</sub>",
    pairs: ({ ref }) => product(ref, ref),
  },
  on_policy: {
    title: "Pairs from the policy",
    law: "<i>π<sub>θ</sub></i> ⊗ <i>π<sub>θ</sub></i>",
    pairs: (_, policy) => product(policy, policy),
    follows: true,
  },
  best_of_base: {
    title: "Best of 4 against one draw",
    law: "best of 4 from <i>π</i><sub>ref</sub> ⊗ <i>π</i><sub>ref</sub>",
    pairs: ({ ref, reward }) => product(bestOf(ref, reward, BEST_OF), ref),
  },
  mix_r: {
    title: "Mix-R",
    law: "<i>μ<sub>ab</sub></i> ∝ 1/<i>σ</i>′(<i>r<sub>a</sub></i> − <i>r<sub>b</sub></i>)",
    pairs: mixR,
  },
  blocks: { title: "The third is never shown", law: "uniform pairs of the first two", pairs: lastNeverShown },
};

/** ν[a][b], the chance that a is chosen and b rejected: μ_ab P_ab + μ_ba (1 - P_ba). */
export function ordered(world, sampler, policy) {
  const { pairs, shown } = SAMPLERS[sampler];
  const mu = pairs(world, policy);
  const wins = (a, b) => (shown ? 1 : sigmoid(world.reward[a] - world.reward[b]));
  return table(mu.length, (a, b) => mu[a][b] * wins(a, b) + mu[b][a] * (1 - wins(b, a)));
}

/** Chance of each response to be the chosen one, and to be the rejected one, of a pair. */
export const chosenMass = (nu) => nu.map(sum);
export const rejectedMass = (nu) => nu.map((_, b) => sum(nu.map((row) => row[b])));

/** How ν changes with logit c where pairs come from the policy itself: ν_ab (1[a=c] + 1[b=c] - 2 π_c). */
export const orderedSlope = (nu, policy, c) =>
  nu.map((row, a) => row.map((mass, b) => mass * ((a === c) + (b === c) - 2 * Math.exp(policy[c]))));

/** Whether every response takes part in comparisons, so that the data fix the policy (S1). */
export const connected = (sampler) => sampler !== "blocks";
