/** The fixes of a failure, each with the lines that it changes. */

import { copied, el, hop, sign } from "./dom.js";
import { LIMIT } from "./limits.js";
import { coded } from "./markdown.js";
import { clip, difference, fileName, shapeText } from "./text.js";
import { counted, say } from "./words.js";

/** The best first; `more` says how many are not shown. */
export function fixList(scene, fixes) {
  if (!fixes.length) return "";
  const shown = fixes.slice(0, LIMIT.fixes);
  const rest = fixes.length - shown.length;
  const rows = shown.map((fix, index) => fixRow(scene, fix, index));
  return [
    el("h3", {}, shown.length === 1 ? say("A fix") : say("Fixes, the best first")),
    el("ol", { class: "fixes" }, rows),
    rest > 0 ? el("p", { class: "more" }, say("and {rest} more", { rest })) : "",
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
    edits.length && !changes.length ? el("p", { class: "more" }, say("Its change is not shown.")) : "",
    caveat ? el("p", { class: "caveat" }, el("strong", {}, `${say("But:")} `), coded(caveat)) : "",
    el(
      "div",
      { class: "acts" },
      el("p", { class: verified ? "verified" : "unverified" }, outcome(fix)),
      scene.fix && edits.length ? hop(say("Apply and run again"), () => scene.fix(index)) : "",
      copyButton(scene, changes.flatMap((change) => change.new).join("\n")),
    ),
  );
}

/** What came of running the model with the fix. */
function outcome({ verified, output_shapes: shapes }) {
  if (!verified && !shapes.length) return [sign("?"), say("It was not run with this change.")];
  if (!verified) return [sign("?"), say("It runs with this change, and did not pass every check.")];
  const outputs = shapes
    .slice(0, LIMIT.tensors)
    .map((shape) => (shape.length ? shapeText({ shape }) : say("a scalar")));
  if (shapes.length > outputs.length) outputs.push("…");
  const words = outputs.length
    ? say("It was run with this change, gives {shapes}.", { shapes: outputs.join(", ") })
    : say("It was run with this change.");
  return [sign("✓"), words];
}

function copyButton({ act }, text) {
  if (!text.trim()) return "";
  const button = hop(say("Copy"), async () => {
    const isDone = await copied(text, button.closest(".shapewalk"));
    button.textContent = isDone ? say("Copied") : say("Not allowed here: select the lines");
    act.say(button.textContent);
  });
  button.setAttribute("aria-label", say("Copy the new lines"));
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
      el("code", { translate: "no" }, head, middle ? el("b", {}, middle) : "", tail, "\n"),
    );
  };
  const more = Math.max(old.length - before.length, 0) + Math.max(fresh.length - after.length, 0);
  const place = column === null ? "" : say(", column {column}", { column: column + 1 });
  return el(
    "figure",
    { class: "diff" },
    el("div", { class: "where" }, clip(`${fileName(file) || say("line")}:${line}${place}`, 120)),
    before.map((text, index) => row("del", "−", `${say("removed:")} `, text, after[index])),
    after.map((text, index) => row("ins", "+", `${say("added:")} `, text, before[index])),
    more ? el("div", { class: "where" }, counted(more, "and {n} more line", "and {n} more lines")) : "",
  );
}
