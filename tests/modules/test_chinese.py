"""Every text of the lessons has a Chinese translation, and a changed text has none until it is
translated anew."""

from __future__ import annotations

import functools
import re
from collections import Counter
from pathlib import Path

import pytest

from modules import LESSONS, chinese, lesson
from modules.lesson import run
from tests.together import together
from tracer.language import read, translations, update
from tracer.source.notes import placeholders

MODULES = sorted(
    {"posts", "lesson", *(each.build.__module__.rpartition(".")[2] for each in LESSONS)}
)
FORMULA = re.compile(r"\$\$.+?\$\$|\$.+?\$", re.DOTALL)
CODE = re.compile(r"`[^`]+`")


@functools.cache
def texts() -> dict[str, dict[str, str]]:
    return chinese.texts()


def words(text: str) -> str:
    """What is left without formulas, code, placeholders and names: what has to be translated."""
    for name in placeholders(text):
        text = text.replace(name, "")
    text = CODE.sub("", FORMULA.sub("", text))
    return re.sub(r"\b(?:\w*[A-Z_.]\w*|\w)\b", "", text)


def test_the_files_belong_to_the_modules() -> None:
    assert sorted(texts()) == MODULES
    files = Path(chinese.__file__).parent.glob("*.zh.po")
    assert sorted(file.name.removesuffix(".zh.po") for file in files) == MODULES


@together("module", MODULES)
def test_every_text_is_translated_and_no_translation_is_left_over(module: str) -> None:
    translated = translations(read(chinese.path(module)))
    wanted = texts()[module]
    missing = [f"{where}: {text}" for text, where in wanted.items() if text not in translated]
    assert not missing, "translate these; `python -m modules.chinese` writes them into the file"
    assert not set(translated) - set(wanted), "`python -m modules.chinese` removes these"


@together("module", MODULES)
def test_a_translation_keeps_formulas_code_and_values(module: str) -> None:
    for text, translation in translations(read(chinese.path(module))).items():
        for pattern in (FORMULA, CODE):
            found, kept = (
                Counter(pattern.findall(" ".join(each.split()))) for each in (text, translation)
            )
            assert found == kept, translation
        assert set(placeholders(translation)) == set(placeholders(text)), translation
        assert translation.count("**") == text.count("**"), translation
        if re.search("[a-z]{3}", words(text)):
            assert re.search("[\u4e00-\u9fff]", translation), translation


def test_one_text_has_one_translation() -> None:
    found: dict[str, str] = {}
    for module in MODULES:
        for text, translation in translations(read(chinese.path(module))).items():
            assert found.setdefault(text, translation) == translation, text


def test_a_changed_note_loses_its_translation(tmp_path: Path) -> None:
    path = tmp_path / "made.zh.po"
    note = "One number is left for each of the {x.shape[1]} channels."
    update(path, {note: "note in forward", "Other": "title"})
    content = path.read_text(encoding="utf-8")
    assert content.count('msgstr ""') == 2
    empty = f'msgid "{note}"\nmsgstr ""'
    assert empty in content
    path.write_text(content.replace(empty, empty[:-1] + '每个通道剩一个数。"'), encoding="utf-8")
    assert translations(read(path)) == {note: "每个通道剩一个数。"}
    changed = note.replace("One number", "One single number")
    update(path, {changed: "note in forward", "Other": "title"})
    assert translations(read(path)) == {}
    # The old words are at hand for the translator.
    assert "每个通道剩一个数。" in path.read_text(encoding="utf-8")


# --- traces -----------------------------------------------------------------------------------


def test_where_lines_break_is_no_part_of_a_text() -> None:
    assert chinese.key("one\ntwo  three\n\nfour") == "one two three\n\nfour"
    assert chinese.key("a\n \n b") == "a\n\nb"


@pytest.mark.parametrize("each", LESSONS, ids=lambda each: each.key)
def test_a_trace_in_chinese(each) -> None:  # type: ignore[no-untyped-def]
    english = run(each, each.settings(), values=False)
    translated = chinese.in_chinese(english)
    assert translated != english
    for before, after in zip(english.steps, translated.steps, strict=True):
        assert before.outputs == after.outputs
        if before.place.source is None:
            continue
        if "/modules/" not in before.file:
            assert after.note == before.note
            continue
        assert (after.note == "") == (before.note == "")
        if before.note:
            assert re.search("[\u4e00-\u9fff]", after.note), after.note
            assert not placeholders(after.note), after.note
            # The same values, whatever the order in which the two languages name them.
            for number in re.findall(r"\d{2,}", after.note):
                assert number in before.note


def test_values_are_filled_in() -> None:
    trace = chinese.in_chinese(
        run(
            lesson("squeeze-excite"),
            {
                **lesson("squeeze-excite").settings(),
                "C": 48,
                "H": 9,
                "W": 11,
                "reduction": 4,
            },
            values=False,
        )
    )
    pooled = next(step for step in trace.steps if step.targets == ("pooled",))
    assert "9 × 11" in pooled.note
    hidden = next(step for step in trace.steps if step.targets == ("hidden",))
    assert "48" in hidden.note
    assert "12" in hidden.note
