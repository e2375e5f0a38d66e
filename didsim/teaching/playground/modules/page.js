// What happens when something is set?  The state changes, everything is computed anew and shown, and the link with it.

import { lawRows, numberRows, setting, verdict } from "./answers.js";
import { chart } from "./charts.js";
import { motion } from "./descent.js";
import { exp, log, normalize } from "./laws.js";
import { OBJECTIVES } from "./objectives.js";
import { PRESETS } from "./presets.js";
import { readings, run } from "./readings.js";
import { SAMPLERS } from "./samplers.js";
import { consistent, fromHash, LIMITS, tidyLaw, toHash, withObjective, withTarget } from "./state.js";
import { italic, number, signed, symbol } from "./symbols.js";
import { draw, install } from "./triangle.js";

const STEPS = 5000; // of a run
const WHILE_MOVING = 600; // of a run that is drawn while a mark is dragged
const element = (id) => document.getElementById(id);
const FIRST = "01";
let state = PRESETS[FIRST].state;
let waiting = 0; // for the address to follow
let asked = 0; // for the next frame, while something is dragged

// ---- what is shown

function show(moving = false) {
  const found = readings(state);
  const { records: path, outcome } = run(found, moving ? WHILE_MOVING : STEPS);
  drawTriangle(found, path);
  showControls(found);
  element("setting").innerHTML = setting(state, found);
  element("laws").tBodies[0].innerHTML = lawRows(state, found, path.at(-1).policy).join("");
  element("numbers").tBodies[0].innerHTML = numberRows(found, path.at(-1)).join("");
  showCharts(found, path);
  element("verdict").setAttribute("aria-live", moving ? "off" : "polite");
  const words = verdict(found, path.at(-1), outcome);
  if (element("verdict").innerHTML !== words) element("verdict").innerHTML = words;
  if (!moving) keepLink();
}

/** The address follows the state a moment later: browsers refuse more than a few changes a second. */
function keepLink() {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    history.replaceState(null, "", toHash(state));
    element("address").textContent = `This state: ${location.href}`;
  }, 200);
}

function drawTriangle({ world, problem, q, chosen, rejected, least }, path) {
  const marks = { q: exp(q) };
  if (SAMPLERS[state.sampler].shown) Object.assign(marks, { chosen: exp(chosen), rejected: exp(rejected) });
  if (least.law) marks.least = exp(least.law);
  marks.end = exp(path.at(-1).policy);
  draw({
    rewards: world.reward.map((r) => number(r, 3)),
    motion: (law) => motion(problem, normalize(log(law))),
    least,
    path: path.map(({ policy }) => exp(policy)),
    marks,
    handles: { ref: exp(world.ref), target: exp(world.target), start: state.start },
  });
  for (const one of document.querySelectorAll(".legend .pairs")) one.hidden = !SAMPLERS[state.sampler].shown;
}

function showCharts({ atLeast }, path) {
  const steps = path.map(({ step }) => step);
  const line = (name, key) => ({ name, kind: key, values: path.map((one) => one[key]) });
  element("likelihood").innerHTML = chart(steps, [line("chosen", "chosen"), line("rejected", "rejected")]);
  element("loss").innerHTML = chart(steps, [line("loss", "loss")], atLeast?.loss ?? null);
  const end = path.at(-1);
  element("likelihood-says").innerHTML =
    `At the end chosen ${signed(end.chosen)}, rejected ${signed(end.rejected)} nats.`;
  element("loss-says").innerHTML = `From ${number(path[0].loss)} to ${number(end.loss)}.`;
}

// ---- what can be set

const worldRow = (name, head, describe, step, [low, high]) =>
  `<tr><th scope="row">${head}</th>${[0, 1, 2]
    .map(
      (y) =>
        `<td><input type="number" id="${name}-${y}" step="${step}" min="${low}" max="${high}" aria-label="${describe} response ${y + 1}"></td>`,
    )
    .join("")}</tr>`;

