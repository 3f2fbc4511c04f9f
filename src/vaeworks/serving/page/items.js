// How an item of each kind looks, sounds, and is saved.
import { waveform } from "explore/audio";
import { el, fileName, number, save } from "explore/dom";
import { state } from "explore/state";

export const cell = (value) => (value === null || value === undefined ? "–" : typeof value === "number" ? number(value, 5) : String(value));

const shows = {
  image: (item, label, size) => {
    const [height, width] = state.model.shape.slice(-2);
    return el("img", { src: item, alt: label, width, height, class: Math.max(height, width) < 96 ? "pixels" : "", style: size ? `height: ${size}px; width: ${(size * width) / height}px` : "" });
  },
  text: (item, label, size) => el(size ? "span" : "blockquote", { class: "text", lang: "" }, item === "" ? el("em", {}, "(empty)") : item),
  audio: (item, label, size) => el("span", { class: size ? "sound small" : "sound" }, waveform(item, { label, ...(size ? { width: 120, height: 40 } : {}) }), ...(size ? [] : [el("audio", { src: item, controls: true, "aria-label": label })])),
  table: (item, label, size) => rows([[label, item]], size ? 5 : Infinity, size),
};

/** Rows side by side: a line for each column of the table. */
export function rows(named, most = Infinity, small = false) {
  const columns = Object.keys(named[0][1]);
  const body = columns.slice(0, most).map((column) => {
    const first = cell(named[0][1][column]);
    return el("tr", {}, el("th", { scope: "row" }, column), ...named.map(([, row]) => el("td", { class: cell(row[column]) === first ? "" : "differs" }, cell(row[column]))));
  });
  const head = small || named.length < 2 ? null : el("thead", {}, el("tr", {}, el("td"), ...named.map(([name]) => el("th", { scope: "col" }, name))));
  return el("table", { class: small ? "row small" : "row" }, head, el("tbody", {}, ...body));
}

/** An item, large. */
export const show = (item, label) => shows[state.model.kind](item, label, 0);
/** An item, small. */
export const thumb = (item, size = 56) => shows[state.model.kind](item, "", size);

/** Several items with a name each, side by side; rows as columns of one table. */
export function together(named) {
  if (state.model.kind === "table") return el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": named.map(([name]) => name).join(", ") }, rows(named));
  return el("div", { class: "together" }, ...named.map(([name, item]) => el("figure", {}, show(item, name), el("figcaption", {}, name))));
}

/** A button that plays a sound, where items are sounds. */
export function player(item) {
  return state.model.kind !== "audio" ? null : el("button", { type: "button", "aria-label": "Play", onclick: (event) => { event.stopPropagation(); new Audio(item).play(); } }, "▶");
}

const quoted = (value) => { const text = value === null || value === undefined ? "" : String(value); return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };

/** Save items as one file of their kind, or a file each. */
export async function saveItems(items, stem) {
  const { kind } = state.model;
  if (kind === "text") return save(fileName(stem, "txt"), new Blob([items.map((s) => `${s}\n`).join("")], { type: "text/plain" }));
  if (kind === "table") {
    const columns = Object.keys(items[0]);
    const lines = [columns, ...items.map((row) => columns.map((c) => row[c]))].map((line) => line.map(quoted).join(","));
    return save(fileName(stem, "csv"), new Blob([`${lines.join("\n")}\n`], { type: "text/csv" }));
  }
  if (kind === "audio") return items.forEach((item, i) => save(fileName(items.length > 1 ? `${stem}-${i + 1}` : stem, "wav"), item));
  if (items.length === 1) return save(fileName(stem, "png"), items[0]);
  const images = await Promise.all(items.map(async (src) => { const image = new Image(); image.src = src; await image.decode(); return image; }));
  const columns = Math.ceil(Math.sqrt(images.length));
  const [w, h] = [images[0].naturalWidth, images[0].naturalHeight];
  const sheet = el("canvas", { width: columns * (w + 1) - 1, height: Math.ceil(images.length / columns) * (h + 1) - 1 });
  const context = sheet.getContext("2d");
  images.forEach((image, i) => context.drawImage(image, (i % columns) * (w + 1), Math.floor(i / columns) * (h + 1)));
  return sheet.toBlob((blob) => save(fileName(stem, "png"), blob), "image/png");
}
