// The map: pan, zoom, hover, click, and all of it by keys.
import { backend } from "explore/backend";
import { get, latest } from "explore/dom";
import { codeOf, lerp, lift, place } from "explore/geometry";
import { thumb } from "explore/items";
import { legendText } from "explore/legend";
import { Grid, draw } from "explore/raster";
import { complain, emit, look, on, say, state } from "explore/state";

const MANY = 20000;
const view = { scale: 1, x: 0, y: 0 };
const cross = { x: 0, y: 0, shown: false };
let canvas, marks, context, over, image, grid, colours;
let waiting = false;

export function startMap() {
  canvas = get("map");
  marks = get("marks");
  context = canvas.getContext("2d");
  over = marks.getContext("2d");
  new ResizeObserver(resize).observe(get("map-box"));
  get("zoom-in").addEventListener("click", () => zoom(1.5));
  get("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
  get("zoom-reset").addEventListener("click", fit);
  pointer();
  canvas.addEventListener("keydown", keys);
  canvas.addEventListener("focus", () => { cross.shown = true; if (!inside(cross)) Object.assign(cross, { x: view.x, y: view.y }); redraw(); });
  canvas.addEventListener("blur", () => { cross.shown = false; tip(-1); redraw(); });
  for (const event of ["code", "marks"]) on(event, schedule);
  on("ends", walk);
  on("plane", () => { grid = new Grid(state.plane); walk(); fit(); });
  on("colours", (found) => { colours = found; redraw(); });
  on("theme", redraw);
  grid = new Grid(state.plane);
  resize();
  fit();
}

function resize() {
  const box = get("map-box").getBoundingClientRect();
  const sharp = Math.min(2, globalThis.devicePixelRatio || 1);
  const [width, height] = [Math.max(50, Math.round(box.width * sharp)), Math.max(50, Math.round(box.height * sharp))];
  if (image && canvas.width === width && canvas.height === height) return;
  view.scale *= image ? width / canvas.width : 1;
  for (const one of [canvas, marks]) Object.assign(one, { width, height });
  image = context.createImageData(width, height);
  redraw();
}

/** All items in view. */
function fit() {
  const { x0, x1, y0, y1 } = grid.box;
  if (!Number.isFinite(x0)) return;
  Object.assign(view, { x: (x0 + x1) / 2, y: (y0 + y1) / 2 });
  view.scale = 0.92 * Math.min(canvas.width / Math.max(x1 - x0, 1e-6), canvas.height / Math.max(y1 - y0, 1e-6));
  redraw();
}

function zoom(factor, at = { x: view.x, y: view.y }) {
  view.x = at.x + (view.x - at.x) / factor;
  view.y = at.y + (view.y - at.y) / factor;
  view.scale *= factor;
  move();
}

let moving = false;
let resting = 0;

/** Many points are drawn plainly as long as the map moves, and with care once it rests. */
function move() {
  moving = colours !== undefined && colours.length > MANY;
  clearTimeout(resting);
  if (moving) resting = setTimeout(() => { moving = false; redraw(); }, 160);
  redraw();
}

let stale = true; // whether the points are to be drawn again, and not the marks alone
let path = []; // places on the way from A to B

function walk() {
  const { a, b } = state.ends;
  path = a && b ? Array.from({ length: 21 }, (_, t) => place(lerp(a.code, b.code, t / 20))) : [];
  schedule();
}

function redraw() {
  stale = true;
  schedule();
}

function schedule() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; frame(); });
}

const times = [];

/** One picture. Its time is kept, for whoever measures. */
export function frame() {
  if (!colours || colours.length * 2 !== state.plane.length) return;
  const began = performance.now();
  const n = colours.length;
  const sharp = canvas.width / Math.max(1, canvas.clientWidth);
  if (!stale) return overlay(sharp);
  stale = false;
  const zoomed = Math.sqrt(Math.max(1, view.scale / (canvas.width / Math.max(grid.box.x1 - grid.box.x0, 1e-6))));
  const radius = sharp * Math.min(5, Math.max(0.8, 110 / Math.sqrt(n + 400)) * Math.min(3, zoomed));
  draw(image, state.plane, view, colours, moving ? Math.min(radius, 1.2 * sharp) : radius, moving ? 1 : n > MANY ? 0.6 : 0.85);
  context.putImageData(image, 0, 0);
  overlay(sharp);
  times.push(performance.now() - began);
  if (times.length > 500) times.shift();
  return undefined;
}

