"""What goes wrong outside any forward, and what is read from the frames that still hold it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import tracer
from tests.together import together
from tracer.document import Failure, Fix


def failed(function: Callable[[], Any], kind: str, mend: bool = False) -> Failure:
    explaining = tracer.explain(mend=mend)
    with pytest.raises(Exception) as raised, explaining:  # noqa: PT011
        function()
    assert explaining.trace is not None, raised.value
    failure = explaining.trace.failure
    assert failure is not None
    assert failure.violation is not None
    assert failure.violation.kind == kind
    return failure


def written(fix: Fix) -> list[str]:
    return [edit.replacement for edit in fix.edits]


# --- checkpoints ----------------------------------------------------------------------------------


@dataclass
class Config:
    width: int = 32
    depth: int = 2
    classes: int = 10


class Tower(nn.Module):
    def __init__(self, width: int = 32, depth: int = 2, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x).relu()
        return self.head(F.adaptive_avg_pool2d(self.norm(x), 2).flatten(1))


class FromConfig(Tower):
    def __init__(self, config: Config) -> None:
        super().__init__(config.width, config.depth, config.classes)


def test_one_argument_explains_all_mismatches() -> None:
    saved = Tower(width=48).state_dict()

    def load() -> None:
        model = Tower(width=32, classes=10)
        model.load_state_dict(saved)

    failure = failed(load, "checkpoint", mend=True)
    assert "in 5 layers" in failure.rule
    assert "Tower is built with width = 32, and was saved with width = 48." in failure.reason
    assert "head (nn.Linear) was saved" not in failure.reason  # the fifth of them
    (fix,) = failure.fixes
    assert written(fix) == ["48"]
    assert fix.verified


def test_an_argument_left_to_its_default_is_written_where_the_model_is_built() -> None:
    saved = Tower(depth=5).state_dict()

    def load() -> None:
        model = Tower()
        model.load_state_dict(saved)

    failure = failed(load, "checkpoint", mend=True)
    assert failure.violation is not None
    assert failure.fixes == () or written(failure.fixes[0]) == ["depth=5"]


def test_a_number_in_a_config_explains_them_too() -> None:
    saved = FromConfig(Config(width=24)).state_dict()

    def load() -> None:
        FromConfig(Config()).load_state_dict(saved)

    failure = failed(load, "checkpoint")
    assert "config.width = 32, and was saved with config.width = 24" in failure.reason


class Positions(nn.Module):
    def __init__(self, config: dict[str, int]) -> None:
        super().__init__()
        patches = (config["image"] // config["patch"]) ** 2
        self.embed = nn.Conv2d(3, config["dim"], config["patch"], config["patch"])
        self.position = nn.Parameter(torch.zeros(1, patches + 1, config["dim"]))


def test_a_number_that_a_size_grows_with_in_another_way_is_searched() -> None:
    config = {"image": 224, "patch": 16, "dim": 64}
    saved = Positions({**config, "image": 192}).state_dict()

    def load() -> None:
        Positions(config).load_state_dict(saved)

    failure = failed(load, "checkpoint")
    assert "position was saved as (1, 145, 64) and is (1, 197, 64) here." in failure.reason
    assert "config.image = 224, and was saved with config.image = 192" in failure.reason


def test_two_numbers_of_a_compiled_model_under_its_own_names() -> None:
    saved = torch.compile(Tower(width=16, classes=5), backend="eager").state_dict()

    def load() -> None:
        model = torch.compile(Tower(width=32, classes=10), backend="eager")
        model.load_state_dict(saved)

    failure = failed(load, "checkpoint", mend=True)
    assert "in 5 layers: stem, layers.0, layers.1 and norm" in failure.rule
    assert (
        "2 numbers explain all of it: Tower is built with width = 32 and classes = 10, and was "
        "saved with width = 16 and classes = 5."
    ) in failure.reason
    assert sorted(written(failure.fixes[0])) == ["16", "5"]


def test_a_replaced_head_is_left_out() -> None:
    saved = Tower(classes=1000).state_dict()
    model = Tower(classes=7)

    def load() -> None:
        model.load_state_dict(saved)

    failure = failed(load, "checkpoint", mend=True)
    assert "head (nn.Linear) was saved with out_features = 1000 and is built with 7" in (
        failure.reason
    )
    assert "Only the last layer differs, head" in failure.reason
    fix = failure.fixes[0]
    assert fix.verified
    assert any("not key.startswith('head.')" in text for text in written(fix))
    assert any("strict=False" in text for text in written(fix))
    assert [(each.note.shape, each.marks) for each in failure.operands[:2]] == [
        ((7, 128), (0,)),
        ((1000, 128), (0,)),
    ]


@together("front", ["module.", "_orig_mod.", "module._orig_mod.", "backbone."])
def test_a_prefix_of_all_keys(front: str) -> None:
    model = Tower()
    saved = {front + key: value for key, value in model.state_dict().items()}
    failure = failed(lambda: model.load_state_dict(saved), "checkpoint", mend=True)
    assert f"The checkpoint's keys begin with '{front}'" in failure.rule
    (fix,) = failure.fixes
    assert fix.verified
    assert written(fix) == [
        f"{{key.removeprefix({front!r}): value for key, value in saved.items()}}"
    ]


def test_a_model_that_is_wrapped_and_a_checkpoint_that_is_not() -> None:
    inner = Tower()
    saved, model = inner.state_dict(), nn.DataParallel(inner)
    failure = failed(lambda: model.load_state_dict(saved), "checkpoint", mend=True)
    assert "The model's keys begin with 'module.'" in failure.rule
    assert written(failure.fixes[0]) == [".module"]
    assert failure.fixes[0].verified


def test_weights_beside_an_epoch() -> None:
    model = Tower()
    saved = {"epoch": 3, "state_dict": model.state_dict()}
    failure = failed(lambda: model.load_state_dict(saved), "checkpoint", mend=True)
    assert "holds them under 'state_dict'" in failure.rule
    assert written(failure.fixes[0]) == ["['state_dict']"]
    assert failure.fixes[0].verified


# --- optimizers -----------------------------------------------------------------------------------


def stepped(model: nn.Module, optimizer: torch.optim.Optimizer, width: int = 8) -> None:
    optimizer.zero_grad()
    model(torch.randn(2, width)).sum().backward()
    optimizer.step()


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (torch.optim.Adam, "exp_avg"),
        (torch.optim.AdamW, "exp_avg"),
        (torch.optim.RMSprop, "square_avg"),
    ],
)
def test_a_step_with_the_state_of_another_model(kind: Any, key: str) -> None:
    old, new = nn.Linear(8, 4), nn.Linear(8, 3)
    optimizer = kind(old.parameters())
    stepped(old, optimizer)
    other = kind(new.parameters())
    other.load_state_dict(optimizer.state_dict())
    failure = failed(lambda: stepped(new, other), "optimizer")
    assert failure.rule == (
        f"{kind.__name__} keeps {key} for new.weight as (4, 8), and the parameter is (3, 8) now."
        if "new.weight" in failure.rule
        else f"{kind.__name__} keeps {key} for model.weight as (4, 8), and the parameter is (3, 8) "
        "now."
    )
    assert [each.marks for each in failure.operands] == [(0,), (0,)]


def test_a_resumed_momentum_of_a_replaced_head() -> None:
    model = nn.ModuleDict({"body": nn.Linear(10, 20), "head": nn.Linear(20, 3)})

    def step(optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        model["head"](model["body"](torch.randn(4, 10))).pow(2).mean().backward()
        optimizer.step()

    first = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    step(first)
    model["head"] = nn.Linear(20, 5)
    second = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    second.load_state_dict(first.state_dict())
    failure = failed(lambda: step(second), "optimizer")
    assert failure.rule == (
        "SGD keeps momentum_buffer for model.head.weight as (3, 20), and the parameter is (5, 20) "
        "now."
    )


def test_a_state_with_other_groups() -> None:
    model = nn.Linear(8, 4)
    saved = torch.optim.SGD(model.parameters(), lr=0.1).state_dict()
    groups = [{"params": [model.weight]}, {"params": [model.bias]}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    failure = failed(lambda: optimizer.load_state_dict(saved), "optimizer")
    assert failure.rule == "The saved state is of 1 group, this SGD has 2 groups."
    assert "Group the parameters as they were grouped" in failure.reason


def test_a_state_of_more_parameters() -> None:
    model = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2))
    saved = torch.optim.Adam(model.parameters()).state_dict()
    optimizer = torch.optim.Adam(model[1].parameters())
    failure = failed(lambda: optimizer.load_state_dict(saved), "optimizer")
    assert "of 4 parameters in group 0, this Adam has 2 parameters there" in failure.rule


# --- loaders --------------------------------------------------------------------------------------


class Clips(Dataset[Any]):
    def __init__(self, samples: list[Any]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        return self.samples[index]


def read(samples: list[Any], **options: Any) -> None:
    for batch in DataLoader(Clips(samples), batch_size=4, **options):
        len(batch)


def test_samples_that_differ_are_named_by_their_index_in_the_dataset() -> None:
    samples = [{"x": torch.randn(3, 20 if i == 6 else 16), "y": i} for i in range(8)]
    failure = failed(lambda: read(samples), "collate")
    assert failure.rule == (
        "A batch needs samples of one size at ['x']: dataset[6] differs from the other 3."
    )
    assert "They differ in dimension 1." in failure.reason
    assert "pads dimension 1 to the longest" in failure.reason
    assert [each.note.name for each in failure.operands] == ["dataset[4]['x']", "dataset[6]['x']"]
    assert failure.statement.startswith("for batch in DataLoader")


def test_shuffled_samples_are_named_too() -> None:
    samples = [torch.randn(5 if i == 3 else 4) for i in range(8)]
    failure = failed(lambda: read(samples, shuffle=True), "collate")
    assert "dataset[3] differs from the other 3" in failure.rule


def test_pictures_of_several_sizes_and_channels() -> None:
    sizes = [torch.randn(3, 32, 32 + 8 * (i == 1)) for i in range(4)]
    assert "resize, crop or pad" in failed(lambda: read(sizes), "collate").reason
    grey = [torch.randn(1 if i == 2 else 3, 32, 32) for i in range(4)]
    assert ".convert('RGB')" in failed(lambda: read(grey), "collate").reason


def test_what_is_no_tensor() -> None:
    failure = failed(lambda: read([(1, None if i == 2 else 5) for i in range(4)]), "collate")
    assert "at [1]: dataset[2] differs" in failure.rule
    assert "`__getitem__` gave None there" in failure.reason
    failure = failed(lambda: read([[1] * (1 + (i == 0)) for i in range(4)]), "collate")
    assert "dataset[0] has a list of 2." in failure.reason
    failure = failed(lambda: read([{"a": 1} if i else {"b": 1} for i in range(4)]), "collate")
    assert "dataset[0] has keys 'b'." in failure.reason


def test_a_worker_process_tells_by_its_message_alone() -> None:
    samples = [torch.randn(5 if i == 6 else 4, 3) for i in range(8)]
    failure = failed(lambda: read(samples, num_workers=1), "collate")
    assert failure.rule == "A batch needs samples of one size: dataset[4] and dataset[6] differ."
    assert [each.note.shape for each in failure.operands] == [(4, 3), (5, 3)]
    assert "pad_sequence" in failure.reason


def test_boxes_in_a_collate_function_of_ones_own() -> None:
    def collate(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        images = torch.stack([image for image, _ in items])
        return images, torch.stack([boxes for _, boxes in items])

    samples = [(torch.randn(3, 8, 8), torch.rand(i % 3 + 1, 4)) for i in range(6)]
    failure = failed(lambda: read(samples, collate_fn=collate), "join")
    assert failure.expression == "torch.stack([boxes for _, boxes in items])"
    assert failure.operands[1].note.name == "items[1][1]"


# --- backward -------------------------------------------------------------------------------------


def test_backward_of_many_losses() -> None:
    scores = nn.Linear(4, 3)(torch.randn(5, 4))
    loss = F.cross_entropy(scores, torch.tensor([0, 1, 2, 0, 1]), reduction="none")
    failure = failed(lambda: loss.backward(), "backward", mend=True)
    assert failure.rule == "backward begins at one number: loss (5,) has 5."
    assert "reduction='none'" in failure.reason
    assert written(failure.fixes[0]) == [".mean()"]
    assert failure.fixes[0].verified


def test_backward_of_a_prediction_and_of_an_expression() -> None:
    model = nn.Linear(4, 3)
    failure = failed(lambda: (model(torch.ones(2, 4)) * 2).backward(), "backward", mend=True)
    assert "model(torch.ones(2, 4)) * 2 (2, 3) has 6" in failure.rule
    assert failure.fixes[0].verified


def test_backward_of_weighted_losses_in_a_helper() -> None:
    def train(model: nn.Module, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
        losses = F.mse_loss(model(x), y, reduction="none")
        loss = losses.mean(dim=1) * weights
        loss.backward()
        return loss

    def line() -> None:
        train(nn.Linear(6, 3), torch.randn(4, 6), torch.randn(4, 3), torch.rand(4))

    failure = failed(line, "backward")
    assert failure.rule == "backward begins at one number: loss (4,) has 4."
    assert failure.statement == "loss.backward()"


def test_backward_with_a_gradient_of_another_shape() -> None:
    out = nn.Linear(4, 3)(torch.ones(2, 4))
    failure = failed(lambda: out.backward(torch.ones(3)), "backward")
    assert "backward wants of out (2, 3) a gradient of the same shape: it is given (3,)." in (
        failure.rule
    )


def test_a_gradient_of_a_vector_asked_by_name() -> None:
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    failure = failed(lambda: torch.autograd.grad(y, x), "backward", mend=True)
    assert "(3,) has 3" in failure.rule
    assert any(text == ".mean()" for fix in failure.fixes for text in written(fix))


def test_backward_of_what_has_no_graph() -> None:
    model = nn.Linear(4, 1)
    with torch.no_grad():
        loss = model(torch.ones(2, 4)).mean()
    failure = failed(lambda: loss.backward(), "backward")
    assert "backward finds no way back from loss ()" in failure.rule


def test_a_functional_gradient_of_many() -> None:
    failure = failed(lambda: torch.func.grad(torch.sin)(torch.ones(3)), "backward")
    assert "this one gives (3,)" in failure.rule


# --- transforms and programs ----------------------------------------------------------------------


def test_vmap_over_the_wrong_dimension() -> None:
    rows, columns = torch.randn(5, 4), torch.randn(4, 5)

    def mapped() -> Tensor:
        return torch.vmap(torch.dot)(rows, columns)

    failure = failed(mapped, "mapped", mend=True)
    assert failure.rule == "vmap needs one size in the mapped dimensions: 5 and 4."
    assert failure.fixes[0].verified


def test_vmap_over_what_is_shared() -> None:
    weight, samples = torch.randn(8, 5), torch.randn(3, 5)

    def mapped() -> Tensor:
        return torch.vmap(lambda w, x: w @ x)(weight, samples)

    failure = failed(mapped, "mapped", mend=True)
    assert "With in_dims = (None, 0) it runs, and gives (3, 8)." in failure.reason
    assert written(failure.fixes[0]) == [", in_dims=(None, 0)"]


def test_an_ensemble_whose_samples_are_shared() -> None:
    models = [nn.Linear(8, 2) for _ in range(3)]
    weights, buffers = torch.func.stack_module_state(models)
    samples = torch.randn(5, 4, 8)

    def call(own: dict[str, Tensor], rest: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(models[0], (own, rest), (x,))

    failure = failed(lambda: torch.vmap(call)(weights, buffers, samples), "mapped")
    assert failure.rule == "vmap needs one size in the mapped dimensions: 3 and 5."
    assert "With in_dims = (0, None, None) it runs, and gives (3, 5, 4, 2)." in failure.reason


def test_vmap_over_a_dimension_that_is_not_there() -> None:
    values = torch.randn(3)
    failure = failed(lambda: torch.vmap(torch.sum, in_dims=1)(values), "mapped")
    assert failure.rule == "vmap is to run over dimension 1 of values, which has 1 dimension."


def test_inside_vmap_an_operation_is_explained_by_the_table() -> None:
    left, right = torch.randn(3, 4), torch.randn(3, 5)
    failure = failed(lambda: torch.vmap(lambda a, b: a @ b)(left, right), "matmul")
    assert [each.note.shape for each in failure.operands] == [(4,), (5,)]


class Scorer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = 2
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return self.fc(flat) * self.scale


def test_a_scripted_module_has_its_own_names() -> None:
    model = torch.jit.script(Scorer())
    failure = failed(lambda: model(torch.randn(2, 3, 5)), "width")
    assert failure.module == "fc"
    assert failure.expression == "self.fc(flat)"
    assert failure.operands[0].note.shape == (2, 15)


def product(a: Tensor, b: Tensor) -> Tensor:
    doubled = a * 2
    return doubled @ b


def test_a_scripted_function_is_followed_into_its_lines() -> None:
    scripted = torch.jit.script(product)
    left, right = torch.randn(2, 3), torch.randn(2, 3)
    failure = failed(lambda: scripted(left, right), "matmul", mend=True)
    assert failure.expression == "doubled @ b"
    assert failure.fixes[0].verified


def test_a_traced_module_names_its_line() -> None:
    model = torch.jit.trace(Scorer(), torch.randn(2, 4, 4))
    failure = failed(lambda: model(torch.randn(2, 3, 5)), "other")
    assert failure.statement == "return self.fc(flat) * self.scale"
    assert "mat1 and mat2 shapes cannot be multiplied" in failure.rule


def test_a_compiled_module_has_its_own_names() -> None:
    model = torch.compile(Scorer(), backend="eager")
    failure = failed(lambda: model(torch.randn(2, 3, 5)), "width")
    assert failure.module == "fc"
    assert failure.rule.startswith("fc needs the last size of its input to be 16")


def distance(a: Tensor, b: Tensor) -> Tensor:
    scaled = a / a.norm()
    return (scaled - b).pow(2).mean()


def test_a_compiled_loss_is_followed_into_its_lines() -> None:
    compiled = torch.compile(distance, backend="eager")
    model, target = Scorer(), torch.randn(2, 7)

    def line() -> Tensor:
        scores = model(torch.randn(2, 16))
        return compiled(scores, target)

    failure = failed(line, "broadcast")
    assert failure.expression == "scaled - b"
    assert [each.note.shape for each in failure.operands] == [(2, 10), (2, 7)]


def test_an_exported_program_says_which_size_it_is_for() -> None:
    program = torch.export.export(Scorer(), (torch.randn(2, 4, 4),)).module()
    failure = failed(lambda: program(torch.randn(3, 4, 4)), "exported")
    assert failure.rule == (
        "The exported program takes x with 2 in dimension 0: it is given (3, 4, 4)."
    )
    assert "dynamic_shapes={'x': {0: torch.export.Dim.AUTO}}" in failure.reason
    assert failure.file == __file__


# --- patterns -------------------------------------------------------------------------------------


@pytest.fixture
def einops() -> Any:
    return pytest.importorskip("einops")


def test_a_pattern_that_does_not_divide(einops: Any) -> None:
    x = torch.randn(2, 10, 4)
    failure = failed(lambda: einops.rearrange(x, "b (h d) c -> b h d c", h=3), "pattern")
    assert failure.rule == (
        "'b (h d) c -> b h d c' takes dimension 1 of x apart as (h d): 10 is no multiple of 3, "
        "with h = 3."
    )
    assert "h may be 1, 2, 5 and 10; or the dimension is padded to 12 or cut to 9." in (
        failure.reason
    )
    assert failure.operands[0].marks == (1,)


@pytest.mark.parametrize(
    ("shape", "pattern", "sizes", "words"),
    [
        ((2, 3, 8), "b c h w -> b (h w) c", {}, "names 4 dimensions: x (2, 3, 8) has 3"),
        ((2, 12), "b (h w) -> b h w", {}, "cannot tell h and w apart: dimension 1 of x is 12"),
        ((2, 12), "b (h w) -> b h w", {"h": 3, "w": 5}, "as (h w), which is 15: it is 12"),
        ((2, 12), "b c -> b d", {}, "has c and d on one side alone"),
        ((2, 12), "b c -> c b", {"h": 3}, "has no axis h, for which 3 is given"),
        ((2, 12), "b b -> b", {}, "names b twice on one side"),
        ((2, 12), "b (c -> c b", {}, "is no pattern"),
        ((2, 3, 9), "b ... (p q) -> b ... p q", {"p": 2}, "dimension 2 of x apart as (p q): 9"),
    ],
)
def test_what_a_pattern_says_of_its_tensor(
    einops: Any, shape: tuple[int, ...], pattern: str, sizes: dict[str, int], words: str
) -> None:
    x = torch.randn(shape)
    assert words in failed(lambda: einops.rearrange(x, pattern, **sizes), "pattern").rule


def test_a_pattern_in_a_forward_has_operands_of_the_run(einops: Any) -> None:
    class Patches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x[:, :, :15]
            return einops.rearrange(y, "b c (h p) w -> b h (p w c)", p=4)

    failure = failed(lambda: Patches()(torch.randn(2, 3, 16, 16)), "pattern")
    assert failure.operands[0].expression == "x[:, :, :15]"
    assert failure.operands[0].marks == (2,)
    assert "apart as (h p): 15 is no multiple of 4" in failure.rule


def test_a_repeat_without_its_size(einops: Any) -> None:
    x = torch.randn(2, 3)
    failure = failed(lambda: einops.repeat(x, "b c -> b c n"), "pattern")
    assert failure.rule == "'b c -> b c n' adds n, whose size is not given."


def test_a_layer_of_einops_in_a_sequence(einops: Any) -> None:
    layers = pytest.importorskip("einops.layers.torch")
    split = layers.Rearrange("b c (h p) (w q) -> b (h w) (p q c)", p=16, q=16)

    class Embed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Sequential(split, nn.Linear(768, 8))

        def forward(self, x: Tensor) -> Tensor:
            return self.patches(x)

    failure = failed(lambda: Embed()(torch.randn(2, 3, 100, 96)), "pattern")
    assert "takes dimension 2 of x apart as (h p): 100 is no multiple of 16" in failure.rule
    assert failure.operands[0].marks == (2,)


def test_einsum_of_einops_is_explained_as_torchs(einops: Any) -> None:
    a, b = torch.randn(2, 3), torch.randn(4, 5)
    failure = failed(lambda: einops.einsum(a, b, "i j, j k -> i k"), "einsum")
    assert [each.marks for each in failure.operands] == [(1,), (0,)]


# --- processes ------------------------------------------------------------------------------------


@pytest.fixture
def group() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        store = dist.FileStore(f"{folder}/store", 1)
        dist.init_process_group("gloo", rank=0, world_size=1, store=store)
        yield
        dist.destroy_process_group()


@pytest.mark.usefixtures("group")
def test_tensors_of_several_shapes_are_not_gathered() -> None:
    scores = torch.randn(3, 10)
    failure = failed(lambda: dist.all_gather([torch.empty(4, 10)], scores), "processes")
    assert failure.rule == "all_gather needs tensors of the shapes that it exchanges."
    assert "scores is (3, 10)." in failure.reason
    assert "Pad to the longest first" in failure.reason


@pytest.mark.usefixtures("group")
def test_a_list_that_is_too_short_and_other_dtypes() -> None:
    scores = torch.randn(3, 10)
    failure = failed(lambda: dist.all_gather([], scores), "processes")
    assert "one tensor for each of the 1 processes: its list has 0" in failure.rule
    double = [torch.empty(3, 10, dtype=torch.float64)]
    failure = failed(lambda: dist.all_gather(double, scores), "processes")
    assert "scores is float32." in failure.reason


@pytest.mark.usefixtures("group")
def test_what_is_scattered_fits_its_place() -> None:
    parts = [torch.randn(2)]
    failure = failed(lambda: dist.scatter(torch.empty(3), parts), "processes")
    assert failure.rule == "scatter needs tensors of the shapes that it exchanges."


@pytest.mark.usefixtures("group")
@pytest.mark.filterwarnings("ignore")
def test_a_tensor_for_all_parts_and_one_for_each() -> None:
    scores, gathered = torch.randn(3, 10), torch.empty(4, 10)
    failure = failed(lambda: dist.all_gather_into_tensor(gathered, scores), "processes")
    assert "scores is (3, 10)." in failure.reason
    assert "its first size is that of the small one times the number of processes" in failure.reason
    failure = failed(lambda: dist.all_to_all_single(gathered, scores), "processes")
    assert "As many elements go out as come in." in failure.reason
