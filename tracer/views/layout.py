"""Where the nodes and edges of a run's graph stand: laid out in layers, from top to bottom.

A step stands below all that it reads, a chapter below the one before.  Within a layer, nodes are
put in the order of what they are tied to and as near to it as they fit (Sugiyama, Tagawa and Toda,
1981); an edge keeps free the places at which it passes through layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tracer.document import TensorNote, Trace
from tracer.sentences import shape_text
from tracer.views import graph

LETTER = 6.0
"""Width of a letter: all are written in a font in which that is so."""

_LINE, _SHAPE, _ROOM = 13.0, 15.0, 12.0
"""Heights: of a line in a node, of a shape under it, of what a node has around its lines."""

_GAP, _BETWEEN, _TITLE = 18.0, 26.0, 30.0
"""Between nodes of a layer, between layers, and more between chapters, for a title."""

_SWEEPS = 12
_MOST_SHAPES = 3
_MOST_LETTERS = 36
"""Of a shape in formulas; the player leaves a longer one in numbers."""


@dataclass
class _Slot:
    """A node's place in its layer, or that of an edge passing through: then `node` is None."""

    node: graph.Node | None
    layer: int
    width: float
    box: float
    shapes: list[int] = field(default_factory=list)
    above: list[_Slot] = field(default_factory=list)
    below: list[_Slot] = field(default_factory=list)
    x: float = 0.0
    rank: float = 0.0

    @property
    def height(self) -> float:
        return self.box + _SHAPE * len(self.shapes)


def layout(trace: Trace) -> dict[str, Any] | None:
    """The graph of the run as the player draws it; None where it would have more nodes than can be
    read, even with each module of the outermost as one, or none.

    The unit is a sixth of a letter's width, and y grows downwards.  The keys: `width`, `height`;
    `nodes`, each with its middle `x`, `y`, its `width` and `height`, `lines`, `kind` and the steps
    from `start` to before `stop` (null for inputs and outputs); `shapes`, each with the index
    `node` of the node under which it stands, its middle `x`, `y` and the id `note` of its tensor;
    `edges`, each with the indices `from` and `to` of its nodes, the id `note` of its tensor, `path`
    and `tip` as SVG has them; `frames`, one for each chapter, each with its corner `x`, `y`, its
    `width`, `height` and `title`.
    """
    drawing = graph.readable(trace)
    if drawing is None:
        return None
    sizes = {note.id: 2 + _letters(note) for note in trace.tensors().values()}
    plan = _Plan(drawing, [chapter.start for chapter in trace.chapters], sizes)
    return plan.drawn([chapter.title for chapter in trace.chapters])


def _letters(note: TensorNote) -> int:
    """Of its shape, in numbers or in formulas, whichever is longer."""
    numbers = graph.shape_text(note)
    formulas = shape_text([each.text for each in note.dims]) if note.dims else ""
    return len(max(numbers, formulas if len(formulas) <= _MOST_LETTERS else "", key=len))


