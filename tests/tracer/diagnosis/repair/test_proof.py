"""A repair is called verified only if it behaves as one: each check where it fails and where it
holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from tests.cells import run_cell
from tests.together import together
from tests.tracer.diagnosis.repair.editing import bench_of, program, proven
from tracer.diagnosis.repair.failing import failing_of
from tracer.diagnosis.repair.proof import CHECKS, WEAK, Proof, prove
from tracer.diagnosis.repair.samples import batch_axes


@dataclass(frozen=True)
class Kind:
    """A broken model; `right` and `wrong` give way to `old`, and the wrong one fails `check`."""

    check: str
    source: str
    inputs: str
    old: str
    right: str
    wrong: str
    constructs: bool = False


NO_FIVES = """
class Net(nn.Module):
    def forward(self, x):
        return x.view(5, 5).relu()
"""

KINDS = {
    "a literal for the batch": Kind(
        "batches",
        NO_FIVES,
        "torch.randn(4, 6)",
        "x.view(5, 5)",
        "x.view(x.size(0), 6)",
        "x.view(4, 6)",
    ),
    "a literal for the batch, and values that decide behind it": Kind(
        "batches",
        """
        class Net(nn.Module):
            def forward(self, x):
                y = x.view(5, 5).relu()
                return y * 2 if y.max().item() > 1 else y
        """,
        "torch.randn(4, 6)",
        "x.view(5, 5)",
        "x.view(x.size(0), 6)",
        "x.view(4, 6)",
    ),
    "columns thrown away where the model keeps them": Kind(
        "sizes",
        """
        class Net(nn.Module):
            def forward(self, x):
                return x.unflatten(3, (-1, 2)).flip(4).flatten(3)
        """,
        "torch.randn(4, 3, 6, 7)",
        "x.unflatten(3, (-1, 2)).flip(4).flatten(3)",
        "F.pad(x, (0, -x.shape[3] % 2)).unflatten(3, (-1, 2)).flip(4).flatten(3)[..., :x.shape[3]]",
        "x[..., 1:].unflatten(3, (-1, 2)).flip(4).flatten(3)",
    ),
    "each entry of the one against every entry of the other": Kind(
        "across",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("anchors", torch.rand(5, 2))

            def forward(self, x):
                return (x.view(len(x), -1, 2)[:, :6] + self.anchors).sum(2)
        """,
        "torch.randn(4, 14)",
        "[:, :6]",
        "[:, 1:6]",
        "[:, :6].unsqueeze(2)",
    ),
    "a step of time that the results keep": Kind(
        "axis",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.gru = nn.GRU(6, 5, batch_first=True)

            def forward(self, x, h):
                return self.gru(x, h)[0].relu()
        """,
        "torch.randn(4, 6), torch.zeros(1, 4, 5)",
        "self.gru(x, h)[0]",
        "self.gru(x.unsqueeze(1), h)[0].squeeze(1)",
        "self.gru(x.unsqueeze(1), h)[0]",
    ),
    "lengths of which only is left whether they are zero": Kind(
        "kinds",
        """
        class Net(nn.Module):
            def forward(self, x, lengths):
                kept = torch.arange(5) < lengths.view(5, 1)
                return x * kept
        """,
        "torch.randn(4, 5), torch.tensor([5, 3, 2, 4])",
        "lengths.view(5, 1)",
        "lengths.unsqueeze(1)",
        "lengths.bool().unsqueeze(1)",
    ),
    "samples thrown away": Kind(
        "batches",
        NO_FIVES,
        "torch.randn(4, 6)",
        "x.view(5, 5)",
        "x",
        "x[:3]",
    ),
    "half a sample made a sample": Kind(
        "batches",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(100, 5)
                self.pool = nn.AdaptiveAvgPool2d((5, 5))

            def forward(self, x):
                h = self.pool(self.conv(x))
                return self.fc(h.flatten(1))
        """,
        "torch.randn(4, 3, 9, 9)",
        "self.fc(h.flatten(1))",
        "self.fc(h.flatten(1).unflatten(1, (2, -1)).mean(1))",
        "self.fc(h.reshape(-1, 100))",
    ),
    "a literal for the length": Kind(
        "sizes",
        """
        class Net(nn.Module):
            def forward(self, x):
                y = x.relu()
                return y.view(y.size(0), 7, 2, 3).mean(1)
        """,
        "torch.randn(4, 8, 6)",
        "y.view(y.size(0), 7, 2, 3)",
        "y.view(y.size(0), y.size(1), 2, 3)",
        "y.view(y.size(0), 8, 2, 3)",
    ),
    "a literal for the height": Kind(
        "sizes",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 4)

            def forward(self, x):
                h = self.conv(x)
                return self.fc(h.flatten(2))
        """,
        "torch.randn(2, 3, 10, 12)",
        "self.fc(h.flatten(2))",
        "self.fc(h.mean((2, 3)))",
        "self.fc(h.view(-1, 8, 10, 12).mean((2, 3)))",
    ),
    "a softmax over the batch": Kind(
        "independent",
        """
        class Net(nn.Module):
            def forward(self, x):
                return (x @ x.T).view(5, 6)
        """.replace("(x @ x.T)", "x.exp()"),
        "torch.randn(4, 6)",
        "x.exp().view(5, 6)",
        "x.softmax(1)",
        "x.softmax(0)",
    ),
    "a column against a row": Kind(
        "independent",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(6, 1)

            def forward(self, x, wanted):
                return (self.fc(x).view(5, 5) - wanted).square().mean()
        """,
        "torch.randn(4, 6), torch.randn(4)",
        "self.fc(x).view(5, 5)",
        "self.fc(x).squeeze(1)",
        "self.fc(x)",
    ),
    "samples that are left out of a sum": Kind(
        "independent",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(6, 5)

            def forward(self, x, action):
                return self.fc(x).gather(1, action).mean()
        """,
        "torch.randn(4, 6), torch.tensor([0, 3, 2, 4])",
        "gather(1, action)",
        "gather(1, action.unsqueeze(1))",
        "gather(1, action.unsqueeze(0))",
    ),
    "samples that are numbered": Kind(
        "permuted",
        NO_FIVES,
        "torch.randn(4, 6)",
        "x.view(5, 5)",
        "x + torch.arange(x.size(1))",
        "x + torch.arange(x.size(0))[:, None]",
    ),
    "a layer that learns no longer": Kind(
        "gradients",
        """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.out = nn.Linear(6, 8), nn.Linear(6, 4), nn.Linear(8, 2)

            def forward(self, x):
                h = self.a(x)
                gate = self.b(x)
                return self.out(h * gate)
        """,
        "torch.randn(5, 6)",
        "h * gate",
        "h * gate.repeat(1, 2)",
        "h * gate.repeat(1, 2).detach()",
    ),
    "a skip that is not joined": Kind(
        "used",
        """
        class Net(nn.Module):
            def forward(self, x, skip):
                return torch.cat([x, skip], 1)
        """,
        "torch.randn(4, 3, 8), torch.randn(4, 3, 16)",
        "torch.cat([x, skip], 1)",
        "torch.cat([x, skip[..., ::2]], 1)",
        "torch.cat([x, x], 1)",
    ),
    "another call of the same function": Kind(
        "instances",
        """
        def heads(x, h):
            return x.view(x.size(0), 7, h, -1).transpose(1, 2)

        class Net(nn.Module):
            def forward(self, q, k):
                return heads(q, 2) @ heads(k, 2).transpose(-2, -1)
        """,
        "torch.randn(4, 7, 6), torch.randn(4, 9, 6)",
        "x.view(x.size(0), 7, h, -1).transpose(1, 2)",
        "x.view(x.size(0), x.size(1), h, -1).transpose(1, 2)",
        "x.reshape(x.size(0), h, x.size(1), -1)",
    ),
    "class numbers multiplied": Kind(
        "kinds",
        """
        class Net(nn.Module):
            def forward(self, logits, target):
                probs = logits.softmax(1)
                return (probs * target).sum((1, 2, 3))
        """,
        "torch.randn(2, 3, 8, 8), torch.arange(128).view(2, 8, 8) % 3",
        "probs * target",
        "probs * F.one_hot(target, probs.size(1)).permute(0, 3, 1, 2)",
        "probs * target.unsqueeze(1)",
    ),
    "class numbers added up": Kind(
        "kinds",
        """
        class Net(nn.Module):
            def forward(self, logits, target):
                probs = logits.softmax(1)
                return (probs * target).sum((1, 2, 3))
        """,
        "torch.randn(2, 3, 8, 8), torch.arange(128).view(2, 8, 8) % 3",
        "probs * target",
        "probs * F.one_hot(target, probs.size(1)).permute(0, 3, 1, 2)",
        "probs * target.sum(1, keepdim=True).unsqueeze(1)",
    ),
    "a number where a name serves": Kind(
        "literals",
        """
        class Net(nn.Module):
            def forward(self, x):
                b, n, c = x.shape
                return x.relu().view(b, 9, c) + n
        """,
        "torch.randn(4, 7, 6)",
        "x.relu().view(b, 9, c)",
        "x.relu().view(b, n, c)",
        "x.relu().view(b, -1, 6)",
    ),
    "one entry cut off, of lengths that are odd": Kind(
        "larger",
        """
        class Net(nn.Module):
            def forward(self, x):
                return x.unflatten(1, (-1, 2)).sum(2)
        """,
        "torch.randn(4, 7, 3)",
        "x.unflatten(1, (-1, 2))",
        "nn.functional.pad(x, (0, 0, 0, -x.shape[1] % 2)).unflatten(1, (-1, 2))",
        "x[:, 1:].unflatten(1, (-1, 2))",
    ),
    "a number that a config has too": Kind(
        "numbers",
        """
        class Config:
            width = 8
            heads = 2


        class Net(nn.Module):
            def __init__(self, config=Config):
                super().__init__()
                self.fc = nn.Linear(6, config.width)
                self.out = nn.Linear(config.width * config.heads, 3)

            def forward(self, x):
                return self.out(self.fc(x))
        """,
        "torch.randn(4, 6)",
        "nn.Linear(config.width * config.heads, 3)",
        "nn.Linear(config.width, 3)",
        "nn.Linear(8, 3)",
        constructs=True,
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_check_fails_for_what_it_is_there_for_and_holds_for_the_right_edit(name: str) -> None:
    kind = KINDS[name]
    model = run_cell(kind.source)["Net"]()
    torch.default_generator.manual_seed(0)
    inputs: tuple[Any, ...] = eval(f"({kind.inputs},)", {"torch": torch})
    how = {"constructs": True, "build": type(model)} if kind.constructs else {}
    right = proven(model, inputs, kind.old, kind.right, **how)
    assert failed(right) == []
    assert right.verified
    wrong = proven(model, inputs, kind.old, kind.wrong, **how)
    assert right.check(kind.check).passed is not False
    assert wrong.check(kind.check).passed is False
    assert failed(wrong) == [kind.check] * (kind.check not in WEAK)
    assert wrong.verified is (kind.check in WEAK)
    assert all(check.said is not None for check in wrong.failed)


def test_numbers_are_changed_with_the_inputs_that_have_that_size() -> None:
    source = KINDS["a number that a config has too"].source.replace(
        "(6, config", "(config.given, config"
    )
    source = source.replace("heads = 2", "heads = 2\n            given = 6")
    model = run_cell(source)["Net"]()
    bench = bench_of(model, (torch.randn(4, 6),), build=type(model))
    found = failing_of(bench).variants
    assert {each.name for each in found} == {"width", "heads"}  # of which the failure speaks
    assert all(each.before.error is not None for each in found)


def test_what_nothing_was_computed_of_yet_is_not_known_to_be_right() -> None:
    source = """
        def spread(t, x):
            return t.reshape(len(t), *(1,) * (x.dim() - 2))


        class Net(nn.Module):
            def forward(self, x, t):
                keep, blur = spread(t, x), spread(1 - t, x)
                return keep * x + blur
    """
    model = run_cell(source)["Net"]()
    given = torch.randn(4, 3, 5, 5), torch.rand(4)
    assert proven(model, given, "x.dim() - 2", "x.dim() - 1").verified


def test_a_row_that_is_looked_up_is_no_number_of_a_row() -> None:
    source = """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(7, 5)

            def forward(self, x):
                return self.fc(x[torch.arange(len(x))[:, None], x.argsort(1)])
    """
    model = run_cell(source)["Net"]()
    how = {"constructs": True, "build": type(model)}
    proof = proven(model, (torch.randn(4, 6),), "nn.Linear(7, 5)", "nn.Linear(6, 5)", **how)
    assert proof.check("kinds").passed
    assert proof.verified


def failed(proof: Proof) -> list[str]:
    """The checks that failed, those left out that only tell."""
    return [check.name for check in proof.failed if check.name not in WEAK]


def test_every_check_has_a_case() -> None:
    assert {kind.check for kind in KINDS.values()} == set(CHECKS) - {"runs"}


def test_what_does_not_run_is_told_in_its_words() -> None:
    model = run_cell(KINDS["samples thrown away"].source)["Net"]()
    proof = proven(model, (torch.randn(4, 6),), "x.view(5, 5)", "x.view(3, 5)")
    assert [check.name for check in proof.checks] == ["runs"]
    assert not proof.verified
    assert "is invalid for input" in str(proof.failed[0].said)


def test_results_that_are_no_numbers_are_none() -> None:
    model = run_cell(KINDS["samples thrown away"].source)["Net"]()
    proof = proven(model, (torch.randn(4, 6),), "x.view(5, 5)", "(x - x) / (x - x)")
    assert failed(proof) == ["runs"]
    assert "NaN" in str(proof.failed[0].said)


def test_a_proof_that_the_budget_ends_is_not_verified() -> None:
    model = run_cell(KINDS["samples thrown away"].source)["Net"]()
    made = program(model, "x.view(5, 5)", "x")
    spent = []
    for work in (None, 3_000.0):
        bench = bench_of(
            model, (torch.randn(4, 6),), work=None if work is None else spent[0] - work
        )
        proof = prove(bench, made)
        spent.append(bench.budget.total - bench.budget.left)
        assert proof.run.ran
        assert (proof.whole, proof.verified) == (work is None, work is None)


# --- the batch ---------------------------------------------------------------------------------

LSTM = """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.fc = nn.LSTM(6, 5), nn.Linear(9, 2)

        def forward(self, x, lengths):
            y, _ = self.rnn(x)
            return self.fc(y[-1])
"""


def test_the_batch_is_the_size_that_the_inputs_share() -> None:
    model = run_cell(LSTM)["Net"]()
    bench = bench_of(model, (torch.randn(7, 3, 6), torch.tensor([7, 6, 4])), build=type(model))
    batch = failing_of(bench).batches[0]
    assert (batch.size, batch.places) == (3, ((0, 1), (1, 0)))
    proof = prove(bench, program(model, "nn.Linear(9, 2)", "nn.Linear(5, 2)", constructs=True))
    assert proof.verified
    assert proof.check("independent").passed
    mixing = prove(bench, program(model, "self.fc(y[-1])", "y.mean(1).sum(1)"))
    assert failed(mixing) == ["batches"]


def test_a_graph_that_all_samples_share_is_no_batch() -> None:
    """Its nodes are the last dimension of the samples, and the first of the graph alone."""
    x, graph = torch.randn(3, 2, 12, 10), torch.eye(10)
    first = next(batch_axes([x, graph]))
    assert (first.size, first.places) == (3, ((0, 0),))


def test_a_single_input_with_time_first_is_read_so_where_its_layers_do() -> None:
    source = LSTM.replace("x, lengths", "x")
    model = run_cell(source)["Net"]()
    proof = proven(
        model, (torch.randn(7, 3, 6),), "nn.Linear(9, 2)", "nn.Linear(5, 2)",
        constructs=True, build=type(model),
    )  # fmt: skip
    assert proof.verified


def test_the_repair_that_puts_the_batch_first_is_not_taken_for_mixing() -> None:
    model = run_cell("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.rnn = nn.GRU(6, 5)

            def forward(self, x):
                y, h = self.rnn(x)
                return y + h[-1].unsqueeze(1)
    """)["Net"]()
    proof = proven(
        model, (torch.randn(4, 7, 6),), "nn.GRU(6, 5)", "nn.GRU(6, 5, batch_first=True)",
        constructs=True, build=type(model),
    )  # fmt: skip
    assert proof.failed == ()


