// Redrawing after changes, buttons and mouse, start.
const waiting = new Map();

// At most once a frame.
function soon(key, work) {
  if (waiting.has(key)) return;
  waiting.set(key, requestAnimationFrame(() => {
    waiting.delete(key);
    work();
  }));
}

// `change`: "data" (weights), "zoom", "search", "look" (theme), "size".
function refresh(change) {
  if (printing) return;
  hideTip();
  if (change === "data") {
    aggregate(state);
    if (!(sums.width[state.focus] > 0)) state.focus = state.zoom;
  }
  if (change === "data" || change === "zoom" || change === "search") showMatches();
  if (change === "data" || change === "zoom") showPath();
  if (change !== "search") {
    showTime();
    showLegend();
  }
  if (change === "data" || change === "look") showThreads();
  showButtons();
  showTable();
  fit(change !== "look" && change !== "search");
  if (change !== "zoom") keepAddress();
}

// The status line may need another line: the graph takes the remaining height.
function fit(moved) {
  layOut();
  showStatus();
  if (moved) settle();
  paint();
}

function showMatches() {
  const output = byId("search-result"), input = byId("search");
  const { test, error } = matcher();
  input.setAttribute("aria-invalid", String(Boolean(error)));
  byId("regex").setAttribute("aria-pressed", String(state.regex));
  output.classList.toggle("wrong", Boolean(error));
  hits = test ? Uint8Array.from(header.names, (name) => (test(name) ? 1 : 0)) : null;
  output.textContent = error || (hits ? matchText() : "");
}

function matchText() {
  if (!header.diff) {
    const { sum, nodes } = matchedWeight(hits, state.zoom, sums.total);
    const of = state.zoom === ROOT ? "" : " of the view";
    return nodes ? `${percent(sum, sums.total[state.zoom])}${of} in ${whole.format(nodes)} ${nodes === 1 ? "frame" : "frames"}` : "No match";
  }
  const sides = [sums.totalA, sums.totalB].map((weight, side) => {
    const { sum, nodes } = matchedWeight(hits, state.zoom, weight);
    return { rate: sum / (header.diff.divisors[side] || 1), nodes };
  });
  if (!sides[0].nodes && !sides[1].nodes) return "No match";
  if (state.swapped) sides.reverse();
  return `${rated(sides[0].rate)} → ${rated(sides[1].rate)}`;
}

function matcher() {
  if (!state.query) return {};
  if (!state.regex) {
    const wanted = state.query.toLowerCase();
    return { test: (name) => name.toLowerCase().includes(wanted) };
  }
  try {
    const pattern = new RegExp(state.query, /[A-Z]/.test(state.query) ? "u" : "iu");
    return { test: (name) => pattern.test(name) };
  } catch (error) {
    return { error: `Not a regular expression: ${error.message.split(": ").at(-1)}` };
  }
}

function searchFor(text) {
  state.query = byId("search").value = text;
  if (text) state.regex = false;
  refresh("search");
}

function showButtons() {
  byId("turn").textContent = state.icicle ? "Flame" : "Icicle";
  byId("theme").textContent = dark() ? "Light" : "Dark";
  if (!header.diff) return;
  const [first, second] = sideNames();
  byId("order").textContent = `${first} → ${second}  ⇄`;
  byId("order").setAttribute("aria-label", `Before ${first}, after ${second}; swap`);
  pressedIn("sizes", state.sizes);
  pressedIn("compare", state.compare);
  for (const button of byId("sizes").children) {
    if (button.value !== "both") button.textContent = button.value === "before" ? first : second;
  }
}

function pressedIn(id, value) {
  for (const button of byId(id).children) button.setAttribute("aria-pressed", String(button.value === value));
}

function fillChoice(id, pairs, choose) {
  byId(id).replaceChildren(...pairs.map(([value, textContent]) => {
    const button = element("button", { type: "button", value, textContent });
    button.addEventListener("click", () => choose(value));
    return button;
  }));
}

function turn() {
  state.icicle = !state.icicle;
  refresh("size");
}

function toggleTable() {
  state.table = !state.table;
  refresh("size");
  if (state.table) byId("table").querySelector("button")?.focus();
  else byId("scroll").focus();
}

function togglePanel() {
  if (header.diff) return;
  state.panel = !state.panel;
  refresh("look");
  byId(state.panel ? "threads" : "threads-button").querySelector("input")?.focus();
}

function toggleTheme() {
  state.theme = dark() ? "light" : "dark";
  applyTheme();
}

