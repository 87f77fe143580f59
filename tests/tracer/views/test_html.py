"""The self-contained page and the notebook's frame."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
import torch

from tests.cells import forward_cell
from tracer import Trace, trace
from tracer.sentences import as_written
from tracer.views import html

EVIL = '</script><script>window.pwned=1</script><img src=x onerror="pwned()">&quot;\'\u2028\ud800'


class Reader(HTMLParser):
    """The elements of a page with the text that stands in them, as a browser's parser cuts them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.open = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), []))
        self.open = True

    def handle_endtag(self, tag: str) -> None:
        self.open = False

    def handle_data(self, data: str) -> None:
        if self.open:
            self.found[-1][2].append(data)

    def all(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, "".join(texts)) for t, attributes, texts in self.found if t == tag]


@pytest.fixture(scope="module")
def run() -> Trace:
    return trace(forward_cell("x", "# The sum: $x+x$.\ny = x + x\nreturn y"), torch.randn(2, 3))


def test_the_page_holds_the_whole_trace(run: Trace) -> None:
    scripts = Reader(html.page(run)).all("script")
    (data,) = [text for attributes, text in scripts if attributes["type"] == "application/json"]
    assert Trace.from_json(data) == run
    assert "$x+x$" in json.loads(data)["math"]


def test_the_page_and_its_player_speak_one_language(run: Trace) -> None:
    for language, without, help_ in (("en", "draws the trace", None), ("zh", "绘制", "帮助")):
        reader = Reader(html.page(run, language=language))
        ((attributes, _),) = reader.all("html")
        assert attributes["lang"] == language
        assert without in reader.all("noscript")[0][1]
        body = json.loads(reader.all("script")[0][1])
        assert body["language"] == language
        assert body["words"].get("help") == help_
    assert run.to_html("zh") == html.page(run, language="zh")
    with pytest.raises(ValueError, match="'fr' is none of the languages"):
        run.to_html("fr")


def test_the_page_needs_no_other_file_and_no_network(run: Trace) -> None:
    page = html.page(run)
    for _, attributes, _ in Reader(page).found:
        assert not attributes.keys() & {"src", "href", "action", "onclick", "onload", "style"}
    styles = "".join(text for _, text in Reader(page).all("style"))
    assert "url(" not in styles
    assert "@import" not in styles
    modules = [text for found, text in Reader(page).all("script") if found["type"] == "module"]
    assert not re.search(r"\bimport\b[^.]*from|\bimport\(|fetch\(|XMLHttpRequest", "".join(modules))


def test_the_policy_admits_this_script_and_style_alone(run: Trace) -> None:
    reader = Reader(html.page(run))
    (policy,) = [
        attributes["content"]
        for attributes, _ in reader.all("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    modules = [text for found, text in reader.all("script") if found["type"] == "module"]
    assert [directives["script-src"]] == [f"'sha256-{digest(text)}'" for text in modules]
    assert [directives["style-src"]] == [
        f"'sha256-{digest(text)}'" for _, text in reader.all("style")
    ]


def test_hostile_text_stays_text(run: Trace) -> None:
    evil = dataclasses.replace(
        run,
        name=EVIL,
        remarks=(as_written(EVIL),),
        steps=tuple(dataclasses.replace(step, op=EVIL, note=EVIL) for step in run.steps),
    )
    tags = [tag for tag, _, _ in Reader(html.page(run)).found]
    page = html.page(evil)
    assert [tag for tag, _, _ in Reader(page).found] == tags
    assert page.encode("utf-8")
    frame = Reader(html.notebook(evil))
    assert [tag for tag, _, _ in frame.found] == ["iframe"]
    scripts = Reader(page).all("script")
    (data,) = [text for attributes, text in scripts if attributes["type"] == "application/json"]
    assert json.loads(data)["trace"]["remarks"] == [EVIL]


def test_the_title_names_the_trace(run: Trace) -> None:
    named = dataclasses.replace(run, name="a <b> & c")
    ((_, title),) = Reader(html.page(named)).all("title")
    assert title == "a <b> & c · Shapewalk"


def test_the_notebook_shows_the_same_page_in_a_frame_of_its_own(run: Trace) -> None:
    ((attributes, _),) = Reader(html.notebook(run)).all("iframe")
    assert attributes["sandbox"] == "allow-scripts allow-popups"
    inner = attributes["srcdoc"]
    assert inner is not None
    scripts = Reader(inner).all("script")
    (data,) = [text for found, text in scripts if found["type"] == "application/json"]
    assert Trace.from_json(data) == run
    assert run._repr_html_() == html.notebook(run)
    assert run.to_html() == html.page(run)
