"""The player's modules one by one, in the browser but without a page: what they compute."""

from __future__ import annotations

import base64
import io
import itertools
import json
import keyword
import struct
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, Page, Route

from modules import fbkd, hacnn
from tests.browser.test_failure_panel import suspicious, swallowed
from tests.browser.test_player import net, pairs, student
from tests.cells import forward_cell
from tracer import Trace, trace
from tracer.views import diff, player

ADDRESS = "http://127.0.0.1/modules/"


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """An empty page that can import each module by its name."""
    texts = player.modules()

    def answer(route: Route) -> None:
        name = route.request.url.removeprefix(ADDRESS)
        if name in texts:
            route.fulfill(body=texts[name], content_type="text/javascript")
        else:
            route.fulfill(body="<!doctype html>", content_type="text/html")

    page = browser.new_page()
    page.route("**/*", answer)
    page.goto(ADDRESS)
    yield page
    page.close()


AS_TEXT = """(value => JSON.stringify(value ?? null, (key, each) =>
  typeof each === "number" && !Number.isFinite(each) ? `@${each}` : each
).replace(/"@(NaN|-?Infinity)"/g, "$1"))"""
"""Much is handed over by Playwright far slower than as one text."""


class Modules:
    """Evaluates JavaScript in which the names that a module exports are known."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def __call__(self, names: str, code: str, *args: Any) -> Any:
        """`run("text.js: clip", "text => clip(text, 5)", "a long one")`"""
        imports = ""
        for part in names.split("; "):
            module, wanted = part.split(": ")
            imports += f"const {{ {wanted} }} = await import('{ADDRESS}{module}');\n"
        script = f"async args => {{ {imports} return {AS_TEXT}(await ({code})(...args)); }}"
        return json.loads(self.page.evaluate(script, list(args)))


@pytest.fixture(scope="module")
def run(page: Page) -> Modules:
    return Modules(page)


# --- notes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("note", "told"),
    [
        ("{x.shape[1]} of {n}, {self.heads} at {y[-1]}", "… of …, … at …"),
        (r"$x_{i}$ has {n}, $$\sum_{j}$$ none", r"$x_{i}$ has …, $$\sum_{j}$$ none"),
        ("{a: 1} and {} and {x.shape[1:]}", "{a: 1} and {} and {x.shape[1:]}"),
    ],
)
def test_a_note_that_nothing_filled_leaves_its_gaps_open(
    run: Modules, note: str, told: str
) -> None:
    assert run("text.js: leftOpen", "note => leftOpen(note)", note) == told


# --- numbers and names ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("figure(null)", "–"),
        ("figure(0)", "0"),
        ("figure(1234.5678)", "1235"),
        ("figure(-0.25)", "-0.25"),
        ("figure(1234567)", "1.23e6"),
        ("figure(0.00012345)", "1.23e-4"),
        ("figure(NaN)", "NaN"),
        ("exactly(NaN)", "NaN"),
        ("exactly(-Infinity)", "−Inf"),
        ("exactly(Math.fround(0.1))", "0.1"),
        ("duration(-1)", "–"),
        ("duration(0.0000025)", "2.5 µs"),
        ("duration(0.25)", "250 ms"),
        ("duration(2)", "2 s"),
        ("amount(1, 'B')", "1 byte"),
        ("amount(999, 'B')", "999 bytes"),
        ("amount(999999, 'B')", "1 MB"),
        ("amount(9600, 'FLOP')", "9.6 kFLOP"),
        ("amount(-5, 'B')", "–"),
        ("clip('abcdef', 4)", "abc…"),
        ("clip(null)", ""),
        (r"clip('a\u202eb')", "a\ufffdb"),
        ("fileName('/home/me/model.py')", "model.py"),
        (r"fileName('C:\\me\\model.py')", "model.py"),
        ("languageOf('half of it')", ""),
        ("languageOf('一半')", "zh"),
        ("whereIs({ file: 'a.py', line: 3 }, { file: 'a.py' })", "line 3"),
        ("whereIs({ file: 'x/b.py', line: 3 }, { file: 'a.py' })", "b.py:3"),
        ("whereIs({ file: 'a.py', line: 0 }, { file: 'a.py' })", ""),
        ("shapeText({ shape: [] })", "()"),
        ("shapeText({ shape: [5] })", "(5,)"),
        ("shapeText({ shape: [2, 3] }, 'both')", "(2, 3)"),
    ],
)
def test_numbers_and_names_as_they_are_read(run: Modules, call: str, text: str) -> None:
    names = "figure, exactly, duration, amount, clip, fileName, languageOf, whereIs"
    assert run(f"text.js: {names}, shapeText", f"() => {call}") == text


def test_texts_are_said_in_the_language_of_the_dictionary(run: Modules) -> None:
    code = """(words) => {
      const texts = () => [
        say("Go in."), say("{at} of {all}", { at: 1, all: 2 }), say("{toString} of {gap}"),
        counted(1, "{n} row", "{n} rows"), counted(1200, "{n} row", "{n} rows"),
      ];
      const english = texts();
      speak(words);
      const chinese = texts();
      speak(undefined);
      return [english, chinese, texts()];
    }"""
    words = {"Go in.": "进入。", "{at} of {all}": "共 {all} 中的 {at}", "{n} rows": "{n} 行"}
    english, chinese, again = run("words.js: counted, say, speak", code, words)
    assert english == ["Go in.", "1 of 2", "{toString} of {gap}", "1 row", "1,200 rows"]
    assert chinese == ["进入。", "共 2 中的 1", "{toString} of {gap}", "1 row", "1,200 行"]
    assert again == english


def test_a_shape_in_each_face(run: Modules) -> None:
    note = {"shape": [2, 20, 3], "dims": [{"text": "B"}, {"text": "H·W"}, {"text": "3"}]}
    code = "(note, face) => shapeText(note, face)"
    found = {face: run("text.js: shapeText", code, note, face) for face in FACES}
    assert found == {
        "numbers": "(2, 20, 3)",
        "formulas": "(B, H·W, 3)",
        "both": "(B = 2, H·W = 20, 3)",
    }


FACES = ("numbers", "formulas", "both")


def test_a_value_is_named_by_the_shortest_decimal_that_is_it(run: Modules) -> None:
    torch.manual_seed(1)
    values = (torch.randn(500) * 10 ** (torch.rand(500) * 40 - 20)).tolist()
    texts = run("text.js: exactly", "values => values.map(exactly)", values)
    for value, text in zip(values, texts, strict=True):
        assert torch.tensor(float(text)).item() == value
        digits = len(text.replace("-", "").replace(".", "").split("e")[0].strip("0"))
        assert digits == 1 or torch.tensor(float(f"{value:.{digits - 2}e}")).item() != value


@pytest.mark.parametrize(
    ("text", "other", "parts"),
    [
        ("x.view(16, 8)", "x.view(32, 8)", ["x.view(", "16", ", 8)"]),
        ("x @ w", "x @ w.T", ["x @ w", "", ""]),
        ("x @ w.T", "x @ w", ["x @ w", ".T", ""]),
        ("same", "same", ["same", "", ""]),
        ("", "new", ["", "", ""]),
        ("a + a", "a", ["a", " + a", ""]),
    ],
)
def test_what_differs_in_a_changed_line(
    run: Modules, text: str, other: str, parts: list[str]
) -> None:
    assert run("text.js: difference", "(one, two) => difference(one, two)", text, other) == parts


# --- Python ---------------------------------------------------------------------------------------

KINDS = {tokenize.STRING: "string", tokenize.NUMBER: "number", tokenize.COMMENT: "comment"}


def pythons_own(text: str) -> set[tuple[int, int, int, str]]:
    """The strings, numbers, comments and keywords of a text by Python's own tokenizer, one for
    each line that they reach over."""
    found = set()
    lines = text.split("\n")
    opened: list[tuple[int, int]] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        name = tokenize.tok_name[token.type]
        kind = KINDS.get(token.type)
        start, end = token.start, token.end
        if name == "FSTRING_START":
            opened.append(start)
            continue
        if name == "FSTRING_END":
            kind, start = "string", opened.pop()
        if opened:
            continue
        # `match` and `case` are keywords to the player wherever they stand.
        is_keyword = keyword.iskeyword(token.string) or token.string in ("match", "case")
        if token.type == tokenize.NAME and is_keyword:
            kind = "keyword"
        if kind is None:
            continue
        for row in range(start[0], end[0] + 1):
            first = start[1] if row == start[0] else 0
            last = end[1] if row == end[0] else len(lines[row - 1])
            if last > first:
                found.add((row, first, last, kind))
    return found


@pytest.mark.parametrize("module", [fbkd, hacnn, diff], ids=lambda module: module.__name__)
def test_tokens_are_those_of_python(run: Modules, module: Any) -> None:
    text = Path(module.__file__).read_text(encoding="utf-8")
    code = """lines => tokenize(lines).flatMap((tokens, row) =>
        tokens.map(({ start, end, kind }) => [row + 1, start, end, kind]))"""
    tokens = run("python.js: tokenize", code, text.split("\n"))
    kinds = {"string", "number", "comment", "keyword"}
    assert {
        tuple(token) for token in tokens if token[3] in kinds and token[2] > token[1]
    } == pythons_own(text)


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("y = self.conv(x)", ["y=", "self", "self.conv", "x"]),
        ("a, b.c = f(k=x)", ["a=", "b=", "b.c=", "f", "x"]),
        ("x = y = z", ["x=", "y=", "z"]),
        ("x += 1", ["x="]),
        ("if (n := f(x)) == 3:", ["n=", "f", "x"]),
        ("x == y", ["x", "y"]),
        ("a[i] = 3", ["a=", "i"]),
        ("f(x).shape", ["f", "x"]),
        ("def forward(self, x):", ["self", "x"]),
        ("a = 1; b = 2", ["a=", "b="]),
        ("'x' # y", []),
        ("größe = 变量", ["größe=", "变量"]),
    ],
)
def test_which_words_name_variables_and_which_are_assigned(
    run: Modules, line: str, names: list[str]
) -> None:
    code = """line => tokenize([line])[0].filter(token => token.chain)
        .map(({ chain, target }) => chain + (target ? '=' : ''))"""
    assert run("python.js: tokenize", code, line) == names


def test_brackets_and_strings_stay_open_over_lines(run: Modules) -> None:
    lines = ["x = f(", "    y=z,", ")", 'w = """a', "b = c", '"""']
    code = """lines => tokenize(lines).map(tokens => tokens.filter(token => token.chain)
        .map(({ chain, target }) => chain + (target ? '=' : '')))"""
    assert run("python.js: tokenize", code, lines) == [["x=", "f"], ["z"], [], ["w="], [], []]


@pytest.mark.parametrize("span", [(0, 12), (4, 8), (5, 6), (12, 12)])
def test_code_is_all_there_whatever_part_is_asked_for(run: Modules, span: tuple[int, int]) -> None:
    line = "y = 1 + self"
    code = """(line, start, end) => {
        const box = document.createElement('div');
        box.append(...codeNodes(line, tokenize([line])[0], start, end));
        return box.textContent;
    }"""
    assert run("python.js: codeNodes, tokenize", code, line, *span) == line[slice(*span)]


@pytest.mark.parametrize(
    "broken",
    [
        "attn_|output_|weights",
        "self.|in_|proj_|weight[:, 0]",
        "y = F.|multi_|head(|query, 0.5, 1e-5)",
        "self.|__init__(*args)",
    ],
)
def test_code_is_broken_between_the_words_of_its_names(run: Modules, broken: str) -> None:
    code = """(line, own) => {
        const box = document.createElement("p");
        const coloured = () => codeNodes(line, tokenize([line])[0], 0, line.length);
        box.append(...(own ? breakable(line) : coloured()));
        return box.innerHTML.replaceAll("<wbr>", "|").replace(/<.*?>/g, "");
    }"""
    names = "dom.js: breakable; python.js: codeNodes, tokenize"
    for own in (True, False):
        assert run(names, code, broken.replace("|", ""), own) == broken


# --- notes ----------------------------------------------------------------------------------------

MATH = {"$x$": ["math", {"display": "inline"}, [["mi", {"onclick": "pwned()"}, ["x"]]]]}


@pytest.mark.parametrize(
    ("note", "html"),
    [
        ("one\ntwo", "<p>one\ntwo</p>"),
        ("one\n\ntwo", "<p>one</p><p>two</p>"),
        ("**b** and *i*", "<p><strong>b</strong> and <em>i</em></p>"),
        ("a * b * c", "<p>a * b * c</p>"),
        ("`a **b**`", "<p><code>a **b**</code></p>"),
        ("- one\n- two\n  more", "<ul><li>one</li><li>two\n  more</li></ul>"),
        ("1. one\n2. two\n   more", "<ol><li>one</li><li>two\n   more</li></ol>"),
        ("2 of\n3. May", "<p>2 of\n3. May</p>"),
        ("of $x$", '<p>of <math display="inline"><mi>x</mi></math></p>'),
        (r"of $\y$", r"<p>of <code>$\y$</code></p>"),
        ("<img src=x>", "<p>&lt;img src=x&gt;</p>"),
        ("[a](javascript:b)", "<p>[a](javascript:b)</p>"),
        (
            "[a](https://b.example)",
            '<p><a href="https://b.example" target="_blank" rel="noopener noreferrer">a</a></p>',
        ),
    ],
)
def test_a_note(run: Modules, note: str, html: str) -> None:
    code = """(note, math) => {
        const box = document.createElement('div');
        box.append(...markdown(note, { math }));
        return box.innerHTML;
    }"""
    assert run("markdown.js: markdown", code, note, MATH) == html


# --- a trace --------------------------------------------------------------------------------------


def payload(recorded: Trace, letters: str = "B C H W") -> dict[str, Any]:
    return player.payload(recorded, {"x": letters})


@cache
def nets() -> dict[str, Any]:
    return payload(net())


READ = "trace.js: readTrace"


def test_every_step_and_call_is_an_item_in_the_order_of_time(run: Modules) -> None:
    code = """payload => {
        const { nodes, tops, calls, failing } = readTrace(payload);
        return {
            paths: nodes.map(({ path }) => path), at: nodes.map(({ at }) => at),
            tops: tops.map(({ path }) => path), failing,
            calls: calls.map(({ path, at, end }) => [path, nodes[at].path, nodes[end].path]),
        };
    }"""
    found = run(READ, code, nets())
    assert found["tops"] == [str(step.index) for step in net().steps]
    assert found["at"] == list(range(len(list(net().walk()))))
    assert found["paths"][0] == "0"
    assert sum("." in path for path in found["paths"]) > 3
    assert found["failing"] is None
    for call, (path, first, last) in zip(net().calls, found["calls"], strict=True):
        assert path == f"c{call.index}"
        assert first == str(call.start)
        assert last.split(".")[0] == str(call.stop - 1)


def test_a_name_is_what_it_stood_for_when_the_line_ran(run: Modules) -> None:
    recorded = trace(forward_cell("x", "x = x + 1\ny = x * 2\nx.add_(y)\nreturn x"), torch.ones(2))
    ids = {step.expression: step.outputs[0].id for step in recorded.steps}
    code = """payload => {
        const model = readTrace(payload);
        const frame = model.frames.get('0/c0');
        const { first, lines } = frame.source;
        return tokenize(lines).map((tokens, row) => tokens.filter(({ chain }) => chain)
            .map(token => [token.chain, namedBy(frame, first + row, token, 1)]));
    }"""
    names = "trace.js: readTrace; frames.js: namedBy; python.js: tokenize"
    define, first, second, third, _ = run(names, code, payload(recorded, "N"))
    x = recorded.inputs[0].id
    a, b, c = (ids[text] for text in ("x + 1", "x * 2", "x.add_(y)"))
    assert define[-1] == ["x", [x]]
    assert first == [["x", [a]], ["x", [x]]]
    assert second == [["y", [b]], ["x", [a]]]
    # What is overwritten is both, the one before and the one after.
    assert third == [["x", [a, c]], ["x.add_", []], ["y", [b]]]


def test_the_last_entry_that_is_not_later(run: Modules) -> None:
    code = "times => times.map(time => nearest([{ at: 1 }, { at: 3 }, { at: 3 }, { at: 7 }], time))"
    assert run("frames.js: nearest", code, [0, 1, 2, 3, 6, 7, 99]) == [0, 0, 0, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("span", "isin"),
    [
        ([5, 0, 5, 4], True),
        ([5, 4, 5, 4], False),
        ([6, 4, 7, 0], True),
        ([4, 0, 5, 4], False),
        ([6, 0, 8, 4], False),
        ([6, 3, 5, 9], False),
        ([5, -1, 5, 4], False),
        ([5, 0, 5, 10**12], False),
        ([5, 0.5, 5, 4], False),
    ],
)
def test_a_span_outside_its_source_is_none(run: Modules, span: list[int], isin: bool) -> None:
    names = ("line", "column", "end_line", "end_column")
    code = "span => checkedSpan(span, { first: 5, lines: ['a', 'b', 'c'] })"
    found = run("frames.js: checkedSpan", code, dict(zip(names, span, strict=True)))
    assert (found is not None) is isin


def test_formulas_that_come_later_are_of_the_same_run(run: Modules) -> None:
    code = "(one, other) => [isSameRun(one, other), saysTheSame(one, other)]"
    numbers, formulas = (payload(each) for each in pairs())
    names = "trace.js: isSameRun, saysTheSame"
    assert run(names, code, numbers, numbers) == [True, True]
    assert run(names, code, numbers, formulas) == [True, False]
    assert run(names, code, numbers, nets())[0] is False


# --- dimensions -----------------------------------------------------------------------------------

COLOURS = """payload => {
    const model = readTrace(payload);
    const found = [];
    for (const node of model.nodes) for (const note of [...node.inputs, ...node.outputs]) {
        const labels = model.labels.get(note.id) ?? [];
        note.shape.forEach((size, axis) => {
            const cell = document.createElement('i');
            paintDimension(cell, model, note, axis, labels[axis]);
            const of = name => cell.style.getPropertyValue(name);
            const name = note.dims?.[axis]?.text ?? labels[axis];
            if (of('--dim')) found.push([name, of('--dim'), of('--dim-end')]);
        });
    }
    return found;
}"""
PAINT = "trace.js: readTrace; dimensions.js: paintDimension"


def test_one_colour_for_each_letter_in_the_whole_trace(run: Modules) -> None:
    colours: dict[str, set[tuple[str, str]]] = {}
    for letter, start, end in run(PAINT, COLOURS, payload(student())):
        colours.setdefault(letter, set()).add((start, end))
    assert {"B", "C", "H", "W", "H·W"} <= colours.keys()
    assert all(len(found) == 1 for found in colours.values())
    single = [found for letter, found in colours.items() if len(letter) == 1]
    assert len(set.union(*single)) == min(len(single), 7)
    ((h, _),), ((w, _),), (both,) = colours["H"], colours["W"], colours["H·W"]
    assert both == (h, w)


def test_equal_formulas_have_equal_colours(run: Modules) -> None:
    colours: dict[str, set[tuple[str, str]]] = {}
    for formula, start, end in run(PAINT, COLOURS, payload(pairs()[1])):
        colours.setdefault(formula, set()).add((start, end))
    assert set(colours) == {"B", "C", "H", "W", "H·W"}
    assert all(len(found) == 1 for found in colours.values())
    assert len(set.union(*colours.values())) == 5


@pytest.mark.parametrize(
    ("label", "formula", "letters"),
    [
        ("H·W", None, ["H", "W"]),
        ("C₁", None, ["C₁"]),
        ("64", None, []),
        ("", "H²·W", ["H", "W"]),
        ("n", "⌊H/2⌋·2", ["H"]),
        ("n", "6·7", ["n"]),
        ("n", "K·7", ["n"]),
    ],
)
def test_what_a_dimension_is_made_of(
    run: Modules, label: str, formula: str | None, letters: list[str]
) -> None:
    note = {"dims": [{"text": formula}]} if formula else {}
    code = """(note, label) => dimensionLetters(
        { symbols: new Map([['H', 4], ['W', 5]]) }, note, 0, label)"""
    assert run("dimensions.js: dimensionLetters", code, note, label) == letters


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("H·W", "<var>H</var>·<wbr><var>W</var>"),
        ("2·C₁", "2·<wbr><var>C₁</var>"),
        ("max(8, ⌊C/r⌋)", "max(8, <wbr>⌊<var>C</var>/<var>r</var>⌋)"),
        ("batch", "batch"),
        ("<b>", "&lt;<var>b</var>&gt;"),
    ],
)
def test_a_formula_as_in_print(run: Modules, text: str, html: str) -> None:
    code = """text => {
        const box = document.createElement('div');
        box.append(formulaNodes(text, { formulas: new Map() }));
        return box.innerHTML;
    }"""
    assert run("dimensions.js: formulaNodes", code, text) == html


@pytest.mark.parametrize(
    ("aliases", "title"),
    [([], "H·W = 20"), (["N", "n"], "H·W = 20, called N, n in the source")],
)
def test_what_a_formula_says_when_pointed_at(run: Modules, aliases: list[str], title: str) -> None:
    code = "aliases => formulaTitle({ text: 'H·W', aliases }, 20)"
    assert run("dimensions.js: formulaTitle", code, aliases) == title


def test_a_step_tells_its_cost(run: Modules) -> None:
    code = """(payload, steps) => {
        const rows = costs(readTrace(payload), steps);
        return rows.map(([term, value]) => [term, el('p', {}, value).textContent]);
    }"""
    names = "trace.js: readTrace; sizes.js: costs; dom.js: el"
    symbolic = payload(pairs()[1])
    product = [
        ["elements", "800 = B·H²·W²"],
        ["memory", "3.2 kB = 4·B·H²·W² O(B·H²·W²)"],
        ["FLOPs", "9.6 kFLOP = 2·B·C·H²·W² O(B·C·H²·W²)"],
    ]
    assert run(names, code, symbolic, [2]) == product
    assert run(names, code, symbolic, [0]) == [
        ["memory", "none that is new"],
        ["FLOPs", "none that torch counts"],
    ]
    # Of several steps together there are sums, and no formulas.
    assert run(names, code, symbolic, [0, 1, 2]) == [
        ["elements", "800"],
        ["memory", "3.2 kB"],
        ["FLOPs", "9.6 kFLOP"],
    ]
    assert run(names, code, nets(), [0]) == []


def test_names_that_the_source_gives_to_formulas(run: Modules) -> None:
    code = """payload => aliases(readTrace(payload))
        .map(([name, formula, size]) => [name, formula.text, size])"""
    names = "trace.js: readTrace; sizes.js: aliases"
    assert run(names, code, payload(pairs()[1])) == [["N", "H·W", 20]]


# --- walking --------------------------------------------------------------------------------------

WALK = """(payload, acts) => {
    const walk = new Walk();
    walk.begin(readTrace(payload), false);
    walk.rebuild();
    walk.go(0);
    return acts.map(([act, ...args]) => [walk[act](...args), walk.item.path, walk.position]);
}"""
WALKING = "trace.js: readTrace; walk.js: Walk"


def walked(run: Modules, recorded: Trace, *acts: Any) -> list[Any]:
    found = run(
        WALKING, WALK, payload(recorded), [act if isinstance(act, list) else [act] for act in acts]
    )
    return [path if went else None for went, path, _ in found]


def test_it_goes_no_further_than_the_ends(run: Modules) -> None:
    last = str(len(net().steps) - 1)
    acts = [["go", -3], ["go", 10**9], ["goLine", 1], ["go", 0], ["goLine", -1]]
    assert walked(run, net(), *acts) == ["0", last, None, "0", None]


def test_out_of_a_call_and_in_again(run: Modules) -> None:
    call = next(each for each in net().calls if each.parent == 0 and each.stop - each.start > 1)
    first = str(call.start)
    acts = [["goto", str(call.start + 1)], "leave", "leave", "enter", "leave", "enter"]
    path = f"c{call.index}"
    assert walked(run, net(), *acts) == [str(call.start + 1), path, None, first, path, first]


def test_into_an_operation_of_torch_and_out_again(run: Modules) -> None:
    (step,) = [step for step in net().steps if step.children]
    inside = f"{step.index}.0"
    acts = [["goto", str(step.index)], "enter", "enter", "leave"]
    found = walked(run, net(), *acts)
    assert found[1] == inside
    assert found[3] == str(step.index)
    assert walked(run, net(), ["goto", f"{step.index}.2"], ["goto", "0"]) == [
        f"{step.index}.2",
        "0",
    ]


def test_by_line_the_place_is_kept(run: Modules) -> None:
    code = WALK.replace("walk.item.path", "walk.operation.path")
    found = run(
        WALKING, code, nets(), [["go", 2], ["stepBy", True], ["stepBy", True], ["stepBy", False]]
    )
    assert [(went, path) for went, path, _ in found] == [
        (True, "2"),
        (True, "3"),
        (False, "3"),
        (True, "3"),
    ]
    assert found[1][2].startswith("line 3 of ")


@pytest.mark.parametrize(
    "path", ["999", "-3", "abc", "", "1.2.3.4", "\N{SNAKE}", "c0", "c999", "failure", "0.0", "1e1"]
)
def test_what_names_no_step_is_not_found(run: Modules, path: str) -> None:
    code = "(payload, path) => find(readTrace(payload), path)"
    assert run("trace.js: readTrace; walk.js: find", code, nets(), path) is None


def test_warnings_are_gone_through_in_order_and_round(run: Modules) -> None:
    code = """steps => {
        const warnings = new Map([[7, []], [2, []], [5, []]]);
        return steps.map(step => nextWarning({ warnings }, step));
    }"""
    assert run("lines.js: nextWarning", code, [0, 2, 4, 5, 7, 9]) == [2, 5, 5, 7, 2, 2]


# --- heatmaps -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "signed", "values", "levels"),
    [
        (0, 2, False, [0, 1, 2, -5, 9], [0, 128, 255, 0, 255]),
        (-1, 3, True, [-3, 0, 3, 1.5], [0, 128, 255, 191]),
        (4, 4, False, [4], [128]),
        (None, None, True, [0], [128]),
        (-1e308, 1e308, True, [0], [128]),
    ],
)
def test_the_level_of_a_value(
    run: Modules, low: float, high: float, signed: bool, values: list[float], levels: list[int]
) -> None:
    code = "(heatmap, values) => values.map(levels(heatmap))"
    heatmap = {"low": low, "high": high, "signed": signed}
    assert run("heatmap.js: levels", code, heatmap, values) == levels


def test_rounding_is_not_stretched_over_the_scale(run: Modules) -> None:
    code = "(heatmap, values) => values.map(levels(heatmap))"
    heatmap = {"low": -3e-7, "high": 3e-7, "signed": True, "level": True}
    assert run("heatmap.js: levels", code, heatmap, [-3e-7, 0, 3e-7]) == [128, 128, 128]


def test_the_cells_of_a_picture_share_all_indices_among_them(run: Modules) -> None:
    code = "(cells, size) => Array.from({ length: cells }, (_, cell) => indices(cell, cells, size))"
    assert run("heatmap.js: indices", code, 4, 4) == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert run("heatmap.js: indices", code, 64, 128)[3] == [6, 7]
    for cells, size in ((3, 10), (64, 100), (7, 7), (5, 1000)):
        found = run("heatmap.js: indices", code, cells, size)
        assert found[0][0] == 0
        assert found[-1][1] == size - 1
        assert all(b[0] <= a[1] + 1 for a, b in itertools.pairwise(found))


def test_a_ramp_runs_through_its_stops(run: Modules) -> None:
    code = """(stops, levels) => {
        const table = ramp(stops);
        return levels.map(level => [0, 8, 16].map(by => (table[level] >> by) & 255));
    }"""
    stops = [[10, 20, 30], [110, 120, 130], [210, 220, 230], [250, 0, 0]]
    assert run("heatmap.js: ramp", code, stops, [0, 85, 170, 255]) == stops
    assert run("heatmap.js: ramp", code, [[0, 0, 0], [255, 255, 0]], [17]) == [[17, 17, 0]]


@pytest.mark.parametrize(
    ("shape", "cells", "ratio"),
    [
        ((4, 8), (4, 8), 2),
        ((1, 1), (1, 1), 1),
        ((1, 9), (1, 9), None),
        ((2, 100), (2, 64), None),
        ((200, 100), (64, 64), 0.5),
    ],
)
def test_a_picture_has_the_proportions_of_its_tensor(
    run: Modules, shape: tuple[int, int], cells: tuple[int, int], ratio: float | None
) -> None:
    heatmap = {"rows": cells[0], "columns": cells[1], "row_axis": 0, "column_axis": 1}
    assert (
        run("heatmap.js: aspect", "note => aspect(note)", {"shape": shape, "heatmap": heatmap})
        == ratio
    )


def test_cells_are_decoded_or_there_is_no_picture(run: Modules) -> None:
    code = """(rows, columns, cells) => {
        const found = new Pictures().cells({ heatmap: { rows, columns, cells } });
        return found && [...found];
    }"""
    values = [0.5, -2.0, 3.25, 1e30]
    text = base64.b64encode(struct.pack("<4f", *values)).decode()
    exact = [torch.tensor(value).item() for value in values]
    assert run("heatmap.js: Pictures", code, 2, 2, text) == exact
    for rows, columns, cells in (
        (2, 3, text),
        (2, 2, "not base64!"),
        (0, 4, text),
        (10**9, 1, text),
    ):
        assert run("heatmap.js: Pictures", code, rows, columns, cells) is None


# --- the modules together -------------------------------------------------------------------------


def test_the_modules_draw_what_they_draw_when_joined(page: Page) -> None:
    """Each step of a run, drawn by the modules as they are and by the text that they are joined to:
    a name that a module forgot to import is found here."""
    code = """async ([address, joined, payload]) => {
        const html = async source => {
            const { mount } = await import(source);
            const place = document.createElement('div');
            document.body.replaceChildren(place);
            const mounted = mount(place, payload, { theme: 'light', height: 700 });
            const found = [];
            const press = key => document.dispatchEvent(new KeyboardEvent('keydown', { key }));
            for (const key of ['f', 'f', 'f', 'w', 'Enter', 'Escape', '?']) {
                press(key);
                place.querySelector('dialog').close();
                found.push(place.innerHTML);
            }
            press('Home');
            for (let step = 0; step < payload.steps_shown; step += 1) {
                found.push(place.innerHTML);
                press('ArrowRight');
            }
            mounted.destroy();
            return found;
        };
        const blob = new Blob([joined], { type: 'text/javascript' });
        const [one, other] = [await html(address), await html(URL.createObjectURL(blob))];
        return [one.length, one.filter((each, index) => each !== other[index]).length];
    }"""
    for recorded in (net(), pairs()[1], swallowed(), suspicious()):
        body = payload(recorded) | {"steps_shown": len(recorded.steps)}
        found = page.evaluate(
            code, [f"{ADDRESS}player.js", player.script(), json.loads(json.dumps(body))]
        )
        assert found == [7 + len(recorded.steps), 0]
