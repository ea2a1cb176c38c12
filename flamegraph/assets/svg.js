
(function () {
"use strict";
const root = document.documentElement;
const left = Number(root.dataset.left), wide = Number(root.dataset.wide), advance = Number(root.dataset.advance);
const NS = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);
const boxes = Array.from(byId("boxes").children, (group) => {
  const rect = group.querySelector("rect");
  return {
    group, rect, title: group.querySelector("title").textContent, label: group.querySelector("text"),
    name: group.querySelector("title").textContent.split("\n", 1)[0],
    x: Number(rect.getAttribute("x")), y: Number(rect.getAttribute("y")), width: Number(rect.getAttribute("width")),
  };
});
const boxOf = new Map(boxes.map((box) => [box.group, box]));
const base = boxes[0];
// Coordinates are written with two digits.
const SLACK = 0.011;
let zoomed = base;
let pattern = null;

function within(box, outer) {
  return box.x >= outer.x - SLACK && box.x + box.width <= outer.x + outer.width + SLACK;
}

const above = (box, other) => (base.y > boxes[boxes.length - 1].y ? box.y > other.y : box.y < other.y);

function place(box, x, width) {
  box.rect.setAttribute("x", x.toFixed(2));
  box.rect.setAttribute("width", width.toFixed(2));
  box.rect.classList.toggle("wide", width > 3);
  const fits = Math.floor((width - 7) / advance);
  const text = box.name.length <= fits ? box.name : fits > 2 ? box.name.slice(0, fits - 1).trimEnd() + "…" : "";
  if (!text) {
    if (box.label) box.label.remove();
    box.label = null;
    return;
  }
  if (!box.label) {
    box.label = document.createElementNS(NS, "text");
    box.label.setAttribute("y", box.y + 12.5);
    box.group.append(box.label);
  }
  box.label.setAttribute("x", (x + 4).toFixed(2));
  box.label.textContent = text;
}

function zoom(target) {
  zoomed = target;
  const scale = wide / target.width;
  for (const box of boxes) {
    const outer = above(box, target) && within(target, box);
    const inside = box === target || (above(target, box) && within(box, target));
    box.group.style.display = outer || inside ? "" : "none";
    box.group.classList.toggle("above", outer);
    if (outer) place(box, left, wide);
    else if (inside) place(box, left + (box.x - target.x) * scale, box.width * scale);
  }
  byId("back").setAttribute("visibility", target === base ? "hidden" : "visible");
  mark();
}

// The matched share counts a stack once: boxes under a match are not counted again.
function mark() {
  let covered = [], sum = 0, hits = 0;
  for (const box of boxes) {
    // In a comparison the sign of what became of it stands ahead of the name.
    const hit = pattern !== null && pattern(box.name.replace(/^[=+−✚✕?≈] /u, ""));
    box.group.classList.toggle("hit", hit);
    box.group.classList.toggle("miss", pattern !== null && !hit);
    if (!hit || !within(box, zoomed)) continue;
    hits++;
    if (covered.some((outer) => within(box, outer) && above(outer, box))) continue;
    covered.push(box);
    sum += box.width;
  }
  if (pattern === null) return rest("");
  const counted = `${hits} ${hits === 1 ? "box" : "boxes"}`;
  return rest(hits ? `Matched: ${((100 * sum) / zoomed.width).toFixed(2)} % of the width, ${counted}` : "No match");
}

// What is told while the mouse is over no box.
let resting = "";

function rest(text) {
  resting = text;
  tell(text);
}

function tell(text) {
  byId("told").textContent = text || " ";
}

function search() {
  if (pattern !== null) {
    pattern = null;
    byId("search").textContent = "Search";
    return mark();
  }
  const wanted = prompt("Search for text, or /a regular expression/");
  if (!wanted) return undefined;
  const written = /^\/(.+)\/$/.exec(wanted);
  try {
    const expression = written && new RegExp(written[1], "i");
    pattern = expression ? (name) => expression.test(name) : (name) => name.toLowerCase().includes(wanted.toLowerCase());
  } catch (error) {
    return tell(`Not a regular expression: ${error.message}`);
  }
  byId("search").textContent = "Clear search";
  return mark();
}

byId("tools").setAttribute("visibility", "visible");
byId("boxes").addEventListener("click", (event) => {
  const box = boxOf.get(event.target.closest("#boxes > g"));
  if (box) zoom(box === zoomed ? base : box);
});
byId("boxes").addEventListener("mouseover", (event) => {
  const box = boxOf.get(event.target.closest("#boxes > g"));
  if (box) tell(box.title.replaceAll("\n", "  ·  "));
});
byId("boxes").addEventListener("mouseout", () => tell(resting));
byId("back").addEventListener("click", () => zoom(base));
byId("search").addEventListener("click", search);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    event.preventDefault();
    search();
  } else if (event.key === "Escape") zoom(base);
});
})();
