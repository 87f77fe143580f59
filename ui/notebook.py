"""A lesson as a notebook that runs it again, at the settings that are on screen."""

from __future__ import annotations

import json
from typing import Any

from ui.language import language, say
from ui.shipped import lesson
from ui.view import View


def notebook(view: View) -> str:
    """Jupyter's format 4.5: the lesson's words, its run, the player, the source with every shape
    and the records of its steps.  It is opened in a checkout, whose lessons it imports."""
    chosen = lesson(view.lesson)
    words = [
        f"# {say(chosen.title)}",
        say(chosen.about),
        say("Open this notebook in a checkout of Shapewalk, with its environment."),
    ]
    cells = [
        _cell("\n\n".join(words)),
        _cell(_run(view), code=True),
        _cell(say("The last line of a cell that is a trace shows itself with the player.")),
        _cell("run", code=True),
        _cell("print(run)", code=True),
        _cell("run.records()", code=True),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def _run(view: View) -> str:
    """The code that makes the run of a view."""
    settings = "".join(f"    {name!r}: {value!r},\n" for name, value in view.settings)
    lines = [
        "from modules import chinese, lesson",
        "from modules.lesson import run as run_lesson",
        "",
        f"settings = {{\n{settings}}}",
        "run = run_lesson(",
        f"    lesson({view.lesson!r}),",
        "    settings,",
        f"    {view.kind!r},",
        f"    {view.seed},",
        f"    values={view.values},",
        f"    training={view.training},",
        ")",
    ]
    if language() == "zh":
        lines.append("run = chinese.in_chinese(run)")
    else:
        lines[0] = "from modules import lesson"
    return "\n".join(lines)


def _cell(text: str, code: bool = False) -> dict[str, Any]:
    lines = text.splitlines(keepends=True)
    if not code:
        return {"cell_type": "markdown", "metadata": {}, "source": lines}
    empty: dict[str, Any] = {"execution_count": None, "outputs": []}
    return {"cell_type": "code", "metadata": {}, "source": lines, **empty}
