// The same data as a table: the boxes right above the zoomed one, and the functions of all its subtree.
const STEP = 200;
const sorting = { column: null, falling: true };
let shownRows = STEP;

const columnsOf = () =>
  header.diff
    ? [
        ["total change", (row) => row.after - row.before, bareChange],
        ["total before", (row) => row.before, bare],
        ["total after", (row) => row.after, bare],
        ["self change", (row) => row.ownAfter - row.ownBefore, bareChange],
        ["self before", (row) => row.ownBefore, bare],
        ["self after", (row) => row.ownAfter, bare],
      ]
    : [
        ["self", (row) => row.own, (value, row) => weighed(value, row.ownSamples)],
        ["self share", (row) => row.own, (value) => percent(value, sums.total[state.zoom])],
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
  for (let box = tree.first[state.zoom]; box < tree.first[state.zoom + 1]; box++) {
    if (sums.width[box] > 0) rows.push(boxRow(box));
  }
  const words = header.reverse ? "Callers of" : "Called by";
  const caption = `${words} ${nameOf(state.zoom)}: ${whole.format(rows.length)} ${rows.length === 1 ? "box" : "boxes"}${unitText()}`;
  return tableOf("c", caption, sorted(rows).slice(0, shownRows), rows.length, (row) => zoomTo(row.box), "Zoom to");
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

function boxRow(box) {
  const row = { box, frame: tree.frame[box] };
  if (!header.diff) {
    return Object.assign(row, {
      own: sums.own[box], total: sums.total[box], ownSamples: sums.ownSamples[box], samples: sums.samples[box],
    });
  }
  const own = rates(box, state, true), all = rates(box, state, false);
  return Object.assign(row, {
    ownBefore: own.before, ownAfter: own.after, before: all.before, after: all.after,
    verdict: verdictOf(box, state),
  });
}

// A function that calls itself counts once in its total.
function functionRows() {
  const rows = new Map();
  const fields = header.diff ? ["before", "after"] : ["total", "samples"];
  const owns = header.diff ? ["ownBefore", "ownAfter"] : ["own", "ownSamples"];
  eachLevel(state.zoom, (low, high) => {
    for (let box = low; box < high; box++) {
      if (!(sums.width[box] > 0) || box === ROOT) continue;
      const frame = tree.frame[box], part = boxRow(box);
      let row = rows.get(frame);
      if (!row) {
        row = { frame };
        for (const field of [...fields, ...owns]) row[field] = 0;
        rows.set(frame, row);
      }
      for (const field of owns) row[field] += part[field];
      if (!recursive(box)) for (const field of fields) row[field] += part[field];
    }
  });
  return [...rows.values()];
}

function recursive(box) {
  const frame = tree.frame[box];
  for (let at = box; at !== state.zoom; ) {
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
  const head = node("tr", {}, heading("function", -1, kind));
  if (header.diff) head.append(node("th", { scope: "col", textContent: kind === "c" ? "verdict" : "change" }));
  else head.append(node("th", { scope: "col", textContent: "kind" }));
  columns.forEach(([name], at) => head.append(heading(name, at, kind)));
  const body = node("tbody", {}, ...rows.map((row, at) => tableRow(row, columns, act, `${verb} `, `${kind}${at}`)));
  const table = node("table", {}, node("caption", { textContent: caption }), node("thead", {}, head), body);
  const found = node("div", { className: "table-part" }, table);
  if (rows.length < count) found.append(moreRows(rows.length, count));
  return found;
}

function heading(name, at, kind) {
  const current = at === (sorting.column ?? 0);
  const button = node("button", { type: "button", textContent: name, "data-key": `h${kind}${at}` });
  button.addEventListener("click", () => {
    sorting.falling = current ? !sorting.falling : at >= 0;
    sorting.column = at;
    showTable();
  });
  const cell = node("th", { scope: "col", className: at < 0 ? "" : "number" }, button);
  if (current) cell.setAttribute("aria-sort", sorting.falling ? "descending" : "ascending");
  return cell;
}

function tableRow(row, columns, act, verb, key) {
  const name = header.names[row.frame];
  const button = node("button", { type: "button", title: `${verb}${name}`, "data-key": key }, node("bdi", { textContent: name }));
  button.addEventListener("click", () => act(row));
  const line = node("tr", {}, node("th", { scope: "row" }, button));
  line.append(node("td", {}, header.diff ? verdictText(row) : KIND_NAMES[arrays.kind[row.frame]]));
  for (const [, value, text] of columns) {
    line.append(node("td", { className: "number", textContent: text(value(row), row) }));
  }
  return line;
}

// Only boxes were judged: of a function that stands in many the change itself is given.
function verdictText(row) {
  if (row.verdict === undefined) return relative(row.before, row.after);
  return `${header.diff.signs[row.verdict]} ${header.diff.words[row.verdict]}`;
}

function moreRows(have, count) {
  const button = node("button", { type: "button", textContent: `Show ${whole.format(Math.min(STEP * 5, count - have))} more` });
  button.addEventListener("click", () => {
    shownRows += STEP * 5;
    showTable();
  });
  const text = `${whole.format(have)} of ${whole.format(count)} rows are shown. `;
  return node("p", { className: "rest" }, text, button);
}
