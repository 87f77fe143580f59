"""`explain`: the same exception with the explanation as its note, and everything as it was."""

from __future__ import annotations

import functools
import io
import random
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode_stack

import tracer
from tracer.explaining import HEADING, explained, traced

pytestmark = pytest.mark.filterwarnings("ignore:only once")


class Net(nn.Module):
    def __init__(self, width: int = 100) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout()
        self.fc = nn.Linear(width, 10)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        print("forward runs")
        warnings.warn("only once", stacklevel=1)
        features = self.drop(self.norm(self.conv(x)))
        flat = features.flatten(1)
        return self.fc(flat)


def failing(function: Callable[[], Any], mend: bool = False) -> tuple[Exception, str]:
    """What the function raises under `explain`, and its one note."""
    with pytest.raises(Exception) as raised, tracer.explain(mend=mend):  # noqa: PT011
        function()
    notes = getattr(raised.value, "__notes__", [])
    assert len(notes) <= 1
    return raised.value, notes[0] if notes else ""


@dataclass(frozen=True)
class Failed:
    """What a failing call leaves behind."""

    error: Exception
    note: str
    state: list[Any]
    printed: str
    warned: list[str]


def failed(call: Callable[[Callable[[], Any]], tuple[Exception, str]]) -> Failed:
    torch.default_generator.manual_seed(7)
    random.seed(7)
    net, x = Net(), torch.randn(2, 3, 8, 8)
    with redirect_stdout(io.StringIO()) as printed, warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        error, note = call(lambda: net(x))
    state = [
        torch.rand(1).item(),
        random.random(),
        net.calls,
        net.training,
        int(net.norm.num_batches_tracked or 0),
        net.norm.running_mean.tolist(),
        x.sum().item(),
        [p.grad for p in net.parameters()],
        sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()),
    ]
    return Failed(error, note, state, printed.getvalue(), [str(each.message) for each in seen])


def plainly(function: Callable[[], Any]) -> tuple[Exception, str]:
    with pytest.raises(RuntimeError) as raised:
        function()
    return raised.value, ""


@pytest.fixture(scope="module")
def told() -> Failed:
    """One call that fails under `explain`: several tests look at it."""
    return failed(functools.partial(failing, mend=True))


def test_the_same_exception_with_a_note(told: Failed) -> None:
    assert (type(told.error), str(told.error)) == (RuntimeError, str(failed(plainly).error))
    lines = told.note.splitlines()
    assert lines[0] == HEADING
    assert lines[1].startswith("Stopped at test_explain.py:")
    assert lines[1].endswith("in Net.forward, module fc")
    assert "    return self.fc(flat)" in lines
    assert any("features.flatten(1)" in line for line in lines)
    assert "Rule:" in told.note


def test_nothing_is_recorded_while_nothing_fails() -> None:
    net = Net(144)
    with tracer.explain() as explaining:
        assert _get_current_function_mode_stack() == []
        assert not any(module._forward_hooks for module in net.modules())
        assert not any(module._forward_pre_hooks for module in net.modules())
        net(torch.randn(2, 3, 8, 8)).sum().backward()
    assert explaining.trace is None


def test_state_and_random_numbers_are_as_after_the_failure(told: Failed) -> None:
    """The failing call itself changes what it changes; running it again changes nothing more."""
    assert told.state == failed(plainly).state


def test_inputs_are_written_to_no_second_time() -> None:
    class Writes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x += 1
            return x @ x

    x = torch.zeros(2, 3)
    _, note = failing(lambda: Writes()(x), mend=True)
    assert "return x @ x" in note
    assert torch.equal(x, torch.ones(2, 3))


def test_what_the_code_prints_and_warns_is_seen_once(told: Failed) -> None:
    assert told.warned == ["only once"]
    assert told.printed == "forward runs\n"


