// Painting over part of a picture: by pointer, by keys, or by halves.
import { el } from "explore/dom";
import { state } from "explore/state";

const HALVES = { "Left half": [0, 0, 0.5, 1], "Right half": [0.5, 0, 1, 1], "Top half": [0, 0, 1, 0.5], "Bottom half": [0, 0.5, 1, 1], Middle: [0.25, 0.25, 0.75, 0.75] };

/** {elements, hidden()} for a picture; `done` is called when a stroke ends. */
export function painter(item, done) {
  const [height, width] = state.model.shape.slice(-2);
  const scale = Math.max(1, Math.floor(280 / Math.max(width, height)));
  const missing = new Uint8Array(width * height);
  const canvas = el("canvas", { width: width * scale, height: height * scale, tabindex: "0", role: "application", class: "paint", id: "paint", "aria-label": "Picture to paint over", "aria-describedby": "paint-hint" });
  canvas.style.aspectRatio = `${width} / ${height}`;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  const image = new Image();
  const brush = { x: width / 2, y: height / 2, size: Math.max(1, Math.round(Math.max(width, height) / 10)), seen: false };
  const size = el("input", { type: "range", id: "brush", min: 1, max: Math.max(3, Math.round(Math.max(width, height) / 4)), value: brush.size, oninput: () => { brush.size = Number(size.value); draw(); } });
  image.onload = draw;
  image.src = item;

  function draw() {
    const style = getComputedStyle(document.documentElement);
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    context.fillStyle = style.getPropertyValue("--gap-solid").trim();
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) if (missing[y * width + x]) context.fillRect(x * scale, y * scale, scale, scale);
    if (!brush.seen) return;
    context.strokeStyle = style.getPropertyValue("--accent").trim();
    context.lineWidth = 2;
    context.beginPath();
    context.arc(brush.x * scale, brush.y * scale, brush.size * scale, 0, 7);
    context.stroke();
  }
  function dab(value = 1) {
    const r = brush.size;
    for (let y = Math.max(0, Math.floor(brush.y - r)); y < Math.min(height, brush.y + r); y++) {
      for (let x = Math.max(0, Math.floor(brush.x - r)); x < Math.min(width, brush.x + r); x++) {
        if (Math.hypot(x + 0.5 - brush.x, y + 0.5 - brush.y) <= r) missing[y * width + x] = value;
      }
    }
    draw();
  }
  const follow = (event) => {
    const box = canvas.getBoundingClientRect();
    brush.x = ((event.clientX - box.left) / box.width) * width;
    brush.y = ((event.clientY - box.top) / box.height) * height;
  };
  let painting = false;
  canvas.addEventListener("pointerdown", (event) => { painting = true; canvas.setPointerCapture(event.pointerId); follow(event); dab(event.shiftKey ? 0 : 1); });
  canvas.addEventListener("pointermove", (event) => { brush.seen = true; follow(event); if (painting) dab(event.shiftKey ? 0 : 1); else draw(); });
  canvas.addEventListener("pointerup", () => { if (painting) done(); painting = false; });
  canvas.addEventListener("pointerleave", () => { brush.seen = document.activeElement === canvas; draw(); });
  canvas.addEventListener("focus", () => { brush.seen = true; draw(); });
  canvas.addEventListener("blur", () => { brush.seen = false; draw(); });
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (by) {
      brush.x = Math.min(width, Math.max(0, brush.x + by[0]));
      brush.y = Math.min(height, Math.max(0, brush.y + by[1]));
      draw();
    } else if (event.key === " ") dab(event.shiftKey ? 0 : 1);
    else if (event.key === "Enter") done();
    else return;
    event.preventDefault();
  });
  const areas = Object.entries(HALVES).map(([name, [x0, y0, x1, y1]]) => el("button", { type: "button", onclick: () => {
    missing.fill(0);
    for (let y = Math.floor(y0 * height); y < y1 * height; y++) missing.fill(1, y * width + Math.floor(x0 * width), y * width + Math.floor(x1 * width));
    draw();
    done();
  } }, name));
  const clear = el("button", { type: "button", onclick: () => { missing.fill(0); draw(); } }, "Clear");
  return {
    elements: [canvas, el("p", { class: "quiet", id: "paint-hint" }, "Paint over what is to be filled in; or move the brush by arrow keys, Space paints, Shift erases, Enter fills in."),
      el("div", { class: "line" }, el("label", { for: "brush" }, "Brush"), size), el("div", { class: "buttons" }, ...areas, clear)],
    hidden() {
      if (!missing.includes(1)) return { nothing: "Nothing is hidden yet: paint over a part." };
      const mask = el("canvas", { width, height });
      const pixels = new ImageData(width, height);
      for (let i = 0; i < missing.length; i++) pixels.data.set(missing[i] ? [0, 0, 0, 255] : [255, 255, 255, 255], 4 * i);
      mask.getContext("2d").putImageData(pixels, 0, 0);
      return { mask: mask.toDataURL("image/png") };
    },
  };
}
