/**
 * What the player says, in the reader's language: texts are keyed by their English, as in gettext.
 *
 * There is one language for all players of a page: that of the payload which was mounted last.
 */

let dictionary = {};

/** From now on say things by these translations, `{English text: translation}`. */
export function speak(words) {
  dictionary = words ?? {};
}

/** A text with its `{gaps}` filled. */
export function say(text, values = {}) {
  const told = Object.hasOwn(dictionary, text) ? dictionary[text] : text;
  return told.replace(/\{(\w+)\}/g, (gap, name) => (Object.hasOwn(values, name) ? values[name] : gap));
}

/** One text for a single thing, another for several or none, with `{n}` for the number. */
export function counted(n, one, many) {
  return say(n === 1 ? one : many, { n: n.toLocaleString("en") });
}
