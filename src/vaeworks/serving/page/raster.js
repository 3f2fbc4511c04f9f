// Points drawn into pixels by hand: a hundred thousand of them in a few milliseconds, on any machine, with or without a graphics card.

/** A disc of `radius` pixels as offsets and how much each pixel is covered. */
function disc(radius) {
  const reach = Math.ceil(radius);
  const dots = [];
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const cover = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(x, y)));
      if (cover > 0.05) dots.push([x, y, Math.round(cover * 256)]);
    }
  }
  return dots;
}

const discs = new Map();

/**
 * Draw `plane` (N x 2) into `image`. `view`: {scale, x, y}, the place at the middle of the picture and pixels a unit. `colours`: Uint32Array (N), 0xAABBGGRR, 0: leave out.
 * `alpha` 1 paints without looking at what is there, several times as fast.
 */
export function draw(image, plane, view, colours, radius, alpha) {
  const pixels = new Uint32Array(image.data.buffer);
  const { width, height } = image;
  pixels.fill(0);
  const key = radius.toFixed(2);
  if (!discs.has(key)) discs.set(key, disc(radius));
  const dots = discs.get(key);
  const reach = Math.ceil(radius) + 1;
  const left = width / 2 - view.x * view.scale;
  const top = height / 2 + view.y * view.scale;
  const opaque = Math.round(alpha * 256);
  const solid = opaque > 255 ? dots.filter(([, , c]) => c > 110) : dots;
  const n = solid.length;
  const offsets = Int32Array.from(solid, ([x, y]) => y * width + x);
  const covers = Int32Array.from(solid, ([, , c]) => (c * opaque) >> 8);
  for (let i = 0; i < colours.length; i++) {
    const colour = colours[i];
    if (colour === 0) continue;
    const px = (left + plane[2 * i] * view.scale) | 0;
    const py = (top - plane[2 * i + 1] * view.scale) | 0;
    if (!(px >= reach && py >= reach && px < width - reach && py < height - reach)) continue;
    const at = py * width + px;
    if (opaque > 255) {
      for (let j = 0; j < n; j++) pixels[at + offsets[j]] = colour;
      continue;
    }
    const r = colour & 255;
    const g = (colour >> 8) & 255;
    const b = (colour >> 16) & 255;
    for (let j = 0; j < n; j++) {
      const there = at + offsets[j];
      const old = pixels[there];
      const cover = covers[j];
      if (old === 0) {
        pixels[there] = ((cover > 255 ? 255 : cover) << 24) | (b << 16) | (g << 8) | r;
        continue;
      }
      // the new colour over the old one
      const under = 256 - cover;
      const alphaOld = old >>> 24;
      const alphaNew = Math.min(255, cover + ((alphaOld * under) >> 8));
      const kept = Math.round(((alphaOld * under) / Math.max(1, alphaNew)));
      const fresh = 256 - kept;
      pixels[there] =
        (alphaNew << 24) |
        ((((old >> 16) & 255) * kept + b * fresh) >> 8 << 16) |
        ((((old >> 8) & 255) * kept + g * fresh) >> 8 << 8) |
        (((old & 255) * kept + r * fresh) >> 8);
    }
  }
}

/** Items by cells of the plane, so that what lies under the pointer is found at once. */
export class Grid {
  constructor(plane, cells = 256) {
    const n = plane.length / 2;
    let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < n; i++) {
      const x = plane[2 * i];
      const y = plane[2 * i + 1];
      if (Number.isNaN(x)) continue;
      if (x < x0) x0 = x;
      if (x > x1) x1 = x;
      if (y < y0) y0 = y;
      if (y > y1) y1 = y;
    }
    this.box = { x0, x1, y0, y1 };
    this.plane = plane;
    this.cells = cells;
    this.step = Math.max(x1 - x0, y1 - y0, 1e-9) / cells;
    this.start = new Uint32Array(cells * cells + 1);
    const cell = new Int32Array(n).fill(-1);
    for (let i = 0; i < n; i++) {
      if (Number.isNaN(plane[2 * i])) continue;
      cell[i] = this.#cell(plane[2 * i], plane[2 * i + 1]);
      this.start[cell[i] + 1]++;
    }
    for (let c = 0; c < cells * cells; c++) this.start[c + 1] += this.start[c];
    this.order = new Uint32Array(n);
    const next = this.start.slice();
    for (let i = 0; i < n; i++) if (cell[i] >= 0) this.order[next[cell[i]]++] = i;
  }

  #cell(x, y) {
    const clamp = (v) => Math.min(this.cells - 1, Math.max(0, Math.floor(v)));
    return clamp((y - this.box.y0) / this.step) * this.cells + clamp((x - this.box.x0) / this.step);
  }

  /** The item nearest to a place among those within `reach` of it, or -1; `shown(i)` says whether an item counts. */
  nearest(x, y, reach, shown = () => true) {
    const clamp = (v) => Math.min(this.cells - 1, Math.max(0, Math.floor(v)));
    const [cx0, cx1] = [clamp((x - reach - this.box.x0) / this.step), clamp((x + reach - this.box.x0) / this.step)];
    const [cy0, cy1] = [clamp((y - reach - this.box.y0) / this.step), clamp((y + reach - this.box.y0) / this.step)];
    let best = reach * reach;
    let found = -1;
    for (let cy = cy0; cy <= cy1; cy++) {
      for (let at = this.start[cy * this.cells + cx0]; at < this.start[cy * this.cells + cx1 + 1]; at++) {
        const i = this.order[at];
        const gap = (this.plane[2 * i] - x) ** 2 + (this.plane[2 * i + 1] - y) ** 2;
        if (gap <= best && shown(i)) {
          best = gap;
          found = i;
        }
      }
    }
    return found;
  }
}
