
(function () {
"use strict";
const root = document.documentElement;
const left = Number(root.dataset.left), wide = Number(root.dataset.wide), advance = Number(root.dataset.advance);
const NS = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);
const frames = Array.from(byId("frames").children, (group) => {
  const rect = group.querySelector("rect");
  return {
    group, rect, title: group.querySelector("title").textContent, label: group.querySelector("text"),
    name: group.querySelector("title").textContent.split("\n", 1)[0],
    x: Number(rect.getAttribute("x")), y: Number(rect.getAttribute("y")), width: Number(rect.getAttribute("width")),
  };
});
const frameOf = new Map(frames.map((frame) => [frame.group, frame]));
const base = frames[0];
// Coordinates are written with two digits.
const SLACK = 0.011;
let zoomed = base;
let pattern = null;

function within(frame, outer) {
  return frame.x >= outer.x - SLACK && frame.x + frame.width <= outer.x + outer.width + SLACK;
}

const above = (frame, other) => (base.y > frames[frames.length - 1].y ? frame.y > other.y : frame.y < other.y);

function place(frame, x, width) {
  frame.rect.setAttribute("x", x.toFixed(2));
  frame.rect.setAttribute("width", width.toFixed(2));
  frame.rect.classList.toggle("wide", width > 3);
  const fits = Math.floor((width - 7) / advance);
  const text = frame.name.length <= fits ? frame.name : fits > 2 ? frame.name.slice(0, fits - 1).trimEnd() + "…" : "";
  if (!text) {
    if (frame.label) frame.label.remove();
    frame.label = null;
    return;
  }
  if (!frame.label) {
    frame.label = document.createElementNS(NS, "text");
    frame.label.setAttribute("y", frame.y + 12.5);
    frame.group.append(frame.label);
  }
  frame.label.setAttribute("x", (x + 4).toFixed(2));
  frame.label.textContent = text;
}

function zoom(target) {
  zoomed = target;
  const scale = wide / target.width;
  for (const frame of frames) {
    const outer = above(frame, target) && within(target, frame);
    const inside = frame === target || (above(target, frame) && within(frame, target));
    frame.group.style.display = outer || inside ? "" : "none";
    frame.group.classList.toggle("above", outer);
    if (outer) place(frame, left, wide);
    else if (inside) place(frame, left + (frame.x - target.x) * scale, frame.width * scale);
  }
  byId("back").setAttribute("visibility", target === base ? "hidden" : "visible");
  mark();
}

// The matched share counts a stack once: frames above a match are not counted again.
function mark() {
  let covered = [], sum = 0, hits = 0;
  for (const frame of frames) {
    // In a diff the sign of the verdict precedes the name.
    const hit = pattern !== null && pattern(frame.name.replace(/^[=+−✚✕?≈] /u, ""));
    frame.group.classList.toggle("hit", hit);
    frame.group.classList.toggle("miss", pattern !== null && !hit);
    if (!hit || !within(frame, zoomed)) continue;
    hits++;
    if (covered.some((outer) => within(frame, outer) && above(outer, frame))) continue;
    covered.push(frame);
    sum += frame.width;
  }
  if (pattern === null) return rest("");
  const counted = `${hits} ${hits === 1 ? "frame" : "frames"}`;
  return rest(hits ? `Matched: ${((100 * sum) / zoomed.width).toFixed(2)} % of the width, ${counted}` : "No match");
}

// Status text while the mouse is over no frame.
let resting = "";

function rest(text) {
  resting = text;
  setStatus(text);
}

function setStatus(text) {
  byId("status").textContent = text || " ";
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
    return setStatus(`Not a regular expression: ${error.message}`);
  }
  byId("search").textContent = "Clear search";
  return mark();
}

byId("tools").setAttribute("visibility", "visible");
byId("frames").addEventListener("click", (event) => {
  const frame = frameOf.get(event.target.closest("#frames > g"));
  if (frame) zoom(frame === zoomed ? base : frame);
});
byId("frames").addEventListener("mouseover", (event) => {
  const frame = frameOf.get(event.target.closest("#frames > g"));
  if (frame) setStatus(frame.title.replaceAll("\n", "  ·  "));
});
byId("frames").addEventListener("mouseout", () => setStatus(resting));
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
