// The player inside a Streamlit page.
//
// The server owns the view (lesson, sizes, input), the player owns the step; this file owns the
// address and keeps both in it: a new view is a new entry in the browser's history, a new step
// rewrites the entry. Streamlit's own address keeping would forget the step.

import { understood } from "./address.js";
import { mount } from "./player.js";
import { offerTour } from "./tour.js";

const mounted = new WeakMap();
let lastWrite = -Infinity;

// Where the browser's back or forward button led, until the server has read that address: what
// comes before this answer belongs to another entry of the history and must not be written here.
let awaited = null;
let timesRead = 0;
window.addEventListener("popstate", () => {
  awaited = { address: location.search, after: timesRead };
});
// What the reader does next counts, should the answer have been lost on the way.
for (const hand of ["pointerdown", "keydown"]) {
  window.addEventListener(hand, () => (awaited = null), { capture: true });
}

function isAnswer(count, address) {
  const [left, right] = [new URLSearchParams(address), new URLSearchParams(awaited.address)];
  left.sort();
  right.sort();
  return count > awaited.after && left.toString() === right.toString();
}

window.addEventListener("shapewalk:step", ({ detail }) => {
  window.shapewalkPath = detail.path;
});

/** The first line says what the data are; the payload after it is long and mostly unchanged. */
function parse(data) {
  const end = data.indexOf(10);
  const text = (bytes) => JSON.parse(new TextDecoder().decode(bytes));
  return { ...text(data.subarray(0, end)), payload: () => text(data.subarray(end + 1)) };
}

function writeAddress(query, arriving) {
  const now = new URLSearchParams(location.search);
  const kept = ["step", "dims", "present", "scene", "exercise", "embed", "embed_options"].flatMap((name) =>
    now.getAll(name).map((value) => [name, value]),
  );
  for (const [name] of kept) now.delete(name);
  const wanted = new URLSearchParams(query);
  if (now.toString() === wanted.toString()) return;
  const otherLesson = now.get("lesson") !== wanted.get("lesson");
  for (const [name, value] of kept) {
    // A step of one lesson means nothing in another.
    if (name !== "step" || arriving || !otherLesson) wanted.append(name, value);
  }
  const url = `${location.pathname}?${wanted}${location.hash}`;
  // Clicking a size up five times is one change of mind, not five.
  const hasty = !otherLesson && performance.now() - lastWrite < 1500;
  if (arriving || hasty) history.replaceState(history.state, "", url);
  else history.pushState({}, "", url);
  lastWrite = performance.now();
}

/** The walkthrough of a lesson, in the language that was chosen here. */
function lessonAddress(key) {
  const language = new URLSearchParams(location.search).get("lang");
  return `Walkthrough?${new URLSearchParams({ lesson: key, ...(language && { lang: language }) })}`;
}

/** Whether the address has something shown over the page. */
function isShown() {
  const asked = new URLSearchParams(location.search);
  return ["present", "scene", "exercise", "embed"].some((name) => asked.has(name));
}

export default function ({ data, parentElement, setTriggerValue }) {
  const { query, height, start, fixes, read, tour, payload } = parse(data);
  const options = { height, lesson: lessonAddress, onFix: fixes ? (index) => setTriggerValue("fix", index) : null };
  const place = parentElement.querySelector(".place");
  const there = mounted.get(place);
  timesRead = read[0];
  const returned = awaited !== null && isAnswer(...read);
  const early = awaited !== null && !returned;
  if (returned) awaited = null;
  if (query && !early) writeAddress(query, there === undefined || returned);
  if (there === undefined) {
    const player = mount(place, payload(), { url: query !== null, ...options });
    mounted.set(place, { player, works: true, start: start?.[1] });
    if (start) player.goto(start[0]);
  } else {
    // Before the update: the player writes the step that it shows into the address.
    const step = new URLSearchParams(location.search).get("step");
    const next = payload();
    there.player.update(next, options);
    const broken = next.trace.steps.findIndex((each) => each.error !== null);
    if (returned) there.player.goto(step === null ? "start" : understood(step));
    else if (start && start[1] !== there.start) there.player.goto(start[0]);
    // Sizes that break were chosen to see where: the player alone would keep its place.
    else if (broken >= 0 && there.works) there.player.goto(String(broken));
    there.works = broken < 0;
    there.start = start?.[1];
  }
  if (tour && !isShown()) offerTour(place.querySelector(".shapewalk"));
  return () => {
    if (place.isConnected) return; // asked of a call that came too late, after a newer one
    mounted.get(place)?.player.destroy();
    mounted.delete(place);
  };
}
