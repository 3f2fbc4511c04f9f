// Texts of a page that stands alone: tokens written one at a time, and joined to strings.

const [PAD, END, UNKNOWN] = [0, 1, 2];

const pieces = new Map();
const piece = (form, token) => {
  if (!pieces.has(token)) pieces.set(token, Uint8Array.from(atob(form.pieces[token]), (c) => c.charCodeAt(0)));
  return pieces.get(token);
};

function joined(form, tokens) {
  const parts = tokens.filter((token) => token !== PAD && token !== END).map((token) => piece(form, token));
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { all.set(part, at); at += part.length; }
  return new TextDecoder().decode(all);
}

/** n strings by a model that gives for tokens (n, T) the logits (n, T, V) of each given those before it: the most probable one, or with `draw`, numbers in [0, 1), one drawn. */
export async function textItems(n, form, logitsOf, draw = null) {
  const most = form.length - 1;
  const tokens = new BigInt64Array(n * most).fill(BigInt(PAD));
  const ended = new Array(n).fill(false);
  for (let t = 0; t < most && ended.includes(false); t++) {
    const logits = await logitsOf(tokens, most);
    const vocabulary = logits.dims[2];
    for (let i = 0; i < n; i++) {
      if (ended[i]) continue;
      const at = i * most + t;
      const row = logits.data.subarray(at * vocabulary, (at + 1) * vocabulary);
      const token = draw ? drawn(row, draw) : row.reduce((best, v, k) => (v > row[best] ? k : best), 0);
      ended[i] = token === END;
      if (!ended[i]) tokens[at] = BigInt(token);
    }
  }
  return Array.from({ length: n }, (_, i) => joined(form, Array.from(tokens.subarray(i * most, (i + 1) * most), Number)));
}

function drawn(logits, draw) {
  const top = logits.reduce((most, v) => Math.max(most, v), -Infinity);
  const weights = Float64Array.from(logits, (v) => Math.exp(v - top));
  let left = draw() * weights.reduce((sum, w) => sum + w, 0);
  for (let k = 0; k < weights.length; k++) {
    left -= weights[k];
    if (left < 0) return k;
  }
  return weights.length - 1;
}

/** Strings of tokens (N, L) that are there all at once. */
textItems.written = (x, form) => {
  const [n, length] = x.dims;
  return Array.from({ length: n }, (_, i) => {
    const tokens = Array.from(x.data.subarray(i * length, (i + 1) * length), Number);
    const end = tokens.indexOf(END);
    return joined(form, end < 0 ? tokens : tokens.slice(0, end));
  });
};

/** A string as tokens (1, L) with its END, by characters or bytes. */
export function textTensor(string, form) {
  const encoder = new TextEncoder();
  const known = new Map(form.pieces.map((code, token) => [code, token]).slice(3));
  const parts = form.unit === "characters" ? [...string].map((c) => encoder.encode(c)) : [...encoder.encode(string)].map((b) => [b]);
  const tokens = parts.map((part) => known.get(btoa(String.fromCharCode(...part))) ?? UNKNOWN);
  if (!tokens.length) throw new Error("the text is empty");
  if (tokens.length > form.length - 1) throw new Error(`the text has ${tokens.length} ${form.unit}, and this model reads at most ${form.length - 1}: shorten it`);
  const row = [...tokens, END, ...new Array(form.length - 1 - tokens.length).fill(PAD)];
  return { values: BigInt64Array.from(row, BigInt), shape: [1, form.length], type: "int64" };
}
