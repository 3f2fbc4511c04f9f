// One's own item: its reconstruction, its place, its neighbours, and how probable it is.
import { backend } from "explore/backend";
import { chooser } from "explore/choose";
import { el, number } from "explore/dom";
import { codeOf, nearest } from "explore/geometry";
import { player, saveItems, thumb, together } from "explore/items";
import { chooseItem, nameOf } from "explore/map";
import { complain, emit, look, say, state } from "explore/state";

const NEIGHBOURS = 8;
const FEW = 5; // importance samples

export function inspectPanel() {
  const result = el("div", { class: "result" });
  let turn = 0;
  const choice = chooser(async ({ item, given, name, index, label }) => {
    const mine = ++turn;
    try {
      result.replaceChildren(el("p", { class: "quiet" }, "Looking at it …"));
      const code = index === undefined || state.model.context === "partial-label" ? await backend.encode(item, given) : codeOf(index).slice();
      const [rebuilt] = await backend.decode([code], given);
      if (mine !== turn) return;
      state.marks = [{ code, name: name.slice(0, 24) }];
      emit("marks");
      look(code, { origin: `The code of ${name}`, given, original: { index: index ?? -1, item, name, label: label ?? null } });
      const found = nearest(code, NEIGHBOURS + (index === undefined ? 0 : 1)).filter((one) => one.index !== index).slice(0, NEIGHBOURS);
      const score = el("p", { class: "score" }, backend.can.score && state.model.has_log_prob ? "Estimating log p(x) …" : noScore());
      const near = el("div", { class: "neighbours", role: "group", "aria-label": "Nearest neighbours" });
      result.replaceChildren(
        together([[name.slice(0, 40), item], ["reconstruction", rebuilt]]), score,
        el("h3", {}, "Nearest neighbours"), near,
        el("div", { class: "buttons" }, el("button", { type: "button", onclick: () => saveItems([item, rebuilt], `${state.model.source}-pair`) }, "Download both")));
      near.replaceChildren(...await Promise.all(found.map(async ({ index: i, distance }) => {
        const one = await backend.item(i);
        return el("span", { class: "neighbour" }, el("button", { type: "button", class: "step", title: `${nameOf(one)}, at a distance of ${number(distance)}`, onclick: () => chooseItem(i) },
          thumb(one.item, 52), el("span", { class: "quiet" }, one.label ?? one.name ?? `${i}`)), player(one.item));
      })));
      if (backend.can.score && state.model.has_log_prob) await told(score, item, given, () => mine === turn);
    } catch (error) {
      result.replaceChildren();
      complain(error);
    }
  });

  async function told(line, item, given, current) {
    const score = await backend.score(item, given);
    if (!current()) return;
    const error = score.standard_error === null || score.standard_error === undefined ? "" : ` ± ${number(score.standard_error, 2)}`;
    const p = score.p_value;
    const parts = [el("strong", {}, `log p(x) = ${score.log_px === null ? "−∞" : number(score.log_px, 5)}${error} ${score.unit}`)];
    if (p !== null && p !== undefined) {
      const how = p <= 0.01 ? "very unlike" : p <= 0.05 ? "unlike" : "like";
      parts.push(`; p-value ${number(p, 2)}${score.statistic === "log-px" ? "" : ` (${score.statistic})`}: ${how} the held-out items`);
    } else parts.push("; no p-value: this model comes without scores of held-out items");
    if (score.effective_sample_size !== null && score.effective_sample_size < FEW) parts.push("; few importance samples decide it, so log p(x) is likely higher");
    line.replaceChildren(...parts);
    say(line.textContent);
  }
  return { element: el("div", {}, choice.element, result), choice };
}

function noScore() {
  if (backend.standsAlone) return "log p(x) needs the service: run vae explore on the model.";
  return "A plain autoencoder has no log p(x).";
}
