// Answers from the JSON service that the page came from.
import { state } from "explore/state";

async function ask(path, body) {
  let answer;
  try {
    answer = await fetch(`./${path}`, body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  } catch {
    throw new Error("The service does not answer: is `vae explore` still running?");
  }
  if (answer.ok) return answer;
  let why = `${answer.status} ${answer.statusText}`;
  try {
    const { detail } = await answer.json();
    why = typeof detail === "string" ? detail : detail.map(({ field, message }) => (field ? `${field}: ${message}` : message)).join("; ");
  } catch { /* no JSON: the status says it */ }
  throw new Error(why);
}

const json = async (...args) => (await ask(...args)).json();
const floats = async (path) => new Float32Array(await (await ask(path)).arrayBuffer());
const plain = (code) => Array.from(code, (v) => (Number.isFinite(v) ? v : 0));
const told = (given) => (given === null ? {} : { given });

export async function make() {
  return {
    can: { logPx: true, encode: true, temperature: true, score: true, impute: true, conditions: true },
    standsAlone: false,
    limits: [],
    model: () => json("v1/model"),
    scene: () => json("explore/scene"),
    codes: () => floats("explore/codes"),
    plane: (method) => floats(`explore/plane/${method}`),
    channel: (k) => floats(`explore/channel/${k}`),
    logPx: () => floats("explore/log-px"),
    items: (index) => json(`explore/items?${index.map((i) => `i=${i}`).join("&")}`),
    async decode(codes, given) {
      const some = given && ["label", "vector"].includes(state.model.context) ? { given } : {};
      return (await json("v1/decode", { codes: codes.map(plain), ...some })).items;
    },
    async encode(item, given) {
      return Float32Array.from((await json("v1/encode", { items: [item], ...told(this.toldOf(given)) })).codes[0]);
    },
    async sample({ n, seed, temperature, given }) {
      return json("v1/sample", { n, seed, temperature, ...(given && Object.keys(given).length ? { given } : {}) });
    },
    async score(item, given, samples) {
      const answer = await json("v1/score", { items: [item], ...(samples ? { samples } : {}), ...told(this.toldOf(given)) });
      return { ...answer.scores[0], statistic: answer.statistic, unit: answer.unit };
    },
    async impute(item, { mask, gap, draws, seed, given }) {
      const more = { ...(mask ? { mask } : {}), ...(gap ? { gap } : {}), ...told(this.toldOf(given)) };
      return (await json("v1/impute", { items: [item], draws, seed, ...more })).items[0];
    },
  };
}
