"""Texts in other languages than English: gettext files keyed by the English text.

`python -m tracer.language` brings two of them up to date: `zh.po` with the calls of `said` in this
package, and the player's with the calls of `say` and `counted` in its scripts.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tracer.sentences import Translate, plural

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog

HERE = Path(__file__).parent
FILE = HERE / "zh.po"
PLAYER = HERE / "views" / "player" / "zh.po"
LANGUAGES = ("en", "zh")


def translator(language: str) -> Translate:
    """What puts a sentence's text into a language; English where it has no translation.

    Raises:
        ValueError: it is none of `LANGUAGES`.
    """
    if language not in LANGUAGES:
        raise ValueError(f"{language!r} is none of the languages {', '.join(LANGUAGES)}.")
    return str if language == "en" else _in_chinese


def _in_chinese(text: str) -> str:
    return _texts().get(text, text)


@functools.cache
def _texts() -> dict[str, str]:
    return translations(read(FILE))


@functools.cache
def player_words(language: str) -> dict[str, str]:
    """What the player's scripts say in that language, by the English text; nothing for English."""
    return {} if language == "en" else translations(read(PLAYER))


# --- catalogs ------------------------------------------------------------------------------------


def read(path: Path) -> Catalog:
    from babel.messages.pofile import read_po

    with path.open("rb") as file:
        return read_po(file, locale="zh_CN")


def translations(*catalogs: Catalog) -> dict[str, str]:
    """What is translated and not marked fuzzy, by the English text."""
    return {
        message.id: message.string
        for catalog in catalogs
        for message in catalog
        if isinstance(message.id, str)
        and isinstance(message.string, str)
        and message.id
        and message.string
        and not message.fuzzy
    }


def update(path: Path, wanted: Mapping[str, str]) -> None:
    """Give the catalog of that path exactly the texts `wanted` ({text: where it is}), with the
    translations it had; one whose English changed is marked fuzzy."""
    from babel.messages.catalog import Catalog
    from babel.messages.pofile import write_po

    template = Catalog()
    for text, where in wanted.items():
        template.add(text, auto_comments=[where])
    catalog = read(path) if path.exists() else Catalog(locale="zh_CN", project="Shapewalk")
    catalog.update(template, update_header_comment=False, update_creation_date=False)
    catalog.obsolete.clear()
    with path.open("wb") as file:
        write_po(file, catalog, width=100, omit_header=True, ignore_obsolete=True)


def extracted(paths: Iterable[Path], functions: Iterable[str], root: Path) -> dict[str, str]:
    """The texts that the calls of these functions begin with: {text: where it is}."""
    from babel.messages.extract import extract_from_file

    keywords = dict.fromkeys(functions)
    found: dict[str, str] = {}
    for path in paths:
        for _, message, _, _ in extract_from_file("python", path, keywords=keywords):
            if isinstance(message, str):
                found.setdefault(message, path.relative_to(root).as_posix())
    return found


def texts(folder: Path = HERE) -> dict[str, str]:
    """Every sentence of the package, and what is counted and listed in one: {text: where it is}.

    Raises:
        ValueError: a call's text or noun cannot be read off its place.
    """
    found = dict.fromkeys((", ", " and "), "sentences.py")
    for path in sorted(folder.rglob("*.py")):
        where = path.relative_to(folder).as_posix()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                for text in _told_by(node, where):
                    found.setdefault(text, where)
    return found


def _told_by(call: ast.Call, where: str) -> Iterator[str]:
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    if name == "said":
        yield from _read_off(call.args[0] if call.args else call, where)
    elif name == "Count" and call.args:  # one that is read from a file gives names
        for noun in _read_off(call.args[-1], where):
            yield from (f"{{n}} {noun}", f"{{n}} {plural(noun)}")


def _read_off(node: ast.expr, where: str) -> Iterator[str]:
    """A literal, or those of a choice."""
    if isinstance(node, ast.IfExp):
        yield from _read_off(node.body, where)
        yield from _read_off(node.orelse, where)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        raise ValueError(f"{where}:{node.lineno}: the text cannot be read off its place.")


_STRING = r'"((?:[^"\\\n]|\\.)*)"'
_CALLED = re.compile(r"(?<![\w.])(?:say|counted)\(")
_ONE = re.compile(rf"say\(\s*{_STRING}")
_SEVERAL = re.compile(rf"counted\([^\"]*{_STRING},\s*{_STRING}")


def scripted(folder: Path = PLAYER.parent) -> dict[str, str]:
    """What scripts say by `say("text")` and `counted(n, "one", "several")`: {text: where it is}.

    Raises:
        ValueError: a call's text cannot be read off its place.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*.js")):
        where = path.relative_to(folder).as_posix()
        script = "" if path.name == "words.js" else path.read_text("utf-8")
        for call in _CALLED.finditer(script):
            told = _ONE.match(script, call.start()) or _SEVERAL.match(script, call.start())
            if told is None:
                line = script.count("\n", 0, call.start()) + 1
                raise ValueError(f"{where}:{line}: the text cannot be read off its place.")
            for text in told.groups():
                found.setdefault(text, where)
    return found


if __name__ == "__main__":
    update(FILE, texts())
    update(PLAYER, scripted())