function showControls({ rate, least }) {
  const { formula, extra, where } = OBJECTIVES[state.objective];
  element("objective").value = state.objective;
  element("formula").innerHTML = formula;
  const symbols = formula.includes("<i>a</i>")
    ? `${italic("a")}, ${italic("b")}: log ${italic("π")}/${symbol("ref")} of the chosen and of the rejected response. `
    : "";
  element("where").innerHTML = `${symbols}${least.how === "closed form" ? `Least at ${where}.` : ""}`;
  element("extra-row").hidden = !extra;
  if (extra) {
    Object.assign(element("extra"), { min: extra.low, max: extra.high });
    element("extra-label").innerHTML = `${italic(extra.symbol)}, ${extra.says}`;
    slide("extra", state.extra);
  }
  element("tied").checked = state.lossBeta === null;
  element("loss-beta-row").hidden = state.lossBeta === null;
  slide("loss-beta", state.lossBeta ?? state.beta, Math.log);
  element("sampler").value = state.sampler;
  element("law").innerHTML = SAMPLERS[state.sampler].law;
  element("place-row").hidden = !SAMPLERS[state.sampler].shown;
  slide("place", state.place);
  slide("beta", state.beta, Math.log);
  for (const name of ["ref", "target", "reward"]) {
    state[name].forEach((value, y) => {
      const input = element(`${name}-${y}`);
      if (document.activeElement !== input) input.value = Number(value.toFixed(name === "reward" ? 4 : 3));
    });
  }
  element(`hold-${state.hold}`).checked = true;
  element("apart").hidden = state.start !== null;
  element("home").hidden = state.start === null;
  element("safe").checked = state.rate === null;
  element("rate-row").hidden = state.rate === null;
  slide("rate", state.rate ?? rate, Math.log);
}

/** A slider and the number beside it; `scale` is Math.log where equal ways are equal ratios. */
function slide(id, value, scale = (x) => x) {
  const input = element(id);
  if (document.activeElement !== input) input.value = scale(value);
  input.nextElementSibling.innerHTML = number(value, 3);
  input.setAttribute("aria-valuetext", input.nextElementSibling.textContent);
}

const two = (x) => Number(x.toPrecision(2));
const onScale = (input, [low, high]) => Math.min(Math.max(two(Math.exp(input.valueAsNumber)), low), high);

/** A law with one entry set and the others scaled to fit. */
function withEntry(law, y, p) {
  const rest = 1 - law[y];
  return tidyLaw(law.map((other, z) => (z === y ? p : (other / rest) * (1 - p))));
}

const SETTINGS = {
  objective: ({ value }) => withObjective(state, value),
  extra: (input) => ({ ...state, extra: input.valueAsNumber }),
  tied: ({ checked }) => ({ ...state, lossBeta: checked ? null : state.beta }),
  "loss-beta": (input) => ({ ...state, lossBeta: onScale(input, LIMITS.lossBeta) }),
  sampler: ({ value }) => ({ ...state, sampler: value }),
  place: (input) => ({ ...state, place: input.valueAsNumber }),
  beta: (input) => ({ ...state, beta: onScale(input, LIMITS.beta) }),
  "hold-target": () => ({ ...state, hold: "target", target: tidyLaw(state.target) }),
  "hold-reward": () => ({ ...state, hold: "reward" }),
  safe: ({ checked }) => ({ ...state, rate: checked ? null : two(readings(state).rate) }),
  rate: (input) => ({ ...state, rate: onScale(input, LIMITS.rate) }),
};

function setEntry(input) {
  const [name, y] = input.id.split("-");
  const value = input.valueAsNumber;
  if (!(value >= Number(input.min) && value <= Number(input.max))) return null;
  if (name === "reward") {
    const reward = state.reward.map((r, z) => (z === Number(y) ? value : r));
    return { ...state, reward, hold: "reward" };
  }
  const law = withEntry(state[name], Number(y), value);
  return name === "target" ? withTarget(state, law) : { ...state, ref: law };
}

