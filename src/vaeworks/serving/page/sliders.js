// A slider for every dimension of the code, the one that tells most first.
import { el, number } from "explore/dom";
import { emit, on, state } from "explore/state";

const FIRST = 16;

export function slidersPanel() {
  const { dimensions, levels, classes_in_code: coded } = state.scene;
  const sliders = dimensions.filter(({ index }) => index >= coded).map((dimension) => slider(dimension, levels[dimension.index]));
  const list = el("div", { class: "sliders" }, ...sliders.map((s) => s.element));
  const rest = sliders.slice(FIRST);
  const more = el("button", { type: "button", "aria-expanded": "false", onclick: () => {
    const open = more.getAttribute("aria-expanded") !== "true";
    more.setAttribute("aria-expanded", String(open));
    more.textContent = open ? "Show fewer" : `Show all ${sliders.length}`;
    for (const s of rest) s.element.hidden = !open;
  } }, `Show all ${sliders.length}`);
  for (const s of rest) s.element.hidden = true;
  const middle = el("button", { type: "button", onclick: () => {
    const code = state.code.slice();
    for (const { index, mean } of dimensions) if (index >= coded) code[index] = mean;
    Object.assign(state, { code, origin: "The mean of all codes", original: null });
    emit("code", "mean");
  } }, "All to their mean");
  on("code", () => { for (const s of sliders) s.update(); });
  const orders = {
    kl: "In order of KL, what a dimension tells of items, in nats. Dimensions that tell nothing are dimmed.",
    information: "In order of what a dimension tells of items, in nats, as if codes were normal: this posterior or prior gives no KL for each. Dimensions that tell nothing are dimmed.",
    spread: "In order of how much the codes of items vary along each.",
  };
  return el("div", {},
    el("p", { class: "quiet" }, orders[state.scene.measure]),
    list, el("div", { class: "buttons" }, rest.length ? more : null, middle));
}

function slider(dimension, name) {
  const { index, nats, low, high, spread } = dimension;
  const idle = nats === null ? spread < 0.05 : nats < 0.02;
  const input = el("input", {
    type: "range", min: low, max: high, step: (high - low) / 400, id: `z${index}`, oninput: () => {
      const code = state.code.slice();
      code[index] = Number(input.value);
      Object.assign(state, { code, origin: "Set by the sliders", original: null });
      emit("code", "slider");
    },
  });
  const output = el("output", { for: `z${index}` });
  const told = nats === null ? `± ${number(spread, 2)}` : `${nats.toFixed(2)} nats`;
  return {
    element: el("div", { class: idle ? "slider idle" : "slider" }, el("label", { for: `z${index}` }, name, el("span", { class: "quiet" }, ` ${told}`)), input, output),
    update() {
      const value = state.code[index];
      if (value < Number(input.min)) input.min = value;
      if (value > Number(input.max)) input.max = value;
      if (document.activeElement !== input || Math.abs(Number(input.value) - value) > (high - low) / 300) input.value = value;
      output.textContent = value.toFixed(2);
    },
  };
}
