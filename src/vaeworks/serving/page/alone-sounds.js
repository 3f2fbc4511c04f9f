// Sounds of a page that stands alone: a log-mel spectrogram to a waveform by the fast Griffin-Lim algorithm (Perraudin, Balazs & Sondergaard 2013).
import { writeWav } from "explore/audio";
import { random } from "explore/geometry";

const ITERATIONS = 16;
const SOLVED = 30;
const MOMENTUM = 0.99;

/** x (N, 1, T) or (N, 1, M, F), NaN beyond an item's end, to WAVs as data URLs. */
export function soundItems(x, form, floats) {
  const [n] = x.dims;
  const size = x.data.length / n;
  return Array.from({ length: n }, (_, i) => {
    const one = x.data.subarray(i * size, (i + 1) * size);
    return writeWav(form.representation === "wave" ? ending(one) : voiced(one, x.dims[3], form, floats), form.rate);
  });
}

function ending(wave) {
  let end = wave.length;
  while (end > 0 && Number.isNaN(wave[end - 1])) end--;
  return wave.slice(0, end);
}

function voiced(mel, total, form, floats) {
  const { mels, window: size, hop, floor, scale, mel_means: means, mel_scales: scales } = form;
  form.arrays ??= { filters: floats(form.filters), inverse: floats(form.inverse) };
  let frames = total;
  while (frames > 0 && Number.isNaN(mel[frames - 1])) frames--;
  if (!frames) return new Float32Array(0);
  const bins = size / 2 + 1;
  const target = Array.from({ length: frames }, (_, f) => Float64Array.from({ length: mels }, (_, m) => {
    const value = mel[m * total + f] * scales[m] + means[m];
    return Math.max(0, Math.exp(Math.min(-Math.log(floor), Math.max(Math.log(floor), value))) - floor) * scale;
  }));
  const magnitude = target.map((frame) => solve(frame, form.arrays, mels, bins, 1e-3 * floor * scale));
  return griffinLim(magnitude, size, hop, frames);
}

/** Magnitudes (bins) of a frame whose mel bands are `target`: non-negative least squares (Lee & Seung 2001). */
function solve(target, { filters, inverse }, mels, bins, least) {
  const found = new Float64Array(bins);
  const wanted = new Float64Array(bins);
  for (let b = 0; b < bins; b++) {
    let [first, back] = [0, 0];
    for (let m = 0; m < mels; m++) {
      first += inverse[b * mels + m] * target[m];
      back += filters[m * bins + b] * target[m];
    }
    found[b] = Math.max(least, first);
    wanted[b] = back;
  }
  const bands = new Float64Array(mels);
  for (let turn = 0; turn < SOLVED; turn++) {
    for (let m = 0; m < mels; m++) {
      let sum = 0;
      for (let b = 0; b < bins; b++) sum += filters[m * bins + b] * found[b];
      bands[m] = sum;
    }
    for (let b = 0; b < bins; b++) {
      let sum = 0;
      for (let m = 0; m < mels; m++) sum += filters[m * bins + b] * bands[m];
      found[b] *= wanted[b] / Math.max(1e-12, sum);
    }
  }
  return found;
}

