"""Rules for operations on single values and along dimensions: arithmetic, activations,
reductions, order, normalisation, new tensors, dtypes."""

from __future__ import annotations

from tracer.ops.names import shape_text
from tracer.views.dimensions import Dim, Dims
from tracer.views.rules.case import (
    RULES,
    Case,
    Told,
    Unclear,
    axis_of,
    by_text,
    capital,
    count_text,
    dims_text,
    dtype_of,
    need,
    ordinal,
    size_at,
    some_shapes,
    tells,
    tells_words,
)

# --- one value at a time -------------------------------------------------------------------------

_UNARY: dict[str, str] = {
    "sigmoid expit": "each value squashed to (0, 1)",
    "hardsigmoid": "each value squashed to [0, 1] by a line with flat ends",
    "logsigmoid": "the log of the sigmoid of each value",
    "tanh": "each value squashed to (−1, 1)",
    "hardtanh clip clamp clamp_min clamp_max": "values beyond a bound set to the bound",
    "relu": "negative values become 0",
    "relu6": "negative values become 0, values above 6 become 6",
    "leaky_relu rrelu": "negative values made smaller by a factor, the others kept",
    "prelu": "negative values multiplied by a learned factor, the others kept",
    "elu selu celu": "negative values bent along an exponential",
    "gelu": "each value weighted by the normal probability below it (GELU)",
    "silu": "each value multiplied by its own sigmoid (SiLU)",
    "mish": "each value multiplied by the tanh of its softplus (Mish)",
    "hardswish": "each value multiplied by a sigmoid made of straight lines (hard swish)",
    "softplus": "each value made positive by log(1 + exp(value)) (softplus)",
    "softsign": "each value divided by 1 plus its size (softsign)",
    "tanhshrink": "the tanh of each value subtracted from it",
    "hardshrink softshrink": "values near 0 set to 0",
    "threshold": "values up to a threshold replaced",
    "abs absolute": "each value replaced by its absolute value",
    "neg negative": "the sign of every value flipped",
    "positive": "every value as it was",
    "exp": "e raised to each value",
    "exp2": "2 raised to each value",
    "expm1": "e raised to each value, minus 1",
    "log": "the natural log of each value",
    "log2": "the log to base 2 of each value",
    "log10": "the log to base 10 of each value",
    "log1p": "the natural log of 1 plus each value",
    "logit": "the inverse of the sigmoid of each value",
    "sqrt": "the square root of each value",
    "rsqrt": "1 divided by the square root of each value",
    "square": "every value squared",
    "reciprocal": "1 divided by each value",
    "sin": "the sine of each value",
    "cos": "the cosine of each value",
    "tan": "the tangent of each value",
    "asin arcsin": "the arcsine of each value",
    "acos arccos": "the arccosine of each value",
    "atan arctan": "the arctangent of each value",
    "sinh": "the hyperbolic sine of each value",
    "cosh": "the hyperbolic cosine of each value",
    "erf": "the error function of each value",
    "sign sgn": "each value replaced by its sign",
    "floor": "each value rounded down",
    "ceil": "each value rounded up",
    "round": "each value rounded",
    "trunc fix": "the part after the point dropped from each value",
    "frac": "only the part after the point kept of each value",
    "nan_to_num": "NaN and infinite values replaced by numbers",
    "isnan": "True where a value is NaN",
    "isinf": "True where a value is infinite",
    "isfinite": "True where a value is finite",
    "logical_not": "True where a value is zero or False",
    "bitwise_not invert": "each bit, or True and False, flipped",
    "real": "the real part of each value",
    "imag": "the imaginary part of each value",
    "angle": "the angle of each complex value",
    "conj": "the complex conjugate of each value",
    "clone": "a copy of the values",
    "contiguous": "the same values, next to each other in memory",
    "detach data": "the same values, cut off from the gradient",
    "requires_grad": "the same values, gradient tracking set",
    "alias": "the same values",
    "Identity": "the input passed on as it is",
    "zero": "every value set to 0",
    "fill": "every value set to one number",
    "normal": "filled with normal random numbers",
    "uniform": "filled with uniform random numbers",
    "bernoulli": "each value replaced by 0 or 1 at random",
    "copy": "overwritten with the values of another tensor",
    "dropout alpha_dropout feature_dropout feature_alpha_dropout": (
        "when training, some values are zeroed at random and the rest scaled up"
    ),
    "dropout1d dropout2d dropout3d": (
        "when training, some whole channels are zeroed at random and the rest scaled up"
    ),
    "pin_memory": "the same values",
    "zeros_like": "a new tensor of zeros with the shape of the input",
    "ones_like": "a new tensor of ones with the shape of the input",
    "full_like": "a new tensor filled with one value, with the shape of the input",
    "empty_like": "a new tensor, not filled, with the shape of the input",
    "rand_like": "a new tensor of uniform random numbers, with the shape of the input",
    "randn_like": "a new tensor of normal random numbers, with the shape of the input",
    "randint_like": "a new tensor of random whole numbers, with the shape of the input",
}


