/** Which keys are meant for which player. */

const EDITED = `input, textarea, select, [contenteditable=""], [contenteditable="true"],
  [role="textbox"], [role="combobox"], [role="listbox"], [role="option"], [role="slider"],
  [role="spinbutton"], [role="menu"], [role="menuitem"], [role="tab"], [role="radio"],
  [role="grid"], [role="gridcell"], [role="tree"], [role="dialog"]`;
const PRESSED = 'button, a[href], summary, [role="button"]';

/** The keyboard of the player that was used or mounted last: it alone hears the keys. */
let active = null;

export class Keyboard {
  /**
   * `place` is the element that must be on screen, `slider` the one field whose keys are the
   * player's too; `isResting` says whether keys are left alone now, and `actions` gives what each
   * key does now, by its name.
   */
  constructor({ place, slider, isResting, actions, signal }) {
    Object.assign(this, { place, slider, isResting, actions });
    document.addEventListener("keydown", (event) => this.onKey(event), { signal });
    this.claim();
  }

  claim() {
    active = this;
  }

  release() {
    if (active === this) active = null;
  }

  onKey(event) {
    if (event.defaultPrevented || event.isComposing || !this.hears()) return;
    const isShortcut = event.ctrlKey || event.metaKey || event.altKey;
    if (isShortcut || (event.shiftKey && !"?+".includes(event.key))) return;
    const elements = event.composedPath().filter((node) => node instanceof Element);
    const [target] = elements;
    if (target !== this.slider && elements.some((node) => node.matches(EDITED))) return;
    const isPressed = elements.some((node) => node.matches(PRESSED));
    if (isPressed && (event.key === "Enter" || event.key === " ")) return;
    const act = this.actions()[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** Whether keys are meant for this player: the last used, on screen, with no dialog over it. */
  hears() {
    if ((active !== null && active !== this) || this.isResting()) return false;
    const { top, bottom, width } = this.place.getBoundingClientRect();
    return width > 0 && bottom > 60 && top < window.innerHeight - 60;
  }
}
