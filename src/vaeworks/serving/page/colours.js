// What colours the map: classes by a palette for everybody's eyes, numbers by viridis.

/** Wong (2011), doi:10.1038/nmeth.1618, its yellow darkened, and more. */
const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#B8860B", "#777777", "#AA3377", "#6A51C7", "#7A9A01", "#E4572E", "#17A2A2", "#A0522D", "#4466DD", "#BB8FCE", "#5B8C5A", "#C0392B", "#2E86AB", "#D4A017", "#8E6C8A"];
const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
export const UNKNOWN = "#999999";
export const PLAIN = "#3a86c8";

const split = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const pack = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
const ramp = Uint32Array.from({ length: 256 }, (_, i) => {
  const at = (i / 255) * (VIRIDIS.length - 1);
  const low = Math.min(VIRIDIS.length - 2, Math.floor(at));
  const [a, b] = [split(VIRIDIS[low]), split(VIRIDIS[low + 1])];
  return pack(a.map((v, j) => Math.round(v + (b[j] - v) * (at - low))));
});

export const classColour = (k) => PALETTE[k % PALETTE.length];
export const viridis = () => `linear-gradient(to right, ${VIRIDIS.join(",")})`;

/** The range that colours span: the middle 96 % of what is known. */
export function range(values) {
  const known = Float32Array.from(values.filter((v) => Number.isFinite(v))).sort();
  if (!known.length) return [0, 1];
  const at = (share) => known[Math.min(known.length - 1, Math.floor(share * known.length))];
  return known.length < 50 ? [known[0], known[known.length - 1]] : [at(0.02), at(0.98)];
}

/** A packed colour for each item; `hidden` is the set of classes left out. */
export function paint(values, kind, hidden = new Set()) {
  const unknown = pack(split(UNKNOWN));
  if (kind === "plain") return new Uint32Array(values.length).fill(pack(split(PLAIN)));
  if (kind === "class") {
    const packed = PALETTE.map((hex) => pack(split(hex)));
    return Uint32Array.from(values, (v) => {
      const k = Number.isNaN(v) ? -1 : v;
      return hidden.has(k) ? 0 : k < 0 ? unknown : packed[k % packed.length];
    });
  }
  const [low, high] = range(values);
  const span = high - low || 1;
  return Uint32Array.from(values, (v) => (Number.isFinite(v) ? ramp[Math.min(255, Math.max(0, Math.round(((v - low) / span) * 255)))] : hidden.has(-1) ? 0 : unknown));
}