@tells_words(_UNARY)
def _unary(case: Case) -> Told:
    if len(case.ins) > 1:
        broadcast(case)  # bounds or learned factors that are tensors
        need(case.out == case.x)
    return Told(f"Shape kept: {case.words[0]}", (), case.every(case.keeps()))


BINARY: dict[str, tuple[str, str, str]] = {
    # Two tensors; a tensor and a number; a number and a tensor.  An empty text says that the
    # order cannot be told from what is recorded.
    "add": ("added element by element", "{} added to every value", "{} added to every value"),
    "sub subtract": (
        "the second subtracted from the first, element by element",
        "{} subtracted from every value",
        "every value subtracted from {}",
    ),
    "rsub": (
        "the first subtracted from the second, element by element",
        "every value subtracted from {}",
        "every value subtracted from {}",
    ),
    "mul multiply": (
        "multiplied element by element",
        "every value multiplied by {}",
        "every value multiplied by {}",
    ),
    "div divide true_divide truediv": (
        "the first divided by the second, element by element",
        "every value divided by {}",
        "{} divided by every value",
    ),
    "floor_divide floordiv": (
        "the first divided by the second and rounded down, element by element",
        "every value divided by {} and rounded down",
        "{} divided by every value and rounded down",
    ),
    "remainder mod fmod": (
        "the remainder of the first divided by the second, element by element",
        "the remainder of every value divided by {}",
        "the remainder of {} divided by every value",
    ),
    "pow float_power": (
        "the first raised to the power of the second, element by element",
        "every value raised to the power {}",
        "{} raised to the power of every value",
    ),
    "maximum fmax": ("the larger of each pair kept",) * 3,
    "minimum fmin": ("the smaller of each pair kept",) * 3,
    "eq": ("True where the two are equal", "True where a value equals {}", ""),
    "ne not_equal": ("True where the two differ", "True where a value is not {}", ""),
    "lt less": ("True where the first is smaller", "True where a value is below {}", ""),
    "le less_equal": (
        "True where the first is smaller or equal",
        "True where a value is at most {}",
        "",
    ),
    "gt greater": ("True where the first is larger", "True where a value is above {}", ""),
    "ge greater_equal": (
        "True where the first is larger or equal",
        "True where a value is at least {}",
        "",
    ),
    "logical_and and bitwise_and": ("combined with AND, element by element", "", ""),
    "logical_or or bitwise_or": ("combined with OR, element by element", "", ""),
    "logical_xor xor bitwise_xor": ("combined with exclusive OR, element by element", "", ""),
    "atan2 arctan2": ("the angle of each pair of values", "", ""),
    "hypot": ("the length of each pair of values", "", ""),
    "isclose": ("True where the two are nearly equal", "", ""),
    "xlogy": ("the first multiplied by the log of the second", "", ""),
    "polar": ("complex numbers made of size and angle", "", ""),
    "complex": ("complex numbers made of real and imaginary part", "", ""),
    "lerp": ("blended element by element, from the first towards the second", "", ""),
    "addcmul": ("the product of the second and third added to the first", "", ""),
    "addcdiv": ("the second divided by the third and added to the first", "", ""),
    "masked_fill": ("the places where the mask is True overwritten",) * 3,
    "masked_scatter": ("the places where the mask is True overwritten",) * 3,
}


