// Where does the exact gradient move a policy: in one step, along a whole run, and from every point of the triangle?

import { dot, exp, largest, minus, normalize } from "./laws.js";
import { expand } from "./objectives.js";
import { chosenMass, ordered, rejectedMass, SAMPLERS } from "./samplers.js";

const LONGEST = 0.1; // nats a logit may move in a step of safe size
const ENOUGH = 1e-13; // a run ends where no entry of its gradient is larger
const FARTHEST = 700; // nats, beyond which a probability is no number: the run has diverged

/** Loss, gradient and Hessian in the logits at a policy, and the pairs ν that are shown there. */
export function at({ objective, sampler, setting, world }, policy, nu = ordered(world, sampler, policy)) {
  return { nu, ...expand(objective, setting, world, nu, policy) };
}

/** The policy after one step of plain gradient descent. */
export const stepped = (policy, gradient, rate) => normalize(policy.map((x, y) => x - rate * gradient[y]));

/** Mean change of log-likelihood of chosen and of rejected responses, nats. */
export const changes = (nu, change) => ({
  chosen: dot(chosenMass(nu), change),
  rejected: dot(rejectedMass(nu), change),
});

/** Step size min(1/|H|, 0.1/|∇L|) at a policy: it neither overshoots nor leaps (S4); |H| is Frobenius's norm. */
export function safeStep(problem, policy) {
  const { gradient, hessian } = at(problem, policy);
  const bend = Math.hypot(...hessian.flat());
  return Math.min(1 / Math.max(bend, 1e-300), LONGEST / Math.max(largest(gradient), 1e-300), 1e6);
}

/** A run of gradient descent from a policy, recorded at step 0 and at about `count` log-spaced steps, and how it ended. */
export function follow(problem, start, rate, steps, count = 60) {
  const { world, sampler } = problem;
  const still = SAMPLERS[sampler].follows ? undefined : ordered(world, sampler, start);
  const records = [];
  let policy = start;
  for (let step = 0, next = 0; ; step += 1) {
    const here = at(problem, policy, still);
    if (![...policy, ...here.gradient].every((x) => Math.abs(x) < FARTHEST)) return { records, outcome: "diverged" };
    const arrived = largest(here.gradient) < ENOUGH;
    if (step === next || step === steps || arrived) {
      records.push({ step, policy, loss: here.value, ...changes(here.nu, minus(policy, world.ref)) });
      next = Math.max(step + 1, Math.ceil(step * steps ** (1 / count)));
    }
    if (arrived || step === steps) return { records, outcome: arrived ? "arrived" : "moving" };
    policy = stepped(policy, here.gradient, rate);
  }
}

/** dπ/dt = -(diag π - ππᵀ) ∇L, the change of probabilities per unit of gradient-descent time. */
export function motion(problem, policy) {
  const mass = exp(policy);
  const { gradient } = at(problem, policy);
  const average = dot(mass, gradient);
  return mass.map((p, y) => -p * (gradient[y] - average));
}

/** Points (i, j, k)/d with i, j, k ≥ 1. */
export function innerPoints(d) {
  const points = [];
  for (let i = 1; i < d; i += 1) for (let j = 1; j < d - i; j += 1) points.push([i / d, j / d, (d - i - j) / d]);
  return points;
}
