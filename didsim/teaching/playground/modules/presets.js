// What should a class look at?  A state for each notebook, with what to see and what to try.

import { consistent, withObjective } from "./state.js";

const usual = {
  hold: "target",
  reward: [0, 0, 0],
  target: [1, 1, 1],
  beta: 0.5,
  lossBeta: null,
  place: 0,
  start: null,
  rate: null,
};

function preset(title, see, objective, settings) {
  return {
    title,
    see,
    state: consistent(withObjective({ ...usual, sampler: "chosen_rejected", ...settings }, objective)),
  };
}

const REF = "<i>π</i><sub>ref</sub>";
const TARGET = "<i>π</i>*";
const MIDDLE = { ref: [0.15, 0.7, 0.15], hold: "reward", reward: [0, 0.4, 1] };

export const PRESETS = {
  "01": preset(
    "01 Quickstart",
    `Rejected responses are drawn so that DPO ends at ${TARGET}. Drag ${TARGET} or ${REF} anywhere: the run still ends there. Then change the <i>β</i> of the loss alone: it no longer does.`,
    "dpo",
    { ref: [0.5, 0.3, 0.2], target: [0.2, 0.3, 0.5] },
  ),
  "02": preset(
    "02 Why the log-ratio",
    `SimPO fits the same preferences without the reference and ends at <i>q</i>, not at ${TARGET}. Switch to DPO and back; drag ${REF} to the middle, where the two agree.`,
    "simpo",
    MIDDLE,
  ),
  "03": preset(
    "03 Why chosen likelihood falls",
    "Chosen responses lose likelihood although training works: look at the chart. Move their law along the path from 0 to 1: first both fall, then only the rejected, then both rise.",
    "dpo",
    { ref: [0.5, 0.3, 0.2], target: [0.1, 0.2, 0.7], place: 0.2 },
  ),
  "04": preset(
    "04 What your sampler cannot teach",
    `The third response, the best one, is never shown. All policies on the dashed line are minimisers; where a run ends is decided by its start. Drag the start <i>π</i><sub>0</sub>, the cross.`,
    "dpo",
    { ...MIDDLE, sampler: "blocks", start: [0.5, 0.2, 0.3] },
  ),
  "05": preset(
    "05 Conditioning",
    "The reference prefers the worst response. All pairs but the last kind lead to the same minimiser; compare <i>κ</i> and the number of steps under each. Mix-R has <i>κ</i> = 1.",
    "dpo",
    { ref: [0.62, 0.28, 0.1], hold: "reward", reward: [0, 1, 2.2], beta: 1, sampler: "reference" },
  ),
  "06": preset(
    "06 β early and late",
    "The reward stays while <i>β</i> moves. With one step size for all, a larger <i>β</i> moves further in the first step and ends nearer to the reference. Compare <i>β</i> = 0.2, 0.5, 1 and 2.",
    "dpo",
    { ref: [0.6, 0.3, 0.1], hold: "reward", reward: [0, 0.3, 0.6], beta: 0.5, sampler: "uniform", rate: 0.3 },
  ),
  "07": preset(
    "07 Entropy of the DID",
    `One response stands out, and ${TARGET} is sharper than ${REF}. Drag ${TARGET} to the other side of ${REF}, towards the middle, and compare the two values of <i>H</i>(<i>q</i>).`,
    "dpo",
    { ref: [0.18, 0.64, 0.18], target: [0.13, 0.74, 0.13] },
  ),
  "08": preset(
    "08 Attack a theorem",
    `Conjecture: chosen responses gain likelihood when rejected ones come from ${REF}, that is at place <i>β</i> of the path. Find settings where they lose. This is one; what does it have in common with yours?`,
    "dpo",
    { ref: [0.2, 0.4, 0.4], target: [0.34, 0.33, 0.33], beta: 0.3, place: 0.3 },
  ),
  "09": preset(
    "09 Sweeps at scale",
    "IPO’s loss is quadratic: one Hessian everywhere. On uniform pairs a run converges for step sizes below 1.5, half the number of responses, and diverges above. Cross that border.",
    "ipo[sum]",
    { ref: [0.2, 0.5, 0.3], hold: "reward", reward: [0, 0.6, 1.2], sampler: "uniform", rate: 1.4 },
  ),
  "10": preset(
    "10 Which loss for my data",
    `KTO on perfect data: no policy is best, and the run takes all mass from the response that ${REF} has too much of. Change the loss to DPO: the same data, and ${TARGET} is reached.`,
    "kto",
    { ref: [0.5, 0.3, 0.2], target: [0.2, 0.3, 0.5] },
  ),
};