class _Plan:
    """`starts` are the first steps of chapters, `sizes` the letters of each tensor's shape."""

    def __init__(
        self, drawing: graph.Drawing, starts: Sequence[int], sizes: Mapping[int, int]
    ) -> None:
        self.drawing = drawing
        self.chapter = {key: _chapter(node, starts) for key, node in drawing.nodes.items()}
        layer_of = self._layers()
        self.slots: dict[str, _Slot] = {}
        for key, node in drawing.nodes.items():
            if node.kind == "given":  # its shape stands under it, as under the others
                node = replace(node, lines=node.lines[:1])
            width = LETTER * max(len(line) for line in node.lines) + 16
            box = _LINE * len(node.lines) + _ROOM
            self.slots[key] = _Slot(node, layer_of[key], width, box)
        for edge in drawing.edges:
            slot = self.slots[edge.tail]
            if edge.note not in slot.shapes and len(slot.shapes) < _MOST_SHAPES:
                slot.shapes.append(edge.note)
                slot.width = max(slot.width, LETTER * sizes.get(edge.note, 0))
        self.ways = [self._way(edge) for edge in drawing.edges]
        through = [slot for way in self.ways for slot in way[1:-1]]
        self.layers: list[list[_Slot]] = [[] for _ in range(1 + max(layer_of.values()))]
        for slot in [*self.slots.values(), *through]:
            self.layers[slot.layer].append(slot)
        self._order()
        self._place()
        self.tops = self._tops()

    def _layers(self) -> dict[str, int]:
        """Inputs on top, results at the bottom, each step below what it reads and below the
        chapters before its own."""
        before: dict[str, list[str]] = {}
        for edge in self.drawing.edges:
            before.setdefault(edge.head, []).append(edge.tail)
        found: dict[str, int] = {}
        floor, current, deepest = 1, -1, 0
        for key, node in self.drawing.nodes.items():
            if node.start is None:
                found[key] = 0
                continue
            if self.chapter[key] != current:
                current, floor = self.chapter[key], deepest + 1
            found[key] = max([floor, *(1 + found.get(tail, 0) for tail in before.get(key, ()))])
            deepest = max(deepest, found[key])
        results = {edge.head for edge in self.drawing.edges}
        for key, node in self.drawing.nodes.items():
            if node.start is None and key in results:
                found[key] = deepest + 1
        return found

    def _way(self, edge: graph.Edge) -> list[_Slot]:
        """The slots that an edge touches, from its tail to its head."""
        tail, head = self.slots[edge.tail], self.slots[edge.head]
        inner = [_Slot(None, layer, 4, 0) for layer in range(tail.layer + 1, head.layer)]
        way = [tail, *inner, head]
        for one, other in itertools.pairwise(way):
            one.below.append(other)
            other.above.append(one)
        return way

    def _order(self) -> None:
        """Within each layer by the mean rank of what is tied to it, from above and from below in
        turns."""
        for layer in self.layers:
            _rank(layer)
        for sweep in range(_SWEEPS):
            down = sweep % 2 == 0
            for layer in self.layers if down else reversed(self.layers):
                for slot in layer:
                    tied = slot.above if down else slot.below
                    if tied:
                        slot.rank = sum(each.rank for each in tied) / len(tied)
                layer.sort(key=lambda slot: slot.rank)
                _rank(layer)

    def _place(self) -> None:
        for layer in self.layers:
            _settle(layer, [0.0] * len(layer))
        for sweep in range(_SWEEPS):
            down = sweep % 2 == 0
            for layer in self.layers if down else reversed(self.layers):
                wanted = []
                for slot in layer:
                    tied = slot.above if down else slot.below
                    if sweep >= _SWEEPS - 2:  # what stands between two ends in the middle
                        tied = [*slot.above, *slot.below]
                    wanted.append(sum(each.x for each in tied) / len(tied) if tied else slot.x)
                _settle(layer, wanted)
        left = min(slot.x - slot.width / 2 for layer in self.layers for slot in layer)
        for layer in self.layers:
            for slot in layer:
                slot.x += 20 - left

    def _tops(self) -> list[float]:
        """Where each layer begins, and behind them where the last one ends."""
        first: dict[int, int] = {}
        for key, slot in self.slots.items():
            if self.chapter[key] >= 0:
                chapter = self.chapter[key]
                first[chapter] = min(first.get(chapter, slot.layer), slot.layer)
        opens = set(first.values())
        tops, y = [], 10.0
        for number, layer in enumerate(self.layers):
            y += _TITLE if number in opens else 0
            tops.append(y)
            y += max((slot.height for slot in layer), default=0) + _BETWEEN
        return [*tops, y - _BETWEEN]

    # --- as data ---

    def drawn(self, titles: Sequence[str]) -> dict[str, Any]:
        keys = list(self.slots)
        at = {key: index for index, key in enumerate(keys)}
        nodes, shapes = [], []
        for key, slot in self.slots.items():
            assert slot.node is not None
            top = self.tops[slot.layer]
            place = {"x": _r(slot.x), "y": _r(top + slot.box / 2)}
            lines = max(len(line) for line in slot.node.lines)
            size = {"width": _r(LETTER * lines + 16), "height": _r(slot.box)}
            said = {**asdict(slot.node), "lines": list(slot.node.lines)}
            nodes.append({**said, **place, **size})
            for row, note in enumerate(slot.shapes):
                y = top + slot.box + _SHAPE * (row + 0.5)
                shapes.append({"node": at[key], "note": note, "x": _r(slot.x), "y": _r(y)})
        edges = [
            {"from": at[edge.tail], "to": at[edge.head], "note": edge.note, **self._curve(way)}
            for edge, way in zip(self.drawing.edges, self.ways, strict=True)
        ]
        right = max(slot.x + slot.width / 2 for layer in self.layers for slot in layer)
        return {
            "width": _r(right + 20),
            "height": _r(self.tops[-1] + 10),
            "nodes": nodes,
            "shapes": shapes,
            "edges": edges,
            "frames": self._frames(titles),
        }

    def _curve(self, way: Sequence[_Slot]) -> dict[str, str]:
        tail, head = way[0], way[-1]
        points = [(tail.x, self.tops[tail.layer] + tail.height)]
        for slot in way[1:-1]:
            top = self.tops[slot.layer]
            high = max(each.height for each in self.layers[slot.layer])
            points += [(slot.x, top), (slot.x, top + high)]
        end = self.tops[head.layer]
        points.append((head.x, end - 6))
        path = f"M{_r(points[0][0])} {_r(points[0][1])}"
        for (x, y), (u, v) in itertools.pairwise(points):
            bend = (v - y) / 2
            path += f"C{_r(x)} {_r(y + bend)} {_r(u)} {_r(v - bend)} {_r(u)} {_r(v)}"
        x = head.x
        tip = f"{_r(x)},{_r(end)} {_r(x - 3)},{_r(end - 6)} {_r(x + 3)},{_r(end - 6)}"
        return {"path": path, "tip": tip}

    def _frames(self, titles: Sequence[str]) -> list[dict[str, Any]]:
        frames = []
        for number, title in enumerate(titles):
            inside = [slot for key, slot in self.slots.items() if self.chapter[key] == number]
            if not inside:
                continue
            left = min(slot.x - slot.width / 2 for slot in inside) - 10
            right = max(slot.x + slot.width / 2 for slot in inside) + 10
            right = max(right, left + (LETTER + 2) * len(title) + 20)
            top = min(self.tops[slot.layer] for slot in inside) - 22
            bottom = max(self.tops[slot.layer] + slot.height for slot in inside) + 8
            size = {"width": _r(right - left), "height": _r(bottom - top)}
            frames.append({"title": title, "x": _r(left), "y": _r(top), **size})
        return frames


