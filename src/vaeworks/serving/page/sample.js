// New items: from the prior, by seed and temperature, and under conditions.
import { backend } from "explore/backend";
import { el, number } from "explore/dom";
import { rowForm } from "explore/form";
import { player, saveItems, thumb } from "explore/items";
import { complain, say, state } from "explore/state";

export function samplePanel() {
  const { kind, context, classes } = state.model;
  let drawn = [];
  const seed = el("input", { type: "number", id: "seed", value: 0, min: 0, step: 1 });
  const count = el("select", { id: "count" }, ...[4, 9, 16, 36, 64].map((n) => el("option", { value: n, selected: n === 16 }, String(n))));
  const steps = { min: 0, max: 2, step: 0.05 };
  const told = el("output", { for: "temperature" }, "1.00");
  const temperature = el("input", { type: "range", id: "temperature", ...steps, value: 1, disabled: !backend.can.temperature, oninput: () => { told.textContent = Number(temperature.value).toFixed(2); } });
  const label = context === "label" || context === "partial-label" ? el("select", { id: "sample-label" }, el("option", { value: "" }, "each in turn"), ...classes.map((name) => el("option", { value: name }, name))) : null;
  const form = kind === "table" && backend.can.conditions ? rowForm({ ranges: true }) : null;
  const shown = el("div", { class: "samples", "aria-live": "off" });
  const keep = el("button", { type: "button", disabled: true, onclick: () => saveItems(drawn, `${state.model.source}-samples-${seed.value}`) }, "Download");
  const draw = async () => {
    try {
      const given = { ...(label?.value ? { label: label.value } : {}), ...(form ? form.value(true) : {}) };
      const answer = await backend.sample({ n: Number(count.value), seed: Number(seed.value), temperature: Number(temperature.value), given });
      drawn = answer.items;
      shown.replaceChildren(...present());
      keep.disabled = false;
      say(`${drawn.length} samples`);
    } catch (error) {
      complain(error);
    }
  };
  const present = () => {
    if (kind === "table") return [el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Samples" }, wide(drawn))];
    return drawn.map((item) => el("span", { class: "sample" }, thumb(item, kind === "image" ? 56 : 40), player(item)));
  };
  const go = el("button", { type: "button", id: "draw", class: "main", onclick: draw }, "Sample");
  const next = el("button", { type: "button", onclick: () => { seed.value = Number(seed.value) + 1; draw(); } }, "Next seed");
  return el("div", {},
    el("div", { class: "line" }, el("label", { for: "count" }, "How many"), count, el("label", { for: "seed" }, "Seed"), seed, label ? el("label", { for: "sample-label" }, "Label") : null, label),
    el("div", { class: "line" }, el("label", { for: "temperature" }, "Temperature"), temperature, told),
    form ? el("details", {}, el("summary", {}, "Conditions on columns"), el("p", { class: "quiet" }, "A value, or of numbers a range such as 30..40; at temperature 1."), form.element) : null,
    el("div", { class: "buttons" }, go, next, keep), shown);
}

/** Rows as they stand in a table. */
function wide(items) {
  const columns = Object.keys(items[0]);
  return el("table", {}, el("thead", {}, el("tr", {}, ...columns.map((c) => el("th", { scope: "col" }, c)))),
    el("tbody", {}, ...items.map((row) => el("tr", {}, ...columns.map((c) => el("td", {}, typeof row[c] === "number" ? number(row[c], 5) : row[c] ?? "–"))))));
}
