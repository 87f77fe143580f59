/** Rounds of a loop that do the same to the same shapes: all but the first are one entry. */

import { el } from "./dom.js";
import { through } from "./lines.js";
import { counted, say } from "./words.js";

/** The folded rounds as items; `read` makes an item of what all have in common. */
export function readRounds(rounds, tops, read) {
  return (rounds ?? []).flatMap(({ start, length, count, call, place }) => {
    const [first, stop] = [start + length, start + length * count];
    const steps = tops.slice(first, stop);
    if (!(count > 1) || steps.length !== stop - first) return [];
    return [
      {
        ...read({ place, targets: [], note: "", inputs: [], outputs: [] }),
        ...through(steps),
        kind: "rounds",
        path: `r${start}`,
        parent: null,
        start,
        first,
        stop,
        count,
        at: steps[0].at,
        end: steps.at(-1).end,
        call,
        owner: `c${call}`,
      },
    ];
  });
}

/** Whether `item` is one of the folded steps or calls, or is folded with them. */
export const holds = (rounds, item) =>
  item !== rounds && item.at >= rounds.at && item.at <= rounds.end;

/** What is said of the folded rounds. */
export function roundsSaid({ count, first, stop }) {
  const operations = counted(stop - first, "{n} operation", "{n} operations");
  return say("{n} more rounds of this loop do the same to the same shapes, {operations} in all.", {
    n: count - 1,
    operations,
  });
}

/** How many rounds of a loop are alike, at its head in the source. */
export function times(rounds, goto) {
  const title = say("{count} rounds of this loop do the same", { count: rounds.count });
  const attributes = { type: "button", class: "times", title, "aria-label": title };
  attributes.onclick = (event) => {
    event.stopPropagation();
    goto(rounds.path);
  };
  return el("button", attributes, `×${rounds.count}`);
}
