// What can be set on the page, within which limits, and how does a link carry it?

import { OBJECTIVES } from "./objectives.js";
import { worldOf } from "./readings.js";
import { SAMPLERS } from "./samplers.js";

export const LEAST = 0.005; // probability that a law set on the page keeps everywhere
export const LIMITS = { beta: [0.05, 5], lossBeta: [0.05, 5], reward: [-10, 10], place: [-1, 2], rate: [0.001, 1000] };

const rounded = (x, digits) => Number(x.toFixed(digits));

/** A law with entries of at least LEAST, in thousandths, so that a link to it is short and exact. */
export function tidyLaw(masses) {
  const total = masses.reduce((a, b) => a + b, 0);
  const lifted = masses.map((p) => Math.max(p / total, LEAST));
  const excess = lifted.reduce((a, b) => a + b, 0) - 1;
  const room = lifted.reduce((a, p) => a + p - LEAST, 0);
  const law = lifted.map((p) => rounded(p - (excess * (p - LEAST)) / room, 3));
  const top = law.indexOf(Math.max(...law));
  law[top] = rounded(law[top] + 1 - law.reduce((a, b) => a + b, 0), 3);
  return law;
}

/** The state with the law or the reward that is not held made anew from the one that is. */
export function consistent(state) {
  const world = worldOf(state);
  return state.hold === "reward"
    ? { ...state, target: world.target.map(Math.exp) }
    : { ...state, reward: world.reward.map((r) => rounded(r, 4)) };
}

/** The state with another target, and the reward that leads to it. */
export function withTarget(state, target) {
  const { reward } = worldOf({ ...state, target, hold: "target" });
  return consistent({ ...state, target, reward: reward.map((r) => rounded(r, 4)) });
}

/** The state with another objective, whose own number is the usual one. */
export const withObjective = (state, objective) => ({
  ...state,
  objective,
  extra: OBJECTIVES[objective].extra?.usual ?? 0,
});

const three = (values) => values.join(",");

/** The part of a link after #. */
export function toHash(state) {
  const { extra } = OBJECTIVES[state.objective];
  const parts = {
    objective: state.objective,
    ...(extra && { extra: state.extra }),
    sampler: state.sampler,
    ref: three(state.ref),
    [state.hold]: three(state[state.hold]),
    beta: state.beta,
    ...(state.lossBeta !== null && { lossbeta: state.lossBeta }),
    ...(state.place !== 0 && { place: state.place }),
    ...(state.start && { start: three(state.start) }),
    ...(state.rate !== null && { rate: state.rate }),
  };
  return `#${Object.entries(parts)
    .map(([key, value]) => `${key}=${value}`)
    .join("&")}`;
}

const inside = ([low, high]) => ({
  says: `a number from ${low} to ${high}`,
  read: (text) => (text.trim() !== "" && Number(text) >= low && Number(text) <= high ? Number(text) : undefined),
});
const oneOf = (table) => ({
  says: `one of ${Object.keys(table).join(", ")}`,
  read: (text) => (Object.hasOwn(table, text) ? text : undefined),
});
const many = (entry, says) => ({
  says,
  read: (text) => {
    const values = text.split(",").map(entry.read);
    return values.length === 3 && !values.includes(undefined) ? values : undefined;
  },
});
const law = {
  says: `three probabilities of at least ${LEAST} that sum to 1`,
  read: (text) => {
    const values = many(inside([LEAST, 1]), "").read(text);
    return values && Math.abs(values.reduce((a, b) => a + b, 0) - 1) < 1e-6 ? values : undefined;
  },
};
const FIELDS = {
  objective: ["objective", oneOf(OBJECTIVES)],
  sampler: ["sampler", oneOf(SAMPLERS)],
  ref: ["ref", law],
  target: ["target", law],
  reward: ["reward", many(inside(LIMITS.reward), "three numbers from -10 to 10")],
  beta: ["beta", inside(LIMITS.beta)],
  lossbeta: ["lossBeta", inside(LIMITS.lossBeta)],
  place: ["place", inside(LIMITS.place)],
  start: ["start", law],
  rate: ["rate", inside(LIMITS.rate)],
};

/** The state that a link carries, what it does not say taken from `usual`, and a line for everything in it that is refused. */
export function fromHash(hash, usual) {
  const given = new Map(
    hash
      .replace(/^#/, "")
      .split("&")
      .filter(Boolean)
      .map((part) => decode(part).split(/=(.*)/s).slice(0, 2)),
  );
  if (!given.size) return { state: usual, refused: [] };
  const refused = [];
  let state = { ...usual, lossBeta: null, place: 0, start: null, rate: null };
  for (const [key, [field, { says, read }]] of Object.entries(FIELDS)) {
    if (!given.has(key)) continue;
    const value = read(given.get(key) ?? "");
    if (value === undefined) refused.push(`${key} must be ${says}, but the link says ${given.get(key) ?? "nothing"}.`);
    else if (field === "objective") state = withObjective(state, value);
    else state[field] = value;
    if (value !== undefined && ["target", "reward"].includes(key)) state.hold = key;
  }
  if (given.has("extra")) addExtra(state, given.get("extra"), refused);
  const unknown = [...given.keys()].filter((key) => key !== "extra" && !Object.hasOwn(FIELDS, key));
  refused.push(...unknown.map((key) => `${key} is nothing that a link can set.`));
  return { state: consistent(state), refused };
}

function addExtra(state, text, refused) {
  const { extra } = OBJECTIVES[state.objective];
  const allowed = extra && inside([extra.low, extra.high]);
  const value = allowed?.read(text ?? "");
  if (value !== undefined) state.extra = value;
  else
    refused.push(
      allowed
        ? `extra must be ${allowed.says}, but the link says ${text}.`
        : `extra is no number of ${state.objective}.`,
    );
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
