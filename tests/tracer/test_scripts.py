"""What goes wrong outside any module: the line of a script is run again with those that led to it,
so that its operands have a history and its mistakes fixes."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tracer
from tests.together import together
from tracer.document import Failure
from tracer.explaining import HEADING
from tracer.record.scripts import Effects


class Classifier(nn.Module):
    def __init__(self, width: int = 32, classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, width), nn.ReLU())
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class Overlap(nn.Module):
    """A loss of one's own, without parameters."""

    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        shares = scores.sigmoid()
        return 1 - (shares * target).sum() / (shares + target).sum()


class Trainer:
    def __init__(self, model: nn.Module, criterion: nn.Module) -> None:
        self.model = model
        self.criterion = criterion
        self.steps = 0

    def step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        out = self.model(x)
        loss: Tensor = self.criterion(out, y)
        self.steps += 1
        return loss

    def fit(self, loader: list[tuple[Tensor, Tensor]]) -> None:
        for batch in loader:
            self.step(batch).backward()
            self.steps += 100


def failed(function: Callable[[], Any], mend: bool = False) -> Failure:
    with (
        pytest.raises(Exception) as raised,  # noqa: PT011
        tracer.explain(mend=mend) as explaining,
    ):
        function()
    assert explaining.trace is not None
    assert explaining.trace.failure is not None
    assert raised.value.__notes__[0].startswith(HEADING)
    return explaining.trace.failure


def operands(failure: Failure) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    return [(each.expression, each.note.shape, each.marks) for each in failure.operands]


def squares() -> None:
    model = Classifier(classes=7)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for number in range(3):
        x, y = torch.randn(4, 16), torch.randn(4, 10)
        optimizer.zero_grad()
        pred = model(x)
        print("step", number)
        loss = ((pred - y) ** 2).mean()
        loss.backward()
        optimizer.step()


def test_a_loss_is_followed_into_the_model_over_several_statements() -> None:
    failure = failed(squares, mend=True)
    assert failure.expression == "pred - y"
    assert operands(failure) == [
        ("self.head(self.body(x))", (4, 7), (1,)),
        ("torch.randn(4, 10)", (4, 10), (1,)),
    ]
    assert any("model.head" in fix.summary and fix.verified for fix in failure.fixes)


def masks_of_one_channel() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 5, 1))
    images, masks = torch.randn(2, 3, 16, 16), torch.randint(0, 5, (2, 1, 16, 16))
    with torch.no_grad():
        logits = model(images)
        loss = F.cross_entropy(logits, masks)
    loss.backward()


def test_a_file_that_was_written_a_moment_ago_has_its_source(tmp_path: Path) -> None:
    """It is newer than this process, and its statements are run again cut out of it."""
    file = tmp_path / "just_written.py"
    file.write_text(
        "import torch\n"
        "import torch.nn.functional as F\n"
        "def step():\n"
        "    x, y = torch.randn(8, 3), torch.zeros(8, 1, dtype=torch.long)\n"
        "    return F.cross_entropy(x, y)\n"
    )
    scope: dict[str, Any] = {"__name__": "just_written"}
    exec(compile(file.read_text(), str(file), "exec"), scope)
    failure = failed(scope["step"])
    assert failure.expression == "F.cross_entropy(x, y)"
    assert operands(failure)[1] == ("torch.zeros(8, 1, dtype=torch.long)", (8, 1), (0, 1))


def test_a_target_gets_its_fix_in_the_line_of_the_script() -> None:
    failure = failed(masks_of_one_channel, mend=True)
    assert failure.violation is not None
    assert failure.violation.kind == "target"
    assert failure.fixes[0].verified
    (edit,) = failure.fixes[0].edits
    assert edit.file == __file__
    assert edit.replacement == ".squeeze(1)"


def test_a_trainer_whose_loss_is_a_module_is_run_from_the_model_on() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 3))
    trainer = Trainer(model, Overlap())
    failure = failed(lambda: trainer.fit([(torch.randn(2, 1, 16, 16), torch.rand(2, 1, 16, 16))]))
    assert trainer.steps == 0
    assert failure.expression == "shares * target"
    assert failure.module == "criterion"
    assert failure.root is not None
    assert failure.root.expression == "self.model(x)"
    assert failure.root.module == "model.2"


