// Choosing an item: one of the map's, one's own file, text or row.
import { backend } from "explore/backend";
import { dataUrl, el } from "explore/dom";
import { rowForm } from "explore/form";
import { complain, state } from "explore/state";

let made = 0;

/** Controls that choose an item, and call `chosen({item, given, name, index, label})`. */
export function chooser(chosen) {
  const { kind, context, classes } = state.model;
  made += 1;
  const id = `own-${made}`;
  const label = context === "label" || context === "partial-label"
    ? el("select", { id: `${id}-label` }, ...(context === "partial-label" ? [el("option", { value: "" }, "not told")] : []), ...classes.map((name) => el("option", { value: name }, name)))
    : null;
  const given = () => (label ? (label.value ? { label: label.value } : null) : context === "vector" ? state.given : null);
  const random = el("button", { type: "button", onclick: async () => {
    try {
      const i = Math.floor(Math.random() * (state.codes.length / state.scene.centre.length));
      take(await backend.item(i));
    } catch (error) { complain(error); }
  } }, "A random item");
  const here = el("button", { type: "button", onclick: () => {
    if (state.original) take(state.original);
    else if (state.current !== null) chosen({ item: state.current, given: state.given, name: "what is shown" });
  } }, "What is shown");
  function take(original) {
    if (form) form.set(original.item);
    if (field && kind === "text") field.value = original.item;
    if (label && original.label) label.value = original.label;
    chosen({ item: original.item, given: backend.givenOf(original) ?? given(), name: original.name ?? `item ${original.index}`, index: original.index, label: original.label });
  }
  const use = (item, name) => chosen({ item, given: given(), name });
  let field = null;
  let form = null;
  const parts = [];
  if (kind === "image" || kind === "audio") {
    field = el("input", { type: "file", id, accept: kind === "image" ? "image/*" : "audio/*,.wav,.flac,.ogg,.mp3", onchange: async () => {
      if (field.files[0]) await file(field.files[0]);
    } });
    parts.push(el("label", { for: id }, kind === "image" ? "A picture of your own, or drop one on the page" : "A sound of your own, or drop one on the page"), field);
  } else if (kind === "text") {
    field = el("textarea", { id, rows: 2, spellcheck: "false" });
    parts.push(el("label", { for: id }, "A text of your own"), field, el("button", { type: "button", onclick: () => use(field.value, field.value.slice(0, 40)) }, "Look at it"));
  } else {
    form = rowForm();
    parts.push(el("details", { open: true }, el("summary", {}, "A row of your own"), form.element), el("button", { type: "button", onclick: () => use(form.value(), "your row") }, "Look at it"));
  }
  async function file(one) {
    try {
      use(await dataUrl(one), one.name);
    } catch (error) { complain(error); }
  }
  const element = el("div", { class: "chooser" }, ...parts, el("div", { class: "line" }, ...(label ? [el("label", { for: `${id}-label` }, "Its label"), label] : []), random, here));
  return { element, file, text: (words) => { if (kind === "text") { field.value = words; use(words, words.slice(0, 40)); } } };
}
