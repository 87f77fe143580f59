"""Sentences as data: gaps, languages, formulas, and the way through a file."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.cells import forward_cell
from tests.together import together
from tracer import Trace, TraceFileError, trace
from tracer.language import FILE, PLAYER, read, scripted, texts, translations, translator
from tracer.sentences import (
    Count,
    Said,
    ShapeOf,
    SizeAt,
    as_written,
    at_operands,
    gaps,
    listed,
    operands_of,
    plural,
    render,
    said,
)
from tracer.views.player import payload
from tracer.views.text import failure_text

CHINESE = re.compile("[\u4e00-\u9fff]")

SENTENCE = said(
    "{x} {shape} has {count}, not {size}: {parts}; {why}",
    x="flat",
    shape=ShapeOf((4, 784), 0),
    count=Count(1, "row"),
    size=SizeAt(0, 1, 784),
    parts=(2, Count(3, "head"), "`mask`"),
    why=said("see {it}", it="there"),
)


def test_gaps_are_filled_with_numbers() -> None:
    assert render(SENTENCE) == (
        "flat (4, 784) has 1 row, not 784: 2, 3 heads and `mask`; see there"
    )


def test_sizes_and_shapes_are_written_as_formulas_where_these_are_known() -> None:
    told = render(SENTENCE, formulas={(0, 1): "H·W"})
    assert told.startswith("flat (4, H·W) has 1 row, not H·W:")


def test_a_language_translates_texts_and_counted_things() -> None:
    chinese = {"{n} rows": "{n} 行", "{n} left": "剩下 {n}"}
    assert render(said("{n} left", n=Count(2, "row")), lambda t: chinese.get(t, t)) == "剩下 2 行"


def test_a_translation_with_another_gap_leaves_the_text() -> None:
    assert render(said("{n} left", n=2), lambda _: "{m}") == "{n} left"


def test_words_of_others_keep_their_braces() -> None:
    assert render(as_written("got {'a': 1} and {x}")) == "got {'a': 1} and {x}"


def test_operands_are_numbered_anew() -> None:
    moved = at_operands(SENTENCE, {0: 3})
    assert render(moved, formulas={(3, 1): "N", (0, 1): "wrong"}).count("N") == 2
    gone = at_operands(SENTENCE, {})
    assert render(gone, formulas={(0, 1): "wrong"}) == render(SENTENCE)


def test_the_operands_that_a_sentence_speaks_of() -> None:
    inner = said("{a} of {b}", a=SizeAt(7, 0, 3), b=ShapeOf((3, 4)))
    sentence = said("{x}: {why}, {parts}", x=ShapeOf((2,), 5), why=inner, parts=(SizeAt(5, 0, 2),))
    assert operands_of(sentence) == [5, 7, 5]


@pytest.mark.parametrize(("given", "told"), [([], ""), ([1], "1"), ([1, 2, 3], "1, 2 and 3")])
def test_lists(given: list[int], told: str) -> None:
    assert listed(given) == told


# --- in a document -------------------------------------------------------------------------------


@functools.cache
def failed() -> Trace:
    found = trace(forward_cell("a b", "return a @ b"), torch.ones(2, 3), torch.ones(4, 5))
    assert found.failure is not None
    assert found.failure.violation is not None
    return found


def with_sentence(found: Trace, sentence: Said) -> Trace:
    assert found.failure is not None
    assert found.failure.violation is not None
    violation = dataclasses.replace(found.failure.violation, says=sentence)
    return dataclasses.replace(
        found, failure=dataclasses.replace(found.failure, violation=violation)
    )


def test_every_filling_goes_through_a_file() -> None:
    found = with_sentence(failed(), SENTENCE)
    assert Trace.from_json(found.to_json()) == found


def test_a_failure_names_the_stable_code_of_its_rule() -> None:
    failure = failed().failure
    assert failure is not None
    assert failure.violation is not None
    assert failure.violation.code == "SW-matmul"


@pytest.mark.parametrize(
    "damage",
    [
        3,
        ["text"],
        ["text", {"x": {"size": [0, 1]}}],
        ["text", {"x": {"shape": ["a"]}}],
        ["text", {"x": {"count": [1, 2]}}],
        ["text", {"x": {"other": 1}}],
        ["text {", {}],
        ["text {x}", {}],
    ],
)
def test_a_damaged_sentence_is_refused(damage: object) -> None:
    body = json.loads(failed().to_json())
    body["trace"]["failure"]["violation"]["says"] = damage
    with pytest.raises(TraceFileError, match="says"):
        Trace.from_json(json.dumps(body))


def test_files_of_the_schema_before_are_still_told() -> None:
    body = json.loads(failed().to_json())
    body["schema"] = 3
    failure = body["trace"]["failure"]
    del failure["violation"]
    failure |= {"rule": "3 is not 4.", "reason": "So {it} is."}
    del failure["root"]["because"], failure["root"]["tensors"]
    failure["root"]["why"] = "{It} is 3."
    read_back = Trace.from_json(json.dumps(body)).failure
    assert read_back is not None
    assert (read_back.rule, read_back.reason) == ("3 is not 4.", "So {it} is.")
    assert read_back.violation is not None
    assert read_back.violation.code == ""
    assert read_back.root is not None
    assert read_back.root.why == "{It} is 3."


def test_a_rule_is_told_in_formulas() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1) @ torch.ones(5, 2)

    failure = trace(Net(), torch.ones(2, 3, 4), dims={"x": "B H W"}, mend=False).failure
    assert failure is not None
    assert "12 ≠ 5" in failure.told()[0]
    assert "H·W ≠ 5" in failure.told(formulas=True)[0]


def test_a_root_is_told_in_the_readers_language_wherever_it_is_shown() -> None:
    found = failed()
    assert found.failure is not None
    root = found.failure.root
    assert root is not None
    chinese = {root.because.text: "输入 {x} {shape}"}

    def translate(text: str) -> str:
        return chinese.get(text, text)

    assert root.told(translate) == "输入 b (4, 5)"
    assert "输入 b (4, 5)" in failure_text(found.failure, translate=translate)
    told = payload(found, language="zh")["trace"]["failure"]["root"]["why"]
    assert told == root.told(translator("zh")) != root.told()


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ValueError, match="'fr' is none of the languages en, zh"):
        translator("fr")


# --- in Chinese ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("file", "wanted"), [(FILE, texts), (PLAYER, scripted)])
def test_every_text_is_translated_with_its_gaps_and_code(
    file: Path, wanted: Callable[[], dict[str, str]]
) -> None:
    translated = translations(read(file))
    assert sorted(translated) == sorted(wanted())
    for text, translation in translated.items():
        assert gaps(text) == gaps(translation), translation
        assert text.count("`") == translation.count("`"), translation
        english, chinese = (re.sub(r"`[^`]*`|\{\w+\}", "", each) for each in (text, translation))
        # Signs alone are Chinese too: "3 / 12" for "3 of 12".
        if re.search("[a-z]{2}", english) and re.search(r"\w", chinese):
            assert CHINESE.search(chinese), translation


@pytest.mark.parametrize(
    "call",
    [
        "said(text)",
        'said(f"{n} rows")',
        'said("a " + "b")',
        'said("a" if n else text)',
        "said()",
        "Count(3, noun)",
    ],
)
def test_a_text_that_cannot_be_read_off_its_place_is_refused(tmp_path: Path, call: str) -> None:
    (tmp_path / "a.py").write_text(f"x = 1\ny = {call}\n")
    with pytest.raises(ValueError, match=r"a\.py:2: the text cannot be read off its place"):
        texts(tmp_path)


@pytest.mark.parametrize("call", ["say(text)", "say(`of ${n}`)", 'counted(n, "one", more)'])
def test_what_a_script_says_can_be_read_off_its_place(tmp_path: Path, call: str) -> None:
    (tmp_path / "a.js").write_text(f"let x;\nx = {call};\n")
    with pytest.raises(ValueError, match=r"a\.js:2: the text cannot be read off its place"):
        scripted(tmp_path)
    (tmp_path / "a.js").write_text('say(\n "a"); counted(f(x).y, "{n} b", "{n} c"); this.say(d)')
    assert scripted(tmp_path) == dict.fromkeys(("a", "{n} b", "{n} c"), "a.js")


def test_the_texts_of_choices_and_counts_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('said("{n} one" if n else "b", n=Count(n, "row"))\n')
    assert set(texts(tmp_path)) == {", ", " and ", "{n} one", "b", "{n} row", "{n} rows"}


FAILURES = {
    "product": ("a @ b", [(2, 3), (4, 5)], "3 ≠ 4"),
    "elementwise": ("a + b", [(2, 3), (4,)], "3 ≠ 4"),
    "reshape": ("a.view(5, 2)", [(2, 3)], "6 ≠ 10"),
    "permute": ("a.permute(0, 1)", [(2, 3, 4)], "(2, 3, 4)"),
    "join": ("torch.cat([a, b])", [(2, 3), (2, 4)], "3 ≠ 4"),
    "split": ("a.split([1, 2])", [(4, 3)], "1 + 2 = 3 ≠ 4"),
    "repeat": ("a.expand(4, 3)", [(2, 3)], "2"),
    "index": ("a[5]", [(2, 3)], "(2, 3)"),
    "gather": ("torch.gather(a, 1, b.long())", [(2, 3), (4, 1)], "4 > 2"),
    "axis": ("a.sum(dim=4)", [(2, 3)], "4"),
    "reduce": ("a.topk(5)", [(2, 3)], "5 > 3"),
    "einsum": ("torch.einsum('ij,jk->ik', a, b)", [(2, 3), (4, 5)], "3 ≠ 4"),
    "linear": ("F.linear(a, b)", [(2, 3), (5, 4)], "3 ≠ 4"),
    "convolution": ("F.conv2d(a, b)", [(1, 3, 8, 8), (2, 4, 3, 3)], "3 ≠ 4"),
    "window": ("F.max_pool2d(a, 5)", [(1, 3, 4, 4)], "5 > 4"),
    "resize": ("F.pixel_shuffle(a, 2)", [(1, 3, 4, 4)], "3 % 4 = 3"),
    "patches": ("a.unfold(1, 5, 1)", [(2, 3)], "5 > 3"),
    "norm": ("F.group_norm(a, 2)", [(2, 3, 4)], "3 % 2 = 1"),
    "loss": ("F.cross_entropy(a, b)", [(2, 3), (2, 4)], "(2, 4)"),
    "embedding": ("F.embedding(a, b)", [(2, 3), (4, 5)], "int64"),
    "recurrent": ("self.rnn(a)", [(2, 6, 3)], "3 ≠ 4"),
    "attention": ("F.scaled_dot_product_attention(a, b, b)", [(2, 6, 3), (2, 6, 4)], "3 ≠ 4"),
    "dtype": ("a @ b.double()", [(2, 3), (3, 5)], "float64"),
    "no tensor": ("torch.cat([a, None])", [(2, 3)], "None"),
}


@pytest.mark.parametrize("family", FAILURES)
def test_a_failure_of_each_family_is_told_in_chinese(family: str) -> None:
    body, shapes, numbers = FAILURES[family]
    names = "a b"[: 2 * len(shapes) - 1]
    net = forward_cell(names, f"return {body}")
    net.rnn = nn.LSTM(4, 5)
    found = trace(net, *map(torch.ones, shapes), mend=False).failure
    assert found is not None
    english, chinese = found.told(), found.told(translator("zh"))
    assert numbers in " ".join(chinese)
    for told, translated in zip(english, chinese, strict=True):
        assert CHINESE.search(translated), translated
        assert sorted(re.findall(r"\d+", told)) == sorted(re.findall(r"\d+", translated))
        prose = re.sub(r"`[^`]*`|\([^)]*\)|[\w.]*[._]\w+|[a-z]\w*=\w+", "", translated)
        assert not re.search(r"\b(the|is|has|and|needs|of|in)\b", prose), translated


def test_no_space_stands_beside_a_chinese_stop() -> None:
    chinese = {"{a} is {b}, {c}": "{a} ，{b}。 {c}"}
    told = render(said("{a} is {b}, {c}", a="（1）", b="x", c="y"), lambda t: chinese.get(t, t))
    assert told == "（1），x。y"


def test_what_a_layer_in_a_container_gives_is_told_in_chinese() -> None:
    net = forward_cell("a", "return self.body(a)")
    net.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Conv2d(8, 4, 3))
    failure = trace(net, torch.ones(2, 3, 9, 9), mend=False).failure
    assert failure is not None
    assert "what body.0 gives (2, 6, 7, 7)" in failure.told()[0]
    assert "body.0 的输出 (2, 6, 7, 7)" in failure.told(translator("zh"))[0]


@together(
    ("text", "values", "wanted"),
    [
        ("{x} has {n} numbers", {"n": 1}, "x has 1 number"),
        ("{x} has {n} numbers", {"n": SizeAt(0, 0, 1)}, "x has 1 number"),
        ("{x} has {n} numbers", {"n": 2}, "x has 2 numbers"),
        ("scores for {n} classes, {n} entries, {n} matrices", {"n": 1}, None),
        ("each of the {n} channels", {"n": 1}, "the one channel"),
        ("Each of the {n} keys, of the {n} rows", {"n": 1}, "The one key, of the one row"),
        ("All {n} of them, {n} this", {"n": 1}, "All 1 of them, 1 this"),
        ("{n} 个通道", {"n": 1}, "1 个通道"),
    ],
)
def test_a_noun_agrees_with_the_number_before_it(
    text: str, values: dict[str, object], wanted: str | None
) -> None:
    wanted = wanted or "scores for 1 class, 1 entry, 1 matrix"
    assert render(said(text, x="x", **values)) == wanted


def test_a_size_that_is_a_formula_is_many() -> None:
    told = said("{n} numbers", n=SizeAt(0, 0, 1))
    assert render(told, formulas={(0, 0): "C"}) == "C numbers"


def test_counted_things_have_their_plural() -> None:
    words = ("row", "entry", "class", "matrix", "query", "key", "box")
    plurals = ["rows", "entries", "classes", "matrices", "queries", "keys", "boxes"]
    assert [plural(word) for word in words] == plurals
    assert render(said("{n}", n=Count(2, "query"))) == "2 queries"
