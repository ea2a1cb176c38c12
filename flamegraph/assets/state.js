// Choices of the user, and their encoding in the URL fragment.
const state = {
  zoom: ROOT,
  focus: ROOT,
  query: "",
  regex: false,
  from: 0,
  to: 0,
  hidden: new Set(),
  fold: false,
  icicle: false,
  theme: "auto",
  table: false,
  panel: false,
  swapped: false,
  sizes: "both",
  compare: "total",
};
const SIZES = ["both", "before", "after"];
// Previous zooms, for Escape.
let trail = [];

function pathOf(node) {
  return ancestors(node).slice(1).map((at) => tree.frame[at]);
}

function toAddress() {
  const values = new URLSearchParams();
  const put = (name, value, usual) => value !== usual && values.set(name, value);
  put("zoom", pathOf(state.zoom).map((frame) => frame.toString(36)).join("."), "");
  put("q", state.query, "");
  put("regex", state.regex ? 1 : 0, 0);
  if (!header.diff) {
    put("time", `${state.from}-${state.to}`, `0-${header.intervals}`);
    put("hide", ranges([...state.hidden].sort((a, b) => a - b)), "");
    put("fold", state.fold ? 1 : 0, 0);
  } else {
    put("swap", state.swapped ? 1 : 0, 0);
    put("width", state.sizes, "both");
    put("compare", state.compare, "total");
  }
  put("turn", state.icicle ? "icicle" : "flame", header.inverted ? "icicle" : "flame");
  put("theme", state.theme, "auto");
  put("table", state.table ? 1 : 0, 0);
  return `#${values}`;
}

function fromAddress() {
  const values = new URLSearchParams(location.hash.slice(1));
  const is = (name) => values.get(name) === "1";
  state.query = values.get("q") ?? "";
  state.regex = is("regex");
  const [from, to] = (values.get("time") ?? "").split("-").map(Number);
  const fits = Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from < to && to <= header.intervals;
  [state.from, state.to] = fits ? [from, to] : [0, header.intervals ?? 1];
  state.hidden = new Set(unranged(values.get("hide") ?? "", header.threads?.length ?? 0));
  state.fold = is("fold") && (header.fold?.length ?? 0) > 0;
  state.swapped = is("swap");
  state.sizes = SIZES.includes(values.get("width")) ? values.get("width") : "both";
  state.compare = values.get("compare") === "self" ? "self" : "total";
  const turn = values.get("turn");
  state.icicle = turn ? turn === "icicle" : header.inverted;
  state.theme = ["light", "dark"].includes(values.get("theme")) ? values.get("theme") : "auto";
  state.table = is("table");
  chooseTree(state.fold);
  const path = (values.get("zoom") ?? "").split(".").filter(Boolean);
  state.zoom = state.focus = nodeAt(path.map((part) => parseInt(part, 36)));
}

// A zoom adds a step to the history of the browser; other changes replace the current step.
function keepAddress(step = false) {
  const address = toAddress();
  if (address === (location.hash || "#")) return;
  try {
    history[step ? "pushState" : "replaceState"](null, "", address);
  } catch {
    // A page inside a sandboxed frame has no URL.
  }
}

function ranges(numbers) {
  const parts = [];
  for (let i = 0; i < numbers.length; i++) {
    const begin = i;
    while (numbers[i + 1] === numbers[i] + 1) i++;
    parts.push(begin === i ? `${numbers[i]}` : `${numbers[begin]}-${numbers[i]}`);
  }
  return parts.join(",");
}

function unranged(text, limit) {
  const found = [];
  for (const part of text.split(",").filter(Boolean)) {
    const [begin, end = begin] = part.split("-").map(Number);
    for (let i = begin; i <= end && i < limit; i++) if (i >= 0) found.push(i);
  }
  return found;
}

function zoomTo(node, { back = false } = {}) {
  if (node === state.zoom) return;
  performance.mark("zoom-begin");
  if (!back) trail.push(pathOf(state.zoom));
  state.zoom = state.focus = node;
  refresh("zoom");
  keepAddress(true);
  performance.measure("zoom", "zoom-begin");
}

function zoomBack() {
  if (trail.length) zoomTo(nodeAt(trail.pop()), { back: true });
  else zoomTo(ROOT, { back: true });
}