def test_what_mixes_samples_before_it_fails_may_go_on_mixing_them() -> None:
    model = run_cell("""
        class Net(nn.Module):
            def forward(self, x):
                scores = x @ x.T
                return scores.softmax(1).view(9, 9)
    """)["Net"]()
    proof = proven(model, (torch.randn(4, 6),), ".view(9, 9)", " @ x")
    assert proof.verified
    assert proof.check("independent").passed is None


def test_what_the_outputs_follow_may_be_another_input_than_most_share() -> None:
    """Two inputs have a row for each edge; the output has one for each node."""
    source = """
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.weigh = nn.Linear(3, 8)

            def forward(self, nodes, ends, lengths):
                weights = self.weigh(lengths)
                sent = nodes[ends[:, 0]] * weights
                return torch.zeros_like(nodes).index_add(0, ends[:, 1], sent)
    """
    model = run_cell(source)["Net"]()
    given = torch.randn(7, 2, 4), torch.randint(0, 7, (20, 2)), torch.randn(20, 3)
    proof = proven(model, given, "self.weigh(lengths)", "self.weigh(lengths).view(-1, 2, 4)")
    assert proof.passed, proof.failed
    fixed = proven(model, given, "self.weigh(lengths)", "self.weigh(lengths).view(20, 2, 4)")
    assert not fixed.passed


