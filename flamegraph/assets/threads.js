// The list of threads, grouped by name, to show or hide.
let opened = new Set();

function threadGroups() {
  const groups = new Map();
  header.threads.forEach(([comm, pid, tid, folded], number) => {
    const name = state.fold ? folded : comm;
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push({ number, comm, pid, tid });
  });
  const weights = new Float64Array(header.threads.length);
  for (let i = 0; i < leafOf.length; i++) {
    const inside = arrays.interval[i] >= state.from && arrays.interval[i] < state.to;
    if (inside) weights[arrays.thread[i]] += arrays.weight[i];
  }
  const sum = (members) => members.reduce((total, member) => total + weights[member.number], 0);
  return [...groups]
    .map(([name, members]) => ({ name, members, weight: sum(members), weights }))
    .sort((a, b) => b.weight - a.weight);
}

function showThreads() {
  const panel = byId("threads"), button = byId("threads-button");
  button.hidden = Boolean(header.diff);
  if (header.diff) return;
  panel.hidden = !state.panel;
  button.setAttribute("aria-expanded", String(state.panel));
  const hidden = state.hidden.size;
  button.textContent = hidden ? `Threads · ${hidden} hidden` : "Threads";
  if (!state.panel) return;
  const focused = document.activeElement?.dataset?.key;
  const groups = threadGroups();
  const all = groups.reduce((total, group) => total + group.weight, 0);
  panel.replaceChildren(threadHead(groups.length), element("ul", {}, ...groups.map((group) => groupItem(group, all))));
  if (focused) panel.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function threadHead(groups) {
  const pick = (key, label, change) => {
    const button = element("button", { type: "button", className: "quiet", textContent: label, "data-key": key });
    button.addEventListener("click", change);
    return button;
  };
  const everyone = header.threads.map((_, number) => number);
  const parts = [
    element("h2", { textContent: `${whole.format(header.threads.length)} threads, ${whole.format(groups)} names` }),
    element("p", { className: "picks" },
      pick("all", "Show all", () => setHidden([])),
      pick("none", "Hide all", () => setHidden(everyone))),
  ];
  if (header.fold.length) parts.push(foldSwitch());
  return element("div", { className: "threads-head" }, ...parts);
}

function foldSwitch() {
  const checkbox = element("input", { type: "checkbox", checked: state.fold, "data-key": "fold" });
  checkbox.addEventListener("change", () => setFold(checkbox.checked));
  return element("label", { className: "fold" }, checkbox, " Merge numbered threads");
}

function groupItem(group, all) {
  const numbers = group.members.map((member) => member.number);
  const off = numbers.filter((number) => state.hidden.has(number)).length;
  const item = element("li", {}, threadLine(group.name, numbers, off, group.weight, all, `g${numbers[0]}`));
  if (group.members.length < 2) return item;
  const open = opened.has(group.name);
  const more = element("button", {
    type: "button", className: "more", "aria-expanded": String(open), "data-key": `m${numbers[0]}`,
    textContent: `${whole.format(group.members.length)} threads`,
  });
  more.addEventListener("click", () => {
    opened[open ? "delete" : "add"](group.name);
    showThreads();
  });
  item.append(more);
  if (open) item.append(element("ul", {}, ...group.members.map((member) => memberItem(group, member, all))));
  return item;
}

function memberItem(group, { number, comm, pid, tid }, all) {
  const ids = [pid, tid].map((id) => (id < 0 ? "?" : id)).join("/");
  const name = comm === group.name ? ids : `${comm} ${ids}`;
  const off = state.hidden.has(number) ? 1 : 0;
  return element("li", {}, threadLine(name, [number], off, group.weights[number], all, `t${number}`));
}

function threadLine(name, numbers, off, weight, all, key) {
  const checkbox = element("input", { type: "checkbox", checked: off < numbers.length, "data-key": key });
  checkbox.indeterminate = off > 0 && off < numbers.length;
  checkbox.addEventListener("change", () => {
    const hidden = new Set(state.hidden);
    for (const number of numbers) hidden[checkbox.checked ? "delete" : "add"](number);
    setHidden(hidden);
  });
  return element("label", { className: "thread" }, checkbox,
    element("bdi", { className: "thread-name", textContent: name, title: name }),
    element("span", { className: "share", textContent: percent(weight, all) }));
}

function setHidden(numbers) {
  state.hidden = new Set(numbers);
  refresh("data");
}

function setFold(fold) {
  const names = (node) => ancestors(node).slice(1).map(nameOf);
  const before = names(state.zoom);
  state.fold = fold;
  chooseTree(fold);
  sums = {};
  state.zoom = state.focus = nodeNamed(before);
  trail = [];
  refresh("data");
}

// The last node on the path of these names that exists: the node of a merged thread does not.
function nodeNamed(names) {
  let node = ROOT;
  for (const name of names) {
    let child = tree.first[node];
    while (child < tree.first[node + 1] && nameOf(child) !== name) child++;
    if (child === tree.first[node + 1]) return node;
    node = child;
  }
  return node;
}
