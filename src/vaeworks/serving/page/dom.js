// Elements in a line, and files for people.

/** An element: attributes, "on..." listeners, and children that are elements or text. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const get = (id) => document.getElementById(id);

export function save(name, content) {
  const url = typeof content === "string" && content.startsWith("data:") ? content : URL.createObjectURL(content);
  const link = el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  if (url.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(url), 10000);
}

export const fileName = (stem, suffix) => `${stem.replace(/[^\p{L}\p{N}_-]+/gu, "-").slice(0, 60)}.${suffix}`;

export function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return value.toExponential(2);
  return Number(value.toPrecision(Math.max(digits, Math.ceil(Math.log10(size + 1))))).toString();
}

/** Read a chosen or dropped file as a data URL. */
export function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error(`${file.name} cannot be read`));
    reader.readAsDataURL(file);
  });
}

/** Call `work` with the latest argument only, one call at a time: a slider must not queue up what nobody waits for. */
export function latest(work) {
  let busy = false;
  let next = null;
  return async function call(...args) {
    next = args;
    if (busy) return;
    busy = true;
    while (next) {
      const now = next;
      next = null;
      await work(...now);
    }
    busy = false;
  };
}
