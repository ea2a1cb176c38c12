// Keys, and the help that lists them.
const HELP = [
  ["← →", "neighbours"],
  ["↑ ↓", "callers and callees"],
  ["Enter", "zoom to the frame"],
  ["Escape", "back"],
  ["Home", "zoom out to all"],
  ["/", "search; Enter there goes to the next match"],
  ["n  p", "next and previous match"],
  ["f", "turn: flame or icicle"],
  ["t", "table of the same data"],
  ["h", "threads: hide, show, merge"],
  ["d", "light or dark"],
  ["?", "this help"],
];
const DIFF_HELP = [
  ["x", "swap before and after"],
  ["w", "widths: both sides, before, after"],
  ["i", "compare inclusive or self"],
];

const ACTIONS = {
  ArrowLeft: () => sideways(-1),
  ArrowRight: () => sideways(1),
  ArrowUp: () => (state.icicle ? toParent() : toChild()),
  ArrowDown: () => (state.icicle ? toChild() : toParent()),
  Enter: () => zoomTo(state.focus),
  Escape: () => escape(),
  Home: () => zoomTo(ROOT),
  "/": () => byId("search").select(),
  n: () => nextMatch(1),
  p: () => nextMatch(-1),
  f: () => turn(),
  t: () => toggleTable(),
  h: () => togglePanel(),
  d: () => toggleTheme(),
  "?": () => byId("help").showModal(),
  x: () => header.diff && swapOrder(),
  w: () => header.diff && setSizes(SIZES[(SIZES.indexOf(state.sizes) + 1) % SIZES.length]),
  i: () => header.diff && setCompare(state.compare === "self" ? "total" : "self"),
};
// Keys that move in the graph; elsewhere, arrows scroll and Enter presses buttons.
const WALKS = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Enter", "Home"]);

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const typing = event.target.matches?.("input[type=search]");
  if (typing) {
    if (event.key === "Escape") leaveSearch(event);
    return;
  }
  const walks = WALKS.has(event.key);
  if (walks && !(graphHasFocus() || event.target === document.body)) return;
  if (!(event.key in ACTIONS)) return;
  event.preventDefault();
  ACTIONS[event.key]();
}

function leaveSearch(event) {
  event.preventDefault();
  if (state.query) searchFor("");
  else byId("scroll").focus();
}

function escape() {
  if (!byId("tip").hidden) hideTip();
  else if (state.panel) togglePanel();
  else zoomBack();
}

function focusOn(node) {
  state.focus = node;
  reveal(node);
  paint();
  const place = placeOf(node), edge = byId("scroll").getBoundingClientRect();
  showTip(node, edge.left + Math.max(place.at, 0) + Math.min(place.width, 200) / 2, edge.top + place.top - graphTop() + 6);
  say(sentenceOf(node));
}

const visible = (node) => sums.width[node] > 0;

function sideways(step) {
  const level = tree.depth[state.focus];
  if (level <= tree.depth[state.zoom] || !plan.ranges[level]) return focusOn(state.focus);
  const [low, high] = plan.ranges[level];
  for (let node = state.focus + step; node >= low && node < high; node += step) if (visible(node)) return focusOn(node);
  return say("No further frame on this level.");
}

function toParent() {
  focusOn(state.focus === ROOT ? ROOT : tree.parent[state.focus]);
}

function toChild() {
  if (tree.depth[state.focus] < tree.depth[state.zoom]) {
    return focusOn(plan.ranges[tree.depth[state.focus] + 1][0]);
  }
  let best = null;
  for (let node = tree.first[state.focus]; node < tree.first[state.focus + 1]; node++) {
    if (visible(node) && (best === null || sums.width[node] > sums.width[best])) best = node;
  }
  return best === null ? say(`${nameOf(state.focus)} has no callees here.`) : focusOn(best);
}

// Matches inside the zoomed node, in the order of levels.
function nextMatch(step) {
  if (hits === null) return say("No search is active.");
  const found = [];
  eachLevel(state.zoom, (low, high) => {
    for (let node = low; node < high; node++) if (hits[tree.frame[node]] && visible(node)) found.push(node);
  });
  if (!found.length) return say("No match.");
  const after = step > 0 ? found.find((node) => node > state.focus) : found.findLast((node) => node < state.focus);
  return focusOn(after ?? found.at(step > 0 ? 0 : -1));
}

function fillHelp() {
  const keys = header.diff ? [...HELP.filter(([key]) => key !== "h"), ...DIFF_HELP] : HELP;
  byId("help-keys").replaceChildren(
    ...keys.flatMap(([key, text]) => [
      element("dt", {}, ...key.split("  ").map((textContent) => element("kbd", { textContent }))),
      element("dd", { textContent: text }),
    ]),
  );
  byId("help-rule").hidden = !header.diff;
  if (header.diff) byId("help-rule").textContent = header.diff.rule;
}
