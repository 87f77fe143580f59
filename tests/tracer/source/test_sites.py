"""Places are found once for each code object, and hold as long as its text does."""

from __future__ import annotations

import dis
import gc
import importlib.util
import weakref
from pathlib import Path
from typing import Any

import torch

from tests.cells import run_cell
from tracer import Trace, trace
from tracer.source import sites

NET = """import torch

class Net(torch.nn.Module):
    def forward(self, x):
        y = x * {factor}
        return y.sum()
"""


def module_of(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(model: torch.nn.Module) -> Trace:
    return trace(model, torch.ones(2), values=False)


def written(found: Trace) -> list[tuple[str, str]]:
    return [(step.place.file, step.place.expression) for step in found.steps]


def test_two_files_with_the_same_text_are_two_places(tmp_path: Path) -> None:
    paths = [tmp_path / "one.py", tmp_path / "two.py"]
    for path in paths:
        path.write_text(NET.format(factor=2))
    one, two = (module_of(path).Net() for path in paths)
    assert one.forward.__code__ == two.forward.__code__
    found = run(torch.nn.Sequential(one, two))
    assert [step.place.file for step in found.steps] == [
        str(path) for path in paths for _ in range(2)
    ]
    assert [source.file for source in found.sources[-2:]] == [str(path) for path in paths]


def test_a_file_that_was_edited_since_it_was_read_in_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "edited.py"
    path.write_text(NET.format(factor=2))
    net = module_of(path).Net()
    assert written(run(net)) == [(str(path), "x * 2"), (str(path), "y.sum()")]
    # The same lines and names; another length, by which Python knows that its cached code is old.
    path.write_text(NET.format(factor=33))
    found = run(net)
    assert written(found) == [(str(path), ""), (str(path), "")]
    assert [step.place.line for step in found.steps] == [5, 6]
    assert written(run(module_of(path).Net()))[0] == (str(path), "x * 33")


def test_a_second_trace_says_what_the_first_said(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(NET.format(factor=2))
    net = module_of(path).Net()
    first, second = run(net), run(torch.nn.Sequential(torch.nn.Linear(2, 2), net))
    assert written(second)[1:] == written(first)
    (source,) = {step.place.source for step in second.steps[1:]}
    assert source is not None
    assert "class Net" not in second.sources[source].text
    assert second.sources[source].text == first.sources[0].text


def test_a_cell_that_is_run_again_has_its_new_text() -> None:
    for factor in (2, 3, 2):
        namespace = run_cell(NET.format(factor=factor))
        assert written(run(namespace["Net"]()))[0][1] == f"x * {factor}"


def test_a_file_that_is_edited_and_loaded_again_has_its_new_text(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    for factor in (2, 33):
        path.write_text(NET.format(factor=factor))
        assert written(run(module_of(path).Net()))[0] == (str(path), f"x * {factor}")


def test_code_that_is_older_than_its_file_gets_no_wrong_text(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(NET.format(factor=2))
    net = module_of(path).Net()
    assert written(run(net))[0][1] == "x * 2"
    path.write_text("# a line more\n" + NET.format(factor=3))
    assert [text for _, text in written(run(net))] == ["", ""]


def test_nothing_keeps_code_alive(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(NET.format(factor=2))
    module = module_of(path)
    assert run(module.Net()).steps
    code = weakref.ref(module.Net.forward.__code__)
    key = id(code())
    assert key in sites._codes
    del module
    gc.collect()
    assert code() is None
    assert key not in sites._codes


def test_the_names_of_a_statement_stand_in_its_order() -> None:
    cell = run_cell(
        """
        class Net(torch.nn.Module):
            def forward(self, delta, alpha, gamma, beta):
                return torch.cat([gamma, beta, alpha, gamma + delta])
        """
    )
    found = sites.SourceReader()
    code = cell["Net"].forward.__code__
    lasti = max(
        i.offset for i in dis.get_instructions(code) if i.opname.startswith("CALL") and i.offset
    )
    names = found.site(code, lasti).names
    assert names == (("torch", "cat"), ("gamma",), ("beta",), ("alpha",), ("delta",))


def test_a_tensor_of_two_names_is_called_by_the_first_that_is_written() -> None:
    cell = run_cell(
        """
        class Net(torch.nn.Module):
            def forward(self, x):
                pair = [x * 2]
                for zeta in pair:
                    alpha = zeta
                return zeta + alpha
        """
    )
    step = run(cell["Net"]()).steps[-1]
    assert [name for name, _ in step.names] == ["zeta", "alpha"]
