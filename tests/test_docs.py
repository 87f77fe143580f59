"""The pages on what can be wrong with a call: one for each kind, each with a model that is run."""

from __future__ import annotations

import dataclasses
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tracer import Trace, explain, trace
from tracer.ops.kinds import KINDS
from tracer.views.text import failure_text

PAGES = Path(__file__).parents[1] / "docs" / "errors"
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
ANSWER = re.compile(r"```text\n(.*?)```", re.DOTALL)


def test_every_kind_has_its_page_and_the_list_names_each() -> None:
    pages = {path.stem for path in PAGES.glob("SW-*.md")}
    assert pages == {f"SW-{kind}" for kind in KINDS}
    listed = re.findall(r"\((SW-\w+)\.md\)", (PAGES / "README.md").read_text(encoding="utf-8"))
    assert listed == sorted(pages)


def explained_step(module: ModuleType) -> Trace | None:
    """What is said of a page's `step()`, where the mistake is outside any forward."""
    if not hasattr(module, "step"):
        return None
    with pytest.raises(Exception), explain() as explaining:  # noqa: B017, PT011
        module.step()
    return explaining.trace


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_page_shows_what_its_model_is_answered(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = PAGES / f"SW-{kind}.md"
    page = path.read_text(encoding="utf-8")
    assert page.startswith(f"# SW-{kind}: ")
    example = CODE.search(page)
    assert example is not None
    file = tmp_path / "net.py"
    file.write_text(example[1], encoding="utf-8")
    spec = spec_from_file_location(f"page_{kind}", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    if kind == "pattern":
        pytest.importorskip("einops")
    spec.loader.exec_module(module)
    found = explained_step(module) or trace(module.Net(), *module.inputs())
    assert found.failure is not None
    assert found.failure.violation is not None
    assert found.failure.violation.kind == kind
    plain = dataclasses.replace(found.failure, fixes=())
    text = failure_text(plain, sources=found.sources) + "\n"
    if request.config.getoption("--rewrite-golden"):
        start, end = ANSWER.search(page).span(1)  # type: ignore[union-attr]
        path.write_text(page[:start] + text + page[end:], encoding="utf-8")
    else:
        answer = ANSWER.search(page)
        assert answer is not None
        assert answer[1] == text
