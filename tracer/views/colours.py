"""Every colour of the project, each once.

Python reads them here.  Style sheets get them as custom properties and the player's modules as
constants, where these are mounted or exported.  Streamlit's theme and the icon cannot ask: a test
compares them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """What stands behind everything else, in the light or in the dark."""

    page: str
    panel: str
    ink: str
    accent: str
    link: str
    line: str
    sidebar: str
    sidebar_panel: str


LIGHT = Theme(
    page="#FCFBF8",
    panel="#F2EFE8",
    ink="#1F2428",
    accent="#0A6A74",
    link="#0A6A74",
    line="#DDD8CC",
    sidebar="#F5F2EB",
    sidebar_panel="#FCFBF8",
)
DARK = Theme(
    page="#14171A",
    panel="#1F2327",
    ink="#E7E5DF",
    accent="#5CC2C8",
    link="#74CED3",
    line="#363C42",
    sidebar="#181C1F",
    sidebar_panel="#22272B",
)

DIMENSIONS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#F0E442")
"""Okabe and Ito's colours, without black, which is the text's own: one for each letter."""

SIGNED = ("#123478", "#3478BE", "#96C4E2", "#FAFAFA", "#F4AA8A", "#CC463C", "#740C22")
"""Of values on both sides of zero: blue below, white at zero, red above."""

ONE_SIDED = ("#14163E", "#2C3E74", "#3C7086", "#589E78", "#AAC45C", "#FAEC8C")
"""Of values on one side of zero: dark to light."""

NAN, INFINITY, MINUS_INFINITY = "#E600A0", "#5AFF5A", "#783CFF"
"""Of values that no scale can hold."""

FIRST_SERIES, SECOND_SERIES = "#0A7F8A", "#CC463C"
"""Of the curves and bars of a plot."""

MARK = "#888888"
"""Of a line that marks a place in a plot."""

CLEAR = "rgba(0,0,0,0)"
BLACK, WHITE = "#000000", "#FFFFFF"

LIT = "#F0B400"
"""What is pointed at, and the current step: mixed with the page behind it."""

HELD = "#D99A00"
"""The edge of what is lit or held, and of the current statement."""

ALARM = "#D02020"
"""A failure, and lines that are taken away: mixed with the page or the text."""

FAILED = "#D5352B"
"""A failed step of the graph, and its line in the editor."""

ROOT = "#E0A100"
"""The line in the editor in which a failure was born."""

WAY = "#8C7BB5"
"""Of the other places on its way, in the editor."""

CAUTION = "#B86E00"
"""The sign of a warning."""

GOOD = "#00804A"
"""What holds, lines that are added, and strings of Python."""

KEYWORD, NUMBER = "#8A2BE2", "#0A63C9"
"""Keywords and numbers of Python."""

_IN_STYLE_SHEETS = {
    "light-page": LIGHT.page,
    "light-ink": LIGHT.ink,
    "light-accent": LIGHT.accent,
    "dark-page": DARK.page,
    "dark-ink": DARK.ink,
    "dark-accent": DARK.accent,
    "signed": ", ".join(SIGNED),
    "one-sided": ", ".join(ONE_SIDED),
    "nan": NAN,
    "infinity": INFINITY,
    "minus-infinity": MINUS_INFINITY,
    "learned": FIRST_SERIES,
    "black": BLACK,
    "white": WHITE,
    "lit": LIT,
    "held": HELD,
    "alarm": ALARM,
    "failed": FAILED,
    "root": ROOT,
    "way": WAY,
    "caution": CAUTION,
    "good": GOOD,
    "keyword": KEYWORD,
    "number": NUMBER,
}


def style(selector: str) -> str:
    """A rule that gives the elements of `selector`, and all inside them, each colour that style
    sheets use, as `--colour-lit`.  `--colour-signed` and `--colour-one-sided` are the stops of a
    gradient."""
    lines = (f"  --colour-{name}: {value};\n" for name, value in _IN_STYLE_SHEETS.items())
    return f"{selector} {{\n{''.join(lines)}}}\n"


def script() -> str:
    """The module `colours.js` of the player: the letters' colours as in CSS, the others as red,
    green and blue from 0 to 255."""
    constants: dict[str, object] = {
        "DIMENSION_COLOURS": DIMENSIONS,
        "SIGNED_STOPS": [channels(colour) for colour in SIGNED],
        "ONE_SIDED_STOPS": [channels(colour) for colour in ONE_SIDED],
        "ODD_COLOURS": {
            "nan": channels(NAN),
            "infinity": channels(INFINITY),
            "minusInfinity": channels(MINUS_INFINITY),
            "hatch": channels(BLACK),
        },
    }
    return "".join(
        f"export const {name} = {json.dumps(value)};\n" for name, value in constants.items()
    )


def channels(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of `#RRGGBB`, each from 0 to 255."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
