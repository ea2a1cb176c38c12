// The keyboard, and the help that lists it.
const HELP = [
  ["← →", "neighbours"],
  ["↑ ↓", "up and down the picture: callers and what they call"],
  ["Enter", "zoom to the box"],
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
  i: () => header.diff && setCompare(state.compare === "own" ? "total" : "own"),
};
// These walk the graph, and belong to it alone: elsewhere arrows scroll and Enter presses buttons.
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

function focusOn(box) {
  state.focus = box;
  reveal(box);
  paint();
  const place = placeOf(box), edge = byId("scroll").getBoundingClientRect();
  showTip(box, edge.left + Math.max(place.at, 0) + Math.min(place.width, 200) / 2, edge.top + place.top - graphTop() + 6);
  say(sentenceOf(box));
}

const visible = (box) => sums.width[box] > 0;

function sideways(step) {
  const level = tree.depth[state.focus];
  if (level <= tree.depth[state.zoom] || !plan.ranges[level]) return focusOn(state.focus);
  const [low, high] = plan.ranges[level];
  for (let box = state.focus + step; box >= low && box < high; box += step) if (visible(box)) return focusOn(box);
  return say("No further box on this level.");
}

function toParent() {
  focusOn(state.focus === ROOT ? ROOT : tree.parent[state.focus]);
}

function toChild() {
  if (tree.depth[state.focus] < tree.depth[state.zoom]) {
    return focusOn(plan.ranges[tree.depth[state.focus] + 1][0]);
  }
  let best = null;
  for (let box = tree.first[state.focus]; box < tree.first[state.focus + 1]; box++) {
    if (visible(box) && (best === null || sums.width[box] > sums.width[best])) best = box;
  }
  return best === null ? say(`Nothing stands on ${nameOf(state.focus)}.`) : focusOn(best);
}

// Matches in the order of the levels, inside the zoomed box.
function nextMatch(step) {
  if (hits === null) return say("Nothing is searched for.");
  const found = [];
  eachLevel(state.zoom, (low, high) => {
    for (let box = low; box < high; box++) if (hits[tree.frame[box]] && visible(box)) found.push(box);
  });
  if (!found.length) return say("Nothing matches.");
  const after = step > 0 ? found.find((box) => box > state.focus) : found.findLast((box) => box < state.focus);
  return focusOn(after ?? found.at(step > 0 ? 0 : -1));
}

function fillHelp() {
  const keys = header.diff ? [...HELP.filter(([key]) => key !== "h"), ...DIFF_HELP] : HELP;
  byId("help-keys").replaceChildren(
    ...keys.flatMap(([key, text]) => [
      node("dt", {}, ...key.split("  ").map((one) => node("kbd", { textContent: one }))),
      node("dd", { textContent: text }),
    ]),
  );
  byId("help-rule").hidden = !header.diff;
  if (header.diff) byId("help-rule").textContent = header.diff.rule;
}
