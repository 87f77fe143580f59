"""Where the wrong size was born: a step, an argument in `__init__`, the caller, the input, or
nowhere but the failing expression."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.cells import run_cell
from tests.together import together
from tracer import trace
from tracer.diagnosis.roots import root
from tracer.diagnosis.rules import explain
from tracer.document import Root
from tracer.record.run import record


def of(*sizes: int) -> Tensor:
    return torch.randn(*sizes)


def root_of(model: nn.Module, *args: Any) -> Root | None:
    """The root alone, without the search for fixes."""
    crash = record(model, args, {}).crash
    assert crash is not None
    assert crash.trace.failure is not None
    return root(crash, explain(crash), crash.trace.failure)


def check(source: str, args: tuple[Any, ...], kind: str, text: str, *why: str) -> Root:
    """The root of `Net()(*args)`: `text` is its expression, and says its line."""
    cell = run_cell(source)
    found = root_of(cell["Net"](), *args)
    assert found is not None
    assert (found.kind, found.expression) == (kind, text), found
    lines = [line for line in _dedented(source) if text in line]
    if kind != "input":
        assert _dedented(source)[found.line - 1] in lines
    for word in why:
        assert word in found.why, found.why
    assert found.why.endswith(".")
    return found


def _dedented(source: str) -> list[str]:
    import textwrap

    return textwrap.dedent(source).strip("\n").split("\n")


LENET = """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 6, 5)
            self.conv2 = nn.Conv2d(6, 16, 5)
            self.fc1 = nn.Linear(400, 120)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv1(x)), 2)
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = {flatten}
            return self.fc1(x)