def test_a_batch_norm_in_training_does_not_mix() -> None:
    model = run_cell("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.bn = nn.BatchNorm1d(6)

            def forward(self, x):
                return self.bn(x.view(5, 6))
    """)["Net"]()
    proof = proven(model, (torch.randn(4, 6),), "x.view(5, 6)", "x")
    assert proof.verified
    assert proof.check("independent").passed
    assert model.training


def test_random_numbers_are_no_reason_to_blame_the_order() -> None:
    model = run_cell("""
        class Net(nn.Module):
            def forward(self, x):
                return F.dropout(x, 0.5).view(5, 6)
    """)["Net"]()
    proof = proven(model, (torch.randn(4, 6),), ".view(5, 6)", ".view(-1, 6)")
    assert proof.verified
    assert proof.check("permuted").passed is None


# --- not looked at while the checks were written -----------------------------------------------


@together(
    ("new", "wrong"),
    [
        ("x.flatten(1)", []),
        ("x.view(-1, 6)", []),
        ("x.flatten(1).cumsum(0)", ["independent"]),
        ("x.permute(1, 2, 0).reshape(x.size(0), -1)", ["independent"]),
        ("(x.flatten(1) - x.mean())", ["independent"]),
        ("x.flatten(1)[:3]", ["batches"]),
        ("x.flatten(0, 1)", []),
        ("x.transpose(0, 1)", []),
        ("x.flatten(1).sum(1)", []),
        ("x.sum()", []),
        ("x.flatten().view(-1, 12)", ["batches"]),
    ],
)
def test_ways_to_flatten(new: str, wrong: list[str]) -> None:
    model = run_cell(KINDS["a literal for the batch"].source)["Net"]()
    proof = proven(model, (torch.randn(4, 2, 3),), "x.view(5, 5)", new)
    assert failed(proof) == wrong


def test_branches_of_one_class() -> None:
    """One branch worked: an edit for the other's sake leaves it alone."""
    model = run_cell("""
        class Branch(nn.Module):
            def __init__(self, cin):
                super().__init__()
                self.fc = nn.Linear(cin, 8)

            def forward(self, x):
                return self.fc(x.mean(1)).view(-1, 8)

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.image, self.text = Branch(6), Branch(6)

            def forward(self, image, text):
                a = self.image(image)
                b = self.text(text)
                return a + b
    """)["Net"]()
    inputs = torch.randn(4, 9, 6), torch.randn(4, 6, 9)
    cut = proven(model, inputs, "x.mean(1)", "x.flatten(1)[:, :6]")
    assert failed(cut) == ["instances"]
    right = proven(model, inputs, "self.text(text)", "self.text(text.transpose(1, 2))")
    assert failed(right) == []


def test_labels_into_a_regression() -> None:
    model = run_cell("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.table, self.fc = nn.Embedding(9, 6), nn.Linear(6, 1)

            def forward(self, x, labels):
                h = self.fc(x + self.table(labels)).expand(-1, 6)
                return h * labels
    """)["Net"]()
    inputs = torch.randn(4, 6), torch.tensor([0, 3, 8, 5])
    cut = proven(model, inputs, "h * labels", "h * labels[:, None]")
    assert failed(cut) == ["kinds"]


def test_a_head_that_is_dropped() -> None:
    model = run_cell("""
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.norm, self.head = nn.Linear(6, 8), nn.LayerNorm(9), nn.Linear(8, 2)

            def forward(self, x):
                return self.head(self.norm(self.body(x)))
    """)["Net"]()
    inputs = (torch.randn(4, 6),)
    dropped = proven(model, inputs, "self.norm(self.body(x))", "self.body(x)")
    assert failed(dropped) == ["gradients"]
    built = proven(
        model, inputs, "nn.LayerNorm(9)", "nn.LayerNorm(8)", constructs=True, build=type(model)
    )
    assert built.verified