/** Milliseconds of the latest frames. */
export const frameTimes = () => times.slice();
export const viewNow = () => ({ ...view, cross: { ...cross } });

const pixel = (x, y) => [canvas.width / 2 + (x - view.x) * view.scale, canvas.height / 2 - (y - view.y) * view.scale];
const inside = ({ x, y }) => { const [px, py] = pixel(x, y); return px > 0 && py > 0 && px < canvas.width && py < canvas.height; };

function overlay(sharp) {
  over.clearRect(0, 0, marks.width, marks.height);
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink").trim();
  const paper = style.getPropertyValue("--paper").trim();
  const accent = style.getPropertyValue("--accent").trim();
  over.font = `600 ${13 * sharp}px system-ui, sans-serif`;
  const halo = (path, colour, width) => {
    over.strokeStyle = paper;
    over.lineWidth = (width + 3) * sharp;
    over.stroke(path);
    over.strokeStyle = colour;
    over.lineWidth = width * sharp;
    over.stroke(path);
  };
  const label = (text, x, y) => {
    over.strokeStyle = paper;
    over.lineWidth = 4 * sharp;
    over.strokeText(text, x + 9 * sharp, y - 8 * sharp);
    over.fillStyle = ink;
    over.fillText(text, x + 9 * sharp, y - 8 * sharp);
  };
  const ring = (x, y, r) => { const path = new Path2D(); path.arc(x, y, r * sharp, 0, 7); return path; };
  if (path.length) {
    const line = new Path2D();
    for (const [x, y] of path) line.lineTo(...pixel(x, y));
    halo(line, ink, 1.5);
  }
  for (const [name, end] of Object.entries(state.ends)) {
    if (!end) continue;
    const [x, y] = pixel(...place(end.code));
    halo(ring(x, y, 6), ink, 2);
    label(name.toUpperCase(), x, y);
  }
  for (const mark of state.marks) {
    const [x, y] = pixel(...place(mark.code));
    const path = new Path2D();
    const r = 7 * sharp;
    path.moveTo(x, y - r); path.lineTo(x + r, y); path.lineTo(x, y + r); path.lineTo(x - r, y); path.closePath();
    halo(path, accent, 2);
    label(mark.name, x, y);
  }
  if (state.code) {
    const [x, y] = pixel(...place(state.code));
    halo(ring(x, y, 8), accent, 2.5);
    const dot = new Path2D();
    dot.arc(x, y, 1.5 * sharp, 0, 7);
    halo(dot, accent, 1.5);
  }
  if (cross.shown) {
    const [x, y] = pixel(cross.x, cross.y);
    const r = 12 * sharp;
    const path = new Path2D();
    path.moveTo(x - r, y); path.lineTo(x + r, y); path.moveTo(x, y - r); path.lineTo(x, y + r);
    halo(path, ink, 1.5);
  }
}

function at(event) {
  const box = canvas.getBoundingClientRect();
  const sharp = canvas.width / box.width;
  const [px, py] = [(event.clientX - box.left) * sharp, (event.clientY - box.top) * sharp];
  return { x: view.x + (px - canvas.width / 2) / view.scale, y: view.y - (py - canvas.height / 2) / view.scale };
}

const seen = (i) => colours[i] !== 0;
const under = (where, reach = 9) => grid.nearest(where.x, where.y, (reach * canvas.width) / Math.max(1, canvas.clientWidth) / view.scale, seen);

function pointer() {
  const down = new Map();
  let moved = false;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, event);
    moved = moved && down.size > 1;
    tip(-1);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!down.has(event.pointerId)) {
      if (event.pointerType === "mouse") tip(under(at(event)), event);
      return;
    }
    const before = [...down.values()];
    const last = down.get(event.pointerId);
    down.set(event.pointerId, event);
    if (down.size === 2) { // two fingers: what lies between them stays between them
      const now = [...down.values()];
      const gap = ([p, q]) => Math.hypot(p.clientX - q.clientX, p.clientY - q.clientY) || 1;
      const middle = at({ clientX: (now[0].clientX + now[1].clientX) / 2, clientY: (now[0].clientY + now[1].clientY) / 2 });
      moved = true;
      zoom(gap(now) / gap(before), middle);
      return;
    }
    if (Math.hypot(event.clientX - last.clientX, event.clientY - last.clientY) < (moved ? 0 : 3)) { down.set(event.pointerId, last); return; }
    moved = true;
    const sharp = canvas.width / Math.max(1, canvas.clientWidth);
    view.x -= ((event.clientX - last.clientX) * sharp) / view.scale;
    view.y += ((event.clientY - last.clientY) * sharp) / view.scale;
    move();
  });
  const up = (event) => {
    const was = down.delete(event.pointerId);
    if (was && !moved && event.type === "pointerup") choose(at(event));
    if (!down.size) moved = false;
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => tip(-1));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), at(event));
  }, { passive: false });
}

