"""Words from elsewhere in Streamlit's Markdown."""

from __future__ import annotations

_MEANT = frozenset("\\`*_{}[]<>#+-.!|$~:&^=()")


def escaped(words: str) -> str:
    """Text that shall be read as it is, on one line: no emphasis, link, formula, icon or HTML."""
    line = " ".join(words.split())
    return "".join(f"\\{letter}" if letter in _MEANT else letter for letter in line)
