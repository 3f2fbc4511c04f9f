// Rows of a page that stands alone: numbers of the model to cells of the table.

const clip = (v, low, high) => Math.min(high, Math.max(low, v));

/** Round, halves to even. */
function rint(v) {
  const down = Math.floor(v);
  if (v - down !== 0.5) return Math.round(v);
  return down % 2 === 0 ? down : down + 1;
}

function interpolate(x, xs, ys) {
  if (x <= xs[0]) return ys[0];
  if (x >= xs[xs.length - 1]) return ys[ys.length - 1];
  let [low, high] = [0, xs.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle; else high = middle;
  }
  return ys[low] + ((ys[high] - ys[low]) * (x - xs[low])) / (xs[high] - xs[low]);
}

/** The nearest value of a margin's grid. */
function onGrid(v, m) {
  if (!m.step) return v;
  if (!m.through_zero) return m.low + rint((v - m.low) / m.step) * m.step;
  const index = rint(v / m.step);
  const inverse = 1 / m.step;
  return inverse > 1 && Math.abs(inverse - Math.round(inverse)) < 1e-6 * inverse ? index / Math.round(inverse) : index * m.step;
}

/** x to a raw value: what `Margin.to_values` does. */
function raw(x, m, categories) {
  if (categories.length) return clip(rint(x), 0, categories.length - 1);
  if (m.kind === "count") return clip(rint(x), m.low, m.high);
  if (m.kind === "ordinal") {
    const at = m.upper.slice(0, -1).findIndex((edge) => edge >= x);
    return m.knots[at < 0 ? m.knots.length - 1 : at];
  }
  let v;
  if (m.kind === "quantile") {
    const last = m.scores.length - 1;
    v = interpolate(x, m.scores, m.raw) + Math.min(x - m.scores[0], 0) * m.tails[0] + Math.max(x - m.scores[last], 0) * m.tails[1];
  } else {
    v = x * m.scale + m.shift;
    if (m.kind === "log-normal") v = m.origin + Math.exp(Math.min(v, 709));
  }
  return clip(onGrid(clip(v, m.low, m.high), m), m.low, m.high);
}

/** A moment in the form of strftime, or as ISO says it. */
function moment(seconds, form) {
  const iso = new Date(seconds * 1000).toISOString();
  if (!form) return iso.replace("T00:00:00.000Z", "").replace(".000Z", "");
  const [, Y, m, d, H, M, S] = /(-?\d+)-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)/.exec(iso);
  const parts = { Y, m, d, H, M, S, y: Y.slice(-2), F: `${Y}-${m}-${d}`, T: `${H}:${M}:${S}` };
  return form.replace(/%(.)/g, (whole, letter) => parts[letter] ?? whole);
}

function cell(x, column) {
  const { margin, categories, kind, decimals, dtype } = column;
  if (!Number.isFinite(x)) return null;
  const value = raw(x, margin, categories);
  if (categories.length) return dtype === "Boolean" ? value === 1 : categories[value];
  if (kind === "datetime") return moment(value * column.unit, column.form);
  if (decimals < 0) return value;
  const scale = 10 ** decimals;
  return rint(value * scale) / scale;
}

/** x (N, D) to N rows of all columns, in their order. */
export function rowItems(x, { columns }) {
  const [n, d] = x.dims;
  return Array.from({ length: n }, (_, i) => {
    let at = i * d;
    return Object.fromEntries(columns.map((column) => [column.name, column.margin ? cell(x.data[at++], column) : column.constant]));
  });
}