/** Decode a place: an item's own code where one lies there. */
export async function choose(where) {
  const i = under(where, 6);
  Object.assign(cross, where);
  if (i >= 0) return chooseItem(i);
  const how = state.scene.exact ? "" : state.method === "pca" ? " (principal components; the other directions at their mean)" : " (a blend of the codes nearest on the map)";
  look(lift([where.x, where.y]), { origin: `A place on the map${how}` });
  return undefined;
}

/** Look at item i: its code, and itself beside what it decodes to. */
export async function chooseItem(i, source = "") {
  try {
    const original = await backend.item(i);
    look(codeOf(i), { origin: `The code of ${nameOf(original)}`, original, given: backend.givenOf(original), source });
  } catch (error) {
    complain(error);
  }
}

export const nameOf = ({ index, name, label }) => `item ${index}${name ? ` (${name})` : ""}${label !== null && label !== undefined ? `, label ${label}` : ""}`;

function keys(event) {
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = canvas.width / 40 / view.scale;
  if (arrows) {
    const [dx, dy] = arrows.map((v) => v * step * (event.shiftKey ? 3 : 1));
    if (event.shiftKey) { view.x += dx; view.y += dy; }
    cross.x += dx;
    cross.y += dy;
    if (!inside(cross)) { view.x += dx; view.y += dy; }
    const i = under(cross, 15);
    tip(i, null, true);
    redraw();
  } else if (event.key === "Enter" || event.key === " ") {
    const i = event.key === " " ? under(cross, 1e5) : -1;
    if (i >= 0) { Object.assign(cross, { x: state.plane[2 * i], y: state.plane[2 * i + 1] }); chooseItem(i); } else choose(cross);
  } else if (event.key === "+" || event.key === "=") zoom(1.3, cross);
  else if (event.key === "-") zoom(1 / 1.3, cross);
  else if (event.key === "0") fit();
  else if (event.key === "a" || event.key === "b") emit("use", event.key);
  else return;
  event.preventDefault();
}

let tipped = -1;
const fetchTip = latest(async (i) => {
  try {
    const item = await backend.item(i);
    if (tipped !== i) return;
    const box = get("tip");
    const told = legendText(i);
    box.replaceChildren(thumb(item.item, 84), document.createTextNode(nameOf(item)), ...(told ? [document.createElement("br"), told] : []));
    box.hidden = false;
    if (cross.shown && box.dataset.spoken) say(`${nameOf(item)}${typeof item.item === "string" && state.model.kind === "text" ? `: ${item.item}` : ""}`);
  } catch { /* a hover that fails is no news */ }
});

/** Show item i beside the pointer or the cross; -1: nothing. */
function tip(i, event, spoken = false) {
  const box = get("tip");
  canvas.style.cursor = i >= 0 ? "pointer" : "crosshair";
  if (i < 0) { tipped = -1; box.hidden = true; return; }
  const frameBox = canvas.getBoundingClientRect();
  const [px, py] = pixel(state.plane[2 * i], state.plane[2 * i + 1]).map((v) => (v * frameBox.width) / canvas.width);
  const right = px > frameBox.width * 0.6;
  const low = py > frameBox.height * 0.6;
  Object.assign(box.style, {
    left: right ? "auto" : `${px + 14}px`, right: right ? `${frameBox.width - px + 14}px` : "auto",
    top: low ? "auto" : `${py + 10}px`, bottom: low ? `${frameBox.height - py + 10}px` : "auto",
  });
  box.dataset.spoken = spoken ? "yes" : "";
  if (i !== tipped) { tipped = i; fetchTip(i); }
}
