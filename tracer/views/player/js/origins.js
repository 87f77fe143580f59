/** Where a wrong size comes from: its way as links to walk, and the histories of both sizes. */

import { el } from "./dom.js";
import { LIMIT } from "./limits.js";
import { coded } from "./markdown.js";
import { clip, fileName, oneLine, whereIs } from "./text.js";
import { say } from "./words.js";

/** The way from where a number was written to the failing expression. */
export function chainList(scene, { chain = [], headings = {} }, quoted) {
  if (chain.length < 2) return "";
  const rows = chain.slice(0, LIMIT.links).map((link) => {
    const why = el("span", {}, coded(link.why));
    const row = el("li", { class: link.root ? "link-row is-root" : "link-row" }, why);
    row.append(wayTo(scene, link, quoted));
    return row;
  });
  const heading = clip(headings.chain, 80);
  return [el("h3", {}, heading), el("ol", { class: "chain", "aria-label": heading }, rows)];
}

/** The two sizes at odds, each unfolded into what it is made of. */
export function historyLists(scene, { histories = [], headings = {} }, quoted) {
  if (!histories.length) return "";
  const lists = histories.slice(0, 2).map(({ of, lines }) =>
    el(
      "div",
      { class: "history" },
      el("p", {}, coded(of)),
      el(
        "ul",
        {},
        lines.slice(0, LIMIT.terms).map((line) => termRow(scene, line, headings, quoted)),
      ),
    ),
  );
  const heading = clip(headings.histories, 80);
  return [el("h3", {}, heading), el("div", { class: "histories", "aria-label": heading }, lists)];
}

function termRow(scene, line, { parting = "" }, quoted) {
  const { depth, value, made_of: made, made_from: before, times, code, apart } = line;
  const sum = made ? ` = ${made}` : before && ` ${say("from {before}", { before })}`;
  const row = el(
    "li",
    { class: apart ? "term apart" : "term" },
    el("b", {}, `${times > 1 ? `${times} × ` : ""}${clip(value, 30)}${clip(sum, 80)}`),
    " ",
    el("code", {}, clip(oneLine(code), 100)),
    apart ? el("em", {}, ` ← ${clip(parting, 60)}`) : "",
    wayTo(scene, line, quoted),
  );
  row.style.setProperty("--depth", Math.min(depth, 12));
  return row;
}

/** The way to a place: to its step where it is one, else its lines, which open here. */
function wayTo({ model, act }, { place, step, function: name = place.function }, quoted) {
  if (!place.file || place.line < 1) return "";
  const where = `${fileName(place.file)}:${place.line}`;
  const words = [where, clip(name, 80)].filter(Boolean).join(`, ${say("in")} `);
  if (step !== null && model.tops[step]) {
    const goes = { type: "button", class: "link", onclick: () => act.goto(String(step)) };
    return el("button", goes, whereIs(place, model.failing.place) || where);
  }
  return el("details", { class: "written" }, el("summary", {}, words), quoted(place));
}
