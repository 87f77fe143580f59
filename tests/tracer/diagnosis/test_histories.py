"""Two sizes at odds, unfolded to where each comes from, and the way of the wrong one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tracer import Failure, Trace, recording_construction, trace
from tracer.document import Term
from tracer.language import translator
from tracer.views.histories import Line, lines
from tracer.views.text import failure_text


@dataclasses.dataclass
class Config:
    scales: tuple[int, ...] = (1, 2, 4, 8, 16)
    width: int = 64


class Pooled(nn.Module):
    """A head that is built for five branches and given four."""

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.scales = cfg.scales
        self.stem = nn.Conv2d(3, cfg.width, 3, padding=1)
        self.head = nn.Linear(len(cfg.scales) * cfg.width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        found = [F.adaptive_avg_pool2d(x, s).mean((2, 3)) for s in self.scales[1:]]
        joined = torch.cat(found, dim=1)
        return self.head(joined)


def pooled() -> nn.Module:
    return Pooled(Config())


OPTIONS: dict[str, Any] = {"model": {"dim": 12, "heads": 3}, "classes": 5}
HIDDEN = 20


class Block(nn.Module):
    def __init__(self, dim: int, heads: int, *, wide: int = HIDDEN) -> None:
        super().__init__()
        self.heads = heads
        self.up = nn.Linear(dim, heads * wide)
        self.down = nn.Linear(wide, dim)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x)
        return self.down(y)


class Configured(nn.Module):
    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(**options["model"]) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def configured() -> nn.Module:
    return Configured(OPTIONS)


class Flat(nn.Module):
    def __init__(self, side: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=2)
        self.fc = nn.Linear(4 * (side // 2) ** 2, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.fc(self.conv(image).flatten(1))


def flat() -> nn.Module:
    return Flat(side=10)


class Stepped(nn.Module):
    def __init__(self, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(2, 2, 3, stride, 1) for stride in strides)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv in self.convs:
            y = conv(y)
        return x + y


def stepped() -> nn.Module:
    return Stepped((1, 2, 1))


def failure(build: Callable[[], nn.Module], *args: Any, recorded: bool = True) -> Failure:
    found = trace(build(), *args, build=build if recorded else None, values=False).failure
    assert found is not None
    return found


def told(line: Line) -> str:
    made = f" = {line.made_of}" if line.made_of else ""
    return f"{line.value}{made}: {line.code}"


def partings(found: Failure) -> list[tuple[int | None, str]]:
    terms = [history.parting for history in found.histories]
    return [(term.value, term.text) for term in terms if term is not None]


@pytest.fixture(scope="module")
def branches() -> Failure:
    return failure(pooled, torch.ones(2, 3, 16, 16))


def test_a_head_for_five_branches_that_is_given_four(branches: Failure) -> None:
    given, built = branches.histories
    assert (given.operand, given.dim, given.term.kind, given.term.value) == (0, 1, "sum", 256)
    assert [part.value for part in given.term.operands] == [64, 64, 64, 64]
    assert told(lines(given)[0]) == "256 = 64 + 64 + 64 + 64: torch.cat(found, dim=1)"
    assert told(lines(built)[0]) == "320 = 5 · 64: len(cfg.scales) * cfg.width"
    assert partings(branches) == [(4, "self.scales[1:]"), (5, "len(cfg.scales)")]
    assert [line.code for line in lines(built) if line.apart] == ["len(cfg.scales)"]
    written = [term for term in built.term.walk() if term.text == "(1, 2, 4, 8, 16)"]
    assert [term.kind for term in written] == ["number"]
    assert written[0].place.statement == "scales: tuple[int, ...] = (1, 2, 4, 8, 16)"


def test_parts_that_a_loop_appends_are_counted_by_its_list() -> None:
    class Looped(nn.Module):
        def __init__(self, rates: tuple[int, ...] = (1, 2, 3)) -> None:
            super().__init__()
            self.branches = nn.ModuleList([nn.Linear(4, 6) for _ in rates])
            self.fuse = nn.Linear(6 * (len(rates) - 1), 2)

        def forward(self, x: Tensor) -> Tensor:
            outputs = []
            for branch in self.branches:
                outputs.append(branch(x))
            return self.fuse(torch.cat(outputs, dim=-1))

    found = failure(Looped, torch.ones(2, 4))
    assert partings(found) == [(3, "self.branches"), (2, "len(rates) - 1")]


def test_the_way_leads_from_the_constructor_to_the_failing_call(branches: Failure) -> None:
    kinds = [link.kind for link in branches.chain]
    assert kinds == ["constructor", "step", "failure"]
    assert branches.chain[0].expression.startswith("nn.Linear(len(cfg.scales) * cfg.width")
    assert branches.chain[-1].expression == "self.head(joined)"
    assert branches.chain[-1].why == "Here 256 and 320 meet."
    assert branches.root is not None
    assert branches.root.place in [link.place for link in branches.chain]


def test_options_a_default_and_a_constant_of_the_file() -> None:
    found = failure(configured, torch.ones(2, 12))
    made, wanted = found.histories
    assert told(lines(made)[0]) == "60 = 3 · 20: heads * wide"
    texts = {(term.value, term.text, term.kind) for term in made.term.walk()}
    assert (3, "3", "number") in texts
    assert (20, "HIDDEN", "name") in texts
    heads = next(term for term in made.term.walk() if term.text == "3")
    assert heads.place.statement.startswith("OPTIONS: dict[str, Any] = {")
    assert wanted.term.value == 20
    # One is made of the other: they part where that is multiplied, and where it is not.
    assert partings(found) == [(60, "heads * wide"), (20, "nn.Linear(wide, dim)")]


def test_a_view_gives_a_product_and_a_window_its_own_number() -> None:
    found = failure(flat, torch.ones(2, 1, 10, 10))
    made, built = found.histories
    assert told(lines(made)[0]).startswith("64 = 4 · 4 · 4: self.conv(image).flatten(1)")
    assert told(lines(built)[0]) == "100 = 4 · 25: 4 * (side // 2) ** 2"
    assert (25, "(side // 2) ** 2") in partings(found)
    sizes = {(term.value, term.text) for term in made.term.walk() if term.kind == "input"}
    assert sizes == {(10, "image.shape[2]"), (10, "image.shape[3]")}


def test_a_view_that_does_not_fit_is_a_product_against_a_product() -> None:
    class Shaped(nn.Module):
        def __init__(self, heads: int = 3) -> None:
            super().__init__()
            self.heads = heads

        def forward(self, x: Tensor) -> Tensor:
            return x.view(x.size(0), self.heads, 5)

    found = failure(Shaped, torch.ones(2, 16))
    held, asked = found.histories
    assert told(lines(held)[0]) == "16: x.shape[1]"
    assert told(lines(asked)[0]) == "15 = 3 · 5: x.view(x.size(0), self.heads, 5)"
    assert (3, "heads") in [(term.value, term.text) for term in asked.term.walk()]


def test_elements_against_the_shape_that_is_asked_for() -> None:
    class Shaped(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            shape = (-1, 5, 4)
            return x.reshape(shape)

    found = failure(Shaped, torch.ones(2, 3, 7))
    held, asked = found.histories
    assert told(lines(held)[0]) == "42 = 2 · 3 · 7: x"
    assert (held.operand, held.dim) == (0, None)
    assert told(lines(asked)[0]) == "20 = 5 · 4: x.reshape(shape)"


def test_a_shuffle_takes_the_square_of_its_factor() -> None:
    class Shuffled(nn.Module):
        def __init__(self, scale: int = 4, colours: int = 3) -> None:
            super().__init__()
            self.scale = scale
            self.conv = nn.Conv2d(2, colours * scale, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return F.pixel_shuffle(y, self.scale)

    found = failure(Shuffled, torch.ones(1, 2, 5, 5))
    made, asked = found.histories
    assert told(lines(made)[0]) == "12 = 3 · 4: colours * scale"
    assert (asked.term.value, [part.value for part in asked.term.parts]) == (16, [4, 4])


def test_what_was_made_of_the_other_parts_at_the_setting_that_changed_it() -> None:
    found = failure(stepped, torch.ones(1, 2, 8))
    assert [history.term.value for history in found.histories] == [8, 4]
    assert (2, "2") in partings(found)
    assert any("Stepped((1, 2, 1))" in t.place.statement for t in found.histories[1].term.walk())


def test_a_recorded_model_needs_no_build() -> None:
    with recording_construction():
        model = pooled()
    found = trace(model, torch.ones(2, 3, 16, 16), values=False).failure
    assert found is not None
    assert partings(found)[1] == (5, "len(cfg.scales)")


def test_of_a_model_that_nobody_saw_being_made_what_can_be_told() -> None:
    found = failure(flat, torch.ones(2, 1, 10, 10), recorded=False)
    assert told(lines(found.histories[1])[0]).startswith("100")
    assert found.histories[1].term.place.expression == "nn.Linear(4 * (side // 2) ** 2, 3)"


def test_there_and_back_and_older_files(branches: Failure) -> None:
    model = pooled()
    found = trace(model, torch.ones(2, 3, 16, 16), build=pooled, values=False)
    assert Trace.from_json(found.to_json()) == found
    body = json.loads(found.to_json())
    body["schema"] = 4
    del body["trace"]["failure"]["histories"], body["trace"]["failure"]["chain"]
    older = Trace.from_json(json.dumps(body))
    assert older.failure is not None
    assert (older.failure.histories, older.failure.chain) == ((), ())
    body = json.loads(found.to_json())
    body["trace"]["failure"]["histories"][0]["apart"] = [99]
    with pytest.raises(ValueError, match="a history parts where it has no term"):
        Trace.from_json(json.dumps(body))


def test_the_text_shows_both_and_where_they_part(branches: Failure) -> None:
    text = failure_text(branches, width=120)
    assert "  256 is dimension 1 of `joined`:" in text
    assert "    320 = 5 · 64" in text
    assert text.count("<- they part here") == 2
    assert "Path:\n" in text
    chinese = failure_text(branches, width=120, translate=translator("zh"))
    assert "两者在这里分开" in chinese
    assert "256 和 320 在这里相遇" in chinese


def test_joins_of_joins_are_not_unfolded_without_end() -> None:
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(4 + 2 * n, 2) for n in range(24)])
            self.out = nn.Linear(53, 3)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = torch.cat([x, layer(x)], dim=1)
            return self.out(x)

    found = failure(Dense, torch.ones(2, 4))
    for history in found.histories:
        assert sum(1 for _ in history.term.walk()) <= 120
        assert len(lines(history)) <= 14


def test_a_size_that_a_thousand_steps_hand_on_is_an_inputs() -> None:
    class Long(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(1500):
                x = x + 1
            return self.out(x)

    found = failure(Long, torch.ones(2, 4))
    term: Term = found.histories[0].term
    assert (term.kind, term.text) == ("input", "x.shape[1]")
