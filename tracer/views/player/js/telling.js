/** Where the reader is, told to whom cannot see it: a screen reader, and the page around. */

import { told } from "./detail.js";
import { el } from "./dom.js";
import { warningsOf } from "./lines.js";
import { isCard } from "./story.js";
import { clip } from "./text.js";
import { say } from "./words.js";

/** What a screen reader says of a step at that `position`. */
export function spokenWords({ model, item, face }, position) {
  const words = [position];
  if (isCard(item)) words.push(clip(item.story.title, 120));
  else {
    const written = clip(item.place.expression, 120);
    // Code is code to the ear too, whatever language the rest is in.
    if (written) words.push(el("code", { translate: "no" }, written));
    words.push(told(item, face)?.summary ?? "");
  }
  for (const { reason } of warningsOf(model, item).slice(0, 3)) {
    words.push(say("Suspicious: {reason}", { reason: clip(reason) }));
  }
  const said = words.filter(Boolean);
  return said.flatMap((each, index) => [each, index < said.length - 1 ? say(". ") : say(".")]);
}

/** Tell the page around which step is on screen, and give its path.  It knows steps alone: a folded
 * call is its first, a failure before any operation the last, and a card the step beside it. */
export function announce({ model, operation }) {
  const { kind, callee } = operation;
  const { tops, trace } = model;
  const last = Math.max(0, tops.length - 1);
  const paths = { call: callee?.start, rounds: operation.first, failure: last };
  Object.assign(paths, { opening: 0, ending: last });
  const path = String(paths[kind] ?? operation.path);
  const call = kind === "call" ? callee.index : null;
  const detail = { path, trace: trace.name, call };
  window.dispatchEvent(new CustomEvent("shapewalk:step", { detail }));
  return path;
}
