// What is being looked at: decoded live, beside the item whose code it is.
import { backend } from "explore/backend";
import { get, latest } from "explore/dom";
import { saveItems, show, together } from "explore/items";
import { complain, emit, on, say, state } from "explore/state";

const times = [];

export function startStage() {
  const decode = latest(async () => {
    const { code, given, origin, original } = state;
    try {
      const began = performance.now();
      const [item] = await backend.decode([code], given);
      times.push(performance.now() - began);
      if (times.length > 500) times.shift();
      state.current = item;
      get("shown").replaceChildren(original ? together([["the item", original.item], ["decoded", item]]) : show(item, `Decoded: ${origin}`));
      get("where").textContent = origin;
      get("latency").textContent = `decoded in ${times.at(-1).toFixed(0)} ms`;
      emit("decoded");
    } catch (error) {
      complain(error);
    }
  });
  on("code", (source) => {
    decode();
    if (source !== "slider" && source !== "path") say(state.origin);
  });
  get("download").addEventListener("click", () => state.current !== null && saveItems([state.current], `${state.model.source}-decoded`));
  for (const name of ["a", "b"]) get(`use-${name}`).addEventListener("click", () => emit("use", name));
}

/** Milliseconds that the latest decodings took, from asking to having. */
export const decodeTimes = () => times.slice();
