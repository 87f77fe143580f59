/** The numbers of a tensor that a trace keeps: all of them where its picture has a cell for each,
 * else those of its corner. */

import { placeOf, product } from "./cells.js";
import { floats } from "./heatmap.js";

export class Numbers {
  constructor() {
    this.read = new Map();
  }

  /** The numbers of a tensor and the shape that they are of; null where none were kept. */
  of(note) {
    if (!this.read.has(note)) this.read.set(note, this.kept(note));
    return this.read.get(note);
  }

  kept({ heatmap, corner, shape }) {
    if (corner) {
      const values = floats(corner.cells, product(corner.shape));
      return values && { shape: corner.shape, values };
    }
    const isWhole = heatmap && heatmap.rows * heatmap.columns === product(shape);
    if (!isWhole) return null;
    const values = floats(heatmap.cells, product(shape));
    return values && { shape, values };
  }

  /** The number of one cell, null where it was not kept. */
  at(note, index) {
    const kept = this.of(note);
    if (!kept || index.some((each, axis) => each < 0 || each >= kept.shape[axis])) return null;
    return kept.values[placeOf(index, kept.shape)];
  }
}
