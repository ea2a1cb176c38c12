// Paints the plan.
const PAINT = {
  light: { ink: "#1b1f27", paper: "#ffffff", hit: "#5b21b6", hitInk: "#ffffff", mark: "#111827", hatch: "#1b1f2759" },
  dark: { ink: "#eef1f6", paper: "#14171c", hit: "#ffd84a", hitInk: "#17130a", mark: "#ffffff", hatch: "#eef1f650" },
};
const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif';
const PADDING = 5;
let hits = null;
const characterWidths = new Map();

const dark = () =>
  state.theme === "auto" ? matchMedia("(prefers-color-scheme: dark)").matches : state.theme === "dark";

// Lines of a pattern that repeats every 8 pixels, each from x, y to x, y.
const LINES = {
  falling: [[-8, 0, 0, 8], [0, 0, 8, 8], [8, 0, 16, 8]],
  rising: [[-8, 8, 0, 0], [0, 8, 8, 0], [8, 8, 16, 0]],
  level: [[0, 1.5, 8, 1.5], [0, 5.5, 8, 5.5]],
};

function hatch(context, color, lines) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const pen = tile.getContext("2d");
  pen.strokeStyle = color;
  pen.lineWidth = lines === LINES.level ? 0.8 : 1.3;
  for (const [x, y, toX, toY] of lines) {
    pen.moveTo(x, y);
    pen.lineTo(toX, toY);
  }
  pen.stroke();
  return context.createPattern(tile, "repeat");
}

// Gone, new and inconclusive are hatched, so that they differ without colours.
function hatches(context, paint) {
  if (!header.diff) return () => null;
  const [gone, fresh, unsure] = ["falling", "level", "rising"].map((name) => hatch(context, paint.hatch, LINES[name]));
  return (node) => ({ [GONE]: gone, [NEW]: fresh, [INCONCLUSIVE]: unsure })[verdictOf(node, state)] ?? null;
}

// Paints rows whose top is between `top` and `top + height`, onto a canvas of that height.
function paintRows(canvas, { top, height, width, theme, focus = true }) {
  const context = prepared(canvas, width, height);
  const paint = PAINT[theme], colors = header.palette[theme];
  const pattern = hatches(context, paint);
  context.clearRect(0, 0, width, height);
  penAlpha = penFill = null;
  for (let level = 0; level < plan.rows.length; level++) {
    const y = rowTop(level) - top;
    if (y + ROW < 0 || y > height) continue;
    for (const item of plan.rows[level]) paintFrame(context, item, y, paint, colors, pattern);
  }
  context.globalAlpha = 1;
  if (focus) paintFocus(context, top, paint);
}

function prepared(canvas, width, height) {
  const ratio = Math.max(window.devicePixelRatio || 1, canvas.dataset.sharp ? 2 : 1);
  const wide = Math.round(width * ratio), high = Math.round(height * ratio);
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.font = FONT;
  context.textBaseline = "middle";
  return context;
}

function paintFrame(context, item, y, paint, colors, pattern) {
  const { node, at, width } = item;
  const hit = hits !== null && anyHit(item);
  const faded = hits !== null && !hit;
  const gap = width > 4 ? 1 : width > 2 ? 0.5 : 0;
  setPen(context, faded ? 0.38 : item.above ? 0.6 : 1, hit ? paint.hit : colors[sums.color[node]]);
  context.fillRect(at, y, width < 0.6 ? 0.6 : width - gap, ROW - 1);
  if (width < 4) return;
  const lines = hit ? null : pattern(node);
  if (lines) {
    setPen(context, penAlpha, lines);
    context.fillRect(at, y, width - gap, ROW - 1);
  }
  if (width < 22) return;
  const text = fitted(context, labelOf(node, width > 180), width - gap - 2 * PADDING);
  if (!text) return;
  if (lines) {
    setPen(context, penAlpha, colors[sums.color[node]]);
    context.fillRect(at + 2, y + 2, context.measureText(text).width + 2 * PADDING - 3, ROW - 5);
  }
  setPen(context, faded ? 0.62 : item.above ? 0.8 : 1, hit ? paint.hitInk : paint.ink);
  context.fillText(text, at + PADDING, y + ROW / 2);
}

// Nodes too narrow to be distinguished share a rectangle, which is highlighted for any of them.
function anyHit({ node, last }) {
  for (let i = node; i <= last; i++) if (hits[tree.frame[i]] === 1) return true;
  return false;
}

// Setting a colour costs more than comparing it.
let penAlpha = null, penFill = null;

function setPen(context, alpha, fill) {
  if (alpha !== penAlpha) context.globalAlpha = penAlpha = alpha;
  if (fill !== penFill) context.fillStyle = penFill = fill;
}

function labelOf(node, roomy) {
  if (!header.diff) return nameOf(node);
  const verdict = verdictOf(node, state);
  const { before, after } = rates(node, state, state.compare === "self");
  const withChange = roomy && (verdict === GROWN || verdict === SHRUNK);
  return `${header.diff.signs[verdict]} ${nameOf(node)}${withChange ? `  ${relative(before, after)}` : ""}`;
}

// Sums of character widths: measuring each text would take most of the time of a zoom.
function fitted(context, text, room) {
  const dots = characterWidth(context, "…");
  let width = 0, fits = 0;
  for (const character of text) {
    width += characterWidth(context, character);
    if (width <= room - dots) fits += character.length;
    if (width > room) return fits < 3 ? "" : `${text.slice(0, fits).trimEnd()}…`;
  }
  return text;
}

function characterWidth(context, character) {
  let width = characterWidths.get(character);
  if (width === undefined) characterWidths.set(character, (width = context.measureText(character).width));
  return width;
}

function paintFocus(context, top, paint) {
  const outline = (node, color, line) => {
    const place = placeOf(node);
    context.strokeStyle = color;
    context.lineWidth = line;
    const inset = line / 2;
    const wide = Math.max(place.width - 1, 3);
    context.strokeRect(place.at + inset, place.top - top + inset, wide - line, ROW - 1 - line);
  };
  if (hovered !== null && hovered !== state.focus) outline(hovered, paint.mark, 1);
  if (graphHasFocus() || state.focus !== state.zoom) {
    outline(state.focus, paint.paper, 4);
    outline(state.focus, paint.mark, 2);
  }
}

let hovered = null;
const graphHasFocus = () => document.activeElement === byId("scroll");

function paint() {
  const scroll = byId("scroll");
  if (!scroll.clientWidth) return;
  paintRows(byId("graph"), {
    top: graphTop(),
    height: scroll.clientHeight,
    width: plan.width,
    theme: dark() ? "dark" : "light",
  });
}

function layOut() {
  makePlan(byId("scroll").clientWidth || byId("stage").clientWidth);
  byId("spacer").style.height = `${Math.max(plan.height, 1)}px`;
}

// A flame graph starts at the lower edge, even of a window that it does not fill.
function graphTop() {
  const scroll = byId("scroll");
  const room = Math.max(0, scroll.clientHeight - plan.height);
  return scroll.scrollTop - (state.icicle ? 0 : room);
}

function settle() {
  const scroll = byId("scroll");
  scroll.scrollTop = state.icicle ? 0 : scroll.scrollHeight;
}

function reveal(node) {
  const scroll = byId("scroll");
  const top = rowTop(tree.depth[node]) - graphTop();
  if (top < 0) scroll.scrollTop += top - ROW;
  else if (top + ROW > scroll.clientHeight) scroll.scrollTop += top + 2 * ROW - scroll.clientHeight;
}
