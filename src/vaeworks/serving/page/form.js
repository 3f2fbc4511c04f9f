// A row of a table as a form: a field for each column, blank where nothing is said.
import { cell } from "explore/items";
import { el } from "explore/dom";
import { state } from "explore/state";

let made = 0;

/** {element, value(), set(row), clear(names)}. `ranges`: numbers may be ranges, 30..40. */
export function rowForm({ ranges = false, columns = state.model.columns, onchange = () => {} } = {}) {
  const fields = new Map();
  made += 1;
  const lines = columns.map((column, i) => {
    const id = `field-${made}-${i}`;
    const numeric = !column.categories;
    const dated = column.kind === "datetime";
    const field = numeric
      ? el("input", { id, type: "text", inputmode: dated || ranges ? "text" : "decimal", placeholder: ranges ? `${cell(column.low)}..${cell(column.high)}` : "missing", autocomplete: "off", onchange })
      : el("select", { id, onchange }, el("option", { value: "" }, ranges ? "any" : "missing"), ...column.categories.map((name) => el("option", { value: name }, name)));
    fields.set(column.name, { field, numeric: numeric && !dated });
    return el("div", { class: "field" }, el("label", { for: id }, column.name), field, ...(ranges ? [] : [el("button", { type: "button", class: "plain", "aria-label": `Blank ${column.name}`, onclick: () => { field.value = ""; onchange(); } }, "×")]));
  });
  const read = (text, numeric) => {
    if (text === "") return null;
    const [low, high, more] = text.split("..");
    if (ranges && high !== undefined && more === undefined) return [low === "" ? null : numeric ? Number(low) : low, high === "" ? null : numeric ? Number(high) : high];
    return numeric && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  };
  return {
    element: el("div", { class: "form" }, ...lines),
    /** The row; `said`: only what is said of it. */
    value(said = false) {
      const row = {};
      for (const [name, { field, numeric }] of fields) {
        const found = read(field.value.trim(), numeric);
        if (!said || found !== null) row[name] = found;
      }
      return row;
    },
    set(row) {
      for (const [name, { field }] of fields) field.value = row[name] === null || row[name] === undefined ? "" : String(row[name]);
    },
    clear(names) {
      for (const name of names) fields.get(name).field.value = "";
    },
  };
}
