"""Every colour stands in one place."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from tests.together import together
from tracer.views import colours, player

ROOT = Path(__file__).resolve().parents[3]
HOME = "tracer/views/colours.py"
LITERAL = re.compile(
    r"#(?:[0-9a-f]{8}|[0-9a-f]{6}|[0-9a-f]{3,4})\b"
    r"|(?<![\w-])(?:rgba?|hsla?|hwb|lab|lch|oklab|oklch)\([^)]*\d"
    r"|(?:colou?r|background|fill|stroke)[\"']?\s*[:=]\s*[\"']?(?:black|white|red|green|blue|gr[ae]y)\b",
    re.IGNORECASE,
)
USED = re.compile(r"var\(--colour-([\w-]+)\)")


def sources() -> list[str]:
    """The files of the project that draw, by their path from its root."""
    files = [
        file
        for folder in ("tracer", "ui", "pages", "modules")
        for file in (ROOT / folder).rglob("*")
        if file.suffix in (".py", ".js", ".css", ".html")
    ]
    return [str(file.relative_to(ROOT)) for file in (ROOT / "app.py", *files)]


def test_no_colour_is_written_elsewhere() -> None:
    found = {
        f"{path}:{number}": line.strip()
        for path in sources()
        if path != HOME
        for number, line in enumerate((ROOT / path).read_text("utf-8").splitlines(), 1)
        if LITERAL.search(line)
    }
    assert found == {}


@together(
    "line",
    [
        "color: #fff;",
        "x = '#12345678'",
        "box-shadow: 0 0 rgb(0 0 0 / 0.3);",
        "hsl(20deg 30% 4%)",
        "color: white;",
        "'color': 'red'",
    ],
)
def test_a_colour_is_known_when_it_is_met(line: str) -> None:
    assert LITERAL.search(line)


@together("line", ["white-space: nowrap", "# fade in", "#1234567", "rgb(red)"])
def test_what_is_no_colour_is_left_alone(line: str) -> None:
    assert not LITERAL.search(line)


def test_style_sheets_use_what_there_is_and_all_of_it() -> None:
    pages = [(ROOT / "ui" / name).read_text("utf-8") for name in ("style.css", "editor.css")]
    sheets = (player.style(), *pages)
    given = set(re.findall(r"--colour-([\w-]+):", colours.style(":root")))
    assert {name for sheet in sheets for name in USED.findall(sheet)} == given


def test_the_theme_of_the_page_has_the_same_colours() -> None:
    theme = tomllib.loads((ROOT / ".streamlit/config.toml").read_text("utf-8"))["theme"]
    for name, wanted in (("light", colours.LIGHT), ("dark", colours.DARK)):
        sidebar = theme[name].pop("sidebar")
        assert theme[name] == {
            "primaryColor": wanted.accent,
            "backgroundColor": wanted.page,
            "secondaryBackgroundColor": wanted.panel,
            "textColor": wanted.ink,
            "linkColor": wanted.link,
            "borderColor": wanted.line,
        }
        assert sidebar == {
            "backgroundColor": wanted.sidebar,
            "secondaryBackgroundColor": wanted.sidebar_panel,
        }


def test_the_icon_has_the_same_colours() -> None:
    icon = (ROOT / "ui/icon.svg").read_text("utf-8")
    assert set(re.findall(r'"(#\w+)"', icon)) == {colours.LIGHT.accent, colours.LIGHT.page}


def test_the_player_s_constants() -> None:
    lines = colours.script().splitlines()
    found = {
        name: json.loads(value)
        for name, value in (
            re.fullmatch(r"export const (\w+) = (.*);", line).groups() for line in lines
        )
    }
    assert found["DIMENSION_COLOURS"] == list(colours.DIMENSIONS)
    assert found["SIGNED_STOPS"][0] == [18, 52, 120]
    assert found["SIGNED_STOPS"][-1] == [116, 12, 34]
    assert found["ONE_SIDED_STOPS"][0] == [20, 22, 62]
    assert found["ODD_COLOURS"] == {
        "nan": [230, 0, 160],
        "infinity": [90, 255, 90],
        "minusInfinity": [120, 60, 255],
        "hatch": [0, 0, 0],
    }
