// Numbers and names as text.
const KIND_NAMES = ["user", "kernel", "JIT", "inlined", "unsymbolized", "process or thread"];
const byId = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role" || key === "scope") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

const nameOf = (node) => header.names[tree.frame[node]];
const kindOf = (node) => arrays.kind[tree.frame[node]];
const moduleOf = (node) => header.modules[arrays.module[tree.frame[node]]];

function percent(part, of) {
  if (!of) return "–";
  const value = (100 * part) / of;
  if (value === 0 || value === 100) return `${value} %`;
  return value < 0.01 ? "< 0.01 %" : `${value.toFixed(value < 10 ? 2 : 1)} %`;
}

function formatNumber(value) {
  return value >= 1000 || Number.isInteger(value) ? whole.format(value) : short.format(value);
}

function duration(seconds) {
  if (!seconds) return "0 s";
  for (const [unit, size] of [["s", 1], ["ms", 1e-3], ["µs", 1e-6]]) {
    if (seconds >= size) return `${short.format(seconds / size)} ${unit}`;
  }
  return `${short.format(seconds * 1e9)} ns`;
}

// "1,234 samples" or, of other units, "1,234 cycles in 12 samples".
function weighed(weight, samples) {
  const text = header.unit === "ns" ? duration(weight * 1e-9) : `${formatNumber(weight)} ${header.unit}`;
  if (header.unit === "samples" || !header.counted) return text;
  return `${text}, ${whole.format(samples)} ${samples === 1 ? "sample" : "samples"}`;
}

function chosenSeconds() {
  if (!header.seconds || !header.intervalSeconds) return header.seconds || 0;
  return Math.min(state.to * header.intervalSeconds, header.seconds) - state.from * header.intervalSeconds;
}

// Share of the recording time; "" where its length is unknown or the weight is a time.
function timed(weight) {
  const seconds = chosenSeconds();
  if (!seconds || header.unit === "ns" || !sums.total[ROOT]) return "";
  return `${duration((seconds * weight) / sums.total[ROOT])} of ${duration(seconds)}`;
}

function bare(value) {
  return header.diff.per === "share" ? value.toFixed(value && value < 0.1 ? 3 : 2) : formatNumber(value);
}

const rated = (value) => `${bare(value)} ${header.diff.unit}`;

function bareChange(change) {
  if (header.diff.per === "share") return signed(change, Math.abs(change) < 0.1 ? 3 : 2);
  return `${change === 0 ? "±" : change > 0 ? "+" : "−"}${formatNumber(Math.abs(change))}`;
}

function signed(value, digits) {
  const text = Math.abs(value).toFixed(digits);
  return `${Number(text) === 0 ? "±" : value > 0 ? "+" : "−"}${text}`;
}

// The change relative to the frame.
function relative(before, after) {
  if (!before && !after) return "";
  if (!before) return "new";
  if (!after) return "gone";
  return `${signed((100 * (after - before)) / before, 1)} %`;
}

// The change in the unit of the normalization: percentage points, or samples per second.
function pointed(before, after) {
  return `${bareChange(after - before)} ${header.diff.per === "share" ? "points" : header.diff.unit}`;
}

const sideNames = () => (state.swapped ? [...header.diff.names].reverse() : header.diff.names);
