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
    found = trace(
        build(), *args, build=build if recorded else None, values=False, mend=False
    ).failure
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
    found = trace(model, torch.ones(2, 3, 16, 16), values=False, mend=False).failure
    assert found is not None
    assert partings(found)[1] == (5, "len(cfg.scales)")


def test_of_a_model_that_nobody_saw_being_made_what_can_be_told() -> None:
    found = failure(flat, torch.ones(2, 1, 10, 10), recorded=False)
    assert told(lines(found.histories[1])[0]).startswith("100")
    assert found.histories[1].term.place.expression == "nn.Linear(4 * (side // 2) ** 2, 3)"


def test_there_and_back_and_older_files(branches: Failure) -> None:
    model = pooled()
    found = trace(model, torch.ones(2, 3, 16, 16), build=pooled, values=False, mend=False)
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


# --- numbers that come through configs, tables and functions -------------------------------


def preset() -> dict[str, Any]:
    return dict(net=dict(channels_in=4, wide=6), head=dict(classes=3))  # noqa: C408


class FromPreset(nn.Module):
    def __init__(self, net: dict[str, Any], head: dict[str, Any]) -> None:
        super().__init__()
        self.stem = Stem(**net)

    def forward(self, x: Tensor) -> Tensor:
        return self.stem(x)


class Stem(nn.Module):
    def __init__(self, channels_in: int, wide: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, wide, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def test_a_number_of_a_preset_that_a_function_returns() -> None:
    found = failure(lambda: FromPreset(**preset()), torch.ones(2, 9, 8, 8))
    part = found.histories[1].parting
    assert part is not None
    assert (part.value, part.place.statement) == (
        4,
        "return dict(net=dict(channels_in=4, wide=6), head=dict(classes=3))",
    )


def rows() -> list[tuple[str, int, int]]:
    return [
        ("up", 8, 4),
        ("same", 4, 4),
        ("up", 6, 2),
    ]


class Table(nn.Module):
    def __init__(self, rows: list[tuple[str, int, int]]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(cin, cout) for kind, cin, cout in rows)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def test_the_row_of_a_table_is_known_by_all_that_the_loop_names() -> None:
    found = failure(lambda: Table(rows()), torch.ones(2, 8))
    assert partings(found) == [(4, "4"), (6, "6")]
    first = found.histories[0].parting
    second = found.histories[1].parting
    assert first is not None
    assert second is not None
    assert second.place.line == first.place.line + 1


def out_size(size: int, kernel: int) -> int:
    return (size - kernel) // 2


def flat_size(side: int) -> int:
    left = out_size(side, 3)
    return 4 * left * left


class Worked(nn.Module):
    def __init__(self, side: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=2)
        self.fc = nn.Linear(flat_size(side), 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.fc(self.conv(image).flatten(1))


def test_a_number_is_followed_into_the_function_that_works_it_out() -> None:
    found = failure(lambda: Worked(11), torch.ones(2, 1, 11, 11))
    assert partings(found)[1] == (None, "(size - kernel) // 2")
    assert found.histories[1].term.value == 64


class Timed(nn.Module):
    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 1)
        self.time = nn.Linear(5, cin)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.conv(x) + self.time(t)[:, :, None, None]


class Levels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        dims = [4, 6, 9]
        pairs = list(zip(dims[:-1], dims[1:], strict=True))  # noqa: RUF007
        self.blocks = nn.ModuleList(Timed(a, b) for a, b in pairs)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, t)
        return x


def test_numbers_of_one_call_part_inside_the_constructor_that_chose_one() -> None:
    found = failure(Levels, torch.ones(2, 4, 8, 8), torch.ones(2, 5))
    assert partings(found) == [(6, "cout"), (4, "cin")]


class Doubled(nn.Module):
    def __init__(self, parts: int, width: int) -> None:
        super().__init__()
        self.angles = nn.Linear(1, parts)
        self.head = nn.Linear(2 * width, 3)

    def forward(self, t: Tensor) -> Tensor:
        angle = self.angles(t)
        return self.head(torch.cat([angle.sin(), angle.cos()], dim=-1))


def test_equal_parts_are_held_against_what_they_are_counted_of() -> None:
    found = failure(lambda: Doubled(8, 12), torch.ones(2, 1))
    assert partings(found) == [(8, "parts"), (12, "width")]


class Banded(nn.Module):
    def __init__(self, mels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, stride=2)
        width = 6 * self.bands(mels)
        self.out = nn.Linear(width, 3)

    def bands(self, mels: int) -> int:
        return mels // 2

    def forward(self, mel: Tensor) -> Tensor:
        return self.out(self.conv(mel).amax(2).flatten(1))


