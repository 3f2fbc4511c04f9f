// Sounds: WAV files to samples and back, and how a waveform looks.
import { el } from "explore/dom";

/** {samples: Float32Array, rate} of a WAV file as a data URL (PCM of 16 bits, or floats); null where it is something else. */
export function readWav(url) {
  const bytes = Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const name = (at) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (name(0) !== "RIFF" || name(8) !== "WAVE") return null;
  let [rate, format, bits, channels] = [8000, 1, 16, 1];
  for (let at = 12; at + 8 <= bytes.length;) {
    const length = Math.min(view.getUint32(at + 4, true), bytes.length - at - 8);
    if (name(at) === "fmt ") {
      format = view.getUint16(at + 8, true);
      channels = view.getUint16(at + 10, true);
      rate = view.getUint32(at + 12, true);
      bits = view.getUint16(at + 22, true);
    } else if (name(at) === "data") {
      const size = (bits / 8) * channels;
      const read = format === 3 && bits === 32 ? (p) => view.getFloat32(p, true) : bits === 16 ? (p) => view.getInt16(p, true) / 32768 : null;
      if (!read) return null;
      return { rate, samples: Float32Array.from({ length: Math.floor(length / size) }, (_, i) => read(at + 8 + i * size)) };
    }
    at += 8 + length + (length & 1);
  }
  return null;
}

/** A WAV file of samples in [-1, 1] as a data URL. */
export function writeWav(samples, rate) {
  const bytes = new Uint8Array(44 + 2 * samples.length);
  const view = new DataView(bytes.buffer);
  const text = (at, word) => [...word].forEach((c, i) => { bytes[at + i] = c.charCodeAt(0); });
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * samples.length, true);
  samples.forEach((v, i) => view.setInt16(44 + 2 * i, Math.round(Math.max(-1, Math.min(1, v)) * 32767), true));
  let binary = "";
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return `data:audio/wav;base64,${btoa(binary)}`;
}

/** A picture of a waveform; `gap` [start, end] in seconds is shaded. */
export function waveform(url, { width = 320, height = 72, gap = null, label = "Waveform" } = {}) {
  const canvas = el("canvas", { width: width * 2, height: height * 2, class: "wave", role: "img", "aria-label": label });
  canvas.style.aspectRatio = `${width} / ${height}`;
  const found = readWav(url);
  if (!found) return canvas;
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const { samples, rate } = found;
  const seconds = samples.length / rate;
  if (gap && seconds) {
    context.fillStyle = style.getPropertyValue("--gap").trim();
    context.fillRect((gap[0] / seconds) * canvas.width, 0, ((gap[1] - gap[0]) / seconds) * canvas.width, canvas.height);
  }
  context.fillStyle = style.getPropertyValue("--accent").trim();
  const step = samples.length / canvas.width;
  for (let x = 0; x < canvas.width; x++) {
    let [low, high] = [0, 0];
    for (let i = Math.floor(x * step); i < Math.max((x + 1) * step, Math.floor(x * step) + 1) && i < samples.length; i++) {
      low = Math.min(low, samples[i]);
      high = Math.max(high, samples[i]);
    }
    const middle = canvas.height / 2;
    context.fillRect(x, middle - high * middle, 1, Math.max(2, (high - low) * middle));
  }
  canvas.setAttribute("aria-label", `${label}, ${seconds.toFixed(2)} s`);
  return canvas;
}
