"""What operations, shapes and dimensions are called."""

from __future__ import annotations

import functools

from tracer.sentences import shape_text as shape_text

# They have forms in place (`__iadd__`) and reflected (`__radd__`).
_OPERATORS = frozenset(
    [
        "add",
        "sub",
        "mul",
        "div",
        "truediv",
        "floordiv",
        "mod",
        "matmul",
        "pow",
        "and",
        "or",
        "xor",
        "lshift",
        "rshift",
    ]
)

BY_RANK = {0: "", 1: "N", 2: "B C", 3: "B N C", 4: "B C H W", 5: "B C T H W"}
"""What the dimensions of an input are usually called, by how many there are."""


@functools.lru_cache(maxsize=4096)
def op_name(op: str) -> str:
    """The operation's own name: `add` of `torch.add`, `Tensor.add_`, `Tensor.__iadd__` and
    `Tensor.__radd__`, `Conv2d` of `nn.Conv2d`."""
    name = op.rpartition(".")[2]
    for package in ("linalg_", "special_", "fft_"):  # torch.linalg.solve is called linalg_solve
        name = name.removeprefix(package)
    if len(name) > 4 and name.startswith("__") and name.endswith("__"):
        name = name[2:-2]
        if name[0] in "ir" and name[1:] in _OPERATORS:
            name = name[1:]
    return "div" if name == "truediv" else name.rstrip("_")


def is_reflected(op: str) -> bool:
    """Whether the operands stand the other way round, as in `1 - x`: `Tensor.__rsub__`."""
    name = op.rpartition(".")[2]
    return name.startswith("__r") and name.endswith("__") and name[3:-2] in _OPERATORS


def is_in_place(op: str) -> bool:
    """Whether the operation writes its result into its first operand: `add_`, `__iadd__`."""
    name = op.rpartition(".")[2]
    if name.startswith("__") and name.endswith("__"):
        return name[2] == "i" and name[3:-2] in _OPERATORS
    return name.endswith("_")
