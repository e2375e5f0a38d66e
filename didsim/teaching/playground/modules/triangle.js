// How is the triangle drawn, and how are its marks moved?

import { innerPoints } from "./descent.js";
import { tidyLaw } from "./state.js";
import { LAWS, svgSymbol } from "./symbols.js";

const SIDE = 400;
const HEIGHT = SIDE * Math.sqrt(0.75);
const CORNERS = [
  [0, HEIGHT],
  [SIDE, HEIGHT],
  [SIDE / 2, 0],
];
const DIVISIONS = 12;
const STEP = 0.01;
const LEAP = 0.05;
const DIRECTIONS = {
  ArrowRight: [-1, 1, 0],
  ArrowLeft: [1, -1, 0],
  ArrowUp: [-0.5, -0.5, 1],
  ArrowDown: [0.5, 0.5, -1],
};
const STAR = "M0,-10 2.6,-3.2 9.5,-3.1 4,1.4 5.9,8.1 0,4.1 -5.9,8.1 -4,1.4 -9.5,-3.1 -2.6,-3.2Z";
const SHAPES = {
  ref: '<rect class="ref" x="-6.5" y="-6.5" width="13" height="13"/>',
  target: `<path class="target" d="${STAR}"/>`,
  start: '<path class="start" d="M-6,-6 6,6 M-6,6 6,-6"/>',
  q: '<path class="q" d="M0,-7 7,0 0,7 -7,0Z"/>',
  least: '<circle class="least" r="11"/>',
  end: '<circle class="end" r="4"/>',
  chosen: '<path class="chosen" d="M0,-6.5 6.5,5 -6.5,5Z"/>',
  rejected: '<path class="rejected" d="M0,6.5 6.5,-5 -6.5,-5Z"/>',
};
const HANDLES = ["start", "ref", "target"];
const LABELS = ["ref", "target", "q", "start", "chosen", "rejected", "least"]; // in the order in which equal ones are named

export const onTriangle = (law) => [0, 1].map((axis) => law.reduce((sum, p, y) => sum + p * CORNERS[y][axis], 0));

/** Masses at a place of the picture; outside the triangle some are negative. */
function massesAt([x, y]) {
  const third = 1 - y / HEIGHT;
  const second = x / SIDE - third / 2;
  return [1 - second - third, second, third];
}

const coordinates = (law) =>
  onTriangle(law)
    .map((x) => x.toFixed(1))
    .join(",");
const place = (law) => `transform="translate(${coordinates(law)})"`;
const element = (id) => document.getElementById(id);

/** Everything that does not take the focus, drawn anew. */
export function draw(scene) {
  element("ground").innerHTML = ground(scene.rewards);
  element("field").innerHTML = field(scene.motion);
  element("solution").innerHTML = solution(scene.least);
  element("path").innerHTML = `<polyline class="run" points="${scene.path.map(coordinates).join(" ")}"/>`;
  element("marks").innerHTML = Object.entries(scene.marks)
    .map(([name, law]) => `<g ${place(law)}>${SHAPES[name]}</g>`)
    .join("");
  element("labels").innerHTML = labels({ ...scene.marks, ...scene.handles });
  HANDLES.forEach((name) => moveHandle(name, scene.handles[name]));
}

function ground(rewards) {
  const corner = (y, dx, dy, anchor) => {
    const [x, top] = CORNERS[y];
    const name = `<tspan font-style="italic">y</tspan><tspan dy="3.5" font-size="0.75em">${y + 1}</tspan>`;
    const reward = `<tspan dy="-3.5" class="quiet">, <tspan font-style="italic">r</tspan> = ${rewards[y]}</tspan>`;
    return `<text x="${x + dx}" y="${top + dy}" text-anchor="${anchor}">${name}${reward}</text>`;
  };
  const outline = CORNERS.map((corner) => corner.map((x) => x.toFixed(1)).join(",")).join(" ");
  return `<polygon id="area" points="${outline}"/>${corner(0, -26, 26, "start")}${corner(1, 26, 26, "end")}${corner(2, 0, -14, "middle")}`;
}

/** Arrows whose length goes with the root of the speed, so that slow places are still seen to move. */
function field(motion) {
  const points = innerPoints(DIVISIONS);
  const ends = points.map((law) => onTriangle(motion(law)).map((x) => (Number.isFinite(x) ? x : 0)));
  const length = ends.map(([x, y]) => Math.hypot(x, y));
  const fastest = Math.max(...length);
  if (!(fastest > 1e-14 * SIDE)) return "";
  const arrow = (law, k) => {
    const size = (0.82 * (SIDE / DIVISIONS) * Math.sqrt(length[k] / fastest)) / (length[k] || 1);
    const [x, y] = onTriangle(law);
    const [u, v] = ends[k].map((one) => one * size);
    const reach = Math.hypot(u, v);
    if (reach < 1) return `<circle class="rest" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="1"/>`;
    const head = Math.min(5, reach / 2) / reach;
    const [tipX, tipY] = [x + u / 2, y + v / 2];
    const side = (turn) =>
      `${(tipX - head * (u + turn * 0.6 * v)).toFixed(1)},${(tipY - head * (v - turn * 0.6 * u)).toFixed(1)}`;
    const tip = `${tipX.toFixed(1)},${tipY.toFixed(1)}`;
    return `<path class="arrow" d="M${(x - u / 2).toFixed(1)},${(y - v / 2).toFixed(1)}L${tip}M${side(1)}L${tip}L${side(-1)}"/>`;
  };
  return points.map(arrow).join("");
}

