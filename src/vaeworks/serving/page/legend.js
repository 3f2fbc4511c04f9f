// What the colours mean: a legend whose classes can be hidden, and the choice of what colours.
import { backend } from "explore/backend";
import { classColour, paint, range, viridis, PLAIN, UNKNOWN } from "explore/colours";
import { el, get, number } from "explore/dom";
import { complain, emit, say, state } from "explore/state";

const MOST = 20;
let channel = null; // {name, kind, values, classes, unit}
const hidden = new Set();

export async function startLegend() {
  const choose = get("colour");
  const { channels, log_px: scored } = state.scene;
  channels.forEach((c, i) => choose.append(el("option", { value: String(i) }, c.name)));
  if (scored && backend.can.logPx) choose.append(el("option", { value: "log-px" }, "log p(x)"));
  choose.append(el("option", { value: "plain" }, "nothing"));
  choose.addEventListener("change", () => colourBy(choose.value));
  choose.value = channels.length ? "0" : "plain";
  await colourBy(choose.value);
}

async function colourBy(choice) {
  try {
    hidden.clear();
    const n = state.plane.length / 2;
    if (choice === "plain") channel = { name: "", kind: "plain", values: new Float32Array(n), classes: [], unit: "" };
    else if (choice === "log-px") {
      say("Computing log p(x) of the items …");
      get("legend").replaceChildren(el("span", { class: "quiet" }, "Computing log p(x) of the items …"));
      const values = await backend.logPx();
      const known = values.reduce((sum, v) => sum + Number.isFinite(v), 0);
      channel = { name: "log p(x)", kind: "number", values, classes: [], unit: "nats", note: `${state.scene.log_px_samples} importance samples${known < n ? `; of ${known} of the ${n} items` : ""}` };
    } else channel = { ...state.scene.channels[Number(choice)], values: await backend.channel(Number(choice)) };
    draw();
  } catch (error) {
    complain(error);
  }
}

function draw() {
  emit("colours", paint(channel.values, channel.kind, hidden));
  const box = get("legend");
  if (channel.kind === "plain") return box.replaceChildren(el("span", { class: "quiet" }, `${channel.values.length.toLocaleString("en")} items`));
  if (channel.kind === "number") {
    const [low, high] = range(channel.values);
    const unknown = channel.values.some((v) => !Number.isFinite(v));
    return box.replaceChildren(
      el("span", {}, `${channel.name}${channel.unit ? ` (${channel.unit})` : ""}`), el("span", {}, number(low)),
      el("span", { class: "ramp", style: `background: ${viridis()}` }), el("span", {}, number(high)),
      ...(unknown ? [key(-1, "unknown", UNKNOWN)] : []), ...(channel.note ? [el("span", { class: "quiet" }, channel.note)] : []),
    );
  }
  const counts = new Map();
  for (const v of channel.values) counts.set(Number.isNaN(v) ? -1 : v, (counts.get(Number.isNaN(v) ? -1 : v) ?? 0) + 1);
  const known = [...counts.keys()].sort((p, q) => p - q);
  box.replaceChildren(
    ...known.slice(0, MOST).map((k) => key(k, k < 0 ? "unknown" : channel.classes[k] ?? String(k), k < 0 ? UNKNOWN : classColour(k))),
    ...(known.length > MOST ? [el("span", { class: "quiet" }, `and ${known.length - MOST} more`)] : []),
  );
  return undefined;
}

function key(k, name, colour) {
  const shown = !hidden.has(k);
  return el("button", {
    type: "button", class: "key", "aria-pressed": String(shown), title: shown ? "Hide on the map" : "Show on the map", "data-key": String(k),
    onclick: () => {
      if (!hidden.delete(k)) hidden.add(k);
      draw();
      get("legend").querySelector(`[data-key="${k}"]`)?.focus();
    },
  }, el("span", { class: "swatch", style: `background: ${colour ?? PLAIN}` }), name);
}

/** What the legend says of item i, beyond its label. */
export function legendText(i) {
  if (!channel || channel.kind === "plain" || channel.name === "label") return "";
  const v = channel.values[i];
  if (Number.isNaN(v)) return "";
  return `${channel.name}: ${channel.kind === "class" ? channel.classes[v] ?? v : `${number(v)} ${channel.unit}`}`;
}