function griffinLim(magnitude, size, hop, frames) {
  const bins = size / 2 + 1;
  const hann = Float64Array.from({ length: size }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size));
  const before = Math.floor((size - hop) / 2);
  const length = frames * hop;
  const noise = random(1);
  const flat = (make) => Float64Array.from({ length: frames * bins }, make);
  const phase = Float64Array.from({ length: bins * frames }, () => 2 * Math.PI * noise());
  let re = flat((_, i) => magnitude[Math.floor(i / bins)][i % bins] * Math.cos(phase[i]));
  let im = flat((_, i) => magnitude[Math.floor(i / bins)][i % bins] * Math.sin(phase[i]));
  let [lastRe, lastIm] = [new Float64Array(frames * bins), new Float64Array(frames * bins)];
  const fft = transformer(size);

  const constrain = () => {
    for (let i = 0; i < re.length; i++) {
      const norm = Math.hypot(re[i], im[i]);
      const share = norm > 0 ? magnitude[Math.floor(i / bins)][i % bins] / norm : 0;
      re[i] *= share;
      im[i] *= share;
    }
  };
  const back = () => {
    const out = new Float64Array(length + size);
    const weight = new Float64Array(length + size);
    const [a, b] = [new Float64Array(size), new Float64Array(size)];
    for (let f = 0; f < frames; f++) {
      for (let k = 0; k < bins; k++) {
        a[k] = re[f * bins + k];
        b[k] = -im[f * bins + k]; // the conjugate: the inverse by the forward transform
        if (k > 0 && k < bins - 1) { a[size - k] = a[k]; b[size - k] = -b[k]; }
      }
      b[0] = 0;
      b[bins - 1] = 0;
      fft(a, b);
      for (let i = 0; i < size; i++) {
        out[f * hop + i] += (a[i] / size) * hann[i];
        weight[f * hop + i] += hann[i] * hann[i];
      }
    }
    return Float32Array.from({ length }, (_, i) => out[i + before] / Math.max(1e-8, weight[i + before]));
  };
  const forth = (wave) => {
    const [nextRe, nextIm] = [new Float64Array(frames * bins), new Float64Array(frames * bins)];
    const [a, b] = [new Float64Array(size), new Float64Array(size)];
    for (let f = 0; f < frames; f++) {
      for (let i = 0; i < size; i++) {
        const at = f * hop + i - before;
        a[i] = at >= 0 && at < length ? wave[at] * hann[i] : 0;
        b[i] = 0;
      }
      fft(a, b);
      nextRe.set(a.subarray(0, bins), f * bins);
      nextIm.set(b.subarray(0, bins), f * bins);
    }
    return [nextRe, nextIm];
  };

  for (let turn = 0; turn < ITERATIONS; turn++) {
    constrain();
    const [nextRe, nextIm] = forth(back());
    re = nextRe.map((v, i) => v + MOMENTUM * (v - lastRe[i]));
    im = nextIm.map((v, i) => v + MOMENTUM * (v - lastIm[i]));
    [lastRe, lastIm] = [nextRe, nextIm];
  }
  constrain();
  return back();
}

/** The discrete Fourier transform of `size` numbers in place: by halves where that is a power of two, else by its definition. */
function transformer(size) {
  const cos = Float64Array.from({ length: size }, (_, i) => Math.cos((2 * Math.PI * i) / size));
  const sin = Float64Array.from({ length: size }, (_, i) => -Math.sin((2 * Math.PI * i) / size));
  if (size & (size - 1)) {
    return (a, b) => {
      const [re, im] = [a.slice(), b.slice()];
      for (let k = 0; k < size; k++) {
        let [x, y] = [0, 0];
        for (let i = 0; i < size; i++) {
          const at = (i * k) % size;
          x += re[i] * cos[at] - im[i] * sin[at];
          y += re[i] * sin[at] + im[i] * cos[at];
        }
        a[k] = x;
        b[k] = y;
      }
    };
  }
  const bits = Math.log2(size);
  const turned = Uint32Array.from({ length: size }, (_, i) => { let r = 0; for (let k = 0; k < bits; k++) r |= ((i >> k) & 1) << (bits - 1 - k); return r; });
  return (a, b) => {
    for (let i = 0; i < size; i++) {
      const j = turned[i];
      if (j > i) { [a[i], a[j]] = [a[j], a[i]]; [b[i], b[j]] = [b[j], b[i]]; }
    }
    for (let half = 1; half < size; half *= 2) {
      const step = size / (2 * half);
      for (let start = 0; start < size; start += 2 * half) {
        for (let k = 0; k < half; k++) {
          const [c, s] = [cos[k * step], sin[k * step]];
          const [p, q] = [start + k, start + k + half];
          const x = a[q] * c - b[q] * s;
          const y = a[q] * s + b[q] * c;
          a[q] = a[p] - x; b[q] = b[p] - y;
          a[p] += x; b[p] += y;
        }
      }
    }
  };
}
