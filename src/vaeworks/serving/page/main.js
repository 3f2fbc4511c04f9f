// The page is put together here.
import { backend, connect } from "explore/backend";
import { el, get } from "explore/dom";
import { fillPanel } from "explore/fill";
import { codeOf } from "explore/geometry";
import { startGiven } from "explore/given";
import { inspectPanel } from "explore/inspect";
import { startLegend } from "explore/legend";
import { chooseItem, frame, frameTimes, startMap, viewNow } from "explore/map";
import { pathPanel } from "explore/path";
import { samplePanel } from "explore/sample";
import { slidersPanel } from "explore/sliders";
import { decodeTimes, startStage } from "explore/stage";
import { complain, emit, look, say, state } from "explore/state";
import { startTabs } from "explore/tabs";

const METHODS = { pca: "principal components", tsne: "t-SNE: what is alike" };
const KEYS = [
  ["Arrow keys on the map", "move the cross; what lies there is told"], ["Enter", "decode the place of the cross"], ["Space", "take the nearest item"],
  ["Shift and arrows", "pan"], ["+ and −, 0", "zoom, and all of it again"], ["a, b on the map", "make what is shown A or B, the ends of a path"],
  ["Arrow keys on the tabs", "go from tool to tool"], ["Arrow keys on a slider", "change one dimension"],
];

export async function start() {
  try {
    await connect();
    [state.model, state.scene, state.codes] = await Promise.all([backend.model(), backend.scene(), backend.codes()]);
    const { model, scene } = state;
    state.plane = await backend.plane("pca");
    head(model, scene);
    startStage();
    startGiven();
    startMap();
    await startLegend();
    methods(scene);
    const inspect = inspectPanel();
    const fill = fillPanel();
    const tabs = startTabs({ Sliders: slidersPanel(), Path: pathPanel(), Samples: samplePanel(), "Your own": inspect.element, "Fill in": fill.element });
    dropping(inspect, fill, tabs);
    if (scene.count) await chooseItem(0);
    else look(codeOf(0));
    document.documentElement.dataset.ready = "yes";
    globalThis.explorer = { state, frame, frameTimes, decodeTimes, viewNow, look, chooseItem }; // for whoever measures, or is curious
  } catch (error) {
    get("subtitle").textContent = "The explorer could not be opened.";
    complain(error);
    throw error;
  }
}

function head(model, scene) {
  const title = `${model.source.split("/").filter(Boolean).at(-1) ?? model.kind}: ${model.recipe}`;
  document.title = `${title} – explorer`;
  get("title").textContent = title;
  const d = scene.centre.length;
  get("subtitle").textContent = `${scene.count.toLocaleString("en")} items, ${d} latent dimension${d === 1 ? "" : "s"}, ${model.parameters.toLocaleString("en")} parameters${backend.standsAlone ? "; this page stands alone and decodes in your browser" : ""}`;
  const theme = get("theme-button");
  const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const told = () => theme.setAttribute("aria-pressed", String(dark()));
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("vae-theme", document.documentElement.dataset.theme); } catch { /* no storage: for this visit */ }
    told();
    emit("theme");
  });
  told();
  get("keys").append(...KEYS.flatMap(([keys, what]) => [el("dt", {}, keys), el("dd", {}, what)]));
  get("limits").append(...(backend.limits ?? []).map((text) => el("p", {}, text)));
  get("help-button").addEventListener("click", () => get("help").showModal());
}

function methods(scene) {
  const choose = get("method");
  if (scene.methods.length < 2) {
    get("method-label").hidden = true;
    if (!scene.exact) hint("pca");
    return;
  }
  choose.append(...scene.methods.map((name) => el("option", { value: name }, METHODS[name])));
  choose.addEventListener("change", async () => {
    try {
      choose.disabled = true;
      say("Computing the projection …");
      const plane = await backend.plane(choose.value);
      Object.assign(state, { plane, method: choose.value });
      hint(choose.value);
      emit("plane");
      say(`Seen by ${METHODS[choose.value]}`);
    } catch (error) {
      complain(error);
      choose.value = state.method;
    } finally {
      choose.disabled = false;
    }
  });
  hint("pca");
}

const usual = () => "Click, or move the cross with the arrow keys and press Enter, to decode a place. Drag to pan, scroll or + and − to zoom.";

function hint(method) {
  const { explained } = state.scene;
  const shown = state.plane.reduce((sum, v, i) => sum + (i % 2 === 0 && !Number.isNaN(v)), 0);
  const how = method === "pca"
    ? ` Two principal components show ${Math.round(100 * (explained[0] + explained[1]))} % of the variance; a place is decoded with the other directions at their mean.`
    : ` Distances within a cluster mean something, those between clusters little; a place is decoded by a blend of the codes of its nearest items.${shown < state.scene.count ? ` ${shown} of ${state.scene.count} items.` : ""}`;
  get("map-hint").textContent = usual() + how;
}

/** Files and text dropped anywhere are one's own item. */
function dropping(inspect, fill, tabs) {
  const body = document.body;
  body.addEventListener("dragover", (event) => { event.preventDefault(); body.classList.add("dropping"); });
  body.addEventListener("dragleave", (event) => { if (!event.relatedTarget) body.classList.remove("dropping"); });
  body.addEventListener("drop", (event) => {
    event.preventDefault();
    body.classList.remove("dropping");
    const filling = tabs.current() === "Fill in" && fill.choice;
    const to = filling ? fill.choice : inspect.choice;
    const [file] = event.dataTransfer.files;
    const words = event.dataTransfer.getData("text/plain");
    if (!filling) tabs.open("Your own");
    if (file) to.file(file);
    else if (words) to.text(words);
  });
}
