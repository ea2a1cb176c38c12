// Weight over time, for the chosen threads and the zoomed node, with the selection of a time range.
let intervalWeights = null;
let stripDrag = null;

function sumIntervals() {
  const inside = subtree(state.zoom);
  const { thread, interval, weight } = arrays;
  intervalWeights = new Float64Array(header.intervals);
  for (let i = 0; i < leafOf.length; i++) {
    if (inside[leafOf[i]] && !state.hidden.has(thread[i])) intervalWeights[interval[i]] += weight[i];
  }
}

const hasTime = () => !header.diff && header.intervals > 1 && header.intervalSeconds > 0;
const intervalStart = (interval) => Math.min(interval * header.intervalSeconds, header.seconds || Infinity);
const clock = (interval) => `${intervalStart(interval).toFixed(header.intervalSeconds < 0.1 ? 2 : 1)} s`;

function paintStrip() {
  const canvas = byId("strip-canvas");
  const width = byId("strip").clientWidth, height = byId("strip").clientHeight;
  if (!width) return;
  const context = prepared(canvas, width, height);
  context.clearRect(0, 0, width, height);
  const columns = Math.min(header.intervals, Math.floor(width / 2));
  const values = new Float64Array(columns);
  for (let i = 0; i < header.intervals; i++) values[Math.floor((i * columns) / header.intervals)] += intervalWeights[i];
  const most = values.reduce((a, b) => Math.max(a, b), 0) || 1;
  const hue = dark() ? [24, 95, 62] : [18, 85, 48];
  for (let i = 0; i < columns; i++) {
    const part = values[i] / most;
    const at = (i * width) / columns, wide = width / columns;
    context.fillStyle = `hsl(${hue[0]} ${hue[1]}% ${hue[2]}% / ${0.12 + 0.75 * part})`;
    const high = Math.max(part * (height - 4), part ? 2 : 0);
    context.fillRect(at, height - high, Math.max(wide - (wide > 3 ? 1 : 0), 0.5), high);
  }
  context.fillStyle = dark() ? "rgb(20 23 28 / 72%)" : "rgb(247 248 250 / 78%)";
  const from = (state.from / header.intervals) * width, to = (state.to / header.intervals) * width;
  context.fillRect(0, 0, from, height);
  context.fillRect(to, 0, width - to, height);
}

function showTime() {
  byId("time").hidden = !hasTime();
  if (!hasTime()) return;
  sumIntervals();
  const all = state.from === 0 && state.to === header.intervals;
  const range = `${clock(state.from)} – ${clock(state.to)}`;
  byId("time-text").textContent = all ? `Whole recording, ${range}. Drag to select a range.` : `Only ${range}.`;
  byId("time-all").hidden = all;
  for (const [id, interval, low, high] of [
    ["strip-from", state.from, 0, state.to - 1],
    ["strip-to", state.to, state.from + 1, header.intervals],
  ]) {
    const handle = byId(id);
    handle.style.left = `${(100 * interval) / header.intervals}%`;
    handle.setAttribute("aria-valuemin", low);
    handle.setAttribute("aria-valuemax", high);
    handle.setAttribute("aria-valuenow", interval);
    handle.setAttribute("aria-valuetext", clock(interval));
  }
  paintStrip();
}

function setTime(from, to) {
  from = Math.max(0, Math.min(from, header.intervals - 1));
  to = Math.max(from + 1, Math.min(to, header.intervals));
  if (from === state.from && to === state.to) return;
  Object.assign(state, { from, to });
  refresh("data");
}

function intervalUnder(event) {
  const edge = byId("strip").getBoundingClientRect();
  const part = Math.max(0, Math.min((event.clientX - edge.left) / edge.width, 1));
  return part * header.intervals;
}

function wireStrip() {
  const strip = byId("strip");
  strip.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const at = intervalUnder(event);
    const side = event.target.id === "strip-from" ? state.to : event.target.id === "strip-to" ? state.from : at;
    stripDrag = { anchor: side, moved: side !== at };
    strip.setPointerCapture(event.pointerId);
  });
  strip.addEventListener("pointermove", (event) => {
    if (!stripDrag) return;
    const at = intervalUnder(event);
    const pixels = (Math.abs(at - stripDrag.anchor) / header.intervals) * strip.clientWidth;
    stripDrag.moved ||= pixels > 3;
    if (!stripDrag.moved) return;
    const [low, high] = [Math.min(at, stripDrag.anchor), Math.max(at, stripDrag.anchor)];
    stripDrag.next = [Math.floor(low), Math.ceil(high)];
    soon("strip", () => stripDrag?.next && setTime(...stripDrag.next));
  });
  strip.addEventListener("pointerup", () => {
    if (stripDrag?.next) setTime(...stripDrag.next);
    stripDrag = null;
  });
  strip.addEventListener("dblclick", () => setTime(0, header.intervals));
  byId("time-all").addEventListener("click", () => setTime(0, header.intervals));
  wireHandle("strip-from", (by) => setTime(Math.min(state.from + by, state.to - 1), state.to));
  wireHandle("strip-to", (by) => setTime(state.from, Math.max(state.to + by, state.from + 1)));
}

function wireHandle(id, move) {
  const page = Math.max(1, Math.round(header.intervals / 10));
  const steps = {
    ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1,
    PageDown: -page, PageUp: page, Home: -header.intervals, End: header.intervals,
  };
  byId(id).addEventListener("keydown", (event) => {
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    move(steps[event.key]);
    say(byId("time-text").textContent);
  });
}