@tells_words(BINARY, "other")
def binary(case: Case) -> Told:
    lines, dims = broadcast(case)
    pair, scalar, reflected = case.words
    if len(case.ins) > 1:
        text = "combined element by element" if case.reflected else pair
    elif pair == scalar:
        text = pair
    else:
        text = _with_number(case, reflected if case.reflected else scalar)
    if "rounding_mode" in case.args.named:
        text += ", then rounded"
    if case.args.number("alpha") not in (None, "1") and "alpha" in case.args.named:
        text += f", the second times {case.args.number('alpha')}"
    effect = "Shape kept" if case.out == case.x else f"Broadcast to {shape_text(case.out)}"
    if lines and case.out == case.x:
        text += ", the smaller operand stretched to fit"
    return Told(f"{effect}: {text}", lines, case.every(dims))


def _with_number(case: Case, template: str) -> str:
    number = case.args.number("other", "exponent", "value")
    scalar, reflected = case.words[1:]
    # torch.sub(1, x) and torch.sub(x, 1) are recorded alike.
    unsure = case.step.op.startswith("torch.") and reflected not in ("", scalar)
    if number is None or not template or unsure:
        return "calculated value by value"
    if template == "every value raised to the power {}" and number in {"2", "2.0"}:
        return "every value squared"
    return template.format(number if len(number) < 9 else f"about {float(number):.4g}")


def broadcast(case: Case) -> tuple[list[str], Dims]:
    """Aligns the operands' dimensions from the right, as torch does."""
    need(bool(case.ins))
    out = case.out
    dims: list[Dim] = []
    lines: list[str] = []
    for axis, size in enumerate(out):
        found: Dim = ()
        for position, shape in enumerate(case.ins):
            own = axis - len(out) + len(shape)
            need(len(shape) <= len(out))
            if own < 0:
                if shape and size != 1 and len(case.ins) > 1:
                    lines.append(
                        f"dim {axis}: missing in the {ordinal(position)}, "
                        f"repeated {size} times (broadcast)"
                    )
                continue
            need(shape[own] in (size, 1))
            dim = case.dims(position)[own]
            if shape[own] == size:
                if found:
                    case.atoms.same(found, dim)
                else:
                    found = dim
            else:
                of = f", {ordinal(position)} operand" if len(case.ins) > 1 else ""
                lines.append(f"dim {axis}: 1 stretched to {size} (broadcast{of})")
        need(any(size_at(shape, axis - len(out)) == size for shape in case.ins) or size == 1)
        dims.append(found)
    return lines, tuple(dims)


@tells("where", "condition input other")
def _where(case: Case) -> Told:
    if len(case.ins) == 1 and not case.args.plain and len(case.x) == len(case.outs):
        need(all(len(out) == 1 for out in case.outs))
        return Told(f"Positions of the non-zero values: {some_shapes(case.outs)}")
    lines, dims = broadcast(case)
    effect = "Shape kept" if case.out == case.x else f"Broadcast to {shape_text(case.out)}"
    return Told(f"{effect}: each value chosen by the condition", lines, case.every(dims))


# --- reductions ----------------------------------------------------------------------------------

