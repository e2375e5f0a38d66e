// How do the numbers of a state read: in one line, as tables, as a sentence?

import { exp } from "./laws.js";
import { OBJECTIVES } from "./objectives.js";
import { SAMPLERS } from "./samplers.js";
import { italic, LAWS, number, share, signed, symbol } from "./symbols.js";

/** What is set, in one line, for the picture and for print. */
export function setting(state, { problem }) {
  const { title, extra } = OBJECTIVES[state.objective];
  const own = [
    `${italic("β")} = ${number(state.beta, 3)}`,
    ...(state.lossBeta !== null ? [`the loss’s ${italic("β")} = ${number(problem.setting.beta, 3)}`] : []),
    ...(extra ? [`${italic(extra.symbol)} = ${number(state.extra, 3)}`] : []),
    ...(SAMPLERS[state.sampler].shown && state.place !== 0 ? [`${symbol("chosen")} at ${number(state.place, 3)}`] : []),
  ];
  return `${title} · ${SAMPLERS[state.sampler].title.toLowerCase().replace("mix-r", "Mix-R")} · ${own.join(", ")}`;
}

export function lawRows(state, { world, q, chosen, rejected, least, start }, end) {
  const rows = [
    ["ref", world.ref],
    ["target", world.target],
    ["q", q],
  ];
  if (SAMPLERS[state.sampler].shown) rows.push(["chosen", chosen], ["rejected", rejected]);
  if (state.start) rows.push(["start", start]);
  if (least.law) rows.push(["least", least.law]);
  rows.push(["end", end]);
  const cell = (p, name) =>
    `<td><span class="bar ${name}" style="--share: ${(100 * p).toFixed(1)}%"></span>${share(p)}</td>`;
  return rows.map(
    ([name, law]) =>
      `<tr><th scope="row">${symbol(name)} <span class="quiet">${LAWS[name].says.split(",")[0]}</span></th>` +
      `${exp(law)
        .map((p) => cell(p, name))
        .join("")}</tr>`,
  );
}

const moves = (x) => (Math.abs(x) < 1e-9 ? "stays" : x > 0 ? "rises" : "falls");
const coloured = (x, kind) => `<span class="${kind}">${signed(x)}</span> <span class="quiet">${moves(x)}</span>`;

export function numberRows({ problem, rate, loss, gradient, change, floor, entropies, least, atLeast }, end) {
  const rows = [
    ["Loss at the start", number(loss)],
    ["Least loss", atLeast ? `${number(atLeast.loss)} <span class="quiet">${least.how}</span>` : "none"],
    [
      `Floor of −log ${italic("σ")} on these pairs`,
      `${number(floor)} <span class="quiet">ln 2 − JSD(${italic("ν")}‖${italic("ν")}<sup>T</sup>)</span>`,
    ],
    ["Gradient in the logits at the start", gradient.map((one) => number(one, 3)).join(", ")],
    [`One step, ${italic("η")} = ${number(rate, 3)}: chosen log-likelihood`, coloured(change.chosen, "chosen")],
    ["One step: rejected log-likelihood", coloured(change.rejected, "rejected")],
    [`Run, step ${end.step}: chosen`, coloured(end.chosen, "chosen")],
    [`Run, step ${end.step}: rejected`, coloured(end.rejected, "rejected")],
    [
      `${italic("H")}(${italic("q")}), entropy of the DID`,
      `${number(entropies.did)} <span class="quiet">at most ln 3 = 1.099</span>`,
    ],
    [`${italic("H")}(${symbol("ref")}) → ${italic("H")}(${symbol("target")})`, entropyWords(entropies)],
  ];
  if (atLeast) {
    const { misfit, gamma, condition, klTarget } = atLeast;
    rows.push(
      [`KL(${symbol("least")}‖${symbol("target")})`, number(klTarget, 3)],
      [
        `Misfit ${italic("J")} of ${symbol("least")}`,
        `${number(misfit, 3)} <span class="quiet">off ${symbol("ref")} e<sup>${italic("γR")}</sup>, ${italic("γ")} = ${number(gamma, 3)}</span>`,
      ],
      [
        `Condition number ${italic("κ")} there`,
        `${number(condition, 3)} <span class="quiet">${problem.sampler === "blocks" ? "along the line not counted" : "1 is best"}</span>`,
      ],
    );
  }
  return rows.map(([name, value]) => `<tr><th scope="row">${name}</th><td>${value}</td></tr>`);
}

function entropyWords({ ref, target }) {
  const kind =
    Math.abs(target - ref) < 1e-9 ? "unchanged" : target < ref ? "reinforcement: it sharpens" : "smoothing: it spreads";
  return `${number(ref)} → ${number(target)} <span class="quiet">${kind}</span>`;
}

/** The outcome in words. */
export function verdict({ world, least, atLeast, q }, end, outcome) {
  const near = (a, b) => Math.max(...exp(a).map((p, y) => Math.abs(p - Math.exp(b[y])))) < 1e-6;
  const ends = (law) => {
    if (outcome === "diverged") return "The run diverges: its steps are too large.";
    return near(end.policy, law)
      ? `The run gets there in ${end.step} steps.`
      : `After ${end.step} steps the run is not there.`;
  };
  if (least.kind === "none") return `No policy is best. ${least.why}`;
  if (least.kind === "all") return "Every policy is a minimiser: these pairs say nothing.";
  if (least.kind === "line")
    return `Every policy on the dashed line is a minimiser: the data say nothing about ${italic("y")}<sub>3</sub>. ${ends(least.law)}`;
  if (near(least.law, world.target)) return `The loss is least at the target ${symbol("target")}. ${ends(least.law)}`;
  if (near(least.law, q)) return `The loss is least at ${symbol("q")}, not at ${symbol("target")}. ${ends(least.law)}`;
  return `The loss is not least at ${symbol("target")} but KL = ${number(atLeast.klTarget, 2)} nats from it. ${ends(least.law)}`;
}