def similarity(left: Tensor, right: Tensor) -> Tensor:
    scores = left @ right / 0.1
    return F.cross_entropy(scores, torch.arange(len(left)))


def two_towers() -> None:
    image, text = Classifier(classes=64), Classifier(classes=64)
    loss = similarity(image(torch.randn(8, 16)), text(torch.randn(8, 16)))
    loss.backward()


def test_a_helper_is_run_with_what_its_caller_computes() -> None:
    failure = failed(two_towers, mend=True)
    assert failure.expression == "left @ right"
    assert [each.expression for each in failure.operands] == ["self.head(self.body(x))"] * 2
    assert failure.fixes[0].verified
    assert any(".T" in edit.replacement for edit in failure.fixes[0].edits)


def metric_over_batches() -> None:
    model = Classifier()
    seen = []
    for size in (4, 3):
        scores = model(torch.randn(size, 16))
        seen.append(scores.softmax(1))
    torch.stack(seen)


def test_a_metric_over_what_a_loop_gathered() -> None:
    failure = failed(metric_over_batches)
    assert failure.violation is not None
    assert failure.violation.kind == "join"
    assert [shape for _, shape, _ in operands(failure)] == [(4, 10), (3, 10)]


def changed_since() -> None:
    model = Classifier()
    x = torch.randn(4, 16)
    scores = model(x)
    x = scores.new_zeros(4, 3)
    total = scores + x
    total.sum()


def test_a_name_that_was_written_since_has_its_own_value_at_each_place() -> None:
    failure = failed(changed_since)
    assert operands(failure) == [
        ("self.head(self.body(x))", (4, 10), (1,)),
        ("scores.new_zeros(4, 3)", (4, 3), (1,)),
    ]


def counted_once() -> None:
    model, calls = Classifier(), [0]

    def asked(x: Tensor) -> Tensor:
        calls[0] += 1
        return model(x)

    scores = asked(torch.randn(4, 16))
    try:
        scores @ scores
    finally:
        assert calls == [1]


def test_what_more_than_computes_is_not_run_again() -> None:
    failure = failed(counted_once)
    assert failure.expression == "scores @ scores"