_REDUCTIONS: dict[str, tuple[str, str]] = {
    "mean": ("{} averaged", "averaged"),
    "nanmean": ("{} averaged, NaN left out", "averaged"),
    "sum": ("{} summed", "summed"),
    "nansum": ("{} summed, NaN left out", "summed"),
    "prod": ("{} multiplied together", "multiplied together"),
    "max amax": ("the largest of {} kept", "largest kept"),
    "min amin": ("the smallest of {} kept", "smallest kept"),
    "argmax": ("the position of the largest of {} found", "position of the largest"),
    "argmin": ("the position of the smallest of {} found", "position of the smallest"),
    "aminmax": ("the smallest and the largest of {} kept", "smallest and largest kept"),
    "all": ("True if {} are true", "True if all are"),
    "any": ("True if any of {} is true", "True if any is"),
    "std": ("the standard deviation of {} taken", "standard deviation"),
    "var": ("the variance of {} taken", "variance"),
    "std_mean": ("the standard deviation and the mean of {} taken", "standard deviation, mean"),
    "var_mean": ("the variance and the mean of {} taken", "variance, mean"),
    "median nanmedian": ("the median of {} kept", "median kept"),
    "mode": ("the most frequent of {} kept", "most frequent kept"),
    "logsumexp": ("the log of the sum of exponentials of {} taken", "log of sum of exponentials"),
    "norm vector_norm": ("the norm of {} taken", "norm taken"),
    "count_nonzero": ("the non-zero ones of {} counted", "non-zeros counted"),
}


@tells_words(_REDUCTIONS, "dim keepdim")
def _reduce(case: Case) -> Told:
    if len(case.ins) == 2 and case.name in {"max", "min"}:
        pair = BINARY["maximum fmax" if case.name == "max" else "minimum fmin"]
        case.words = pair
        return binary(case)
    shape = case.x
    axes = case.args.axes(len(shape))
    if axes is None and case.name == "mode":
        axes = (axis_of(-1, len(shape)),)
    long, short = case.words
    if axes is None or not shape:
        keep = case.args.flag("keepdim") and bool(shape)
        need(case.out == ((1,) * len(shape) if keep else ()))
        summary = f"One number left: {long.format(f'all {count_text(shape)} values')}"
        lines = [
            f"dim {axis}: {size} → 1, {short}" if keep else f"dim {axis} ({size}) removed, {short}"
            for axis, size in enumerate(shape)
        ]
        return Told(summary, lines, case.every(((),) * len(case.out)))
    keep = case.args.flag("keepdim")
    expected = tuple(
        1 if axis in axes else size for axis, size in enumerate(shape) if keep or axis not in axes
    )
    need(case.out == expected)
    many = len(axes) > 1
    sizes = [shape[axis] for axis in axes]
    gone = f"shrink{'s' * (not many)} to 1" if keep else f"go{'es' * (not many)} away"
    values = long.format(f"every {by_text(sizes)} values")
    if len(case.outs) == 2 and case.name in {"max", "min", "median", "nanmedian", "mode"}:
        values += ", with its position"
    lines = [
        f"dim {axis}: {shape[axis]} → 1, {short}"
        if keep
        else f"dim {axis} ({shape[axis]}) removed, {short}"
        for axis in axes
    ]
    dims = tuple(
        () if axis in axes else dim
        for axis, dim in enumerate(case.dims())
        if keep or axis not in axes
    )
    return Told(f"{capital(dims_text(axes))} {gone}: {values}", lines, case.every(dims))


for _name in ("norm", "vector_norm"):
    RULES[_name] = RULES[_name]._replace(signature=("p", "dim", "keepdim"))
for _name in ("std", "var", "std_mean", "var_mean"):
    RULES[_name] = RULES[_name]._replace(signature=("dim", "unbiased", "keepdim"))
RULES["aminmax"] = RULES["aminmax"]._replace(signature=())


# --- order ---------------------------------------------------------------------------------------


