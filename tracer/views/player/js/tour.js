/** The tour: on the first visit what there is to do here, in four steps beside the page itself.  It
 * takes no key and no place away, and who has left it does not see it again. */

import { el } from "./dom.js";
import { say } from "./words.js";

const TOUR_KEPT = "shapewalk.tour";
const TOUR_LEFT = "left";

/** Each of its steps: what it speaks of, and what it says. */
const tourStops = () => [
  [".source", say("This is the code that ran. ← and → go from step to step, and so does a click on an expression.")],
  [".detail", say("Of each step you see the shapes before and after, and why. With P the next shape is asked before it is shown.")],
  [".figures", say("These are the run's own numbers. A click on a cell follows it through the run, and M shows how the step works.")],
  ["", say("Sizes and input are chosen in the sidebar (» opens it), and the code runs again. ? lists all keys.")],
];

/** Whether somebody is here for the first time; where nothing can be kept nobody is. */
export function isNew() {
  try {
    return localStorage.getItem(TOUR_KEPT) === null;
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    return false;
  }
}

function leaveForGood() {
  try {
    localStorage.setItem(TOUR_KEPT, TOUR_LEFT);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
  }
}

/** Offer the tour in the player `node`, once. */
export function offerTour(node) {
  if (isNew() && !node.querySelector(".tour")) new Tour(node);
}

class Tour {
  constructor(node) {
    this.player = node;
    this.at = 0;
    this.words = el("p", { "aria-live": "polite" });
    this.count = el("span", { class: "place-of" });
    this.onward = el("button", { type: "button", class: "main", onclick: () => this.go() });
    const leave = el("button", { type: "button", onclick: () => this.leave() }, say("No tour"));
    this.node = el(
      "section",
      { class: "tour", "aria-label": say("A short tour") },
      this.words,
      el("div", { class: "tour-buttons" }, this.count, leave, this.onward),
    );
    this.node.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      this.leave();
    });
    node.append(this.node);
    this.draw();
  }

  go() {
    this.at += 1;
    if (this.at < tourStops().length) this.draw();
    else this.leave();
  }

  leave() {
    leaveForGood();
    this.mark("");
    this.node.remove();
  }

  draw() {
    const all = tourStops();
    const [place, words] = all[this.at];
    this.words.textContent = words;
    this.count.textContent = say("{at} of {all}", { at: this.at + 1, all: all.length });
    this.onward.textContent = this.at + 1 < all.length ? say("Go on") : say("Done");
    this.mark(place);
  }

  mark(place) {
    for (const each of this.player.querySelectorAll(".toured")) each.classList.remove("toured");
    if (place) this.player.querySelector(place)?.classList.add("toured");
  }
}
