/** The numbers of a tensor that a trace keeps: all of them where its picture has a cell for each,
 * else those of its corner. */

import { placeOf, product } from "./cells.js";

function decoded(text, count) {
  let bytes = "";
  try {
    bytes = atob(text);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
  }
  if (bytes.length !== 4 * count) return null;
  const view = new DataView(new ArrayBuffer(bytes.length));
  for (let index = 0; index < bytes.length; index += 1) view.setUint8(index, bytes.charCodeAt(index));
  return Float32Array.from({ length: count }, (_, index) => view.getFloat32(4 * index, true));
}

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
      const values = decoded(corner.cells, product(corner.shape));
      return values && { shape: corner.shape, values };
    }
    const isWhole = heatmap && heatmap.rows * heatmap.columns === product(shape);
    if (!isWhole) return null;
    const values = decoded(heatmap.cells, product(shape));
    return values && { shape, values };
  }

  /** The number of one cell, null where it was not kept. */
  at(note, index) {
    const kept = this.of(note);
    if (!kept || index.some((each, axis) => each < 0 || each >= kept.shape[axis])) return null;
    return kept.values[placeOf(index, kept.shape)];
  }
}