function applyTheme() {
  const root = document.documentElement;
  if (state.theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = state.theme;
  refresh("look");
}

function swapOrder() {
  state.swapped = !state.swapped;
  refresh("data");
  say(`Before ${sideNames()[0]}, after ${sideNames()[1]}.`);
}

function setSizes(sizes) {
  state.sizes = sizes;
  refresh("data");
  say(`Widths: ${sizes === "both" ? "the larger side" : sideNames()[sizes === "before" ? 0 : 1]}.`);
}

function setCompare(compare) {
  state.compare = compare;
  refresh("data");
  say(compare === "self" ? "Self weights compared." : "Weights with callees compared.");
}

function hideTip() {
  hovered = null;
  byId("tip").hidden = true;
}

function wireGraph() {
  const scroll = byId("scroll");
  const under = (event) => {
    const edge = scroll.getBoundingClientRect();
    return nodeUnder(event.clientX - edge.left, event.clientY - edge.top + graphTop());
  };
  scroll.addEventListener("pointermove", (event) => soon("hover", () => {
    hovered = under(event);
    scroll.classList.toggle("over", hovered !== null);
    showTip(hovered, event.clientX, event.clientY);
    paint();
  }));
  scroll.addEventListener("pointerleave", () => soon("hover", () => {
    hideTip();
    paint();
  }));
  scroll.addEventListener("click", (event) => {
    const node = under(event);
    if (node === null) return;
    if (node === state.zoom) zoomBack();
    else zoomTo(node);
    say(sentenceOf(state.zoom));
  });
  scroll.addEventListener("scroll", () => soon("scroll", paint));
  scroll.addEventListener("focus", () => {
    paint();
    say(sentenceOf(state.focus));
  });
  scroll.addEventListener("blur", () => {
    hideTip();
    paint();
  });
}

function wireButtons() {
  const on = (id, work) => byId(id).addEventListener("click", work);
  on("turn", turn);
  on("theme", toggleTheme);
  on("table-button", toggleTable);
  on("threads-button", togglePanel);
  on("order", swapOrder);
  on("help-button", () => byId("help").showModal());
  on("regex", () => {
    state.regex = !state.regex;
    refresh("search");
  });
  const takeQuery = () => {
    if (state.query === byId("search").value) return;
    state.query = byId("search").value;
    refresh("search");
  };
  byId("search").addEventListener("input", () => soon("search", takeQuery));
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    takeQuery();
    nextMatch(1);
  });
  document.addEventListener("keydown", pressed);
  addEventListener("resize", () => soon("size", () => refresh("size")));
  addEventListener("popstate", () => restore());
  addEventListener("hashchange", () => restore());
  addEventListener("beforeprint", beforePrint);
  addEventListener("afterprint", afterPrint);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => refresh("look"));
}

function restore() {
  if (toAddress() === location.hash) return;
  fromAddress();
  byId("search").value = state.query;
  if (state.theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = state.theme;
  refresh("data");
}

function fillHead() {
  byId("title").textContent = header.title;
  byId("details").replaceChildren(...header.details.map(([label, value, warns]) =>
    element("div", { className: warns ? "warns" : "" }, element("dt", { textContent: label }), element("dd", { textContent: value }))));
  byId("notes").hidden = !header.notes.length;
  byId("notes-count").textContent = header.notes.length === 1 ? "1 note" : `${header.notes.length} notes`;
  byId("notes").open = header.notes.length < 3;
  byId("notes-list").replaceChildren(...header.notes.map((textContent) => element("li", { textContent })));
  if (!header.diff) return;
  byId("sides").hidden = false;
  byId("normalization").textContent = header.diff.text;
  fillChoice("sizes", [["both", "Both"], ["before", ""], ["after", ""]], setSizes);
  fillChoice("compare", [["total", "Inclusive"], ["self", "Self"]], setCompare);
}

async function start() {
  await unpack(byId("data").textContent);
  byId("data").remove();
  chooseTree(false);
  fromAddress();
  if (state.theme !== "auto") document.documentElement.dataset.theme = state.theme;
  fillHead();
  fillHelp();
  byId("search").value = state.query;
  wireGraph();
  wireButtons();
  if (hasTime()) wireStrip();
  refresh("data");
  performance.mark("drawn");
  document.documentElement.dataset.ready = "1";
}

start().catch((error) => {
  byId("title").textContent = "This page could not be shown";
  byId("status").textContent = String(error);
});
