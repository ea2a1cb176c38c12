// The same data as tables: the children of the zoomed node, and the functions of its subtree.
const STEP = 200;
const sorting = { column: null, falling: true };
let shownRows = STEP;

const columnsOf = () =>
  header.diff
    ? [
        ["total change", (row) => row.after - row.before, bareChange],
        ["total before", (row) => row.before, bare],
        ["total after", (row) => row.after, bare],
        ["self change", (row) => row.selfAfter - row.selfBefore, bareChange],
        ["self before", (row) => row.selfBefore, bare],
        ["self after", (row) => row.selfAfter, bare],
      ]
    : [
        ["self", (row) => row.self, (value, row) => weighed(value, row.selfSamples)],
        ["self share", (row) => row.self, (value) => percent(value, sums.total[state.zoom])],
        ["total", (row) => row.total, (value, row) => weighed(value, row.samples)],
        ["total share", (row) => row.total, (value) => percent(value, sums.total[state.zoom])],
      ];

function showTable() {
  const section = byId("table");
  byId("table-button").setAttribute("aria-pressed", String(state.table));
  section.hidden = !state.table;
  byId("scroll").hidden = byId("graph").hidden = state.table;
  if (!state.table) return;
  const focused = document.activeElement?.dataset?.key;
  section.replaceChildren(childTable(), functionTable());
  if (focused) section.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function childTable() {
  const rows = [];
  for (let node = tree.first[state.zoom]; node < tree.first[state.zoom + 1]; node++) {
    if (sums.width[node] > 0) rows.push(nodeRow(node));
  }
  const relation = header.reverse ? "Callers of" : "Called by";
  const caption = `${relation} ${nameOf(state.zoom)}: ${whole.format(rows.length)} ${rows.length === 1 ? "frame" : "frames"}${unitText()}`;
  return tableOf("c", caption, sorted(rows).slice(0, shownRows), rows.length, (row) => zoomTo(row.node), "Zoom to");
}

function functionTable() {
  const rows = functionRows();
  const hit = hits === null ? rows : rows.filter((row) => hits[row.frame]);
  const found = hits === null ? "" : " that match the search";
  const caption = `Functions${found} in ${nameOf(state.zoom)}: ${whole.format(hit.length)}${unitText()}`;
  return tableOf("f", caption, sorted(hit).slice(0, shownRows), hit.length, (row) => searchFor(header.names[row.frame]),
    "Search for");
}

const unitText = () => (header.diff ? `, in ${header.diff.unit}` : "");

function nodeRow(node) {
  const row = { node, frame: tree.frame[node] };
  if (!header.diff) {
    return Object.assign(row, {
      self: sums.self[node], total: sums.total[node], selfSamples: sums.selfSamples[node], samples: sums.samples[node],
    });
  }
  const selfRates = rates(node, state, true), totalRates = rates(node, state, false);
  return Object.assign(row, {
    selfBefore: selfRates.before, selfAfter: selfRates.after, before: totalRates.before, after: totalRates.after,
    verdict: verdictOf(node, state),
  });
}

// Recursive calls count once in the total.
function functionRows() {
  const rows = new Map();
  const fields = header.diff ? ["before", "after"] : ["total", "samples"];
  const selfFields = header.diff ? ["selfBefore", "selfAfter"] : ["self", "selfSamples"];
  eachLevel(state.zoom, (low, high) => {
    for (let node = low; node < high; node++) {
      if (!(sums.width[node] > 0) || node === ROOT) continue;
      const frame = tree.frame[node], part = nodeRow(node);
      let row = rows.get(frame);
      if (!row) {
        row = { frame };
        for (const field of [...fields, ...selfFields]) row[field] = 0;
        rows.set(frame, row);
      }
      for (const field of selfFields) row[field] += part[field];
      if (!recursive(node)) for (const field of fields) row[field] += part[field];
    }
  });
  return [...rows.values()];
}

function recursive(node) {
  const frame = tree.frame[node];
  for (let at = node; at !== state.zoom; ) {
    at = tree.parent[at];
    if (tree.frame[at] === frame && at !== ROOT) return true;
  }
  return false;
}

function sorted(rows) {
  const columns = columnsOf();
  const at = sorting.column ?? 0;
  if (at < 0) return rows.sort((a, b) => (header.names[a.frame] < header.names[b.frame] === sorting.falling ? 1 : -1));
  const value = columns[at][1];
  const size = header.diff && at % 3 === 0 && sorting.column === null ? (row) => Math.abs(value(row)) : value;
  return rows.sort((a, b) => (sorting.falling ? size(b) - size(a) : size(a) - size(b)));
}

function tableOf(kind, caption, rows, count, act, verb) {
  const columns = columnsOf();
  const head = element("tr", {}, heading("function", -1, kind));
  if (header.diff) head.append(element("th", { scope: "col", textContent: kind === "c" ? "verdict" : "change" }));
  else head.append(element("th", { scope: "col", textContent: "kind" }));
  columns.forEach(([name], at) => head.append(heading(name, at, kind)));
  const body = element("tbody", {}, ...rows.map((row, at) => tableRow(row, columns, act, `${verb} `, `${kind}${at}`)));
  const table = element("table", {}, element("caption", { textContent: caption }), element("thead", {}, head), body);
  const found = element("div", { className: "table-part" }, table);
  if (rows.length < count) found.append(moreRows(rows.length, count));
  return found;
}

function heading(name, at, kind) {
  const current = at === (sorting.column ?? 0);
  const button = element("button", { type: "button", textContent: name, "data-key": `h${kind}${at}` });
  button.addEventListener("click", () => {
    sorting.falling = current ? !sorting.falling : at >= 0;
    sorting.column = at;
    showTable();
  });
  const cell = element("th", { scope: "col", className: at < 0 ? "" : "number" }, button);
  if (current) cell.setAttribute("aria-sort", sorting.falling ? "descending" : "ascending");
  return cell;
}

function tableRow(row, columns, act, verb, key) {
  const name = header.names[row.frame];
  const button = element("button", { type: "button", title: `${verb}${name}`, "data-key": key }, element("bdi", { textContent: name }));
  button.addEventListener("click", () => act(row));
  const line = element("tr", {}, element("th", { scope: "row" }, button));
  line.append(element("td", {}, header.diff ? verdictText(row) : KIND_NAMES[arrays.kind[row.frame]]));
  for (const [, value, text] of columns) {
    line.append(element("td", { className: "number", textContent: text(value(row), row) }));
  }
  return line;
}

// Verdicts are of nodes: for a function, which may be at many nodes, the relative change is shown.
function verdictText(row) {
  if (row.verdict === undefined) return relative(row.before, row.after);
  return `${header.diff.signs[row.verdict]} ${header.diff.verdicts[row.verdict]}`;
}

function moreRows(have, count) {
  const button = element("button", { type: "button", textContent: `Show ${whole.format(Math.min(STEP * 5, count - have))} more` });
  button.addEventListener("click", () => {
    shownRows += STEP * 5;
    showTable();
  });
  const text = `${whole.format(have)} of ${whole.format(count)} rows are shown. `;
  return element("p", { className: "rest" }, text, button);
}