"""


class TestOneSizeAgainstALayer:
    def test_a_linear_layer_counted_for_another_picture(self) -> None:
        found = check(
            LENET.format(flatten="torch.flatten(x, 1)"),
            (of(4, 1, 28, 28),),
            "constructor",
            "nn.Linear(400, 120)",
            "made for 400",
            "gets 256",
            "16·4·4",
            "400 is 16·25",
        )
        assert found.module == "fc1"
        assert found.function == "Net.__init__"
        assert found.statement == "self.fc1 = nn.Linear(400, 120)"

    @pytest.mark.parametrize("flatten", ["x.view(16, -1)", "x.reshape(2, -1)", "x.flatten()"])
    def test_a_view_that_swallows_the_batch(self, flatten: str) -> None:
        source = LENET.format(flatten=flatten)
        found = check(source, (of(4, 1, 32, 32),), "step", flatten, "batch of 4", "(4, 16, 5, 5)")
        assert found.step is not None

    def test_a_sample_without_its_batch(self) -> None:
        source = LENET.format(flatten="x.view(x.size(0), -1)")
        check(source, (of(1, 32, 32),), "input", "x", "(1, 32, 32)", "without a batch dimension")

    def test_a_batch_that_a_convolution_read_is_no_sample(self) -> None:
        """25 samples of 16 features are as many numbers as the layer wants of one."""
        source = LENET.format(flatten="x.view(x.size(0), -1)")
        check(source, (of(25, 1, 16, 16),), "constructor", "nn.Linear(400, 120)", "gets 16")

    def test_channels_of_the_input(self) -> None:
        source = LENET.format(flatten="x.flatten(1)")
        check(source, (of(4, 3, 32, 32),), "constructor", "nn.Conv2d(1, 6, 5)", "made for 1")

    def test_channels_last(self) -> None:
        source = LENET.format(flatten="x.flatten(1)")
        check(source, (of(4, 32, 32, 1),), "input", "x", "(4, 32, 32, 1)", "last dimension")

    def test_an_input_that_is_too_small(self) -> None:
        source = LENET.format(flatten="x.flatten(1)")
        check(source, (of(4, 1, 8, 8),), "input", "x", "8 → 4 → 2")

    def test_a_missing_pooling(self) -> None:
        source = """
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.features = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU())
                    self.fc = nn.Linear(16, 10)

                def forward(self, x):
                    x = self.features(x)
                    x = torch.flatten(x, 1)
                    return self.fc(x)
        """
        found = check(
            source, (of(2, 3, 9, 9),), "step", "torch.flatten(x, 1)", "16 channels", "7×7", "pooled"
        )
        assert "784" in found.why

    def test_a_missing_flatten_is_at_the_failing_line(self) -> None:
        cell = run_cell("""
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.conv = nn.Conv2d(3, 16, 3)
                    self.fc = nn.Linear(16 * 36, 10)

                def forward(self, x):
                    x = self.conv(x)
                    return self.fc(x)
        """)
        assert root_of(cell["Net"](), of(2, 3, 8, 8)) is None

    def test_a_missing_flatten_behind_a_pooling(self) -> None:
        source = """
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.conv = nn.Conv2d(3, 16, 3)
                    self.pool = nn.AdaptiveAvgPool2d(1)
                    self.fc = nn.Linear(16, 10)

                def forward(self, x):
                    x = self.pool(self.conv(x))
                    return self.fc(x)
        """
        check(source, (of(2, 3, 8, 8),), "step", "self.pool(self.conv(x))", "size 1")

    def test_a_number_handed_on_through_two_classes(self) -> None:
        source = """
            class Block(nn.Module):
                def __init__(self, dim, out):
                    super().__init__()
                    self.net = nn.Sequential(nn.Linear(dim, 32), nn.ReLU(), nn.Linear(32, out))

                def forward(self, x):
                    return self.net(x)

            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.blocks = nn.ModuleList([Block(10, 20), Block(24, out=8)])

                def forward(self, x):
                    for block in self.blocks:
                        x = block(x)
                    return x
        """
        found = check(source, (of(4, 10),), "constructor", "Block(24, out=8)", "24", "gets 20")
        assert found.module == "blocks.1"
        assert "dim=24" in found.why

    def test_worked_out_in_the_constructor(self) -> None:
        source = """
            class Channel(nn.Module):
                def __init__(self, c, r):
                    super().__init__()
                    self.mlp = nn.Sequential(nn.Linear(c // r, c), nn.ReLU(), nn.Linear(c, c))

                def forward(self, x):
                    pooled = x.mean((2, 3))
                    return self.mlp(pooled)

            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.channel = Channel(16, 4)

                def forward(self, x):
                    return self.channel(x)
        """
        found = check(source, (of(4, 16, 3, 3),), "constructor", "nn.Linear(c // r, c)", "4")
        assert found.module == "channel.mlp.0"

    def test_in_a_method_that_makes_layers(self) -> None:
        source = """
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layer1 = self._make(3, 16, 2)
                    self.layer2 = self._make(32, 64, 2)

                def _make(self, i, o, n):
                    layers = [nn.Conv2d(i, o, 3, padding=1)]
                    for _ in range(1, n):
                        layers += [nn.Conv2d(o, o, 3, padding=1)]
                    return nn.Sequential(*layers)

                def forward(self, x):
                    return self.layer2(self.layer1(x))
        """
        check(source, (of(2, 3, 8, 8),), "constructor", "self._make(32, 64, 2)", "32", "gets 16")

    def test_in_a_helper_function(self) -> None:
        source = """
            def block(i, o):
                return nn.Sequential(nn.Conv2d(i, o, 3), nn.BatchNorm2d(o), nn.ReLU())

            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.a = block(3, 16)
                    self.b = block(32, 64)

                def forward(self, x):
                    return self.b(self.a(x))
        """
        check(source, (of(2, 3, 8, 8),), "constructor", "block(32, 64)", "gets 16")

    def test_two_directions(self) -> None:
        source = """
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.lstm = nn.LSTM(16, 32, batch_first=True, bidirectional=True)
                    self.fc = nn.Linear(32, 2)

                def forward(self, x):
                    out, _ = self.lstm(x)
                    return self.fc(out[:, -1])
        """
        check(source, (of(4, 7, 16),), "constructor", "nn.Linear(32, 2)", "gets 64", "lstm")

    def test_the_skip_was_not_counted(self) -> None:
        source = """
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.down = nn.Conv2d(3, 8, 3, padding=1)
                    self.dec = nn.Conv2d(8, 4, 3)

                def forward(self, x):
                    y = self.down(x)
                    z = torch.cat([y, y], 1)
                    return self.dec(z)
        """
        check(source, (of(2, 3, 9, 9),), "constructor", "nn.Conv2d(8, 4, 3)", "torch.cat")

    def test_batch_norm_behind_a_conv(self) -> None:
        source = """
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.net = nn.Sequential(
                        nn.Conv2d(3, 32, 3, padding=1),
                        nn.BatchNorm2d(64),
                        nn.ReLU(),
                    )

                def forward(self, x):
                    return self.net(x)
        """
        found = check(source, (of(2, 3, 8, 8),), "constructor", "nn.BatchNorm2d(64)", "gets 32")
        assert found.module == "net.1"
        assert "net.0" in found.why


class TestAStepThatWentWrong:
    def body(self, init: str, forward: str, arguments: str = "x") -> str:
        import textwrap

        rows = ["class Net(nn.Module):", "    def __init__(self):", "        super().__init__()"]
        rows += textwrap.indent(init, " " * 8).split("\n")
        rows += [f"    def forward(self, {arguments}):"]
        rows += textwrap.indent(forward, " " * 8).split("\n")
        return "\n".join(rows)

    @together(
        ("step", "why"),
        [
            ("x.permute(0, 2, 1)", "permute"),
            ("x.transpose(1, 2)", "transpose"),
            ("x.mean(-1)", "mean took away the dimension of 16"),
            ("x[:, :, 0]", "index took away the dimension of 16"),
            ("x[..., :8]", "made 8 of 16"),
            ("x.chunk(2, -1)[0]", "made 8 of 16"),
        ],
    )
    def test_the_features_were_lost(self, step: str, why: str) -> None:
        source = self.body("self.fc = nn.Linear(16, 4)", f"y = {step}\nreturn self.fc(y)")
        text = step.removesuffix("[0]")
        check(source, (of(2, 10, 16),), "step", text, why)

    def test_cat_along_the_batch(self) -> None:
        source = self.body(
            "self.fc = nn.Linear(24, 4)", "z = torch.cat([a, b], dim=0)\nreturn self.fc(z)", "a, b"
        )
        check(source, (of(4, 12), of(4, 12)), "step", "torch.cat([a, b], dim=0)", "24")

    @pytest.mark.parametrize("step", ["x.squeeze()", "x[0]", "x.mean(0)"])
    def test_a_lost_dimension(self, step: str) -> None:
        source = self.body("self.conv = nn.Conv2d(3, 8, 1)", f"y = {step}\nreturn self.conv(y[0])")
        check(source, (of(1, 3, 8, 8),), "step", "y[0]", "2 dimensions")

    def test_squeeze_that_drops_a_batch_of_one(self) -> None:
        source = self.body(
            "self.pool = nn.AdaptiveAvgPool2d(1)\nself.bn = nn.BatchNorm1d(8)",
            "x = self.pool(x).squeeze()\nreturn self.bn(x)",
        )
        why = "(1, 8, 1, 1) became (8,)"
        check(source, (of(1, 8, 5, 5),), "step", "self.pool(x).squeeze()", why)

    def test_a_mean_without_keepdim(self) -> None:
        source = self.body(
            "self.fc = nn.Linear(8, 8)",
            "w = x.mean((2, 3))\nw = self.fc(w).sigmoid()\nreturn x * w",
        )
        check(source, (of(2, 8, 5, 5),), "step", "x.mean((2, 3))", "4 dimensions to 2")

    def test_a_state_of_a_fixed_batch(self) -> None:
        source = self.body(
            "self.gru = nn.GRU(5, 8, batch_first=True)",
            "h = torch.zeros(1, 32, 8)\nreturn self.gru(x, h)",
        )
        check(source, (of(2, 6, 5),), "step", "torch.zeros(1, 32, 8)", "32")

    def test_whole_numbers_made_in_the_forward(self) -> None:
        source = self.body(
            "self.fc = nn.Linear(8, 8)",
            "t = torch.arange(8)\nt = t.expand(2, 8)\nreturn self.fc(t)",
        )
        check(source, (of(2, 6, 5),), "step", "torch.arange(8)", "int64")

    def test_a_dtype_changed_on_the_way(self) -> None:
        source = self.body(
            "self.fc = nn.Linear(8, 8)", "y = x.double()\ny = y + 1\nreturn self.fc(y)"
        )
        check(source, (of(2, 8),), "step", "x.double()", "float32", "float64")

    def test_transposed_on_an_earlier_line(self) -> None:
        source = self.body("pass", "y = x.transpose(1, 2)\ny = y + 0\nreturn y.view(2, -1)")
        check(source, (of(2, 5, 4),), "step", "x.transpose(1, 2)", "in memory")

    def test_another_device(self) -> None:
        source = self.body("pass", "n = torch.zeros(2, device='meta')\nreturn x + n")
        check(source, (of(2, 2),), "step", "torch.zeros(2, device='meta')", "meta")

    def test_the_tuple_of_a_recurrent_layer(self) -> None:
        source = self.body(
            "self.gru = nn.GRU(5, 4)\nself.fc = nn.Linear(4, 2)",
            "h = self.gru(x)\nreturn self.fc(h)",
        )
        check(source, (of(2, 3, 5),), "step", "self.gru(x)", "the pair (output, state)")


class TestTwoTensors:
    def test_an_odd_size_halved_and_doubled(self) -> None:
        source = """
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.down = nn.Conv2d(3, 8, 3, padding=1)
                    self.pool = nn.MaxPool2d(2)
                    self.mid = nn.Conv2d(8, 16, 3, padding=1)
                    self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)

                def forward(self, x):
                    skip = self.down(x)
                    y = self.mid(self.pool(skip))
                    y = F.relu(self.up(y))
                    return torch.cat([y, skip], dim=1)
        """
        found = check(source, (of(2, 3, 25, 25),), "step", "self.pool(skip)", "25 is odd", "12")
        assert found.module == "pool"

    def test_a_convolution_without_padding(self) -> None:
        source = """
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.conv1 = nn.Conv2d(8, 8, 3, padding=1)
                    self.conv2 = nn.Conv2d(8, 8, 3)
                    self.bn = nn.BatchNorm2d(8)

                def forward(self, x):
                    identity = x
                    out = F.relu(self.conv1(x))
                    out = self.bn(self.conv2(out))
                    out += identity
                    return out
        """
        found = check(source, (of(2, 8, 9, 9),), "constructor", "nn.Conv2d(8, 8, 3)", "9 becomes 7")
        assert found.module == "conv2"
        assert "kernel of 3" in found.why

    def test_a_stride_that_the_shortcut_does_not_have(self) -> None:
        source = """
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.conv = nn.Conv2d(8, 8, 3, stride=2, padding=1)

                def forward(self, x):
                    return self.conv(x) + x
        """
        text = "nn.Conv2d(8, 8, 3, stride=2, padding=1)"
        check(source, (of(2, 8, 8, 8),), "constructor", text, "8 becomes 4", "stride")

    def test_a_table_of_positions(self) -> None:
        source = """
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.patch = nn.Conv2d(3, 32, 4, 4)
                    self.pos = nn.Parameter(torch.zeros(1, 65, 32))

                def forward(self, x):
                    x = self.patch(x).flatten(2).transpose(1, 2)
                    return x + self.pos
        """
        text = "nn.Parameter(torch.zeros(1, 65, 32))"
        check(source, (of(2, 3, 32, 32),), "constructor", text, "(1, 65, 32)")

    def test_a_buffer_that_is_too_long(self) -> None:
        source = """
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.register_buffer("mask", torch.ones(32, 32).tril())

                def forward(self, x):
                    a = x @ x.transpose(1, 2)
                    return a.masked_fill(self.mask == 0, 0.0)
        """
        check(source, (of(2, 10, 16),), "constructor", "torch.ones(32, 32).tril()", "(32, 32)")

    def test_two_projections(self) -> None:
        source = """
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.q = nn.Linear(16, 8)
                    self.k = nn.Linear(16, 12)

                def forward(self, x):
                    return self.q(x) @ self.k(x).transpose(1, 2)
        """
        found = check(source, (of(2, 5, 16),), "constructor", "nn.Linear(16, 12)", "12")
        assert found.module == "k"

    def test_two_inputs(self) -> None:
        source = """
            class Net(nn.Module):
                def forward(self, x, adjacency):
                    return adjacency @ (x * 2)
        """
        check(source, (of(7, 5), of(6, 6)), "input", "x", "7", "(7, 5)")


class TestBeyondSizes:
    def test_swapped_inputs_of_a_child(self) -> None:
        source = """
            class Cross(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.q = nn.Linear(16, 8)
                    self.k = nn.Linear(12, 8)

                def forward(self, x, memory):
                    return self.q(x) @ self.k(memory).transpose(1, 2)

            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.cross = Cross()

                def forward(self, x, memory):
                    y = x * 2
                    return self.cross(memory, y)
        """
        found = check(source, (of(2, 5, 16), of(2, 6, 12)), "call", "self.cross(memory, y)", "fit")
        assert found.module == "cross"

    def test_a_forward_without_a_return(self) -> None:
        source = """
            class Inner(nn.Module):
                def forward(self, x):
                    y = x + 1

            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.inner = Inner()
                    self.fc = nn.Linear(8, 2)

                def forward(self, x):
                    h = self.inner(x)
                    return self.fc(h)
        """
        check(source, (of(2, 8),), "call", "self.inner(x)", "Inner", "return")

    @pytest.mark.parametrize("mask", [False, True])
    def test_batch_first_is_missing(self, mask: bool) -> None:
        call = "self.att(x, x, x, key_padding_mask=m)[0]" if mask else "self.lstm(x, (m, m))"
        source = f"""
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.att = nn.MultiheadAttention(16, 4)
                    self.lstm = nn.LSTM(16, 8)

                def forward(self, x, m):
                    return {call}
        """
        given = torch.zeros(4, 7).bool() if mask else of(1, 4, 8)
        text = "nn.MultiheadAttention(16, 4)" if mask else "nn.LSTM(16, 8)"
        check(source, (of(4, 7, 16), given), "constructor", text, "batch_first=False")

    def test_a_table_with_too_few_rows(self) -> None:
        source = """
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.emb = nn.Embedding(50, 16)

                def forward(self, x):
                    return self.emb(x)
        """
        check(source, (torch.tensor([[3, 50]]),), "constructor", "nn.Embedding(50, 16)", "50 rows")

    @pytest.mark.parametrize(
        ("build", "kind", "text"),
        [
            ("Attention(64, heads=6)", "constructor", "Attention(64, heads=6)"),
            ("Attention(64)", "constructor", "heads=5"),
        ],
    )
    def test_heads_that_do_not_divide(self, build: str, kind: str, text: str) -> None:
        source = f"""
            class Attention(nn.Module):
                def __init__(self, dim, heads=5):
                    super().__init__()
                    self.heads = heads
                    self.q = nn.Linear(dim, dim)

                def forward(self, x):
                    b, n, d = x.shape
                    return self.q(x).view(b, n, self.heads, d // self.heads)

            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.attention = {build}

                def forward(self, x):
                    return self.attention(x)
        """
        check(source, (of(2, 9, 64),), kind, text, "heads")

    def test_a_size_kept_in_an_attribute(self) -> None:
        source = """
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.flat = 16 * 25
                    self.conv = nn.Conv2d(3, 16, 3)

                def forward(self, x):
                    x = self.conv(x)
                    return x.view(-1, self.flat)
        """
        check(source, (of(2, 3, 9, 9),), "constructor", "16 * 25", "self.flat", "400")

    @together(
        "body",
        [
            "return x.view(5, 7)",
            "return x @ undefined",
            "return x.softmax(3).view(9, 9)",
            "raise ValueError('mine')",
        ],
    )
    def test_no_root_where_the_failing_line_is_the_cause(self, body: str) -> None:
        cell = run_cell(f"""
            class Net(nn.Module):
                def forward(self, x):
                    {body}
        """)
        found = root_of(cell["Net"](), of(2, 3, 4))
        assert found is None or found.kind == "input"

    def test_a_wrong_argument_of_an_operation_is_not_blamed_on_the_inputs(self) -> None:
        cell = run_cell("""
            class Net(nn.Module):
                def forward(self, x):
                    return nn.functional.interpolate(x, size=x.shape)
        """)
        assert root_of(cell["Net"](), of(1, 3, 4, 4)) is None

    def test_code_without_text_has_no_constructor_to_show(self) -> None:
        cell = run_cell(
            """
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.fc = nn.Linear(4, 2)

                def forward(self, x):
                    return self.fc(x)
            """,
            remember=False,
        )
        failure = trace(cell["Net"](), of(2, 3), mend=False).failure
        assert failure is not None
        assert "3 ≠ 4" in failure.rule
        assert failure.root is None or failure.root.kind == "input"

    def test_a_root_speaks_of_tensors_of_the_run(self) -> None:
        cell = run_cell(LENET.format(flatten="torch.flatten(x, 1)"))
        found = trace(cell["Net"](), of(4, 1, 28, 28), dims={"x": "N C H W"}, mend=False)
        assert found.failure is not None
        root = found.failure.root
        assert root is not None
        notes = found.tensors()
        assert root.tensors
        assert all(notes[note.id] == note for note in root.tensors)
        assert root.why.startswith("fc1 was made for 400 here, and gets 256:")
        (flat,) = [note for note in root.tensors if note.shape == (4, 256)]
        assert "H" in flat.dims[1].text
        assert f"gets {flat.dims[1].text}:" in root.told(formulas=True)

    def test_a_root_is_told_in_another_language(self) -> None:
        cell = run_cell(LENET.format(flatten="x.view(16, -1)"))
        found = root_of(cell["Net"](), of(4, 1, 32, 32))
        assert found is not None
        chinese = {found.because.text: "{op}: {batch}, {before} → {after}"}
        told = found.told(lambda text: chinese.get(text, text))
        assert told == "view: 4, (4, 16, 5, 5) → (16, 100)"

    def test_the_root_is_kept_in_a_file(self) -> None:
        from tracer import Trace

        cell = run_cell(LENET.format(flatten="x.view(16, -1)"))
        found = trace(cell["Net"](), of(4, 1, 32, 32), mend=False)
        assert found.failure is not None
        assert found.failure.root is not None
        assert found.failure.root.step is not None
        assert found.steps[found.failure.root.step].expression == "x.view(16, -1)"
        again = Trace.from_json(found.to_json())
        assert again == found


_ = F
