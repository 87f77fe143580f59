/** How deep a long run is opened: at the level of its modules, each a row that can be entered. */

/** Operations of a run that is walked one by one. */
const LONG = 40;

/** The part of a run that is too much for one row. */
const MUCH = 1 / 3;

const count = ({ callee }) => callee.stop - callee.start;

/** The calls that are folded at first: all of somebody's own long run, but for those around it
 * that are most of it.  A run with chapters has a shape of its own. */
export function foldedAtFirst({ chapters, tops, calls }) {
  if (chapters.length || tops.length <= LONG) return [];
  const folded = new Set(calls.filter((call) => call.callee.parent !== null && count(call) > 1));
  for (const call of calls) {
    const isSeen = !folded.has(calls[call.callee.parent]);
    if (isSeen && count(call) > tops.length * MUCH) folded.delete(call);
  }
  return [...folded];
}
