// The classes of a lesson as they are written, each folded, in a box of their own; the one that the
// player's current step is written in is open, with that line in view.

import { el } from "./dom.js";
import { codeNodes, tokenize } from "./python.js";

const cleanups = new WeakMap();

/** One class or function: its first line as the head, the rest under it. */
function part({ first, text }, lines) {
  const rows = text.split("\n");
  const tokens = tokenize(rows);
  const row = (words, index) => {
    const node = el(
      "span",
      { class: "line" },
      el("span", { class: "number", "aria-hidden": "true" }, String(first + index)),
      el("span", { class: "text" }, codeNodes(words, tokens[index], 0, words.length)),
    );
    lines.set(first + index, node);
    return node;
  };
  const [head, ...body] = rows.map(row);
  return el("details", {}, el("summary", {}, head), body);
}

/** Scroll the box alone, never the page: the reader may be looking at the player. */
function reveal(box, line) {
  const [frame, { top, bottom }] = [box.getBoundingClientRect(), line.getBoundingClientRect()];
  const isInside = top > frame.top + 20 && bottom < frame.bottom - 20;
  if (!isInside) box.scrollTop += (top + bottom - frame.top - frame.bottom) / 2;
}

export default function ({ data, parentElement }) {
  const { parts, steps, name } = data;
  const place = parentElement.querySelector(".place");
  cleanups.get(place)?.();
  const lines = new Map();
  const box = el(
    "div",
    { class: "code", role: "group", "aria-label": name, tabindex: "0" },
    parts.map((each) => part(each, lines)),
  );
  box.style.setProperty("--digits", String(Math.max(0, ...lines.keys())).length);
  place.replaceChildren(el("div", { class: "shapewalk" }, box));
  const show = () => {
    const line = lines.get(steps[Number.parseInt(window.shapewalkPath ?? "0", 10)]);
    box.querySelector(".current")?.classList.remove("current", "stated");
    if (!line) return;
    line.classList.add("current", "stated");
    line.closest("details").open = true;
    reveal(box, line);
  };
  show();
  window.addEventListener("shapewalk:step", show);
  cleanups.set(place, () => window.removeEventListener("shapewalk:step", show));
  return () => {
    if (!place.isConnected) cleanups.get(place)?.(); // else asked of a call that a newer one follows
  };
}
