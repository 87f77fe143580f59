/** Heatmaps: the cells of a picture, and their colours on a canvas. */

import { ODD_COLOURS, ONE_SIDED_STOPS, SIGNED_STOPS } from "./colours.js";
import { LIMIT } from "./limits.js";
import { clamp, isWhole } from "./text.js";

export function ramp(stops) {
  const table = new Uint32Array(256);
  for (let level = 0; level < 256; level += 1) {
    const place = (level / 255) * (stops.length - 1);
    const left = Math.min(Math.floor(place), stops.length - 2);
    const [from, to] = [stops[left], stops[left + 1]];
    const channel = (index) => Math.round(from[index] + (to[index] - from[index]) * (place - left));
    table[level] = pixelOf([channel(0), channel(1), channel(2)]);
  }
  return table;
}

/** A colour as a pixel of a canvas. */
const pixelOf = ([red, green, blue]) => (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;

const DIVERGING = ramp(SIGNED_STOPS);
const SEQUENTIAL = ramp(ONE_SIDED_STOPS);
const NAN = pixelOf(ODD_COLOURS.nan);
const INFINITY = pixelOf(ODD_COLOURS.infinity);
const MINUS_INFINITY = pixelOf(ODD_COLOURS.minusInfinity);
const HATCH = pixelOf(ODD_COLOURS.hatch);

/** `count` float32 numbers out of their base64; null where the text is of others. */
export function floats(text, count) {
  try {
    const read = atob(text);
    if (read.length !== 4 * count) return null;
    const bytes = new Uint8Array(read.length);
    for (let index = 0; index < read.length; index += 1) bytes[index] = read.charCodeAt(index);
    return new Float32Array(bytes.buffer);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    return null;
  }
}

/** The picture of a tensor as float32 cells, decoded when first looked at; null if it has none. */
export class Pictures {
  constructor() {
    this.decoded = new Map();
  }

  cells(note) {
    const { heatmap } = note;
    if (!heatmap || !this.fits(heatmap)) return null;
    const known = this.decoded.get(note);
    if (known) return known;
    const cells = floats(heatmap.cells, heatmap.rows * heatmap.columns);
    if (this.decoded.size >= LIMIT.pictures) this.decoded.clear();
    this.decoded.set(note, cells);
    return cells;
  }

  fits({ rows, columns }) {
    return [rows, columns].every((side) => isWhole(side) && side > 0 && side <= LIMIT.side);
  }
}

/** The values at the ends of the scale: as far below zero as above where there are both. */
export function ends({ low, high, signed }) {
  if (!signed) return { low, high };
  const reach = Math.max(Math.abs(low ?? 0), Math.abs(high ?? 0));
  return { low: -reach, high: reach };
}

/**
 * Which of the 256 levels of its scale a finite value has: `levels(heatmap)(value)`.  A heatmap that
 * is level has one for all: what differs by rounding alone is not stretched.
 */
export function levels(heatmap) {
  const { low, high } = ends(heatmap);
  const from = low ?? 0;
  const spread = heatmap.level ? 0 : (high ?? 0) - from;
  const scale = spread > 0 ? 255 / spread : 0;
  return (value) => (scale ? clamp(Math.round((value - from) * scale), 0, 255) : 128);
}

/** The first and the last of `size` indices that cell number `cell` of `cells` stands for. */
export function indices(cell, cells, size) {
  return [Math.floor((cell * size) / cells), Math.ceil(((cell + 1) * size) / cells) - 1];
}

/** How much of a cell's colour is left where others are lit. */
const DIMMED = 0.2;

/** The colour behind an element, as red, green and blue. */
function paperOf(node) {
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = getComputedStyle(node.closest(".shapewalk") ?? node).backgroundColor;
  probe.fillRect(0, 0, 1, 1);
  return probe.getImageData(0, 0, 1, 1).data;
}

/** A pixel that is nearly that of the paper. */
function dimmed(pixel, paper) {
  const mixed = (shift, index) => Math.round(((pixel >> shift) & 255) * DIMMED + paper[index] * (1 - DIMMED));
  return pixelOf([mixed(0, 0), mixed(8, 1), mixed(16, 2)]);
}

/**
 * Paint cells at one pixel each, or at many where some are not finite and need a pattern: NaN, +Inf
 * and −Inf have colours of their own, each hatched. Where some are `lit`, the others fade.
 */
export function paint(canvas, heatmap, cells, lit = null) {
  const { rows, columns, signed } = heatmap;
  const strange = cells.some((value) => !Number.isFinite(value));
  const zoom = (side) => (strange && side <= 256 ? Math.ceil(320 / side) : 1);
  const [wide, high] = [zoom(columns), zoom(rows)];
  canvas.width = columns * wide;
  canvas.height = rows * high;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = signed ? DIVERGING : SEQUENTIAL;
  const levelOf = levels(heatmap);
  const paper = lit && paperOf(canvas);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const value = cells[row * columns + column];
      const finite = Number.isFinite(value);
      const whole = finite ? colours[levelOf(value)] : strangeColour(value);
      const colour = lit && !lit[row * columns + column] ? dimmed(whole, paper) : whole;
      for (let y = row * high; y < (row + 1) * high; y += 1) {
        for (let x = column * wide; x < (column + 1) * wide; x += 1) {
          pixels[y * canvas.width + x] = !finite && (x + y) % 7 < 2 ? HATCH : colour;
        }
      }
    }
  }
  context.putImageData(image, 0, 0);
}

function strangeColour(value) {
  if (Number.isNaN(value)) return NAN;
  return value > 0 ? INFINITY : MINUS_INFINITY;
}

/** Width over height at which the picture is shown: the tensor's own, null to fill the room. */
export function aspect(note) {
  const { rows, columns, row_axis: rowAxis, column_axis: columnAxis } = note.heatmap;
  if (rows === 1 || columns === 1) return rows === columns ? 1 : null;
  const height = note.shape[rowAxis] ?? rows;
  const width = note.shape[columnAxis] ?? columns;
  return width / height > 4 || width / height < 0.25 ? null : width / height;
}
