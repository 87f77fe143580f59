"""A trace as a graph in Mermaid's language, which Markdown on many sites draws."""

from __future__ import annotations

from tracer.document import Trace
from tracer.views.graph import drawing, readable

_SHAPES = {"given": ("([", "])"), "result": ("([", "])"), "call": ("[[", "]]")}


def mermaid(trace: Trace, call: int | None = None) -> str:
    """`flowchart TD` with a node for each step, and the shapes at its edges.

    Args:
        call: index in `trace.calls`, to draw what is inside that call; None draws the whole run,
            or where that is too large the outermost module's parts.

    Raises:
        IndexError: there is no such call.
        ValueError: it has too many nodes, however it is drawn.
    """
    found = readable(trace) if call is None else drawing(trace, call)
    if found is None:
        raise ValueError("This run is too large to be drawn whole: name a call, as in mermaid(3).")
    keys = {key: f"n{number}" for number, key in enumerate(found.nodes)}
    notes = trace.tensors()
    lines = ["flowchart TD"]
    for key, node in found.nodes.items():
        start, end = _SHAPES.get(node.kind, ("[", "]"))
        text = "<br/>".join(map(_escaped, node.lines))
        lines.append(f'    {keys[key]}{start}"{text}"{end}')
    for edge in found.edges:
        note = notes.get(edge.note)
        shape = f"({', '.join(map(str, note.shape))})" if note is not None else ""
        lines.append(f'    {keys[edge.tail]} -->|"{shape}"| {keys[edge.head]}')
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    for letter, name in (("#", "35"), ("&", "38"), ('"', "34"), ("<", "60"), (">", "62")):
        text = text.replace(letter, f"\0{name};")
    return text.replace("\0", "#").replace("\n", " ")
