// Which numbers does the page show of one state?  All of them from `readings`, which a browser test holds against didsim.

import { at, changes, follow, safeStep, stepped } from "./descent.js";
import { differential, entropy, kl, log, mean, minus, normalize, sum, tilt } from "./laws.js";
import { condition, minimise } from "./minimiser.js";
import { pairLaws } from "./samplers.js";

/** The world of a state: log-laws π_ref and π*, and the reward r with π* ∝ π_ref e^{r/β}. */
export function worldOf({ ref, target, reward, hold, beta, place }) {
  const base = normalize(log(ref));
  if (hold === "reward") return { ref: base, reward, target: tilt(base, reward, 1 / beta), beta, place };
  const end = normalize(log(target));
  const raw = minus(end, base).map((x) => beta * x);
  const least = Math.min(...raw);
  return { ref: base, target: end, reward: raw.map((x) => x - least), beta, place };
}

/** What is minimised, on which pairs, in which world. */
export function problemOf(state, world = worldOf(state)) {
  return {
    objective: state.objective,
    sampler: state.sampler,
    setting: { beta: state.lossBeta ?? state.beta, extra: state.extra },
    world,
  };
}

/** ln 2 - JSD(ν‖νᵀ) nats: no policy's mean of -log σ on the pairs ν is lower (F1). */
export const floor = (nu) =>
  sum(nu.flatMap((row, a) => row.map((mass, b) => (mass > 0 ? mass * Math.log1p(nu[b][a] / mass) : 0))));

/** What of an update the preference direction R = log(π_w/π_l) does not explain: J = KL(π‖π_ref e^{γR}) at the best γ (F2). */
export function misfit(policy, ref, direction) {
  const least = Math.min(...direction);
  const width = Math.max(...direction) - least;
  if (!(width > 0)) return { misfit: kl(policy, ref), gamma: NaN };
  const unit = direction.map((x) => (x - least) / width);
  const wanted = mean(policy, unit);
  let [low, high, gamma] = [-1, 1, 0];
  while (mean(tilt(ref, unit, low), unit) > wanted && low > -1e9) low *= 2;
  while (mean(tilt(ref, unit, high), unit) < wanted && high < 1e9) high *= 2;
  for (let turn = 0; turn < 200; turn += 1) {
    const fit = tilt(ref, unit, gamma);
    const off = wanted - mean(fit, unit);
    if (off > 0) low = gamma;
    else high = gamma;
    const next =
      gamma +
      off /
        (mean(
          fit,
          unit.map((x) => x * x),
        ) -
          mean(fit, unit) ** 2);
    const better = next > low && next < high ? next : (low + high) / 2;
    if (Math.abs(better - gamma) < 1e-15 * (1 + Math.abs(gamma))) break;
    gamma = better;
  }
  return { misfit: kl(policy, tilt(ref, unit, gamma)), gamma: gamma / width };
}

/** Everything but the run: laws, loss and gradient at the start, one step, minimiser, floor, misfit, entropies. */
export function readings(state) {
  const world = worldOf(state);
  const problem = problemOf(state, world);
  const start = state.start ? normalize(log(state.start)) : world.ref;
  const here = at(problem, start);
  const rate = state.rate ?? safeStep(problem, start);
  const after = stepped(start, here.gradient, rate);
  const { chosen, rejected } = pairLaws(world);
  const direction = minus(chosen, rejected);
  const q = differential(world.target, world.ref);
  const least = minimise(problem, start);
  return {
    world,
    problem,
    start,
    chosen,
    rejected,
    q,
    rate,
    after,
    least,
    loss: here.value,
    gradient: here.gradient,
    change: changes(here.nu, minus(after, start)),
    floor: floor(here.nu),
    entropies: { ref: entropy(world.ref), target: entropy(world.target), did: entropy(q) },
    misfit: misfit(start, world.ref, direction),
    atLeast: least.law ? ofMinimiser(problem, least, direction) : null,
  };
}

/** Value, misfit, condition number and distance from π* of the minimiser. */
function ofMinimiser(problem, { law }, direction) {
  const there = at(problem, law);
  return {
    loss: there.value,
    condition: condition(there.hessian),
    klTarget: kl(law, problem.world.target),
    ...misfit(law, problem.world.ref, direction),
  };
}

/** The run from the start. */
export const run = ({ problem, start, rate }, steps) => follow(problem, start, rate, steps);
