/** A scene on a canvas: tensors as grids of cells, and the cells on their way. */

import { figure } from "./text.js";

const BETWEEN = 26;
const HEAD = 40;
const LARGEST_CELL = 54;
const SMALLEST_CELL = 27;
const COLOURS = ["text", "soft", "line", "paper", "wash", "glow", "key"];
const MOST_TOKENS = 40;

/** Where each grid stands for a width: in rows, as large as they fit. */
export function placed(grids, width, height) {
  for (let side = LARGEST_CELL; side > SMALLEST_CELL; side -= 1) {
    const found = rowsOf(grids, width, side);
    if (found.height <= height && found.width <= width) return found;
  }
  return rowsOf(grids, width, SMALLEST_CELL);
}

function rowsOf(grids, width, side) {
  const boxes = [];
  let [x, y, row, widest] = [0, 0, 0, 0];
  for (const grid of grids) {
    const own = grid.counts[1] * side;
    const tall = grid.counts[0] * side + HEAD;
    if (x > 0 && x + Math.max(own, 90) > width) {
      y += row + BETWEEN;
      [x, row] = [0, 0];
    }
    boxes.push({ grid, x, y: y + HEAD, side });
    x += Math.max(own, 90) + BETWEEN;
    widest = Math.max(widest, x - BETWEEN);
    row = Math.max(row, tall);
  }
  return { boxes, side, width: widest, height: y + row + 4 };
}

/** The colours of the page around, as a canvas takes them. */
export function coloursOf(node) {
  const probe = document.createElement("i");
  node.append(probe);
  const found = {};
  for (const name of COLOURS) {
    probe.style.color = `var(--${name})`;
    found[name] = getComputedStyle(probe).color;
  }
  found.font = getComputedStyle(node).getPropertyValue("--mono") || "monospace";
  probe.remove();
  return found;
}

const short = (value) => (value === null ? "" : figure(value, 2).replace("-", "−"));

export class Drawing {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  /** Take the room there is; the grids are those of the frame that is drawn next. */
  fit(frame, width, height, colours) {
    this.colours = colours;
    this.grids = [...frame.operands, ...frame.results];
    this.place = placed(this.grids, width, height);
    const scale = Math.min(window.devicePixelRatio || 1, 3);
    const { canvas } = this;
    const [wide, tall] = [Math.min(Math.max(this.place.width, 90), width), this.place.height];
    if (canvas.width !== Math.round(wide * scale)) canvas.width = Math.round(wide * scale);
    if (canvas.height !== Math.round(tall * scale)) canvas.height = Math.round(tall * scale);
    canvas.style.width = `${wide}px`;
    canvas.style.height = `${tall}px`;
    this.context.setTransform(scale, 0, 0, scale, 0, 0);
  }

  /** Draw a frame, `share` of the way from the operands to the result. */
  draw(frame, names, share, isOrder) {
    const { context, colours, place, canvas } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    const grids = [...frame.operands, ...frame.results];
    const titles = [
      ...frame.operands.map(({ operand }) => names.inputs[operand]),
      ...frame.results.map((_, number) => `→ ${names.outputs[number]}`),
    ];
    place.boxes.forEach((box, number) => {
      this.title(titles[number], box, colours);
      for (const cell of grids[number].cells) this.cell(cell, box, share, isOrder);
    });
    if (share < 1) this.tokens(frame, share);
  }

  title(text, { x, y, side, grid }, { text: ink, font }) {
    const { context } = this;
    context.fillStyle = ink;
    context.font = `600 14px ${font}`;
    context.textAlign = "left";
    context.textBaseline = "alphabetic";
    let shown = text;
    const room = Math.max(grid.counts[1] * side + BETWEEN - 6, 90);
    while (shown.length > 3 && context.measureText(shown).width > room) shown = `${shown.slice(0, -2)}…`;
    context.fillText(shown, x, y - 12);
  }

  cell({ row, column, value, flat, state }, { x, y, side }, share, isOrder) {
    const { context, colours } = this;
    const [left, top] = [x + column * side, y + row * side];
    const isLit = state === "lit" || state === "now";
    context.fillStyle = { lit: colours.glow, now: share < 1 ? colours.wash : colours.glow, padding: colours.paper, open: colours.paper }[state] ?? colours.wash;
    context.fillRect(left, top, side, side);
    if (state === "padding") this.hatch(left, top, side);
    context.strokeStyle = isLit ? colours.key : colours.line;
    context.lineWidth = isLit ? 2 : 1;
    const edge = isLit ? 1 : 0.5;
    context.strokeRect(left + edge, top + edge, side - 2 * edge, side - 2 * edge);
    const isHidden = state === "open" || (state === "now" && share < 1);
    const words = state === "padding" ? "0" : isHidden ? "" : short(value);
    this.words(words, left, top, side, state === "padding" ? colours.soft : colours.text);
    if (isOrder && flat !== null && !isHidden) this.flat(flat, left, top, side);
  }

  hatch(left, top, side) {
    const { context, colours } = this;
    context.save();
    context.beginPath();
    context.rect(left, top, side, side);
    context.clip();
    context.strokeStyle = colours.line;
    context.lineWidth = 1;
    for (let along = -side; along < side; along += 6) {
      context.beginPath();
      context.moveTo(left + along, top + side);
      context.lineTo(left + along + side, top);
      context.stroke();
    }
    context.restore();
  }

  words(text, left, top, side, colour) {
    if (!text) return;
    const { context, colours } = this;
    const size = Math.min(side * 0.34, (side - 4) / (0.62 * text.length));
    context.fillStyle = colour;
    context.font = `${Math.max(size, 7)}px ${colours.font}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(text, left + side / 2, top + side / 2);
  }

  /** The place of a cell when all are read row by row. */
  flat(place, left, top, side) {
    const { context, colours } = this;
    context.fillStyle = colours.soft;
    context.font = `${Math.max(side * 0.2, 7)}px ${colours.font}`;
    context.textAlign = "left";
    context.textBaseline = "top";
    context.fillText(String(place), left + 3, top + 3);
  }

  /** The lit cells on their way to the result's. */
  tokens(frame, share) {
    const { boxes } = this.place;
    const target = boxes.findIndex((_, number) => number - frame.operands.length === frame.number);
    const now = frame.results[frame.number]?.cells.find(({ state }) => state === "now");
    if (!now || target < 0) return;
    const end = centre(boxes[target], now);
    const eased = share * share * (3 - 2 * share);
    const { context, colours } = this;
    frame.operands.forEach((grid, number) => {
      const lit = grid.cells.filter(({ state }) => state === "lit").slice(0, MOST_TOKENS);
      for (const cell of lit) {
        const start = centre(boxes[number], cell);
        const side = boxes[number].side * (0.8 - 0.3 * eased);
        const [left, top] = [start.x + (end.x - start.x) * eased - side / 2, start.y + (end.y - start.y) * eased - side / 2];
        context.globalAlpha = lit.length > 1 ? 0.85 - 0.3 * eased : 0.95;
        context.fillStyle = colours.glow;
        context.fillRect(left, top, side, side);
        context.strokeStyle = colours.key;
        context.lineWidth = 1.5;
        context.strokeRect(left, top, side, side);
        this.words(short(cell.value), left, top, side, colours.text);
        context.globalAlpha = 1;
      }
    });
  }
}

const centre = ({ x, y, side }, { row, column }) => ({ x: x + (column + 0.5) * side, y: y + (row + 0.5) * side });
