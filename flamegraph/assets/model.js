// The call tree and its weights for the chosen threads, times and order.
// Nodes are numbered level by level, with the children of a node adjacent, so that a subtree is one range of numbers in
// each level, and sums are computed backwards from children to parents.

const ROOT = 0;
const GROWN = 1, SHRUNK = 2, NEW = 3, GONE = 4, INCONCLUSIVE = 5, STRENGTHS = 3;

let plainTree = null;
let foldedTree = null;
let tree = null;
let leafOf = null;
// Weights: total, self; samples, selfSamples; in a diff the same with suffixes A and B; layout: width, x.
let sums = {};

function treeOf(parent, frame) {
  const n = parent.length;
  const depth = new Uint16Array(n);
  const first = new Uint32Array(n + 1);
  for (let i = 1; i < n; i++) {
    depth[i] = depth[parent[i]] + 1;
    first[parent[i] + 1]++;
  }
  let next = 1;
  for (let i = 0; i <= n; i++) first[i] = next += i ? first[i] : 0;
  return { n, parent, frame, depth, first };
}

function foldTree(base) {
  const becomes = Uint32Array.from(header.names, (_, i) => i);
  for (const [from, to] of header.fold) becomes[from] = to;
  const byName = [...becomes.keys()].sort((a, b) => (header.names[a] < header.names[b] ? -1 : 1));
  const rank = new Uint32Array(byName.length);
  byName.forEach((frame, place) => (rank[frame] = place));
  const place = new Uint32Array(base.n);
  const parent = [0], frame = [base.frame[ROOT]];
  for (let low = 1; low < base.n; ) {
    let high = low;
    while (high < base.n && base.depth[high] === base.depth[low]) high++;
    const keys = new Float64Array(high - low);
    for (let i = low; i < high; i++) keys[i - low] = place[base.parent[i]] * rank.length + rank[becomes[base.frame[i]]];
    const numbers = new Map();
    for (const key of keys.slice().sort()) {
      if (numbers.has(key)) continue;
      numbers.set(key, parent.length);
      parent.push(Math.floor(key / rank.length));
      frame.push(byName[key % rank.length]);
    }
    for (let i = low; i < high; i++) place[i] = numbers.get(keys[i - low]);
    low = high;
  }
  return { tree: treeOf(Uint32Array.from(parent), Uint32Array.from(frame)), place };
}

// Merging threads renumbers the tree: nodes are identified by the names on their path.
function chooseTree(fold) {
  plainTree ??= { tree: treeOf(arrays.parent, arrays.frame), leaf: arrays.leaf };
  if (fold && !foldedTree) {
    const { tree: made, place } = foldTree(plainTree.tree);
    foldedTree = { tree: made, leaf: arrays.leaf.map((node) => place[node]) };
  }
  ({ tree, leaf: leafOf } = fold ? foldedTree : plainTree);
}

function upward(selfWeight) {
  const total = Float64Array.from(selfWeight);
  for (let i = tree.n - 1; i > 0; i--) total[tree.parent[i]] += total[i];
  return total;
}

function sumRows(state) {
  const selfWeight = new Float64Array(tree.n), selfSamples = new Float64Array(tree.n);
  const { thread, interval, weight, count } = arrays;
  for (let i = 0; i < leafOf.length; i++) {
    if (state.hidden.has(thread[i]) || interval[i] < state.from || interval[i] >= state.to) continue;
    selfWeight[leafOf[i]] += weight[i];
    selfSamples[leafOf[i]] += count[i];
  }
  sums = { self: selfWeight, selfSamples, total: upward(selfWeight), samples: upward(selfSamples) };
  sums.width = sums.total;
  sums.color = Uint8Array.from(tree.frame, (frame) => arrays.color[frame]);
}

function sumSides(state) {
  const { selfA, selfB } = arrays;
  if (!sums.totalA) {
    sums = { selfA, selfB, totalA: upward(selfA), totalB: upward(selfB) };
    if (header.diff.counted) {
      Object.assign(sums, { samplesA: upward(arrays.samplesA), samplesB: upward(arrays.samplesB) });
    }
    const [a, b] = header.diff.divisors.map((divisor) => divisor || 1);
    // Sums of the larger side of each node, so that children fit into their parent.
    sums.both = upward(Float64Array.from(selfA, (value, i) => Math.max(value / a, selfB[i] / b)));
  }
  const sides = state.swapped ? ["totalB", "totalA"] : ["totalA", "totalB"];
  sums.width = state.sizes === "both" ? sums.both : sums[sides[state.sizes === "before" ? 0 : 1]];
  sums.color = diffColors(state);
}

