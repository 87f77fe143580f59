"""What operations and shapes are called."""

import torch

from tests.together import together
from tracer import trace
from tracer.ops.names import is_in_place, is_reflected, op_name, shape_text


@together(
    ("op", "name"),
    [
        ("torch.add", "add"),
        ("Tensor.add_", "add"),
        ("Tensor.__iadd__", "add"),
        ("Tensor.__radd__", "add"),
        ("Tensor.__truediv__", "div"),
        ("Tensor.__rdiv__", "div"),
        ("Tensor.__rfloordiv__", "floordiv"),
        ("Tensor.__ior__", "or"),
        ("Tensor.__invert__", "invert"),
        ("Tensor.__getitem__", "getitem"),
        ("F.conv2d", "conv2d"),
        ("nn.Conv2d", "Conv2d"),
        ("squeeze_", "squeeze"),
        ("torch.linalg.solve", "solve"),
        ("linalg_solve", "solve"),
        ("", ""),
    ],
)
def test_an_operation_has_one_name_however_it_is_written(op: str, name: str) -> None:
    assert op_name(op) == name


@together(
    ("op", "reflected"),
    [
        ("Tensor.__rsub__", True),
        ("Tensor.__rdiv__", True),
        ("Tensor.__rpow__", True),
        ("Tensor.__sub__", False),
        ("Tensor.__isub__", False),
        ("Tensor.__repr__", False),
        ("torch.rsub", False),
    ],
)
def test_reflected_operands(op: str, reflected: bool) -> None:
    assert is_reflected(op) is reflected


def test_a_number_divided_by_a_tensor_is_a_division() -> None:
    class Reciprocal(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 1 / x

    (step,) = trace(Reciprocal(), torch.ones(2)).steps
    assert (op_name(step.op), is_reflected(step.op)) == ("div", True)


def test_a_shape_is_written_as_python_writes_it() -> None:
    assert shape_text((2, 3)) == "(2, 3)"
    assert shape_text([7]) == "(7,)"
    assert shape_text(()) == "()"
    assert shape_text(torch.empty(2, 0)) == "(2, 0)"


@together(
    ("op", "in_place"),
    [
        ("Tensor.add_", True),
        ("Tensor.__iadd__", True),
        ("Tensor.add", False),
        ("Tensor.__radd__", False),
        ("Tensor.__invert__", False),
        ("Tensor.__int__", False),
        ("Tensor.__index__", False),
        ("nn.ReLU", False),
    ],
)
def test_operations_in_place(op: str, in_place: bool) -> None:
    assert is_in_place(op) is in_place