def test_a_method_that_works_a_number_out_is_followed() -> None:
    found = failure(lambda: Banded(12), torch.ones(2, 1, 12, 12))
    assert partings(found)[1] == (None, "mels // 2")


def time_layer(width: int) -> tuple[nn.Module, int]:
    return nn.Linear(1, 8), 2 * width


class Embedded(nn.Module):
    def __init__(self, width: int, make: Callable[[int], tuple[nn.Module, int]] = time_layer):
        super().__init__()
        self.time, size = make(width)
        self.fc = nn.Linear(size, 3)

    def forward(self, t: Tensor) -> Tensor:
        return self.fc(self.time(t))


def test_of_several_results_of_a_function_that_is_an_argument_the_one_that_is_meant() -> None:
    found = failure(lambda: Embedded(7), torch.ones(2, 1))
    part = found.histories[1].parting
    assert part is not None
    assert part.place.statement == "return nn.Linear(1, 8), 2 * width"


def to_map(tokens: Tensor, h: int, w: int) -> Tensor:
    return tokens.transpose(1, 2).reshape(tokens.size(0), -1, h, w)


class Mapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fuse = nn.Conv2d(2 * 8, 4, 1)

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        h, w = high.shape[-2:]
        maps = []
        for each in (high, low):
            maps.append(to_map(each.flatten(2).transpose(1, 2), h, w))
        maps[1] = F.interpolate(maps[1], size=maps[0].shape[-2:])
        return self.fuse(torch.cat(maps, dim=1))


def test_a_helpers_arguments_are_followed_to_who_called_it() -> None:
    found = failure(Mapped, torch.ones(2, 8, 4, 4), torch.ones(2, 8, 2, 2))
    part = found.histories[0].parting
    assert part is not None
    assert part.place.statement == "h, w = high.shape[-2:]"


# --- the way, beside what the histories mark -----------------------------------------------


def statements(found: Failure) -> list[str]:
    return [link.place.statement for link in found.chain]


def add_loops(edges: Tensor, nodes: int) -> Tensor:
    loops = torch.arange(nodes).expand(2, -1)
    return torch.cat([edges, loops], dim=1)


class Graph(nn.Module):
    def forward(self, x: Tensor, edges: Tensor, weights: Tensor) -> Tensor:
        edges = add_loops(edges, x.size(0))
        return x[edges[0]].sum(-1) * weights


def test_the_call_of_the_helper_that_made_a_size_is_a_link() -> None:
    edges = torch.zeros(2, 7, dtype=torch.long)
    found = failure(Graph, torch.ones(4, 3), edges, torch.ones(7))
    assert "edges = add_loops(edges, x.size(0))" in statements(found)


class Shifted(nn.Module):
    def forward(self, logits: Tensor, ids: Tensor) -> Tensor:
        shifted = logits[:, :-1]
        labels = ids
        return F.cross_entropy(shifted.reshape(-1, 5), labels.reshape(-1))


def test_where_a_name_was_given_is_a_link() -> None:
    ids = torch.zeros(2, 6, dtype=torch.long)
    found = failure(Shifted, torch.ones(2, 6, 5), ids)
    assert "labels = ids" in statements(found)


