// Two items and the path between them.
import { backend } from "explore/backend";
import { el, get } from "explore/dom";
import { codeOf, lerp } from "explore/geometry";
import { nameOf } from "explore/map";
import { saveItems, thumb } from "explore/items";
import { complain, emit, look, on, say, state } from "explore/state";

const STEPS = 7;

export function pathPanel() {
  const slots = Object.fromEntries(["a", "b"].map((name) => {
    const shown = el("div", { class: "slot" }, "nothing yet");
    const button = el("button", { type: "button", onclick: () => emit("use", name) }, `${name.toUpperCase()} is what is shown`);
    return [name, { shown, element: el("div", { class: "end" }, el("h3", {}, name.toUpperCase()), shown, button) }];
  }));
  const slider = el("input", { type: "range", min: 0, max: 1, step: 0.005, value: 0, id: "along", disabled: true, oninput: () => go(Number(slider.value)) });
  const play = el("button", { type: "button", disabled: true, onclick: () => run() }, "Play");
  const keep = el("button", { type: "button", disabled: true, onclick: () => saveItems(strip.items, `${state.model.source}-path`) }, "Download the path");
  const strip = { element: el("div", { class: "strip", role: "group", "aria-label": "Steps of the path" }), items: [] };
  const random = el("button", { type: "button", onclick: () => pair() }, "Two items at random");

  function givenAt(t) {
    return (t < 0.5 ? state.ends.a : state.ends.b).given;
  }
  function go(t) {
    slider.value = t;
    look(lerp(state.ends.a.code, state.ends.b.code, t), { origin: `${Math.round(100 * t)} % of the way from A to B`, given: givenAt(t), source: "path" });
  }
  let running = 0;
  function run() {
    if (running) { cancelAnimationFrame(running); running = 0; play.textContent = "Play"; return; }
    const began = performance.now();
    play.textContent = "Stop";
    const step = (now) => {
      const t = Math.min(1, (now - began) / 4000);
      go(t);
      if (t < 1) running = requestAnimationFrame(step);
      else { running = 0; play.textContent = "Play"; }
    };
    running = requestAnimationFrame(step);
  }
  async function pair() {
    try {
      const n = state.codes.length / state.scene.centre.length;
      for (const name of ["a", "b"]) {
        const i = Math.floor(Math.random() * n);
        const item = await backend.item(i);
        state.ends[name] = { code: codeOf(i).slice(), item: item.item, given: backend.givenOf(item) ?? state.given, name: nameOf(item) };
      }
      emit("ends");
      go(0);
    } catch (error) {
      complain(error);
    }
  }
  on("use", (name) => {
    if (!state.code) return;
    const { code, original, current, given, origin } = state;
    state.ends[name] = { code: code.slice(), item: original ? original.item : current, given: given && { ...given }, name: original ? nameOf(original) : origin };
    emit("ends");
    say(`${name.toUpperCase()} is ${state.ends[name].name}`);
  });
  on("ends", async () => {
    for (const [name, slot] of Object.entries(slots)) {
      const end = state.ends[name];
      if (end && end.item !== null) slot.shown.replaceChildren(thumb(end.item), el("span", { class: "quiet" }, end.name));
    }
    const { a, b } = state.ends;
    for (const control of [slider, play, keep]) control.disabled = !(a && b);
    if (!a || !b) return;
    const along = Array.from({ length: STEPS }, (_, i) => i / (STEPS - 1));
    try {
      const first = along.filter((t) => t < 0.5);
      const last = along.filter((t) => t >= 0.5);
      const parts = await Promise.all([first, last].map((part) => backend.decode(part.map((t) => lerp(a.code, b.code, t)), givenAt(part[0]))));
      strip.items = parts.flat();
      strip.element.replaceChildren(...strip.items.map((item, i) => el("button", { type: "button", class: "step", "aria-label": `${Math.round(100 * along[i])} %`, onclick: () => go(along[i]) }, thumb(item, 48))));
    } catch (error) {
      complain(error);
    }
  });
  const conditional = state.model.context === "label" || state.model.context === "vector";
  return el("div", {},
    el("p", { class: "quiet" }, `Look at an item or a place on the map and make it A, then another B (keys a and b on the map).${conditional ? " What is given to the decoder changes halfway." : ""}`),
    el("div", { class: "ends" }, slots.a.element, slots.b.element),
    el("label", { for: "along" }, "Along the path"), slider,
    el("div", { class: "buttons" }, play, random, keep), strip.element);
}