function diffColors(state) {
  const colors = new Uint8Array(tree.n);
  for (let i = 0; i < tree.n; i++) {
    const verdict = verdictOf(i, state);
    const { before, after } = rates(i, state, state.compare === "self");
    const larger = Math.max(before, after);
    const part = larger ? Math.abs(after - before) / larger : 0;
    colors[i] = colorRow(verdict, before, after) * STRENGTHS + (part > 0.5 ? 2 : part > 0.25 ? 1 : 0);
  }
  return colors;
}

// Where every change is inconclusive, a tint shows which side has more.
function colorRow(verdict, before, after) {
  if (verdict !== INCONCLUSIVE || !header.diff.tints.length || before === after) return verdict;
  return header.diff.tints[after > before ? 0 : 1];
}

function verdictOf(node, state) {
  const verdict = (state.compare === "self" ? arrays.selfVerdict : arrays.verdict)[node];
  if (!state.swapped) return verdict;
  return { [GROWN]: SHRUNK, [SHRUNK]: GROWN, [NEW]: GONE, [GONE]: NEW }[verdict] ?? verdict;
}

function rates(node, state, selfOnly) {
  const [a, b] = header.diff.divisors;
  const first = (selfOnly ? sums.selfA : sums.totalA)[node] / (a || 1);
  const second = (selfOnly ? sums.selfB : sums.totalB)[node] / (b || 1);
  return state.swapped ? { before: second, after: first } : { before: first, after: second };
}

function aggregate(state) {
  if (header.diff) sumSides(state);
  else sumRows(state);
  const { width } = sums;
  const x = new Float64Array(tree.n);
  // Number of nodes with a width before each node.
  const present = new Uint32Array(tree.n + 1);
  for (let i = 0; i < tree.n; i++) {
    present[i + 1] = present[i] + (width[i] > 0 ? 1 : 0);
    let next = x[i];
    for (let child = tree.first[i]; child < tree.first[i + 1]; child++) {
      x[child] = next;
      next += width[child];
    }
  }
  Object.assign(sums, { x, present });
}

// Calls see(low, high) with the range of the nodes of a subtree in each level, top first.
function eachLevel(top, see) {
  for (let low = top, high = top + 1; low < high; [low, high] = [tree.first[low], tree.first[high]]) see(low, high);
}

function subtree(top) {
  const inside = new Uint8Array(tree.n);
  eachLevel(top, (low, high) => inside.fill(1, low, high));
  return inside;
}

function ancestors(node) {
  const found = [];
  for (let at = node; at !== ROOT; at = tree.parent[at]) found.unshift(at);
  return [ROOT, ...found];
}

function nodeAt(frames) {
  let node = ROOT;
  for (const frame of frames) {
    let child = tree.first[node];
    while (child < tree.first[node + 1] && tree.frame[child] !== frame) child++;
    if (child === tree.first[node + 1]) return node;
    node = child;
  }
  return node;
}

// Weight of matching nodes; a stack with several matches counts once.
function matchedWeight(hits, top, weight) {
  const covered = new Uint8Array(tree.n);
  let sum = 0, nodes = 0;
  for (let at = tree.parent[top]; top !== ROOT; at = tree.parent[at]) {
    if (hits[tree.frame[at]]) return { sum: weight[top], nodes: countHits(hits, top, weight) };
    if (at === ROOT) break;
  }
  eachLevel(top, (low, high) => {
    for (let i = low; i < high; i++) {
      const hit = hits[tree.frame[i]] && weight[i] > 0;
      const above = i !== top && covered[tree.parent[i]];
      nodes += hit ? 1 : 0;
      if (hit && !above) sum += weight[i];
      covered[i] = hit || above ? 1 : 0;
    }
  });
  return { sum, nodes };
}

function countHits(hits, top, weight) {
  let nodes = 0;
  eachLevel(top, (low, high) => {
    for (let i = low; i < high; i++) if (hits[tree.frame[i]] && weight[i] > 0) nodes++;
  });
  return nodes;
}
