"""`backward` and gradients: of more than one number, with another shape, of what has no graph."""

from __future__ import annotations

import ast

from torch import Tensor

from tracer.diagnosis.outside.raised import Answer, Raised, Shown, fix, raised_rule
from tracer.document import Fix
from tracer.sentences import Count, Said, ShapeOf, said


@raised_rule
def of_many(raised: Raised) -> Answer | None:
    if "implicitly created only for scalar outputs" not in raised.words:
        return None
    output = _output(raised)
    if output is None:
        return None
    name = _written(raised, output)
    shape = ShapeOf(tuple(output.shape), 0)
    return Answer(
        "backward",
        said(
            "backward begins at one number: {name} {shape} has {count}.",
            name=name,
            shape=shape,
            count=output.numel(),
        ),
        (_why_many(output),),
        check=said("`.mean()` or `.sum()` makes one number of them."),
        shown=(Shown(str(name), output, tuple(range(output.dim()))),),
        fixes=_reduced(raised, output),
    )


def _why_many(output: Tensor) -> Said:
    made = type(output.grad_fn).__name__ if output.grad_fn is not None else ""
    if "Loss" in made or "CrossEntropy" in made:
        return said(
            "It is a loss of each sample, as `reduction='none'` gives it: they are not yet one "
            "number."
        )
    return said(
        "A gradient is that of one number with respect to each parameter. These are "
        "{numbers} with a gradient each.",
        numbers=Count(output.numel(), "number"),
    )


def _reduced(raised: Raised, output: Tensor) -> tuple[Fix, ...]:
    call = raised.call
    if call is None:
        return ()
    text, node = call
    found: ast.expr | None = None
    if isinstance(node.func, ast.Attribute) and node.func.attr == "backward":
        found = node.func.value
    if found is None and node.args and not isinstance(node.args[0], ast.List | ast.Tuple):
        found = node.args[0]
    if found is None or not output.is_floating_point():
        return ()
    return tuple(
        fix(
            (text.after(found, f".{name}()"),),
            said("Begin at the mean of them" if name == "mean" else "Begin at the sum of them"),
            getattr(output.detach(), name)().numel() == 1,
        )
        for name in ("mean", "sum")
    )


@raised_rule
def another_shape(raised: Raised) -> Answer | None:
    if "Mismatch in shape: grad_output" not in raised.words:
        return None
    names = raised.inside("torch/autograd/__init__.py", "_make_grads")
    if names is None:
        return None
    for output, given in zip(names.get("outputs", ()), names.get("grads", ()), strict=False):
        if isinstance(given, Tensor) and isinstance(output, Tensor) and given.shape != output.shape:
            name = _written(raised, output)
            return Answer(
                "backward",
                said(
                    "backward wants of {name} {shape} a gradient of the same shape: it is given "
                    "{given}.",
                    name=name,
                    shape=ShapeOf(tuple(output.shape), 0),
                    given=ShapeOf(tuple(given.shape), 1),
                ),
                (said("It says how much each of the numbers counts."),),
                check=said("`torch.ones_like(...)` counts all alike."),
                shown=(
                    Shown(str(name), output, tuple(range(output.dim()))),
                    Shown(raised.name_of(given) or "gradient", given, tuple(range(given.dim()))),
                ),
            )
    return None


@raised_rule
def without_graph(raised: Raised) -> Answer | None:
    if "does not require grad and does not have a grad_fn" not in raised.words:
        return None
    output = _output(raised)
    if output is None:
        return None
    name = _written(raised, output)
    return Answer(
        "backward",
        said(
            "backward finds no way back from {name} {shape}: nothing that made it requires a "
            "gradient.",
            name=name,
            shape=ShapeOf(tuple(output.shape), 0),
        ),
        (
            said(
                "It was computed under `torch.no_grad()`, from detached tensors, through NumPy or "
                "`.item()`, or by functions without a gradient such as `argmax`; or all parameters "
                "are frozen."
            ),
        ),
        check=said("See from which step on `requires_grad` is false."),
        shown=(Shown(str(name), output),),
    )


@raised_rule
def function_of_many(raised: Raised) -> Answer | None:
    """`torch.func.grad(f)` where `f` gives several numbers."""
    if "to return a scalar" not in raised.words:
        return None
    names = raised.inside("torch/_functorch/", "grad_and_value_impl")
    output = names.get("output") if names is not None else None
    if not isinstance(output, Tensor):
        return None
    return Answer(
        "backward",
        said(
            "torch.func.grad takes a function that gives one number: this one gives {shape}.",
            shape=ShapeOf(tuple(output.shape)),
        ),
        (said("`jacrev` gives the gradient of each of them; `.sum()` or `.mean()` makes one."),),
    )


def _output(raised: Raised) -> Tensor | None:
    """The tensor at which the backward pass was to begin."""
    for function in ("_make_grads", "backward", "grad"):
        names = raised.inside("torch/autograd/__init__.py", function) or {}
        for key in ("outputs", "tensors"):
            value = names.get(key)
            value = [value] if isinstance(value, Tensor) else value
            for each in value if isinstance(value, list | tuple) else ():
                one = "implicitly created" not in raised.words or each.numel() != 1
                if isinstance(each, Tensor) and one:
                    return each
    return None


def _written(raised: Raised, output: Tensor) -> str | Said:
    name = raised.name_of(output)
    call = raised.call
    function = call[1].func if call is not None else None
    if not name and call is not None and isinstance(function, ast.Attribute):
        owner = function.value if function.attr == "backward" else None
        name = " ".join(call[0].of(owner).split()) if owner is not None else ""
    return name or said("the output")