def test_a_whole_training_step() -> None:
    net = Net(144)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    @tracer.explain()
    def step(x: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()

    step(torch.randn(2, 3, 8, 8), torch.tensor([1, 2]))
    weights = net.fc.weight.detach().clone()
    with pytest.raises(RuntimeError) as raised:
        step(torch.randn(2, 3, 9, 9), torch.tensor([1, 2]))
    assert "module fc" in raised.value.__notes__[0]
    assert torch.equal(net.fc.weight, weights)


def wrong_targets() -> None:
    scores, labels = torch.randn(4, 10, 3), torch.randint(0, 10, (4, 5))
    loss = 2 * F.cross_entropy(scores, labels)
    loss.backward()


def wrong_criterion() -> None:
    criterion = nn.MSELoss()
    scores, labels = torch.randn(4, 10), torch.randn(4, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        criterion(scores, labels)


def wrong_operator() -> None:
    left, right = torch.randn(4, 10), torch.randn(4, 3)
    _ = left.relu() @ right.tanh()


def wrong_assignment() -> None:
    rows = torch.zeros(4, 10)
    rows[:, 0] = torch.ones(4, 3)


def wrong_addition() -> None:
    total = torch.zeros(4, 10)
    total += torch.ones(4, 3)


def wrong_forward() -> None:
    Net().forward(torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("function", "expression", "words"),
    [
        (wrong_targets, "F.cross_entropy(scores, labels)", "(4, 10, 3)"),
        (wrong_criterion, "criterion(scores, labels)", "(4,  3)"),
        (wrong_operator, "left.relu() @ right.tanh()", "from test_explain.py"),
        (wrong_assignment, "rows[:, 0] = torch.ones(4, 3)", "torch.ones(4, 3)"),
        (wrong_addition, "total += torch.ones(4, 3)", "(4, 10)"),
        (wrong_forward, "return self.fc(flat)", "fc.weight"),
    ],
)
def test_lines_of_a_script_outside_any_module(
    function: Callable[[], None], expression: str, words: str
) -> None:
    _, note = failing(function)
    assert f"in {function.__name__}" in note or function is wrong_forward
    assert expression in note
    assert words in note
    assert "explaining.py" not in note


class Swallows(nn.Module):
    """Swallows the batch, which only the loss notices."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x.view(-1, 16)
        return self.fc(x)


def test_a_loss_that_does_not_fit_is_followed_into_the_model() -> None:
    model, images, labels = Swallows(), torch.randn(8, 1, 8, 8), torch.randint(0, 10, (8,))
    explaining = tracer.explain(mend=False)
    with pytest.raises(ValueError, match="batch_size") as raised, explaining:
        F.cross_entropy(model(images), labels)
    assert explaining.trace is not None
    failure = explaining.trace.failure
    assert failure is not None
    assert failure.expression == "F.cross_entropy(model(images), labels)"
    assert failure.root is not None
    assert failure.root.expression == "x.view(-1, 16)"
    assert [note.name for note in explaining.trace.inputs] == ["images", "labels"]
    assert len(raised.value.__notes__) == 1


class Counter:
    """Counts how often it is asked for a tensor: running that again would not be harmless."""

    def __init__(self) -> None:
        self.asked = 0

    def take(self) -> Tensor:
        self.asked += 1
        return torch.ones(2, 3)


def test_a_line_that_does_more_than_compute_is_not_run_again() -> None:
    counter = Counter()
    error, note = failing(lambda: counter.take() @ torch.ones(2, 3))
    assert counter.asked == 1
    assert "Nothing is known of where this size comes from" in note
    assert "`counter.take() @ torch.ones(2, 3)` was not run again" in " ".join(note.split())
    assert "cannot be multiplied" in str(error)


def test_errors_that_no_module_raised_are_left_alone() -> None:
    for function in (lambda: {}["key"], lambda: [][0], lambda: torch.load("/no/file")):
        assert failing(function)[1] == ""
    with pytest.raises(KeyboardInterrupt) as raised, tracer.explain():
        raise KeyboardInterrupt
    assert not hasattr(raised.value, "__notes__")


def test_an_error_of_the_code_itself_in_a_forward_is_told_with_its_line() -> None:
    class Refuses(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.dim() != 4:
                raise ValueError(f"wants images, got {x.dim()} dimensions")
            return x

    _, note = failing(lambda: Refuses()(torch.randn(2, 3)))
    assert "raise ValueError" in note


def test_contexts_inside_each_other_explain_once() -> None:
    def inner() -> None:
        with tracer.explain(mend=False):
            Net()(torch.randn(2, 3, 8, 8))

    assert failing(inner)[1].count("Stopped at") == 1


def test_what_a_diagnosis_tries_is_not_explained_in_its_turn() -> None:
    notes: list[bool] = []

    class Explains(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Any:
            try:
                with tracer.explain():
                    return self.fc(x)
            except RuntimeError as error:
                notes.append(hasattr(error, "__notes__"))
                raise

    found = tracer.trace(Explains(), torch.ones(2, 4), values=False, reraise=False)
    assert found.failure is not None
    assert len(found.failure.fixes) > 0
    assert len(notes) > 5
    assert not any(notes[1:])


def test_only_the_outermost_call_is_run_again_once() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net()

        def forward(self, x: Tensor) -> Tensor:
            doubled = x * 2
            return self.net(doubled)

    with pytest.raises(RuntimeError), tracer.explain(mend=False) as explaining:
        Outer()(torch.randn(2, 3, 8, 8))
    assert explaining.trace is not None
    assert explaining.trace.name == "Outer"
    assert explaining.trace.failure is not None
    assert explaining.trace.failure.module == "net.fc"
    assert [call.module for call in explaining.trace.calls] == ["", "net"]


def test_a_second_run_that_does_not_end_is_given_up_and_the_note_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Consumes(nn.Module):
        left: list[int] = [1]  # noqa: RUF012 - outside the module's state, on purpose

        def forward(self, x: Tensor) -> Tensor:
            while not self.left:
                x = x + 1
            self.left.pop()
            return x @ x

    monkeypatch.setattr(sys.modules["tracer.explaining"], "MOST_STEPS", 50)
    note = failing(lambda: Consumes()(torch.ones(2, 3)))[1]
    assert note.endswith("Running the failing call again was given up after 50 operations.")


def test_a_call_that_does_not_fail_again_is_said_to_be_so() -> None:
    class Once(nn.Module):
        seen: list[int] = []  # noqa: RUF012 - outside the module's state, on purpose

        def forward(self, x: Tensor) -> Tensor:
            self.seen.append(1)
            return x @ x if len(self.seen) == 1 else x

    note = " ".join(failing(lambda: Once()(torch.ones(2, 3)))[1].split())
    assert "run again, `x @ x` does not fail in this way" in note


def test_an_explanation_never_takes_the_place_of_the_error() -> None:
    class Odd(nn.Module):
        def __deepcopy__(self, memo: Any) -> Any:
            raise SystemError("cannot be copied")

        @property
        def training(self) -> bool:  # type: ignore[override]
            raise SystemError("no mode")

        @training.setter
        def training(self, value: bool) -> None:
            pass

        def forward(self, x: Tensor) -> Tensor:
            return x @ x

    error, _ = failing(lambda: Odd()(torch.ones(2, 3)))
    assert isinstance(error, RuntimeError)
    assert "cannot be multiplied" in str(error)


def test_arguments_that_have_names_of_ours() -> None:
    class Named(nn.Module):
        def forward(self, x: Tensor, values: Tensor, name: str = "n", device: str = "") -> Tensor:
            return x @ values

    _, note = failing(lambda: Named()(torch.ones(2, 3), values=torch.ones(2, 3), name="m"))
    assert "return x @ values" in note
    found = traced(Named(), (torch.ones(2, 3),), {"values": torch.ones(3, 2), "device": "x"})
    assert found.outputs[0].shape == (2, 2)


def test_wrong_number_of_inputs() -> None:
    error, note = failing(lambda: Net()(torch.ones(2, 3, 8, 8), torch.ones(1)))
    assert isinstance(error, TypeError)
    assert HEADING in note


def test_no_gradients_are_made_under_no_grad() -> None:
    net = Net()
    with torch.no_grad():
        assert "module fc" in failing(lambda: net(torch.randn(2, 3, 8, 8)))[1]
    assert all(p.grad is None for p in net.parameters())


def test_inputs_that_belong_to_a_graph() -> None:
    source = torch.randn(2, 3, 8, 8, requires_grad=True)
    net = Net()
    assert "module fc" in failing(lambda: net(source * 2), mend=True)[1]
    assert "module fc" in failing(lambda: net(source))[1]
    assert source.grad is None


def test_data_parallel_is_looked_through() -> None:
    assert "module fc" in failing(lambda: nn.DataParallel(Net())(torch.randn(2, 3, 8, 8)))[1]


def test_a_caught_exception_costs_nothing() -> None:
    net = Net()
    with tracer.explain() as explaining:
        with pytest.raises(RuntimeError) as raised:
            net(torch.randn(2, 3, 8, 8))
        assert net.calls == 1
    assert explaining.trace is None
    assert not hasattr(raised.value, "__notes__")


def test_an_exception_without_frames() -> None:
    assert explained(RuntimeError("never raised")) is None
