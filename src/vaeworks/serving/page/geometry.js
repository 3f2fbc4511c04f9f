// Codes and the plane they are seen in.
import { state } from "explore/state";

export const size = () => state.scene.centre.length;
export const codeOf = (i) => state.codes.subarray(i * size(), (i + 1) * size());

/** Where a code lies in the plane: exactly for principal axes, else amid its nearest neighbours. */
export function place(code) {
  if (state.method === "pca") {
    const { centre, axes } = state.scene;
    return axes.map((axis) => axis.reduce((sum, a, j) => sum + a * (code[j] - centre[j]), 0));
  }
  return blend(nearest(code, 5, true), (i) => state.plane.subarray(2 * i, 2 * i + 2), 2);
}

/** A code for a place in the plane. */
export function lift([x, y]) {
  if (state.method === "pca") {
    const { centre, axes } = state.scene;
    return Float32Array.from(centre, (c, j) => c + axes[0][j] * x + axes[1][j] * y);
  }
  return Float32Array.from(blend(nearestInPlane(x, y, 6), codeOf, size()));
}

/** Mean of vectors, weighted by the inverse square of their distances. */
function blend(found, vector, length) {
  const out = new Array(length).fill(0);
  let total = 0;
  for (const { index, distance } of found) {
    const weight = 1 / (distance * distance + 1e-9);
    total += weight;
    vector(index).forEach((v, j) => { out[j] += weight * v; });
  }
  return out.map((v) => v / (total || 1));
}

/** The k items whose codes are nearest, [{index, distance}]; `mapped`: only those that the plane shows. */
export function nearest(code, k, mapped = false) {
  const d = size();
  const n = state.codes.length / d;
  return smallest(n, k, (i, bound) => {
    if (mapped && Number.isNaN(state.plane[2 * i])) return Infinity;
    let sum = 0;
    for (let j = 0, at = i * d; j < d && sum < bound; j++, at++) {
      const gap = state.codes[at] - code[j];
      sum += gap * gap;
    }
    return sum;
  });
}

export function nearestInPlane(x, y, k) {
  return smallest(state.plane.length / 2, k, (i) => {
    const value = (state.plane[2 * i] - x) ** 2 + (state.plane[2 * i + 1] - y) ** 2;
    return Number.isNaN(value) ? Infinity : value;
  });
}

function smallest(n, k, square) {
  const found = [];
  let bound = Infinity;
  for (let i = 0; i < n; i++) {
    const value = square(i, bound);
    if (value >= bound || value === Infinity) continue;
    let at = found.length;
    while (at > 0 && found[at - 1].distance > value) at--;
    found.splice(at, 0, { index: i, distance: value });
    if (found.length > k) found.pop();
    if (found.length === k) bound = found[k - 1].distance;
  }
  return found.map(({ index, distance }) => ({ index, distance: Math.sqrt(distance) }));
}

export const lerp = (a, b, t) => Float32Array.from(a, (v, j) => v + (b[j] - v) * t);

/** Numbers in [0, 1) from a seed (mulberry32). */
export function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