function solution({ kind, ends }) {
  if (kind === "all") return '<polygon class="everywhere" points="' + CORNERS.map((c) => c.join(",")).join(" ") + '"/>';
  if (kind !== "line") return "";
  const [[x1, y1], [x2, y2]] = ends.map(onTriangle);
  return `<line class="solutions" x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"/>`;
}

/** Names beside the marks, each where it covers least of the others; marks in one place share a text, as π* = π_min. */
function labels(marks) {
  const spots = [];
  for (const [name, law] of Object.entries(marks).filter(([name, law]) => law && name !== "end")) {
    const [x, y] = onTriangle(law);
    const here = spots.find((spot) => Math.hypot(spot.x - x, spot.y - y) < 3);
    if (here) here.names.push(name);
    else spots.push({ x, y, names: [name] });
  }
  const taken = [];
  const texts = spots.map(({ x, y, names }) => {
    const sorted = LABELS.filter((name) => names.includes(name));
    const width =
      20 * (sorted.length - 1) +
      sorted.reduce((total, name) => total + 12 + 6 * (LAWS[name].sub ?? LAWS[name].sup ?? "").length, 0);
    const left = Math.max(-width - 17, -30 - x);
    const around = [
      [17, 5],
      [left, 5],
      [-width / 2, -16],
      [-width / 2, 27],
      [13, -10],
      [13, 21],
      [left, -10],
      [left, 21],
    ];
    const boxes = around.map(([dx, dy]) => [x + dx, y + dy - 13, width, 17]);
    const cost = ([u, v, w, h]) =>
      spots.filter((spot) => spot.x > u - 9 && spot.x < u + w + 9 && spot.y > v - 9 && spot.y < v + h + 9).length +
      taken.filter(([p, q, r, s]) => p < u + w && u < p + r && q < v + h && v < q + s).length +
      (u + w > SIDE + 30);
    const best = boxes.reduce((least, box) => (cost(box) < cost(least) ? box : least));
    taken.push(best);
    const words = sorted.map(svgSymbol).join(`<tspan> = </tspan>`);
    return `<text class="label" x="${best[0].toFixed(1)}" y="${(best[1] + 13).toFixed(1)}">${words}</text>`;
  });
  return texts.join("");
}

const inWords = (law) => law.map((p, y) => `${(100 * p).toFixed(1)} % on response ${y + 1}`).join(", ");

function moveHandle(name, law) {
  const handle = element(`handle-${name}`);
  handle.toggleAttribute("hidden", !law);
  handle.setAttribute("tabindex", law ? 0 : -1);
  if (!law) return;
  handle.setAttribute("transform", `translate(${coordinates(law)})`);
  handle.setAttribute("aria-valuenow", (100 * law[2]).toFixed(1));
  handle.setAttribute("aria-valuetext", inWords(law));
}

/** Makes the marks that can be moved; `change(name, law, moving)` hears of it, also of a click on the triangle. */
export function install(change, current) {
  const handle = (
    name,
  ) => `<g id="handle-${name}" class="handle" role="slider" tabindex="0" aria-label="${LAWS[name].says}"
    aria-describedby="help" aria-valuemin="0" aria-valuemax="100" aria-valuenow="0"><circle class="grip" r="22"/>${SHAPES[name]}</g>`;
  element("handles").innerHTML = HANDLES.map(handle).join("");
  HANDLES.forEach((name) => {
    listenToPointer(element(`handle-${name}`), name, change);
    element(`handle-${name}`).addEventListener("keydown", (event) => {
      const law = moved(current(name), event);
      if (!law) return;
      event.preventDefault();
      change(name, law, false);
    });
  });
  element("ground").addEventListener("click", (event) => change("start", tidyLaw(massesAt(where(event))), false));
}

function moved(law, event) {
  if (event.key === "Home") return tidyLaw([1, 1, 1]);
  const direction = DIRECTIONS[event.key];
  return direction && !event.altKey && !event.ctrlKey && !event.metaKey
    ? tidyLaw(law.map((p, y) => Math.max(p + direction[y] * (event.shiftKey ? LEAP : STEP), 0)))
    : null;
}

function listenToPointer(handle, name, change) {
  let held = false;
  const tell = (event, moving) => change(name, tidyLaw(massesAt(where(event)).map((p) => Math.max(p, 0))), moving);
  handle.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    held = true;
    handle.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    event.preventDefault();
  });
  handle.addEventListener("pointermove", (event) => {
    if (held) tell(event, true);
  });
  const release = (event) => {
    if (held) tell(event, false);
    held = false;
  };
  handle.addEventListener("pointerup", release);
  handle.addEventListener("pointercancel", () => {
    held = false;
  });
}

/** Where in the picture a pointer is. */
function where(event) {
  const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(
    element("triangle").getScreenCTM().inverse(),
  );
  return [x, y];
}