@tells("topk", "k dim largest")
def _topk(case: Case) -> Told:
    axis = case.args.axis(len(case.x), default=-1)
    k = case.args.whole("k")
    shape = case.x
    need(bool(shape) and k is not None)
    need(case.out == (*shape[:axis], k, *shape[axis + 1 :]))
    smallest = case.args.get("largest") is False
    word = "smallest" if smallest else "largest"
    dims = list(case.dims())
    dims[axis] = case.atoms.derive(dims[axis], case.out[axis], "piece")
    line = f"dim {axis}: {shape[axis]} → {k}, the {word} kept, with their positions"
    return Told(capital(line), [line], case.every(tuple(dims)))


_ORDERED: dict[str, str] = {
    "sort msort": "sorted",
    "argsort": "the order that would sort it",
    "cumsum": "each value the sum of itself and all before it",
    "cumprod": "each value the product of itself and all before it",
    "cummax": "each value the largest so far",
    "cummin": "each value the smallest so far",
    "logcumsumexp": "the log of the running sum of exponentials",
    "tril": "everything above a diagonal set to 0",
    "triu": "everything below a diagonal set to 0",
    "renorm": "rows shortened to a largest norm",
}
_ALONG = frozenset(["sort", "argsort", "cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"])


@tells_words(_ORDERED, "dim")
def _ordered(case: Case) -> Told:
    along = ""
    if case.name in _ALONG:
        value = case.args.get("dim")
        if type(value) is int:
            along = f" along dim {axis_of(value, len(case.x))}"
        elif value is None and case.name in {"sort", "argsort"} and case.x:
            along = f" along dim {len(case.x) - 1}"
    return Told(f"Shape kept: {case.words[0]}{along}", (), case.every(case.keeps()))


# --- along one dimension -------------------------------------------------------------------------


@tells("softmax softmin log_softmax gumbel_softmax", "dim")
def _softmax(case: Case) -> Told:
    dims = case.keeps()
    if case.name == "gumbel_softmax":
        return Told("Shape kept: random weights that sum to 1", (), [dims])
    axes = case.args.axes(len(case.x))
    log = case.name == "log_softmax"
    ends = "logs of weights that sum to 1" if log else "weights that sum to 1"
    if axes is None or len(axes) != 1:
        return Told(f"Shape kept: rows turned into {ends}", (), [dims])
    size = case.x[axes[0]] if case.x else 1
    name = {"softmax": "softmax", "softmin": "softmin"}.get(case.name, "log-softmax")
    sums = "holds the logs of weights that sum to 1" if log else "sums to 1"
    return Told(
        f"Shape kept: every {size} values along dim {axes[0]} turned into {ends}",
        [f"{name} along dim {axes[0]}: each row of {size} {sums}, shape kept"],
        [dims],
    )


@tells("nn.Softmax2d")
def _softmax2d(case: Case) -> Told:
    return Told(
        "Shape kept: at every place the channels turned into weights that sum to 1",
        (),
        [case.keeps()],
    )


@tells("normalize", "p dim")
def _normalize(case: Case) -> Told:
    axis = case.args.axis(len(case.x), default=1)
    return Told(f"Shape kept: every row along dim {axis} divided by its norm", (), [case.keeps()])


@tells("cosine_similarity nn.CosineSimilarity pairwise_distance", "dim")
def _similarity(case: Case) -> Told:
    raise Unclear


@tells("glu", "dim")
def _glu(case: Case) -> Told:
    axis = case.args.axis(len(case.x), default=-1)
    shape = case.x
    need(bool(shape) and shape[axis] % 2 == 0)
    half = shape[axis] // 2
    need(case.out == (*shape[:axis], half, *shape[axis + 1 :]))
    dims = list(case.dims())
    dims[axis] = case.atoms.piece(dims[axis], 0, half)
    line = f"dim {axis}: {shape[axis]} → {half}, one half gated by the sigmoid of the other"
    return Told(capital(line), [line], [tuple(dims)])


# --- normalisation -------------------------------------------------------------------------------