class Unet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ConvTranspose2d(2, 2, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for _ in range(2):
            x = self.pool(x)
            skips.append(x)
        x = self.up(x)
        return torch.cat([skips.pop(), x], dim=1)


def test_where_a_tensor_was_kept_is_a_link() -> None:
    found = failure(Unet, torch.ones(1, 2, 16, 16))
    assert "skips.append(x)" in statements(found)


class Pillars(nn.Module):
    def forward(self, points: Tensor) -> Tensor:
        cells = torch.floor(points / 0.5)
        index = cells.reshape(-1)
        return torch.zeros(64).scatter_add(0, index, torch.ones_like(index))


def test_what_was_rounded_is_where_an_index_should_have_become_whole() -> None:
    found = failure(Pillars, torch.rand(4, 3))
    assert found.root is not None
    assert found.root.place.statement == "cells = torch.floor(points / 0.5)"


class Labels(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.table = nn.Embedding(classes, 4)

    def forward(self, labels: Tensor) -> Tensor:
        none = torch.full_like(labels, self.classes)
        return self.table(torch.cat([labels, none]))


def labelled() -> nn.Module:
    return nn.Sequential(Labels(7))


def test_a_table_with_one_row_too_few_is_wrong_where_it_is_made() -> None:
    found = failure(labelled, torch.tensor([1, 2]))
    assert found.root is not None
    assert found.root.place.statement == "self.table = nn.Embedding(classes, 4)"


class Series(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(1, 8, batch_first=True)

    def forward(self, history: Tensor) -> Tensor:
        return self.rnn(history)[0]


def test_one_feature_that_has_no_dimension_is_the_inputs() -> None:
    found = failure(Series, torch.ones(5, 30))
    assert found.root is not None
    assert found.root.kind == "input"


class Sampled(nn.Module):
    def aggregate(self, x: Tensor, at: Tensor) -> Tensor:
        return x.new_zeros(int(at.max()) + 1, x.size(1)).index_add(0, at, x)

    def forward(self, x: Tensor, at: Tensor) -> Tensor:
        near = self.aggregate(x, at)
        return near + x


def test_what_a_helper_returns_is_a_link() -> None:
    found = failure(Sampled, torch.ones(4, 3), torch.tensor([0, 1, 0, 2]))
    place = next(link for link in found.chain if link.place.function == "Sampled.aggregate")
    assert place.place.statement.startswith("return x.new_zeros")


class Turned(nn.Module):
    def order(self, skips: list[Tensor]) -> list[Tensor]:
        return skips

    def join(self, x: Tensor, skip: Tensor) -> Tensor:
        return torch.cat([x, skip], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for _ in range(2):
            skips.append(x)
            x = F.max_pool2d(x, 2)
        for skip in self.order(skips):
            x = self.join(F.interpolate(x, scale_factor=2.0), skip)
        return x


def test_a_helper_that_hands_a_list_on_is_a_link() -> None:
    found = failure(Turned, torch.ones(1, 2, 8, 8))
    assert "return skips" in statements(found)


def _planned(side: int, other: int) -> int:
    return (side + 1) // other


class Oblong(nn.Module):
    """Both sides of the grid are planned with the same helper, one of them from the wrong size."""

    def __init__(self, tall: int, wide: int) -> None:
        super().__init__()
        self.cut = nn.Conv2d(3, 7, 4, 4)
        down = _planned(tall, 4)
        along = _planned(tall, 4)
        self.read = nn.Linear(7 * down * along, 5)

    def forward(self, picture: Tensor) -> Tensor:
        return self.read(self.cut(picture).flatten(1))


def test_a_helper_that_is_right_for_one_number_is_not_where_another_parts() -> None:
    found = failure(lambda: Oblong(24, 40), torch.rand(2, 3, 24, 40))
    places = [h.parting.place.statement for h in found.histories if h.parting is not None]
    assert "along = _planned(tall, 4)" in places or "down = _planned(tall, 4)" in places
    assert "return (side + 1) // other" not in places


def _angles(when: Tensor) -> Tensor:
    rates = torch.arange(1, 5, device=when.device)
    return torch.cat([(when[:, None] * rates).sin(), (when[:, None] * rates).cos()], 1)


class Halved(nn.Module):
    """A layer gives half of what is then taken in two; what it is given has no part in that."""

    def __init__(self, width: int = 10) -> None:
        super().__init__()
        self.body = nn.Linear(6, width)
        self.when = nn.Linear(8, width)

    def forward(self, x: Tensor, when: Tensor) -> Tensor:
        y = self.body(x)
        gain, bias = self.when(_angles(when)).chunk(2, 1)
        return y * gain + bias


def test_what_a_layer_is_given_has_no_part_in_the_size_that_it_gives() -> None:
    found = failure(Halved, torch.rand(3, 6), torch.rand(3))
    statements = [link.place.statement for link in found.chain]
    assert "self.when = nn.Linear(8, width)" in statements
    assert not any(text.startswith("return torch.cat") for text in statements)


class Towered(nn.Module):
    """A helper builds the layers; what it returns is no tensor that was handed over."""

    def __init__(self, plain: int = 9) -> None:
        super().__init__()
        self.eye = _tower(plain, 12)
        self.judge = _tower(plain + 4, 12)

    def forward(self, x: Tensor, act: Tensor) -> Tensor:
        seen = self.eye(x)
        return self.judge(torch.cat([seen, act], dim=1))


def _tower(into: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(into, out), nn.Tanh())


def test_a_helper_that_builds_layers_hands_no_size_over() -> None:
    found = failure(Towered, torch.rand(2, 9), torch.rand(2, 4))
    handed = [link.place.statement for link in found.chain if link.kind == "call"]
    assert not any(text.startswith("return nn.Sequential") for text in handed)