function set(next, moving = false) {
  if (!next) return;
  state = consistent(next);
  cancelAnimationFrame(asked);
  if (moving) asked = requestAnimationFrame(() => show(true));
  else show();
}

function hear(event) {
  const { id, type } = event.target;
  if (event.type === "input" && type !== "range" && type !== "number") return undefined; // their change follows
  if (type === "number") return set(setEntry(event.target));
  element("preset").value = "";
  return set(SETTINGS[id]?.(event.target), event.type === "input" && type === "range");
}

function moveMark(name, law, moving) {
  element("preset").value = "";
  if (name === "target") set(withTarget(state, law), moving);
  else set({ ...state, [name]: law }, moving);
}

function choosePreset(name) {
  const { state: chosen, see } = PRESETS[name];
  element("see").innerHTML = see;
  set(chosen);
}

function readLink(hash) {
  clearTimeout(waiting); // the address is the newer one
  const { state: linked, refused } = fromHash(hash, PRESETS[FIRST].state);
  const known = Object.keys(PRESETS).find((name) => toHash(PRESETS[name].state) === toHash(linked)) ?? "";
  element("preset").value = known;
  element("see").innerHTML = known ? PRESETS[known].see : "";
  element("refused").hidden = refused.length === 0;
  element("refused")
    .querySelector("ul")
    .replaceChildren(
      ...refused.map((line) => {
        const item = document.createElement("li");
        item.textContent = line;
        return item;
      }),
    );
  set(linked);
}

// ---- theme, link, print

function installTools() {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const name = () => {
    element("theme").textContent = isDark() ? "Light theme" : "Dark theme";
  };
  element("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    name();
  });
  dark.addEventListener("change", name);
  name();
  element("print").addEventListener("click", () => print());
  element("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      element("said").textContent = "Copied.";
    } catch {
      element("said").textContent = "The browser does not allow it; the address bar has the link.";
    }
  });
  element("skip").addEventListener("click", (event) => {
    // the hash is the state’s
    event.preventDefault();
    element("main").focus();
  });
}

function start() {
  const options = (table) => Object.entries(table).map(([name, { title }]) => new Option(title, name));
  const own = new Option("A state of your own", "");
  element("preset").replaceChildren(own, ...options(PRESETS));
  element("objective").replaceChildren(...options(OBJECTIVES));
  element("sampler").replaceChildren(...options(SAMPLERS));
  document.querySelector(".world tbody").innerHTML = [
    worldRow("ref", symbol("ref"), "reference: probability of", 0.01, [0.005, 0.99]),
    worldRow("target", symbol("target"), "target: probability of", 0.01, [0.005, 0.99]),
    worldRow("reward", italic("r"), "reward of", 0.1, LIMITS.reward),
  ].join("");
  install(moveMark, (name) => state[name]);
  element("controls").addEventListener("input", hear);
  element("controls").addEventListener("change", hear);
  element("controls").addEventListener("submit", (event) => event.preventDefault());
  element("preset").addEventListener("change", ({ target }) => {
    if (target.value) choosePreset(target.value);
  });
  element("apart").addEventListener("click", () => {
    set({ ...state, start: tidyLaw([1, 1, 1]) });
    element("handle-start").focus();
  });
  element("home").addEventListener("click", () => {
    set({ ...state, start: null });
    element("apart").focus();
  });
  addEventListener("hashchange", ({ newURL }) => readLink(new URL(newURL).hash));
  installTools();
  readLink(location.hash);
}

start();
// For the console, and for the test that holds this arithmetic against didsim.
globalThis.playground = Object.freeze({
  readings,
  run,
  motion,
  state: () => state,
  objectives: OBJECTIVES,
  samplers: SAMPLERS,
  presets: PRESETS,
});
