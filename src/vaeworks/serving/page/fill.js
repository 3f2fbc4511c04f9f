// Hide part of an item and watch it be filled in.
import { readWav, waveform } from "explore/audio";
import { backend } from "explore/backend";
import { chooser } from "explore/choose";
import { el, latest } from "explore/dom";
import { rowForm } from "explore/form";
import { player, rows, saveItems, show } from "explore/items";
import { painter } from "explore/paint";
import { complain, say, state } from "explore/state";

export function fillPanel() {
  const { kind } = state.model;
  if (!backend.can.impute) return { element: el("p", {}, "Filling in needs the service: run vae explore on the model.") };
  if (!state.model.has_log_prob) return { element: el("p", {}, "A plain autoencoder cannot fill in what is missing: it knows no p(missing | seen). Train a VAE recipe for that.") };
  const draws = el("select", { id: "draws" }, el("option", { value: 0 }, "best"), ...[1, 4, 9].map((n) => el("option", { value: n, selected: n === 4 }, `${n} draw${n > 1 ? "s" : ""}`)));
  const seed = el("input", { type: "number", id: "fill-seed", value: 0, min: 0, step: 1 });
  const result = el("div", { class: "samples", id: "filled" });
  let filled = [];
  let item = null;
  let given = null;
  let hidden = () => ({});
  const keep = el("button", { type: "button", disabled: true, onclick: () => saveItems(filled, `${state.model.source}-filled`) }, "Download");
  const fill = latest(async () => {
    try {
      const { item: holed = item, ...how } = hidden();
      if (how.nothing) { result.replaceChildren(el("p", { class: "quiet" }, how.nothing)); return; }
      result.setAttribute("aria-busy", "true");
      filled = await backend.impute(holed, { ...how, draws: Number(draws.value), seed: Number(seed.value), given });
      result.replaceChildren(...present(holed));
      keep.disabled = false;
      say("Filled in");
    } catch (error) {
      complain(error);
    } finally {
      result.removeAttribute("aria-busy");
    }
  });
  const present = (holed) => {
    if (kind === "table") return [el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Filled in" }, rows([["given", holed], ...filled.map((row, i) => [`draw ${i + 1}`, row])]))];
    return filled.map((one, i) => el("span", { class: kind === "image" ? "sample large" : "sample" }, show(one, `Draw ${i + 1}`)));
  };
  const go = el("button", { type: "button", class: "main", id: "fill", disabled: true, onclick: fill }, "Fill in");
  const editor = el("div", { class: "editor" });
  const choice = chooser((chosen) => {
    ({ item, given } = chosen);
    filled = [];
    result.replaceChildren();
    keep.disabled = true;
    go.disabled = false;
    const made = editors[kind](item, fill);
    hidden = made.hidden;
    editor.replaceChildren(...made.elements);
  });
  return {
    choice,
    element: el("div", {}, choice.element, editor,
      el("div", { class: "line" }, el("label", { for: "draws" }, "Show"), draws, el("label", { for: "fill-seed" }, "Seed"), seed, go, keep), result),
  };
}

/** Of each kind: the elements that hide something of an item, and what is hidden then. */
const editors = {
  image: (item, fill) => painter(item, fill),
  text(item, fill) {
    const field = el("input", { type: "text", id: "gapped", class: "wide", spellcheck: "false", autocomplete: "off" });
    field.value = item;
    field.addEventListener("keydown", (event) => { if (event.key === "Enter") fill(); });
    const hide = el("button", { type: "button", onclick: () => {
      const [start, end] = [field.selectionStart, field.selectionEnd];
      if (end > start) field.value = field.value.slice(0, start) + "_".repeat(end - start) + field.value.slice(end);
      field.focus();
      fill();
    } }, "Hide what is selected");
    const hint = "Each _ is a gap of one character: type it, or select letters and hide them.";
    return {
      elements: [el("label", { for: "gapped" }, "Text with gaps"), field, hide, el("p", { class: "quiet" }, hint)],
      hidden: () => (field.value.includes("_") ? { item: field.value } : { nothing: "Nothing is hidden yet: write _ where something is missing." }),
    };
  },
  table(item, fill) {
    const form = rowForm({ onchange: fill });
    form.set(item);
    return {
      elements: [el("p", { class: "quiet" }, "Empty the cells that are to be filled in."), form.element],
      hidden() {
        const row = form.value();
        return Object.values(row).some((v) => v === null) ? { item: row } : { nothing: "Nothing is hidden yet: empty a cell." };
      },
    };
  },
  audio(item, fill) {
    const { samples, rate } = readWav(item) ?? { samples: [], rate: 8000 };
    const seconds = samples.length / rate;
    const gap = [seconds * 0.4, seconds * 0.6];
    const picture = el("div");
    const paint = () => picture.replaceChildren(waveform(item, { gap, label: "Sound with its gap" }));
    const ends = ["from", "to"].map((name, k) => {
      const input = el("input", { type: "range", id: `gap-${name}`, min: 0, max: seconds, step: seconds / 200 || 0.01, value: gap[k], oninput: () => {
        gap[k] = Number(input.value);
        output.textContent = `${gap[k].toFixed(2)} s`;
        paint();
      }, onchange: fill });
      const output = el("output", { for: `gap-${name}` }, `${gap[k].toFixed(2)} s`);
      return el("div", { class: "line" }, el("label", { for: `gap-${name}` }, `Gap ${name}`), input, output);
    });
    paint();
    return {
      elements: [picture, el("div", { class: "line" }, player(item)), ...ends],
      hidden: () => (gap[1] > gap[0] ? { gap: [...gap] } : { nothing: "The gap ends before it begins." }),
    };
  },
};