@tells("batch_norm nn.SyncBatchNorm")
def _batch_norm(case: Case) -> Told:
    dims = case.keeps()
    need(len(case.x) >= 2)
    _channel_roles(case, case.x[1], dims[1])
    return Told(
        f"Shape kept: each of the {case.x[1]} channels normalised, with one mean and one "
        "variance for the whole batch",
        (),
        [dims],
    )


def _channel_roles(case: Case, size: int, dim: Dim) -> None:
    for position, shape in enumerate(case.ins):
        if position and shape == (size,):
            case.role(position, (dim,))


@tells("instance_norm")
def _instance_norm(case: Case) -> Told:
    dims = case.keeps()
    need(len(case.x) >= 2)
    own = "" if case.args.flag("track_running_stats") else " of each sample"
    return Told(f"Shape kept: each channel{own} normalised on its own", (), [dims])


@tells("group_norm", "num_groups num_channels")
def _group_norm(case: Case) -> Told:
    dims = case.keeps()
    groups = case.args.whole("num_groups")
    need(len(case.x) >= 2 and groups is not None and groups > 0)
    assert groups is not None
    need(case.x[1] % groups == 0)
    _channel_roles(case, case.x[1], dims[1])
    return Told(
        f"Shape kept: the {case.x[1]} channels normalised in {groups} groups of "
        f"{case.x[1] // groups}, sample by sample",
        (),
        [dims],
    )


@tells("layer_norm rms_norm", "normalized_shape")
def _layer_norm(case: Case) -> Told:
    dims = case.keeps()
    value = case.args.get("normalized_shape")
    if type(value) is int:
        value = (value,)
    need(isinstance(value, list | tuple) and 0 < len(value) <= len(case.x))
    assert isinstance(value, list | tuple)
    shape = case.x[len(case.x) - len(value) :]
    need(tuple(value) == shape)
    for position in range(1, len(case.ins)):
        if case.ins[position] == shape:
            case.role(position, dims[len(dims) - len(shape) :])
    how = "its root mean square" if case.name == "rms_norm" else "its own mean and variance"
    return Told(f"Shape kept: every {by_text(shape)} values normalised by {how}", (), [dims])


@tells("local_response_norm")
def _local_response_norm(case: Case) -> Told:
    return Told(
        "Shape kept: each value divided by the strength of its neighbouring channels",
        (),
        [case.keeps()],
    )


# --- new tensors, dtypes -------------------------------------------------------------------------


@tells(
    "to float double half bfloat16 int long short char byte bool type type_as cpu cuda "
    "cfloat cdouble"
)
def _convert(case: Case) -> Told:
    old, new = case.step.inputs[0] if case.ins else None, case.step.outputs[0]
    dims = case.keeps()
    assert old is not None
    changes = []
    if dtype_of(old) != dtype_of(new):
        changes.append(f"dtype {dtype_of(old)} → {dtype_of(new)}")
    if old.device != new.device:
        changes.append(f"device {old.device} → {new.device}")
    if not changes:
        return Told(f"Nothing changes: already {dtype_of(new)} on {new.device}", (), [dims])
    return Told(
        f"Shape kept: {', '.join(changes)}",
        changes[1:] if dtype_of(old) != dtype_of(new) else changes,
        [dims],
    )


_LOSSES: dict[str, str] = {
    "cross_entropy nll_loss": "how badly the scores fit the classes",
    "mse_loss": "how large the squared differences are",
    "l1_loss smooth_l1_loss huber_loss": "how large the differences are",
    "binary_cross_entropy binary_cross_entropy_with_logits": "how badly the scores fit yes or no",
    "kl_div": "how far one distribution is from the other",
}


@tells_words(_LOSSES)
def _loss(case: Case) -> Told:
    need(len(case.outs) == 1 and case.out == ())
    return Told(f"One number left: {case.words[0]}", (), [()])
