// Positions of the drawn nodes at one zoom and width. Narrow neighbours share one rectangle.
const ROW = 21;
// Pixels. Narrower frames are not distinguishable, and the number of rectangles determines the time of a zoom.
const MERGED = 2;
let plan = null;

function makePlan(width, minWidth = header.minWidth) {
  const rows = [];
  const { width: widths, x } = sums;
  const scale = widths[state.zoom] ? width / widths[state.zoom] : 0;
  const origin = x[state.zoom];
  for (const node of ancestors(state.zoom).slice(0, -1)) rows.push([{ node, last: node, at: 0, width, above: true }]);
  const ranges = rows.map((row) => [row[0].node, row[0].node + 1]);
  let present = 0, nodes = 0, parents = null;
  eachLevel(state.zoom, (low, high) => {
    ranges.push([low, high]);
    present += sums.present[high] - sums.present[low];
    if (parents?.length === 0) return;
    const row = [], drawn = [];
    let run = null;
    // Children of a node that is too narrow are narrower: only children of drawn nodes are visited.
    eachChild(parents, low, high, (i) => {
      const wide = widths[i] * scale;
      if (!(wide > 0) || (wide < minWidth && i !== state.zoom)) return;
      const at = (x[i] - origin) * scale;
      drawn.push(i);
      if (run !== null && wide < MERGED && at + wide - run.at < MERGED) {
        run.width = at + wide - run.at;
        run.last = i;
      } else row.push((run = { node: i, last: i, at, width: wide, above: false }));
    });
    nodes += drawn.length;
    rows.push(row);
    parents = drawn;
  });
  while (rows.length > 1 && !rows.at(-1).length) rows.pop();
  ranges.length = rows.length;
  plan = { rows, ranges, width, scale, origin, hidden: present - nodes, nodes, height: rows.length * ROW };
  return plan;
}

function eachChild(parents, low, high, see) {
  if (parents === null) return see(low);
  for (const parent of parents) for (let i = tree.first[parent]; i < tree.first[parent + 1]; i++) see(i);
  return undefined;
}

const rowTop = (level) => (state.icicle ? level : plan.rows.length - 1 - level) * ROW;

// The node at a position of the graph, of any width; null outside.
function nodeUnder(px, py) {
  const line = Math.floor(py / ROW);
  const level = state.icicle ? line : plan.rows.length - 1 - line;
  if (level < 0 || level >= plan.rows.length || px < 0 || px > plan.width) return null;
  if (level <= tree.depth[state.zoom]) return plan.ranges[level][0];
  const target = plan.origin + px / plan.scale;
  let [low, high] = plan.ranges[level];
  const end = high;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sums.x[middle] <= target) low = middle + 1;
    else high = middle;
  }
  for (let node = low - 1; node >= plan.ranges[level][0] && node < end; node--) {
    if (!(sums.width[node] > 0)) continue;
    return target < sums.x[node] + sums.width[node] ? node : null;
  }
  return null;
}

function placeOf(node) {
  const level = tree.depth[node];
  if (level <= tree.depth[state.zoom]) return { at: 0, width: plan.width, top: rowTop(level) };
  return {
    at: (sums.x[node] - plan.origin) * plan.scale,
    width: sums.width[node] * plan.scale,
    top: rowTop(level),
  };
}