class Steps(nn.Module):
    """Everything in one module, and the loss outside its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Classifier(classes=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: dict[str, Tensor]) -> Tensor:
        scores = self(batch["x"])
        return F.binary_cross_entropy_with_logits(scores, batch["y"])


def test_a_step_that_is_a_method_of_the_module() -> None:
    batch = {"x": torch.randn(8, 16), "y": torch.randint(0, 2, (8,)).float()}
    failure = failed(lambda: Steps().training_step(batch), mend=True)
    assert failure.violation is not None
    assert failure.violation.kind == "target"
    assert failure.operands[0].expression == "self.head(self.body(x))"
    assert failure.fixes
    assert failure.fixes[0].verified


def adversarial() -> None:
    made = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 784))
    judge = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 1), nn.Sigmoid())
    criterion = nn.BCELoss()
    for real in [torch.rand(16, 1, 28, 28)]:
        count = real.size(0)
        ones = torch.ones(count)
        real = real.view(count, -1)
        fake = made(torch.randn(count, 32))
        loss = criterion(judge(real), ones) + judge(fake.detach()).mean()
        loss.backward()


def test_what_cannot_be_made_again_does_not_hide_what_can() -> None:
    """`real` is gone, as a loop gave it; `ones` is made again all the same."""
    failure = failed(adversarial)
    assert [each.expression for each in failure.operands] == ["judge(real)", "torch.ones(count)"]
    assert torch.is_grad_enabled(), "what is tried changes nothing for who goes on"


def returns(rewards: list[float]) -> Tensor:
    found, running = [], 0.0
    for reward in reversed(rewards):
        running = reward + 0.9 * running
        found.insert(0, running)
    return torch.tensor(found)


def advantages() -> None:
    critic = nn.Linear(8, 1)
    states, rewards = torch.randn(20, 8), [1.0] * 19
    values = critic(states).squeeze(-1)
    gained = returns(rewards)
    (gained - values).mean().backward()


def test_a_helper_may_fill_a_list_of_its_own() -> None:
    failure = failed(advantages)
    assert [each.expression for each in failure.operands] == [
        "torch.tensor(found)",
        "critic(states).squeeze(-1)",
    ]


def two_encoders() -> None:
    query, key = Classifier(classes=128), Classifier(classes=64)
    x = torch.randn(8, 16)
    q = F.normalize(query(x), dim=1)
    with torch.no_grad():
        k = F.normalize(key(x), dim=1)
    (q * k).sum(1)


def test_what_a_context_makes_is_made_again_in_it() -> None:
    failure = failed(two_encoders)
    assert [each.expression for each in failure.operands] == [
        "F.normalize(query(x), dim=1)",
        "F.normalize(key(x), dim=1)",
    ]


class Segmenter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).relu())


def overlap(shares: Tensor, target: Tensor) -> Tensor:
    both = (shares * target).sum(dim=(2, 3))
    return both.mean()


@torch.no_grad()
def evaluated(model: nn.Module, loader: list[tuple[Tensor, Tensor]]) -> list[float]:
    scores = []
    for images, masks in loader:
        shares = model(images).softmax(dim=1)
        scores.append(overlap(shares, masks).item())
    return scores


def test_an_input_of_a_line_was_given_by_the_loop() -> None:
    loader = [(torch.randn(2, 3, 32, 32), torch.randint(0, 4, (2, 32, 32)))]
    failure = failed(lambda: evaluated(Segmenter(), loader))
    assert failure.expression == "shares * target"
    assert failure.root is not None
    assert failure.root.place.statement == "for images, masks in loader:"


def test_a_closure_that_counts_is_not_run_again() -> None:
    calls = {"n": 0}

    def asked(x: Tensor) -> Tensor:
        calls["n"] += 1
        return x.relu()

    def line() -> Tensor:
        return asked(torch.ones(2, 3)) @ torch.ones(2, 3)

    with pytest.raises(RuntimeError), tracer.explain():
        line()
    assert calls == {"n": 1}


class Loss:
    """A criterion that is no module, in bfloat16 under autocast."""

    def __call__(self, out: dict[str, Tensor], boxes: Tensor) -> Tensor:
        return F.smooth_l1_loss(out["boxes"], boxes)


def test_a_criterion_that_is_called_under_autocast() -> None:
    model, criterion = nn.Linear(16, 12), Loss()

    def line() -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            flat = model(torch.randn(2, 5, 16))
            out = {"boxes": flat.reshape(2, -1, 4)}
            return criterion(out, torch.randn(2, 45, 4))

    failure = failed(line)
    assert failure.operands[0].note.dtype == "bfloat16"
    assert failure.operands[0].expression == "flat.reshape(2, -1, 4)"


@together(
    ("code", "again"),
    [
        ("torch.stack([x, x]).mean()", True),
        ("numpy.stack([x, x])", True),
        ("[F.relu(each) for each in (x, x)]", True),
        ("nn.MSELoss()(x, x)", True),
        ("torch.save(x, 'x.pt')", False),
        ("torch.load('x.pt')", False),
        ("numpy.save('x.npy', x)", False),
        ("torch.hub.load('a', 'b')", False),
        ("torch.distributed.barrier()", False),
        ("x.backward()", False),
        ("open('x.txt').read()", False),
        ("Path('x').unlink()", False),
        ("print(x) or x", True),
    ],
)
def test_what_may_run_a_second_time(code: str, again: bool) -> None:
    names = {"torch": torch, "numpy": numpy, "nn": nn, "F": F, "Path": Path, "x": torch.ones(2)}
    assert Effects(names, {}).computes(ast.parse(code, mode="eval").body) is again