def _chapter(node: graph.Node, starts: Sequence[int]) -> int:
    """The chapter that a node belongs to, −1 for none."""
    return -1 if node.start is None else sum(start <= node.start for start in starts) - 1


def _rank(layer: Sequence[_Slot]) -> None:
    for place, slot in enumerate(layer):
        slot.rank = place - (len(layer) - 1) / 2


def _settle(layer: Sequence[_Slot], wanted: Sequence[float]) -> None:
    """Give the slots the places nearest to those wanted, in squares, in which they stand apart in
    their order: isotonic regression, by pooling neighbours that would overlap."""
    shift, shifts = 0.0, []
    for number, slot in enumerate(layer):
        if number:
            shift += (layer[number - 1].width + slot.width) / 2 + _GAP
        shifts.append(shift)
    pools: list[tuple[float, int]] = []
    for at, by in zip(wanted, shifts, strict=True):
        mean, count = at - by, 1
        while pools and pools[-1][0] > mean:
            other, others = pools.pop()
            mean = (mean * count + other * others) / (count + others)
            count += others
        pools.append((mean, count))
    spread = [mean for mean, count in pools for _ in range(count)]
    for slot, at, by in zip(layer, spread, shifts, strict=True):
        slot.x = at + by


def _r(number: float) -> float:
    return round(number, 1)
