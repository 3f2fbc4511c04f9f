// What a conditional model is given: a class, or numbers by name.
import { el, get } from "explore/dom";
import { emit, on, state } from "explore/state";

/** The control beside what is shown, where the model is conditional. */
export function startGiven() {
  const box = get("given");
  const { context, classes } = state.model;
  if (context === "label") {
    const select = el("select", { id: "label", onchange: () => { state.given = { label: select.value }; emit("code", "given"); } }, ...classes.map((name) => el("option", { value: name }, name)));
    state.given = { label: classes[0] };
    box.append(el("label", {}, "Label given to the decoder ", select));
    on("given", () => { select.value = state.given.label; });
  } else if (context === "partial-label") {
    const coded = state.scene.classes_in_code;
    const select = el("select", {
      id: "label", onchange: () => {
        const code = state.code.slice();
        for (let c = 0; c < coded; c++) code[c] = Number(classes[c] === select.value);
        state.code = code;
        emit("code", "given");
      },
    }, ...classes.map((name) => el("option", { value: name }, name)));
    box.append(el("label", {}, "Label, part of the code ", select));
    on("code", () => { select.value = classes[state.code.slice(0, coded).reduce((best, v, i, all) => (v > all[best] ? i : best), 0)]; });
  } else if (context === "vector") {
    state.given = { ...state.scene.column_means };
    const inputs = Object.keys(state.given).map((name) => {
      const input = el("input", { type: "number", step: "any", value: Number(state.given[name].toPrecision(4)), onchange: () => { state.given[name] = Number(input.value); emit("code", "given"); } });
      return [name, input];
    });
    box.append(el("fieldset", {}, el("legend", {}, "Given to the decoder"), ...inputs.map(([name, input]) => el("label", {}, `${name} `, input))));
    on("given", () => { for (const [name, input] of inputs) input.value = state.given[name]; });
  }
}
