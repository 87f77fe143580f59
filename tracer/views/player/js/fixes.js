/** The fixes of a failure, each with the lines that it changes. */

import { copied, el, hop, sign } from "./dom.js";
import { LIMIT } from "./limits.js";
import { coded } from "./markdown.js";
import { clip, difference, fileName, plural, shapeText } from "./text.js";

/** The best first; `more` says how many are not shown. */
export function fixList(scene, fixes) {
  if (!fixes.length) return "";
  const shown = fixes.slice(0, LIMIT.fixes);
  const rest = fixes.length - shown.length;
  const rows = shown.map((fix, index) => fixRow(scene, fix, index));
  return [
    el("h3", {}, shown.length === 1 ? "A fix" : "Fixes, the best first"),
    el("ol", { class: "fixes" }, rows),
    rest > 0 ? el("p", { class: "more" }, `and ${rest} more`) : "",
  ];
}

function fixRow(scene, fix, index) {
  const { summary, verified, caveat, edits } = fix;
  const changes = (scene.model.payload.diffs?.[index] ?? []).slice(0, LIMIT.changes);
  return el(
    "li",
    { class: "fix" },
    el("p", { class: "fix-summary" }, coded(summary)),
    changes.map(changeFigure),
    edits.length && !changes.length ? el("p", { class: "more" }, "Its change is not shown.") : "",
    caveat ? el("p", { class: "caveat" }, el("strong", {}, "But: "), coded(caveat)) : "",
    el(
      "div",
      { class: "acts" },
      el("p", { class: verified ? "verified" : "unverified" }, outcome(fix)),
      scene.fix ? hop("Apply and run again", () => scene.fix(index)) : "",
      copyButton(scene, changes.flatMap((change) => change.new).join("\n")),
    ),
  );
}

/** What came of running the model with the fix. */
function outcome({ verified, output_shapes: shapes }) {
  if (!verified && !shapes.length) return [sign("?"), "It was not run with this change."];
  if (!verified) return [sign("?"), "It runs with this change, and did not pass every check."];
  const outputs = shapes
    .slice(0, LIMIT.tensors)
    .map((shape) => (shape.length ? shapeText({ shape }) : "a scalar"));
  if (shapes.length > outputs.length) outputs.push("…");
  const gives = outputs.length ? `, gives ${outputs.join(", ")}` : "";
  return [sign("✓"), `It was run with this change${gives}.`];
}

function copyButton({ act }, text) {
  if (!text.trim()) return "";
  const button = hop("Copy", async () => {
    const isDone = await copied(text, button.closest(".shapewalk"));
    button.textContent = isDone ? "Copied" : "Not allowed here: select the lines";
    act.say(button.textContent);
  });
  button.setAttribute("aria-label", "Copy the new lines");
  return button;
}

/** Some lines of the source before and after, with what differs in a line emphasised. */
function changeFigure({ file, line, column, old, new: fresh }) {
  const cut = (lines) =>
    lines.slice(0, LIMIT.changedLines).map((each) => clip(each, LIMIT.lineLength));
  const [before, after] = [cut(old), cut(fresh)];
  const indents = [...before, ...after]
    .filter((each) => each.trim())
    .map((each) => each.length - each.trimStart().length);
  const margin = Math.min(...indents, LIMIT.lineLength);
  const isPaired = before.length === after.length;
  const row = (tag, mark, spoken, text, other) => {
    const own = text.slice(margin);
    const [head, middle, tail] = isPaired ? difference(own, other.slice(margin)) : [own, "", ""];
    return el(
      tag,
      {},
      el("span", { class: "spoken" }, spoken),
      el("span", { "aria-hidden": "true" }, mark),
      el("code", {}, head, middle ? el("b", {}, middle) : "", tail, "\n"),
    );
  };
  const more = Math.max(old.length - before.length, 0) + Math.max(fresh.length - after.length, 0);
  const place = column === null ? "" : `, column ${column + 1}`;
  return el(
    "figure",
    { class: "diff" },
    el("div", { class: "where" }, clip(`${fileName(file) || "line"}:${line}${place}`, 120)),
    before.map((text, index) => row("del", "−", "removed: ", text, after[index])),
    after.map((text, index) => row("ins", "+", "added: ", text, before[index])),
    more ? el("div", { class: "where" }, `and ${plural(more, "more line")}`) : "",
  );
}
