// What is being looked at, and who wants to know of it.

const listeners = new Map();

export const state = {
  model: null, // GET /v1/model
  scene: null, // GET /explore/scene
  codes: null, // Float32Array, N times D
  plane: null, // Float32Array, N times 2
  method: "pca",
  code: null, // the code that is decoded, Float32Array D
  given: null, // what a conditional model is given
  origin: "", // where the code came from, for people
  original: null, // the item whose code it is, where it is one's
  current: null, // what it decodes to
  ends: { a: null, b: null }, // {code, item, given, name}
  marks: [], // {code, name} of one's own items
};

export function on(event, listener) {
  if (!listeners.has(event)) listeners.set(event, []);
  listeners.get(event).push(listener);
}

export function emit(event, detail) {
  for (const listener of listeners.get(event) ?? []) listener(detail);
}

/** Look at a code: everything that shows it is told. `told` says where it came from. */
export function look(code, { origin = "", original = null, given, source = "" } = {}) {
  state.code = Float32Array.from(code);
  state.origin = origin;
  state.original = original;
  if (given !== undefined && given !== null) {
    state.given = { ...given };
    emit("given");
  }
  emit("code", source);
}

/** Say something to everybody, screen readers included. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

let fading = 0;

export function complain(error) {
  const box = document.getElementById("problem");
  box.textContent = error?.message ?? String(error);
  box.hidden = false;
  clearTimeout(fading);
  fading = setTimeout(() => { box.hidden = true; }, 9000);
}
