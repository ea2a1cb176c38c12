// Descriptions of a node: tooltip, status line and text for screen readers.
function facetsOf(node) {
  return header.diff ? diffFacets(node) : weightFacets(node);
}

function weightFacets(node) {
  const all = sums.total[ROOT], zoomed = sums.total[state.zoom];
  const line = (label, weight, samples) => {
    const shares = [`${percent(weight, all)} of all`];
    const inside = state.zoom !== ROOT && tree.depth[node] >= tree.depth[state.zoom];
    if (inside) shares.push(`${percent(weight, zoomed)} of the view`);
    return [label, weighed(weight, samples), shares.join(", "), timed(weight)].filter(Boolean);
  };
  return [
    line("total", sums.total[node], sums.samples[node]),
    line("self", sums.self[node], sums.selfSamples[node]),
  ];
}

function diffFacets(node) {
  const line = (label, selfOnly) => {
    const { before, after } = rates(node, state, selfOnly);
    return [label, bare(before), bare(after), relative(before, after), bareChange(after - before)];
  };
  const found = [line("total", false), line("self", true)];
  if (header.diff.counted) {
    const [a, b] = [sums.samplesA[node], sums.samplesB[node]].map((count) => whole.format(count));
    found.push(state.swapped ? ["samples", b, a] : ["samples", a, b]);
  }
  return found;
}

// Header row of the table in the tooltip of a diff: sides and units.
function facetHead() {
  if (!header.diff) return [];
  const points = header.diff.per === "share" ? "points" : header.diff.unit;
  const cells = [header.diff.unit, ...sideNames(), "of the frame", points];
  return [element("tr", {}, ...cells.map((text) => element("th", { scope: "col", textContent: text })))];
}

function tagOf(node) {
  if (header.diff) {
    const verdict = verdictOf(node, state);
    return `${header.diff.signs[verdict]} ${header.diff.verdicts[verdict]}`;
  }
  return node === ROOT ? "" : KIND_NAMES[kindOf(node)];
}

function sentenceOf(node) {
  const parts = [`${nameOf(node)}${state.zoom === node ? ", zoomed" : ""}`];
  if (header.diff) {
    const [first, second] = sideNames();
    const { before, after } = rates(node, state, state.compare === "self");
    parts.push(header.diff.verdicts[verdictOf(node, state)], `${first} ${rated(before)}, ${second} ${rated(after)}`);
    parts.push([relative(before, after), pointed(before, after)].filter(Boolean).join(", "));
  } else {
    const [[, ...total], [, selfText]] = weightFacets(node);
    parts.push(tagOf(node), `total ${total.join(", ")}`, `self ${selfText}`);
  }
  return `${parts.filter(Boolean).join("; ")}; level ${tree.depth[node]}.`;
}

function showTip(node, x, y) {
  const tip = byId("tip");
  tip.hidden = node === null;
  if (node === null) return;
  const rows = facetsOf(node).map(([label, ...values]) =>
    element("tr", {}, element("th", { scope: "row", textContent: label }), ...values.map((text) => element("td", { textContent: text }))),
  );
  const under = [tagOf(node), moduleOf(node)].filter(Boolean).join(" · ");
  tip.replaceChildren(
    element("p", { className: "tip-name" }, element("bdi", { textContent: nameOf(node) })),
    element("p", { className: "tip-under" }, element("bdi", { textContent: under })),
    element("table", {}, ...facetHead(), ...rows),
  );
  if (header.diff) tip.append(element("p", { className: "tip-normalization", textContent: header.diff.text }));
  const wide = tip.offsetWidth, high = tip.offsetHeight;
  const left = x + 16 + wide > innerWidth ? Math.max(8, x - wide - 12) : x + 16;
  const top = y + 18 + high > innerHeight ? Math.max(8, y - high - 12) : y + 18;
  tip.style.left = `${left}px`;
  tip.style.top = `${top}px`;
}

function showStatus() {
  const parts = [];
  if (plan.hidden) {
    parts.push(`${whole.format(plan.hidden)} frames are narrower than ${header.minWidth} pixels and not drawn: zoom in to see them.`);
  }
  if (header.diff && state.sizes !== "both") {
    const side = state.sizes === "before" ? sideNames()[1] : sideNames()[0];
    parts.push(`Frames only in ${side} have no width: press w.`);
  }
  const nothing = !(sums.width[state.zoom] > 0);
  byId("empty").hidden = !nothing || state.table;
  if (nothing) parts.push(byId("empty").textContent = `The selected threads and times have no samples in “${nameOf(state.zoom)}”.`);
  byId("status").textContent = parts.join(" ") || `All ${whole.format(plan.nodes)} frames are drawn.`;
}

function showPath() {
  const nodes = ancestors(state.zoom);
  byId("path").replaceChildren(
    element("ol", {}, ...nodes.map((node, at) => {
      const last = at === nodes.length - 1;
      const button = element("button", { type: "button", title: nameOf(node) }, element("bdi", { textContent: nameOf(node) }));
      if (last) button.setAttribute("aria-current", "true");
      button.addEventListener("click", () => zoomTo(node));
      return element("li", {}, button);
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
  const swatch = element("span", { className: `swatch ${className}` });
  swatch.style.backgroundColor = color;
  return element("li", {}, swatch, label, value ? element("span", { className: "share", textContent: value }) : "");
}

function kindLegend(colors) {
  const shares = new Float64Array(KIND_NAMES.length);
  eachLevel(state.zoom, (low, high) => {
    for (let node = low; node < high; node++) shares[kindOf(node)] += sums.self[node];
  });
  return KIND_NAMES.slice(0, 5)
    .map((name, kind) => ({ name, kind }))
    .filter(({ kind }) => [...arrays.kind].includes(kind))
    .map(({ name, kind }) => legendItem(colors[kind * header.shades + 2], name, percent(shares[kind], sums.total[state.zoom])));
}

function diffLegend(colors) {
  const counts = {};
  eachLevel(state.zoom, (low, high) => {
    for (let node = low; node < high; node++) {
      const row = Math.floor(sums.color[node] / STRENGTHS);
      if (sums.both[node] > 0) counts[row] = (counts[row] ?? 0) + 1;
    }
  });
  return header.diff.legend.map(([row, text]) =>
    legendItem(colors[row * STRENGTHS + 2], text, whole.format(counts[row] ?? 0),
      { [GONE]: "falling", [NEW]: "level", [INCONCLUSIVE]: "rising" }[row > INCONCLUSIVE + 1 ? INCONCLUSIVE : row] ?? ""),
  );
}

function say(text) {
  byId("live").textContent = text;
}
