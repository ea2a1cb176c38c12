// Which boxes are drawn where, at one zoom and width. Narrow neighbours share one rectangle.
const ROW = 21;
// Pixels: more of them than of rectangles are not told apart, and drawing is what a zoom waits for.
const MERGED = 2;
let plan = null;

function makePlan(width, least = header.minWidth) {
  const rows = [];
  const { width: widths, x } = sums;
  const scale = widths[state.zoom] ? width / widths[state.zoom] : 0;
  const origin = x[state.zoom];
  for (const box of ancestors(state.zoom).slice(0, -1)) rows.push([{ box, last: box, at: 0, width, above: true }]);
  const ranges = rows.map((row) => [row[0].box, row[0].box + 1]);
  let present = 0, boxes = 0, parents = null;
  eachLevel(state.zoom, (low, high) => {
    ranges.push([low, high]);
    present += sums.present[high] - sums.present[low];
    if (parents?.length === 0) return;
    const row = [], drawn = [];
    let run = null;
    // What stands on a box that is too narrow is narrower still: only children of drawn boxes are looked at.
    eachChild(parents, low, high, (i) => {
      const wide = widths[i] * scale;
      if (!(wide > 0) || (wide < least && i !== state.zoom)) return;
      const at = (x[i] - origin) * scale;
      drawn.push(i);
      if (run !== null && wide < MERGED && at + wide - run.at < MERGED) {
        run.width = at + wide - run.at;
        run.last = i;
      } else row.push((run = { box: i, last: i, at, width: wide, above: false }));
    });
    boxes += drawn.length;
    rows.push(row);
    parents = drawn;
  });
  while (rows.length > 1 && !rows.at(-1).length) rows.pop();
  ranges.length = rows.length;
  plan = { rows, ranges, width, scale, origin, hidden: present - boxes, boxes, height: rows.length * ROW };
  return plan;
}

function eachChild(parents, low, high, see) {
  if (parents === null) return see(low);
  for (const parent of parents) for (let i = tree.first[parent]; i < tree.first[parent + 1]; i++) see(i);
  return undefined;
}

const rowTop = (level) => (state.icicle ? level : plan.rows.length - 1 - level) * ROW;

// The box at a place of the graph, however narrow; null outside.
function boxUnder(px, py) {
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
  for (let box = low - 1; box >= plan.ranges[level][0] && box < end; box--) {
    if (!(sums.width[box] > 0)) continue;
    return target < sums.x[box] + sums.width[box] ? box : null;
  }
  return null;
}

function placeOf(box) {
  const level = tree.depth[box];
  if (level <= tree.depth[state.zoom]) return { at: 0, width: plan.width, top: rowTop(level) };
  return {
    at: (sums.x[box] - plan.origin) * plan.scale,
    width: sums.width[box] * plan.scale,
    top: rowTop(level),
  };
}
