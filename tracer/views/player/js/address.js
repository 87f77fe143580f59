/** The page's address, which keeps the step as `?step=` and the face of the sizes as `dims=`. */

const URL_MILLISECONDS = 250;

export class Address {
  /** One that is not `isKept` says nothing and is left alone. */
  constructor(isKept) {
    this.isKept = isKept;
    this.writing = null;
  }

  /** What the address says of `name`, or null. */
  asked(name) {
    return this.isKept ? new URL(location.href).searchParams.get(name) : null;
  }

  /** Browsers refuse it too often in a row, so only once stepping pauses. */
  keep(path, face) {
    if (!this.isKept) return;
    clearTimeout(this.writing);
    this.writing = setTimeout(() => {
      const url = new URL(location.href);
      url.searchParams.set("step", path);
      if (face === "numbers") url.searchParams.delete("dims");
      else url.searchParams.set("dims", face);
      try {
        history.replaceState(history.state, "", url);
      } catch (error) {
        // A document without an address of its own (a sandboxed frame) keeps none.
        if (!(error instanceof DOMException)) throw error;
      }
    }, URL_MILLISECONDS);
  }

  stop() {
    clearTimeout(this.writing);
  }
}
