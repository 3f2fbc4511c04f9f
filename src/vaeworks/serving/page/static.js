// Answers from the page itself: the model as ONNX graphs that ONNX Runtime Web runs here.
import { imageItems, imageTensor } from "explore/alone-images";
import { rowItems } from "explore/alone-rows";
import { soundItems } from "explore/alone-sounds";
import { textItems, textTensor } from "explore/alone-texts";
import { random } from "explore/geometry";

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const floats = (text) => new Float32Array(bytes(text).buffer);

async function carried(id) {
  const stream = new Blob([bytes(document.getElementById(id).textContent)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function runtime() {
  const [script, wasm] = await Promise.all([carried("ort-script"), carried("ort-wasm")]);
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const ort = await import(url);
  Object.assign(ort.env.wasm, { wasmBinary: wasm.buffer, numThreads: 1, proxy: false });
  ort.env.logLevel = "error";
  return ort;
}

export async function make() {
  const [text, ort] = await Promise.all([carried("carried").then((b) => new TextDecoder().decode(b)), runtime()]);
  const { model, scene, codes, planes, channels, log_px: scored, items, form, graphs, ports, bank, limits } = JSON.parse(text);
  const sessions = {};
  const size = scene.centre.length;
  let last = Promise.resolve();

  /** Run a graph, one at a time: {name: tensor} to the tensor called `out`. */
  async function run(name, feeds, out) {
    sessions[name] ??= ort.InferenceSession.create(bytes(graphs[name]), { executionProviders: ["wasm"] });
    const session = await sessions[name];
    const wanted = Object.fromEntries(Object.entries(feeds).filter(([key]) => session.inputNames.includes(key)));
    last = last.catch(() => {}).then(() => session.run(wanted, [out]));
    return (await last)[out];
  }
  const tensor = (values, shape, type = "float32") => new ort.Tensor(type, values, shape);

  /** What n codes are decoded under, (n, C). */
  function context(n, given) {
    const row = new Float32Array(form.size);
    if (model.context === "vector") form.names.forEach((name, j) => { row[j] = (Number(given?.[name] ?? form.means[j]) - form.means[j]) / form.scales[j]; });
    else if (given?.label !== undefined && given.label !== null) row[model.classes.indexOf(String(given.label))] = 1;
    return Array.from({ length: n }, () => row);
  }
  const stacked = (rows) => tensor(Float32Array.from(rows.flatMap((row) => [...row])), [rows.length, form.size]);

  /** Codes to items. `draw`: a source of random numbers where tokens are to be drawn. */
  async function decode(list, contexts, draw = null) {
    const n = list.length;
    const feeds = { z: tensor(Float32Array.from(list.flatMap((code) => [...code])), [n, size]), ...(form.size ? { context: stacked(contexts) } : {}) };
    if (ports.decoder.inputs.includes("tokens")) {
      const logitsOf = (tokens, most) => run("decoder", { ...feeds, tokens: tensor(tokens, [n, most], "int64") }, "logits");
      return textItems(n, form, logitsOf, draw);
    }
    return present(await run("decoder", feeds, "x"));
  }
  function present(x) {
    const { kind } = model;
    if (kind === "image") return imageItems(x, form);
    if (kind === "audio") return soundItems(x, form, floats);
    if (kind === "table") return rowItems(x, form);
    return textItems.written(x, form);
  }

  /** n items from codes of the prior that came along. */
  async function banked(n, uniform, given) {
    const chosen = Array.from({ length: n }, (_, i) => {
      const k = bank.length === 1 ? 0 : given?.label !== undefined ? model.classes.indexOf(given.label) : i % bank.length;
      const codesOf = floats(bank[k]);
      const at = Math.floor(uniform() * (codesOf.length / size));
      const told = bank.length === 1 ? given : { label: model.classes[k] };
      return { code: codesOf.subarray(at * size, (at + 1) * size), told: context(1, told)[0] };
    });
    return decode(chosen.map(({ code }) => code), chosen.map(({ told }) => told), uniform);
  }

  return {
    can: { logPx: Boolean(scored), encode: Boolean(graphs.encoder), temperature: Boolean(graphs.sampler), score: false, impute: false, conditions: false },
    standsAlone: true,
    limits,
    model: async () => model,
    scene: async () => scene,
    codes: async () => floats(codes),
    plane: async (method) => floats(planes[method]),
    channel: async (k) => floats(channels[k]),
    logPx: async () => floats(scored),
    async items(index) {
      return Promise.all(index.map(async (i) => {
        if (i < items.length) return items[i];
        const code = floats(codes).subarray(i * size, (i + 1) * size);
        const [item] = await decode([code], context(1, model.context === "label" ? { label: model.classes[0] } : null));
        return { index: i, item, label: null, name: "as decoded", columns: null };
      }));
    },
    async decode(list, given) {
      return decode(list, context(list.length, given));
    },
    async encode(item, given) {
      if (!graphs.encoder) throw new Error(`This page cannot encode ${model.kind === "audio" ? "sounds" : model.kind === "table" ? "rows" : "texts"} of your own: run vae explore on the model.`);
      const { values, shape, type } = model.kind === "image" ? await imageTensor(item, model.shape, form) : textTensor(item, form);
      const feeds = { x: tensor(values, shape, type), ...(form.size ? { context: stacked(context(1, given)) } : {}) };
      return Float32Array.from((await run("encoder", feeds, "code")).data);
    },
    async sample({ n, seed, temperature, given }) {
      const uniform = random(seed + 1);
      if (!graphs.sampler) return { items: await banked(n, uniform, given), seed };
      const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
      const feeds = Object.fromEntries(ports.sampler.noises.map(({ name, kind, shape }) => {
        const values = Float32Array.from({ length: n * shape.reduce((p, q) => p * q, 1) }, kind === "normal" ? () => (name.startsWith("x_") ? 1 : temperature) * normal() : uniform);
        return [name, tensor(values, [n, ...shape])];
      }));
      const told = given?.label !== undefined || model.context !== "label" ? context(n, given) : Array.from({ length: n }, (_, i) => context(1, { label: model.classes[i % model.classes.length] })[0]);
      if (form.size) feeds.context = stacked(told);
      if (ports.sampler.outputs.includes("x")) return { items: await present(await run("sampler", feeds, "x")), seed };
      const z = (await run("sampler", feeds, "z")).data;
      return { items: await decode(Array.from({ length: n }, (_, i) => z.slice(i * size, (i + 1) * size)), told, uniform), seed };
    },
  };
}
