"""The pages on what can be wrong with a call: one for each kind, each with a model that is run."""

from __future__ import annotations

import dataclasses
import re
import sys
import textwrap
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tracer import Trace, explain, trace
from tracer.ops.kinds import KINDS
from tracer.views.answer import findings
from tracer.views.text import failure_text

PAGES = Path(__file__).parents[1] / "docs" / "errors"
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
SILENT = ("batch", "batchnorm", "broadcast", "squeeze", "view")
ANSWER = re.compile(r"```text\n(.*?)```", re.DOTALL)


def test_every_kind_has_its_page_and_the_list_names_each() -> None:
    pages = {path.stem for path in PAGES.glob("SW-*.md")}
    assert pages == {f"SW-{kind}" for kind in KINDS} | {f"SW-silent-{kind}" for kind in SILENT}
    listed = re.findall(r"\((SW-[\w-]+)\.md\)", (PAGES / "README.md").read_text(encoding="utf-8"))
    assert listed == sorted(pages)


def explained_step(module: ModuleType) -> Trace | None:
    """What is said of a page's `step()`, where the mistake is outside any forward."""
    if not hasattr(module, "step"):
        return None
    with pytest.raises(Exception), explain() as explaining:  # noqa: B017, PT011
        module.step()
    return explaining.trace


def example(code: str, folder: Path) -> tuple[str, ModuleType]:
    """A page, and its program as a module."""
    page = (PAGES / f"{code}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {code}: ")
    program = CODE.search(page)
    assert program is not None
    if code == "SW-pattern":
        pytest.importorskip("einops")
    file = folder / "net.py"
    file.write_text(program[1], encoding="utf-8")
    spec = spec_from_file_location(f"page_{code.replace('-', '_')}", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return page, module


def compare(code: str, page: str, text: str, rewrite: bool) -> None:
    """The answer on a page is what is said now."""
    answer = ANSWER.search(page)
    assert answer is not None
    if rewrite:
        start, end = answer.span(1)
        (PAGES / f"{code}.md").write_text(page[:start] + text + page[end:], encoding="utf-8")
    else:
        assert answer[1] == text


@pytest.mark.parametrize("kind", SILENT)
def test_the_page_shows_what_its_model_is_warned_of(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    page, module = example(f"SW-silent-{kind}", tmp_path)
    found = trace(module.Net(), *module.inputs())
    assert found.failure is None
    [warning] = found.warnings
    assert warning.code == f"SW-silent-{kind}"
    [finding] = findings(found)
    told = f"net.py:{finding.place.line}: {finding.message}"
    text = "\n".join(textwrap.wrap(told, 98)) + "\n"
    compare(warning.code, page, text, request.config.getoption("--rewrite-golden"))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_page_shows_what_its_model_is_answered(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    page, module = example(f"SW-{kind}", tmp_path)
    found = explained_step(module) or trace(module.Net(), *module.inputs())
    assert found.failure is not None
    assert found.failure.violation is not None
    assert found.failure.violation.kind == kind
    plain = dataclasses.replace(found.failure, fixes=())
    text = failure_text(plain, sources=found.sources) + "\n"
    compare(f"SW-{kind}", page, text, request.config.getoption("--rewrite-golden"))
