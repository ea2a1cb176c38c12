// What is said about a box: in the tooltip, in the status line and to a screen reader.
function facetsOf(box) {
  return header.diff ? diffFacets(box) : weightFacets(box);
}

function weightFacets(box) {
  const all = sums.total[ROOT], zoomed = sums.total[state.zoom];
  const line = (label, weight, samples) => {
    const shares = [`${percent(weight, all)} of all`];
    const inside = state.zoom !== ROOT && tree.depth[box] >= tree.depth[state.zoom];
    if (inside) shares.push(`${percent(weight, zoomed)} of the view`);
    return [label, weighed(weight, samples), shares.join(", "), timed(weight)].filter(Boolean);
  };
  return [
    line("total", sums.total[box], sums.samples[box]),
    line("self", sums.own[box], sums.ownSamples[box]),
  ];
}

function diffFacets(box) {
  const line = (label, own) => {
    const { before, after } = rates(box, state, own);
    return [label, bare(before), bare(after), relative(before, after), bareChange(after - before)];
  };
  const found = [line("total", false), line("self", true)];
  if (header.diff.counted) {
    const [a, b] = [sums.samplesA[box], sums.samplesB[box]].map((count) => whole.format(count));
    found.push(state.swapped ? ["samples", b, a] : ["samples", a, b]);
  }
  return found;
}

// The head of the tooltip's table in a diff: whose numbers, in which measure.
function facetHead() {
  if (!header.diff) return [];
  const points = header.diff.per === "share" ? "points" : header.diff.unit;
  const cells = [header.diff.unit, ...sideNames(), "of the frame", points];
  return [node("tr", {}, ...cells.map((text) => node("th", { scope: "col", textContent: text })))];
}

function tagOf(box) {
  if (header.diff) {
    const verdict = verdictOf(box, state);
    return `${header.diff.signs[verdict]} ${header.diff.words[verdict]}`;
  }
  return box === ROOT ? "" : KIND_NAMES[kindOf(box)];
}

function sentenceOf(box) {
  const parts = [`${nameOf(box)}${state.zoom === box ? ", zoomed" : ""}`];
  if (header.diff) {
    const [first, second] = sideNames();
    const { before, after } = rates(box, state, state.compare === "own");
    parts.push(header.diff.words[verdictOf(box, state)], `${first} ${rated(before)}, ${second} ${rated(after)}`);
    parts.push([relative(before, after), pointed(before, after)].filter(Boolean).join(", "));
  } else {
    const [[, ...total], [, own]] = weightFacets(box);
    parts.push(tagOf(box), `total ${total.join(", ")}`, `self ${own}`);
  }
  return `${parts.filter(Boolean).join("; ")}; level ${tree.depth[box]}.`;
}

function showTip(box, x, y) {
  const tip = byId("tip");
  tip.hidden = box === null;
  if (box === null) return;
  const rows = facetsOf(box).map(([label, ...values]) =>
    node("tr", {}, node("th", { scope: "row", textContent: label }), ...values.map((text) => node("td", { textContent: text }))),
  );
  const under = [tagOf(box), moduleOf(box)].filter(Boolean).join(" · ");
  tip.replaceChildren(
    node("p", { className: "tip-name" }, node("bdi", { textContent: nameOf(box) })),
    node("p", { className: "tip-under" }, node("bdi", { textContent: under })),
    node("table", {}, ...facetHead(), ...rows),
  );
  if (header.diff) tip.append(node("p", { className: "tip-measure", textContent: header.diff.text }));
  const wide = tip.offsetWidth, high = tip.offsetHeight;
  const left = x + 16 + wide > innerWidth ? Math.max(8, x - wide - 12) : x + 16;
  const top = y + 18 + high > innerHeight ? Math.max(8, y - high - 12) : y + 18;
  tip.style.left = `${left}px`;
  tip.style.top = `${top}px`;
}

function showStatus() {
  const parts = [];
  if (plan.hidden) {
    parts.push(`${whole.format(plan.hidden)} boxes are narrower than ${header.minWidth} pixels here and not drawn: zoom to see them.`);
  }
  if (header.diff && state.sizes !== "both") {
    const side = state.sizes === "before" ? sideNames()[1] : sideNames()[0];
    parts.push(`Boxes that are only in ${side} have no width: press w.`);
  }
  const nothing = !(sums.width[state.zoom] > 0);
  byId("empty").hidden = !nothing || state.table;
  if (nothing) parts.push(byId("empty").textContent = `Nothing of “${nameOf(state.zoom)}” is in what is chosen.`);
  byId("status").textContent = parts.join(" ") || `All ${whole.format(plan.boxes)} boxes are drawn.`;
}

function showPath() {
  const boxes = ancestors(state.zoom);
  byId("path").replaceChildren(
    node("ol", {}, ...boxes.map((box, at) => {
      const last = at === boxes.length - 1;
      const button = node("button", { type: "button", title: nameOf(box) }, node("bdi", { textContent: nameOf(box) }));
      if (last) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => zoomTo(box));
      return node("li", {}, button);
    })),
  );
  const list = byId("path").firstChild;
  list.scrollLeft = list.scrollWidth;
}

function showLegend() {
  const theme = dark() ? "dark" : "light";
  const colors = header.palette[theme];
  const items = header.diff ? diffLegend(colors) : header.kinds ? kindLegend(colors) : [];
  byId("legend").replaceChildren(...items);
}

function legendItem(color, label, value, className = "") {
  const swatch = node("span", { className: `swatch ${className}` });
  swatch.style.backgroundColor = color;
  return node("li", {}, swatch, label, value ? node("span", { className: "share", textContent: value }) : "");
}

function kindLegend(colors) {
  const shares = new Float64Array(KIND_NAMES.length);
  eachLevel(state.zoom, (low, high) => {
    for (let box = low; box < high; box++) shares[kindOf(box)] += sums.own[box];
  });
  return KIND_NAMES.slice(0, 5)
    .map((name, kind) => ({ name, kind }))
    .filter(({ kind }) => [...arrays.kind].includes(kind))
    .map(({ name, kind }) => legendItem(colors[kind * header.shades + 2], name, percent(shares[kind], sums.total[state.zoom])));
}

function diffLegend(colors) {
  const counts = {};
  eachLevel(state.zoom, (low, high) => {
    for (let box = low; box < high; box++) {
      const row = Math.floor(sums.color[box] / STRENGTHS);
      if (sums.both[box] > 0) counts[row] = (counts[row] ?? 0) + 1;
    }
  });
  return header.diff.legend.map(([row, text]) =>
    legendItem(colors[row * STRENGTHS + 2], text, whole.format(counts[row] ?? 0),
      { [GONE]: "falling", [NEW]: "level", [CANNOT_TELL]: "rising" }[row > CANNOT_TELL + 1 ? CANNOT_TELL : row] ?? ""),
  );
}

function say(text) {
  byId("live").textContent = text;
}
