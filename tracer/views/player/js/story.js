/** What is told around a lesson's steps: a card before the first and one behind the last. */

import { el, hop } from "./dom.js";
import { coded, markdown } from "./markdown.js";
import { languageOf } from "./text.js";
import { say } from "./words.js";

export const OPENING = "start";
export const ENDING = "end";

/** Whether an item is one of the two cards, which stand for no step. */
export const isCard = ({ kind }) => kind === "opening" || kind === "ending";

/** The two cards of a story as items, null where there is nothing to tell: `{opening, ending}`.
 * What goes into the root module and comes out of it is shown beside them. */
export function readStory(trace, known, { frames, after }) {
  if (!trace.story || !trace.steps.length) return { opening: null, ending: null };
  const frame = [...frames.values()].find(
    ({ key, source }) => key.endsWith("/c0") && /(^|\.)forward$/.test(source.function),
  );
  const index = frame ? Number(frame.key.split("/")[0]) : null;
  const card = {
    position: -1,
    place: { source: index, line: 0, file: "", function: "", expression: "", statement: "" },
    source: frame?.source ?? null,
    span: null,
    statement: null,
    targets: [],
    names: [],
    note: "",
    error: null,
    inputs: known(trace.inputs),
    outputs: known(trace.outputs),
    children: [],
    group: null,
    parent: null,
    call: 0,
    owner: "c0",
    story: trace.story,
  };
  const { seen } = trace.story;
  return {
    opening: { ...card, kind: "opening", path: OPENING, at: -1, end: -1 },
    ending: seen.length ? { ...card, kind: "ending", path: ENDING, at: after, end: after } : null,
  };
}

const prose = (tag, text, model) => el(tag, { lang: languageOf(text) }, markdown(text, model));

/** What a card says. */
export function cardSaid(scene) {
  return scene.item.kind === "opening" ? openingSaid(scene) : endingSaid(scene);
}

function openingSaid({ item, model, act }) {
  const { story } = item;
  // What is written at length comes behind what one needs to begin.
  const [about, ...rest] = story.about.split(/\n\s*\n/);
  return [
    el("h2", { class: "title" }, story.title),
    prose("div", about, model),
    el("h3", {}, say("Where it sits in a network")),
    prose("div", story.place, model),
    el("h3", {}, say("What to look at")),
    prose("div", story.look, model),
    hop(say("Begin"), () => act.go(1), el("kbd", {}, "→")),
    ...(rest.length ? [prose("div", rest.join("\n\n"), model)] : []),
  ];
}

function endingSaid({ item, model, act, lesson }) {
  const { post, seen, slip, leads } = item.story;
  const nodes = [
    el("h2", { class: "title" }, say("What you have seen")),
    el("ol", { class: "seen" }, seen.map((text) => prose("li", text, model))),
  ];
  if (slip) {
    nodes.push(
      el("h3", {}, say("A claim of the post that is not so")),
      el("blockquote", { lang: languageOf(slip.quote) }, `“${slip.quote}”`),
      prose("div", slip.why, model),
    );
  } else if (post) {
    // Some hold only under what the lesson's claims name.
    const held = say("The post's claims on this module were checked in runs: none is wrong.");
    nodes.push(el("p", {}, held));
  }
  if (leads.length) {
    const rows = leads.map(({ lesson: key, title, teaches }) => {
      const name = lesson ? el("a", { href: lesson(key) }, title) : el("strong", {}, title);
      return el("li", {}, name, el("p", {}, coded(teaches)));
    });
    nodes.push(el("h3", {}, say("What to open next")), el("ul", { class: "leads" }, rows));
  }
  return [...nodes, hop(say("From the beginning"), () => act.go(0), el("kbd", {}, "Home"))];
}

/** What the lesson is read beside. */
export function cardFacts({ story, kind }) {
  if (kind === "ending") return [];
  const post = [story.post, story.author].filter(Boolean).join(" · ");
  const rows = [
    // A paper is named as it was published.
    [say("paper"), story.paper, languageOf(story.paper) || "en"],
    [say("post"), post, languageOf(post)],
  ].filter(([, text]) => text);
  return [
    el(
      "dl",
      { class: "facts" },
      rows.flatMap(([term, text, lang]) => [el("dt", {}, term), el("dd", { lang }, text)]),
    ),
  ];
}

/** Where a card stands, in the place of a step's number. */
export const cardName = ({ kind }) => (kind === "opening" ? say("introduction") : say("conclusion"));
