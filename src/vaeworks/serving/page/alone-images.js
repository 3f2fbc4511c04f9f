// Pictures of a page that stands alone: numbers to PNG and back.

const CHANNELS = { L: 1, LA: 2, RGB: 3, RGBA: 4 };

/** x (N, C, H, W) in [0, 1] to PNGs as data URLs. */
export function imageItems(x, { mode }) {
  const [n, channels, height, width] = x.dims;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  const area = height * width;
  return Array.from({ length: n }, (_, i) => {
    const image = context.createImageData(width, height);
    const level = (c, p) => 255 * x.data[(i * channels + c) * area + p]; // what is beyond 0 to 255 is clamped, and rounded, by the array
    const grey = mode === "L" || mode === "LA";
    for (let p = 0; p < area; p++) {
      for (let c = 0; c < 3; c++) image.data[4 * p + c] = level(grey ? 0 : c, p);
      image.data[4 * p + 3] = mode === "LA" || mode === "RGBA" ? level(CHANNELS[mode] - 1, p) : 255;
    }
    context.putImageData(image, 0, 0);
    return canvas.toDataURL("image/png");
  });
}

/** A picture of any size as x (1, C, H, W): covering the model's size, cropped at its centre, of the model's levels. */
export async function imageTensor(item, [channels, height, width], { mode, levels, binarisation }) {
  const image = new Image();
  image.src = item;
  await image.decode().catch(() => { throw new Error("this is no picture that the browser can read"); });
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (mode === "L" || mode === "RGB") { // transparency is lost: laid on white
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
  }
  const scale = Math.max(width / image.naturalWidth, height / image.naturalHeight);
  const [w, h] = [image.naturalWidth * scale, image.naturalHeight * scale];
  context.imageSmoothingQuality = "high";
  context.drawImage(image, (width - w) / 2, (height - h) / 2, w, h);
  const { data } = context.getImageData(0, 0, width, height);
  const area = width * height;
  const values = new Float32Array(channels * area);
  for (let p = 0; p < area; p++) {
    const [r, g, b, a] = data.subarray(4 * p, 4 * p + 4);
    const grey = Math.round(0.299 * r + 0.587 * g + 0.114 * b);
    const pixel = { L: [grey], LA: [grey, a], RGB: [r, g, b], RGBA: [r, g, b, a] }[mode];
    pixel.forEach((v, c) => {
      const share = v / 255;
      values[c * area + p] = binarisation !== "none" ? Number(share >= 0.5) : levels ? Math.round(share * (levels - 1)) / (levels - 1) : share;
    });
  }
  return { values, shape: [1, channels, height, width], type: "float32" };
}
