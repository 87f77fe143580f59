"""Operations on single values: arithmetic, comparison, activations, choosing by a mask, copies,
other dtypes."""

from __future__ import annotations

from collections.abc import Sequence

from tracer.document import TensorAt
from tracer.ops.algebra import clash, differ, is_one, known, product
from tracer.ops.bound import ANY_MORE, Bound, Dims, all_marks, broadcast, kept, mark, new, refuse
from tracer.ops.call import At, Call, Shape, Size, Unclear, need
from tracer.ops.cells import EACH, Cells, Scene, by_dims, everything, loosely
from tracer.ops.refusal import Count, Refusal, Report, SizeAt, said
from tracer.ops.say import (
    KEPT,
    Spoken,
    Told,
    Words,
    joined,
    ordinal,
    property_changed,
    size_at,
    some_shapes,
    told,
    with_values,
)
from tracer.ops.spec import operation
from tracer.ops.steps import layers
from tracer.sentences import Filling, Said, ShapeOf

# --- the first operand alone ---------------------------------------------------------------------


def alone(call: Call) -> Bound:
    """One result with the shape of the first operand; others do not count."""
    need(bool(call.operands))
    return Bound(call, (kept(call),))


def _kept_words(how: Said) -> Words:
    return lambda step: Told(told(effect(step), how))


def effect(step: Spoken) -> Said:
    if step.out == step.x:
        return KEPT
    return said("Broadcast to {shape}", shape=ShapeOf(step.out))


_ALONE: dict[str, Said] = {
    "sigmoid expit": said("each value squashed to (0, 1)"),
    "hardsigmoid": said("each value squashed to [0, 1] by a line with flat ends"),
    "logsigmoid log_sigmoid": said("the log of the sigmoid of each value"),
    "tanh": said("each value squashed to (−1, 1)"),
    "relu": said("negative values become 0"),
    "relu6": said("negative values become 0, values above 6 become 6"),
    "leaky_relu rrelu": said("negative values made smaller by a factor, the others kept"),
    "elu selu celu": said("negative values bent along an exponential"),
    "gelu": said("each value weighted by the normal probability below it (GELU)"),
    "silu": said("each value multiplied by its own sigmoid (SiLU)"),
    "mish": said("each value multiplied by the tanh of its softplus (Mish)"),
    "hardswish": said("each value multiplied by a sigmoid made of straight lines (hard swish)"),
    "softplus": said("each value made positive by log(1 + exp(value)) (softplus)"),
    "softsign": said("each value divided by 1 plus its size (softsign)"),
    "tanhshrink": said("the tanh of each value subtracted from it"),
    "hardshrink softshrink": said("values near 0 set to 0"),
    "threshold _threshold": said("values up to a threshold replaced"),
    "abs absolute": said("each value replaced by its absolute value"),
    "neg negative": said("the sign of every value flipped"),
    "positive": said("every value as it was"),
    "exp": said("e raised to each value"),
    "exp2": said("2 raised to each value"),
    "expm1": said("e raised to each value, minus 1"),
    "log": said("the natural log of each value"),
    "log2": said("the log to base 2 of each value"),
    "log10": said("the log to base 10 of each value"),
    "log1p": said("the natural log of 1 plus each value"),
    "logit": said("the inverse of the sigmoid of each value"),
    "sqrt": said("the square root of each value"),
    "rsqrt": said("1 divided by the square root of each value"),
    "square": said("every value squared"),
    "reciprocal": said("1 divided by each value"),
    "sin": said("the sine of each value"),
    "cos": said("the cosine of each value"),
    "tan": said("the tangent of each value"),
    "asin arcsin": said("the arcsine of each value"),
    "acos arccos": said("the arccosine of each value"),
    "atan arctan": said("the arctangent of each value"),
    "sinh": said("the hyperbolic sine of each value"),
    "cosh": said("the hyperbolic cosine of each value"),
    "asinh arcsinh": said("the inverse hyperbolic sine of each value"),
    "acosh arccosh": said("the inverse hyperbolic cosine of each value"),
    "atanh arctanh": said("the inverse hyperbolic tangent of each value"),
    "erf": said("the error function of each value"),
    "erfc": said("1 minus the error function of each value"),
    "erfinv": said("the inverse of the error function of each value"),
    "lgamma gammaln": said("the log of the gamma function of each value"),
    "digamma psi": said("the digamma function of each value"),
    "polygamma": said("a polygamma function of each value"),
    "mvlgamma multigammaln": said("the log of the multivariate gamma function of each value"),
    "sinc": said("sin(πx) / πx of each value x"),
    "i0 i0e i1 i1e": said("a modified Bessel function of each value"),
    "bessel_j0 bessel_j1 bessel_y0 bessel_y1": said("a Bessel function of each value"),
    "entr": said("the entropy −x·log x of each value x"),
    "erfcx": said("the scaled complementary error function of each value"),
    "ndtr": said("the normal probability below each value"),
    "ndtri": said("the value below which a normal probability lies, for each"),
    "log_ndtr": said("the log of the normal probability below each value"),
    "sign sgn": said("each value replaced by its sign"),
    "signbit": said("True where a value is negative"),
    "floor": said("each value rounded down"),
    "ceil": said("each value rounded up"),
    "round": said("each value rounded"),
    "trunc fix": said("the part after the point dropped from each value"),
    "frac": said("only the part after the point kept of each value"),
    "deg2rad": said("each angle turned from degrees into radians"),
    "rad2deg": said("each angle turned from radians into degrees"),
    "nan_to_num": said("NaN and infinite values replaced by numbers"),
    "isnan": said("True where a value is NaN"),
    "isinf": said("True where a value is infinite"),
    "isfinite": said("True where a value is finite"),
    "isposinf": said("True where a value is +∞"),
    "isneginf": said("True where a value is −∞"),
    "isreal": said("True where a value has no imaginary part"),
    "logical_not": said("True where a value is zero or False"),
    "bitwise_not invert": said("each bit, or True and False, flipped"),
    "angle": said("the angle of each complex value"),
    "conj conj_physical": said("the complex conjugate of each value"),
    "resolve_conj resolve_neg": said("the same values, written out"),
    "clone": said("a copy of the values"),
    "zero": said("every value set to 0"),
    "fill": said("every value set to one number"),
    "normal": said("filled with normal random numbers"),
    "uniform random": said("filled with uniform random numbers"),
    "exponential geometric cauchy log_normal": said("filled with random numbers"),
    "poisson": said("each rate replaced by a random count"),
    "bernoulli": said("each value replaced by 0 or 1 at random"),
    "pin_memory": said("the same values"),
    "zeros_like": said("a new tensor of zeros with the shape of the input"),
    "ones_like": said("a new tensor of ones with the shape of the input"),
    "full_like": said("a new tensor filled with one value, with the shape of the input"),
    "empty_like": said("a new tensor, not filled, with the shape of the input"),
    "rand_like": said("a new tensor of uniform random numbers, with the shape of the input"),
    "randn_like": said("a new tensor of normal random numbers, with the shape of the input"),
    "randint_like": said("a new tensor of random whole numbers, with the shape of the input"),
}
for _names, _text in _ALONE.items():
    operation(_names, bind=alone, words=_kept_words(_text), scene=EACH)


def _trains(call: Call) -> bool:
    return call.flag("train" if "train" in call.arguments else "training", default=True)


def _dropout_words(trains: Said, rests: Said) -> Words:
    def words(step: Spoken) -> Told:
        if step.call.get("p") == 0:
            return Told(told(KEPT, said("the same values: with p = 0 none is ever zeroed")))
        return Told(told(KEPT, trains if _trains(step.call) else rests))

    return words


operation(
    "dropout alpha_dropout",
    bind=alone,
    words=_dropout_words(
        said("some values zeroed at random and the rest scaled up"),
        said("the same values; only in training some values are zeroed"),
    ),
    scene=EACH,
)


def _channel_dropout(call: Call) -> Bound:
    """Channels are dimension 1.

    Raises:
        Refused: kind `rank`, there is no such dimension.
    """
    # dropout3d puts a dimension in front of all but five.
    least = 1 if call.op == "dropout3d" else 2
    ranks = (2, 3) if call.op == "dropout1d" else tuple(range(least, ANY_MORE + 1))
    if call.operands[0].rank not in ranks and (_trains(call) or call.op == "dropout1d"):
        raise refuse("rank", *all_marks(call, 0), rank=least, ranks=ranks, at=0)
    return alone(call)


operation(
    "dropout1d dropout2d dropout3d feature_dropout feature_alpha_dropout",
    bind=_channel_dropout,
    words=_dropout_words(
        said("some whole channels zeroed at random and the rest scaled up"),
        said("the same values; only in training some whole channels are zeroed"),
    ),
    scene=EACH,
)

_SHARED: dict[str, Said] = {
    "real": said("the real part of each value"),
    "imag": said("the imaginary part of each value"),
    "contiguous": said("the same values, next to each other in memory"),
    "detach data": said("the same values, cut off from the gradient"),
    "requires_grad": said("the same values, gradient tracking set"),
    "alias": said("the same values"),
    "Identity": said("the input passed on as it is"),
}
for _names, _text in _SHARED.items():
    operation(_names, bind=alone, words=_kept_words(_text), shares=True, scene=EACH)

layers(
    relu="ReLU",
    relu6="ReLU6",
    leaky_relu="LeakyReLU",
    rrelu="RReLU",
    elu="ELU",
    selu="SELU",
    celu="CELU",
    gelu="GELU",
    silu="SiLU",
    mish="Mish",
    hardswish="Hardswish",
    softplus="Softplus",
    softsign="Softsign",
    tanhshrink="Tanhshrink",
    hardshrink="Hardshrink",
    softshrink="Softshrink",
    threshold="Threshold",
    sigmoid="Sigmoid",
    hardsigmoid="Hardsigmoid",
    logsigmoid="LogSigmoid",
    tanh="Tanh",
    hardtanh="Hardtanh",
    Identity="Identity",
    dropout="Dropout",
    dropout1d="Dropout1d",
    dropout2d="Dropout2d",
    dropout3d="Dropout3d",
    alpha_dropout="AlphaDropout",
    feature_alpha_dropout="FeatureAlphaDropout",
)


def _fraction(call: Call) -> Bound:
    return Bound(call, (kept(call),) * 2)


operation(
    "frexp",
    bind=_fraction,
    words=_kept_words(said("each value taken apart into a fraction and a power of 2")),
)


def _converted_words(step: Spoken) -> Told:
    old, made = step.call.operands[0], (step.call.results or step.call.operands)[0]
    changes = [
        property_changed(name, before, after)
        for name, before, after in (
            ("dtype", old.dtype, made.dtype),
            ("device", old.device, made.device),
        )
        if before != after
    ]
    if not changes:
        dtype, device = made.dtype, made.device
        return Told(
            said("Nothing changes: already {dtype} on {device}", dtype=dtype, device=device)
        )
    return Told(told(KEPT, joined(changes)))


operation(
    "to float double half bfloat16 int long short char byte bool type type_as cpu cuda cfloat "
    "cdouble",
    bind=alone,
    words=_converted_words,
    scene=EACH,
)

# --- laid against each other ---------------------------------------------------------------------


def _laid_operands(call: Call) -> list[int]:
    """All operands but one that is there to be written to."""
    out = call.tensors("out")
    found = [index for index in range(len(call.operands)) if index not in out]
    need(bool(found))
    return found


def laid(call: Call) -> Bound:
    """One result: all operands broadcast, the first not growing where it is written into.

    Raises:
        Refused: kind `broadcast`, with `in_place` where the first would have to grow.
    """
    operands = _laid_operands(call)
    dims, ties = broadcast(call, operands)
    if call.in_place:
        _hold(call, operands, dims)
    return Bound(call, (dims,), ties)


def _hold(call: Call, operands: Sequence[int], dims: Dims) -> None:
    """The first of the operands takes what is written into it as it is.

    Raises:
        Refused: kind `broadcast`, it would have to grow.
    """
    target = call.operands[operands[0]]
    for back in range(1, len(dims) + 1):
        size = dims[-back].size
        if back <= target.rank and not differ(target.shape[-back], size):
            continue
        other = next(
            i
            for i in operands[1:]
            if back <= call.operands[i].rank and not differ(call.operands[i].shape[-back], size)
        )
        own = At(operands[0], target.rank - back)
        marks = [mark(call, own, size)] if back <= target.rank else []
        raise refuse(
            "broadcast",
            *marks,
            mark(call, At(other, call.operands[other].rank - back)),
            in_place=True,
            grown=tuple(dim.size for dim in dims),
            target=operands[0],
            other=other,
        )


def stretched_lines(ins: Sequence[Shape], out: Shape) -> list[Said]:
    """A line for each dimension that an operand has not, or has as 1."""
    lines: list[Said] = []
    for axis, size in enumerate(out):
        for position, shape in enumerate(ins):
            own = axis - len(out) + len(shape)
            if own < 0:
                if shape and size != 1 and len(ins) > 1:
                    lines.append(
                        said(
                            "dim {axis}: missing in the {which}, repeated {n} times (broadcast)",
                            axis=axis,
                            which=ordinal(position),
                            n=size,
                        )
                    )
            elif shape[own] != size:
                lines.append(
                    said(
                        "dim {axis}: 1 stretched to {size} (broadcast, {which} operand)"
                        if len(ins) > 1
                        else "dim {axis}: 1 stretched to {size} (broadcast)",
                        axis=axis,
                        size=size,
                        which=ordinal(position),
                    )
                )
    return lines


_NO_WORDS = Said("")
_RAISED = said("every value raised to the power {number}")
PAIRS: dict[str, tuple[Said, Said, Said]] = {
    # Two tensors; a tensor and a number; a number and a tensor.
    "add": (
        said("added element by element"),
        said("{number} added to every value"),
        said("{number} added to every value"),
    ),
    "sub subtract": (
        said("the second subtracted from the first, element by element"),
        said("{number} subtracted from every value"),
        said("every value subtracted from {number}"),
    ),
    "rsub": (
        said("the first subtracted from the second, element by element"),
        said("every value subtracted from {number}"),
        said("every value subtracted from {number}"),
    ),
    "mul multiply": (
        said("multiplied element by element"),
        said("every value multiplied by {number}"),
        said("every value multiplied by {number}"),
    ),
    "div divide true_divide truediv": (
        said("the first divided by the second, element by element"),
        said("every value divided by {number}"),
        said("{number} divided by every value"),
    ),
    "floor_divide floordiv": (
        said("the first divided by the second and rounded down, element by element"),
        said("every value divided by {number} and rounded down"),
        said("{number} divided by every value and rounded down"),
    ),
    "remainder mod fmod": (
        said("the remainder of the first divided by the second, element by element"),
        said("the remainder of every value divided by {number}"),
        said("the remainder of {number} divided by every value"),
    ),
    "pow float_power": (
        said("the first raised to the power of the second, element by element"),
        _RAISED,
        said("{number} raised to the power of every value"),
    ),
    "maximum fmax": (said("the larger of each pair kept"),) * 3,
    "minimum fmin": (said("the smaller of each pair kept"),) * 3,
    "eq": (
        said("True where the two are equal"),
        said("True where a value equals {number}"),
        _NO_WORDS,
    ),
    "ne not_equal": (
        said("True where the two differ"),
        said("True where a value is not {number}"),
        _NO_WORDS,
    ),
    "lt less": (
        said("True where the first is smaller"),
        said("True where a value is below {number}"),
        _NO_WORDS,
    ),
    "le less_equal": (
        said("True where the first is smaller or equal"),
        said("True where a value is at most {number}"),
        _NO_WORDS,
    ),
    "gt greater": (
        said("True where the first is larger"),
        said("True where a value is above {number}"),
        _NO_WORDS,
    ),
    "ge greater_equal": (
        said("True where the first is larger or equal"),
        said("True where a value is at least {number}"),
        _NO_WORDS,
    ),
    "logical_and and bitwise_and": (
        said("combined with AND, element by element"),
        _NO_WORDS,
        _NO_WORDS,
    ),
    "logical_or or bitwise_or": (
        said("combined with OR, element by element"),
        _NO_WORDS,
        _NO_WORDS,
    ),
    "logical_xor xor bitwise_xor": (
        said("combined with exclusive OR, element by element"),
        _NO_WORDS,
        _NO_WORDS,
    ),
    "atan2 arctan2": (said("the angle of each pair of values"), _NO_WORDS, _NO_WORDS),
    "hypot": (said("the length of each pair of values"), _NO_WORDS, _NO_WORDS),
    "copysign": (
        said("the first with the sign of the second, element by element"),
        _NO_WORDS,
        _NO_WORDS,
    ),
    "logaddexp logaddexp2": (
        said("the log of the sum of the exponentials of each pair"),
        _NO_WORDS,
        _NO_WORDS,
    ),
    "heaviside": (
        said("0 or 1 by the sign of the first; where it is 0, the second"),
        _NO_WORDS,
        _NO_WORDS,
    ),
    "gcd": (said("the greatest common divisor of each pair"), _NO_WORDS, _NO_WORDS),
    "lcm": (said("the least common multiple of each pair"), _NO_WORDS, _NO_WORDS),
    "ldexp": (said("the first multiplied by 2 raised to the second"), _NO_WORDS, _NO_WORDS),
    "nextafter": (said("the next number from the first towards the second"), _NO_WORDS, _NO_WORDS),
    "igamma gammainc": (
        said("the lower incomplete gamma function of each pair"),
        _NO_WORDS,
        _NO_WORDS,
    ),
    "igammac gammaincc": (
        said("the upper incomplete gamma function of each pair"),
        _NO_WORDS,
        _NO_WORDS,
    ),
    "zeta": (said("the Hurwitz zeta function of each pair"), _NO_WORDS, _NO_WORDS),
    "bitwise_left_shift lshift": (said("the bits moved to the left"), _NO_WORDS, _NO_WORDS),
    "bitwise_right_shift rshift": (said("the bits moved to the right"), _NO_WORDS, _NO_WORDS),
    "isclose": (said("True where the two are nearly equal"), _NO_WORDS, _NO_WORDS),
    "xlogy": (said("the first multiplied by the log of the second"), _NO_WORDS, _NO_WORDS),
    "xlog1py": (said("the first multiplied by the log of 1 plus the second"), _NO_WORDS, _NO_WORDS),
    "polar": (said("complex numbers made of size and angle"), _NO_WORDS, _NO_WORDS),
    "complex": (said("complex numbers made of real and imaginary part"), _NO_WORDS, _NO_WORDS),
    "lerp": (
        said("blended element by element, from the first towards the second"),
        _NO_WORDS,
        _NO_WORDS,
    ),
    "addcmul": (
        said("the product of the second and third added to the first"),
        _NO_WORDS,
        _NO_WORDS,
    ),
    "addcdiv": (
        said("the second divided by the third and added to the first"),
        _NO_WORDS,
        _NO_WORDS,
    ),
}


def _pair_words(texts: tuple[Said, Said, Said]) -> Words:
    return lambda step: pair_words(step, texts)


def pair_words(step: Spoken, texts: tuple[Said, Said, Said]) -> Told:
    """What is said of two operands that meet, or of one and a number."""
    pair, scalar, reflected = texts
    ins = [step.ins[index] for index in _laid_operands(step.call)]
    if len(ins) > 1:
        how = said("combined element by element") if step.reflected else pair
    elif pair == scalar:
        how = pair
    else:
        first = type(step.call.arguments.get("input")) is TensorAt
        how = _with_number(step.call, scalar if first else reflected)
    if step.call.get("rounding_mode") is not None:
        how = said("{how}, then rounded", how=how)
    alpha = step.call.get("alpha", default=1)
    if alpha != 1:
        how = said("{how}, the second times {alpha}", how=how, alpha=alpha)
    return Told(told(effect(step), how), stretched_lines(ins, step.out))


def _with_number(call: Call, template: Said) -> Said:
    number = call.get("other", "exponent", "value", "input")
    # No float is as large as some whole numbers.
    huge = type(number) is int and abs(number) >= 2**63
    if type(number) not in (int, float) or template == _NO_WORDS or huge:
        return said("calculated value by value")
    if template == _RAISED and number == 2:
        return said("every value squared")
    return with_values(template, number=_digits(number))


def _digits(number: float) -> Filling:
    if len(str(number)) < 9:
        return str(number)
    return said("about {number}", number=f"{float(number):.4g}")


for _names, _texts in PAIRS.items():
    _becomes = next((word for word in ("add", "sub", "mul", "div") if word in _names.split()), "")
    operation(_names, bind=laid, words=_pair_words(_texts), scene=Scene("each", _becomes))


def _clamp_words(step: Spoken) -> Told:
    return Told(told(effect(step), _clamped(step.call)))


def _clamped(call: Call) -> Said:
    low, high = (
        call.get(name, name + "_val", default=end if call.op == "hardtanh" else None)
        for name, end in (("min", -1), ("max", 1))
    )
    if type(low) in (int, float) and type(high) in (int, float):
        return said(
            "values below {low} become {low}, values above {high} become {high}",
            low=_digits(low),
            high=_digits(high),
        )
    if type(low) in (int, float) and high is None:
        return said("values below {low} become {low}", low=_digits(low))
    if type(high) in (int, float) and low is None:
        return said("values above {high} become {high}", high=_digits(high))
    return said("values beyond a bound set to the bound")


operation("clip clamp clamp_min clamp_max", bind=laid, words=_clamp_words, scene=EACH)
operation("hardtanh", bind=alone, words=_clamp_words, scene=EACH)
operation(
    "copy",
    bind=laid,
    words=_kept_words(said("overwritten with the values of another tensor")),
    scene=Scene("each", cells=loosely(by_dims)),
)


def _all_close(call: Call) -> Bound:
    """A condition on the operands together, which is no tensor."""
    return Bound(call, (), broadcast(call, _laid_operands(call))[1])


operation("allclose", bind=_all_close)


def _broadcast_tensors(call: Call) -> Bound:
    dims, ties = broadcast(call, call.tensors("tensors"))
    return Bound(call, (dims,) * len(call.tensors("tensors")), ties)


operation("broadcast_tensors", bind=_broadcast_tensors, shares=True)

# --- choosing ------------------------------------------------------------------------------------


def _is_chosen(call: Call) -> bool:
    """Whether there is something to choose from: `where(condition)` alone counts positions."""
    return call.get("input") is not None or call.tensor("input") is not None


def _where(call: Call) -> Bound:
    if _is_chosen(call):
        return laid(call)
    # The positions of what is not zero: as many as there are.
    need(bool(call.operands) and all(result.rank == 1 for result in call.results))
    counts = {result.shape for result in call.results}
    need(len(counts) == 1 and len(call.results) == max(call.operands[0].rank, 1))
    ((count,),) = counts
    return Bound(call, ((new(count),),) * len(call.results))


def _where_words(step: Spoken) -> Told:
    if not _is_chosen(step.call):
        return Told(
            said("Positions of the non-zero values: {shapes}", shapes=some_shapes(step.outs))
        )
    ins = [step.ins[index] for index in _laid_operands(step.call)]
    how = said("each value chosen by the condition")
    return Told(told(effect(step), how), stretched_lines(ins, step.out))


def _chosen(bound: Bound, number: int) -> Cells:
    """One of the two at every place; the positions of what is not zero come from anywhere."""
    read = loosely(by_dims) if _is_chosen(bound.call) else everything
    return read(bound, number)


operation("where", bind=_where, words=_where_words, scene=Scene("each", cells=_chosen))


def masked(call: Call) -> Bound:
    """The mask is laid on the input, and the result has the shape of both.

    Raises:
        Refused: kind `dtype` of a mask that says neither yes nor no, `mask` of one that does not
            fit, `broadcast` of one that is larger than what it writes to.
    """
    x, m = call.tensor("input"), call.tensor("mask")
    if x is None or m is None:
        raise Unclear
    if call.operands[m].dtype != "bool":
        raise refuse(
            "dtype",
            mask=TensorAt(m),
            operand=TensorAt(m),
            found_dtype=call.operands[m].dtype,
            wanted_dtype="bool",
        )
    broken = clash(call.operands[x].shape, call.operands[m].shape)
    if broken is not None:
        have, given = (call.operands[i].shape[dim] for i, dim in zip((x, m), broken, strict=True))
        raise refuse(
            "mask",
            mark(call, At(m, broken[1]), have),
            mark(call, At(x, broken[0]), given),
            wanted=have,
            found=given,
        )
    dims, ties = broadcast(call, (x, m))
    if call.in_place:
        _hold(call, (x, m), dims)
    return Bound(call, (dims,), ties)


def masked_report(refusal: Refusal) -> Report | None:
    x, m = refusal.call.tensor("input"), refusal.call.tensor("mask")
    assert x is not None
    assert m is not None
    values = {
        "op": refusal.call.op,
        "x": refusal.name(x, said("the input")),
        "m": refusal.name(m, said("the mask")),
        "shape_x": refusal.shape(x),
        "shape_m": refusal.shape(m),
    }
    if refusal.violation.kind == "dtype":
        return Report(
            said(
                "{op} needs a mask of bool: {m} is {dtype}.",
                dtype=refusal.facts["found_dtype"],
                **values,
            ),
            (
                said(
                    "A mask says yes or no for each place. `{m}.bool()` makes zeros no and all "
                    "else yes.",
                    **values,
                ),
            ),
        )
    if refusal.violation.kind != "mask":
        return None
    given, have = (SizeAt(each.operand, each.dim, each.size) for each in refusal.violation.marks)
    reason = [
        said(
            "{m} {shape_m} is laid on {x} {shape_x} from the right: its dimension {dim} is "
            "{given}, where {x} has {have}.",
            dim=given.dim,
            given=given,
            have=have,
            **values,
        )
    ]
    rank_x, rank_m = refusal.call.operands[x].rank, refusal.call.operands[m].rank
    if rank_m < rank_x:
        reason.append(
            said(
                "{m} has {count} and {x} {rank}; the missing ones are put on the left, which may "
                "not be where they belong.",
                count=Count(rank_m, "dimension"),
                rank=rank_x,
                **values,
            )
        )
    return Report(
        said(
            "A mask needs sizes equal to those of what it is laid on, or 1: {given} ≠ {have} "
            "({shape_m} on {shape_x}).",
            given=given,
            have=have,
            **values,
        ),
        tuple(reason),
    )


def _masked_words(step: Spoken) -> Told:
    ins = [step.call.shape("input"), step.call.shape("mask")]
    how = said("the places where the mask is True overwritten")
    return Told(told(effect(step), how), stretched_lines(ins, step.out))


operation("masked_fill masked_scatter", bind=masked, words=_masked_words, report=masked_report)


# --- learned slopes ------------------------------------------------------------------------------


def _prelu(call: Call) -> Bound:
    x, w = call.tensor("input"), call.tensor("weight")
    if x is None or w is None:
        raise Unclear
    if call.operands[w].rank > 1:
        raise refuse("rank", *all_marks(call, w), rank=1, ranks=(0, 1), at=w)
    slopes = product(call.operands[w].shape)
    channels: Size = size_at(call.operands[x].shape[1:2], -1)
    if known(slopes) and is_one(slopes):
        return Bound(call, (kept(call, x),))
    if call.operands[x].rank < 2 or differ(slopes, channels):
        marks = [mark(call, At(x, 1), slopes)] if call.operands[x].rank > 1 else []
        raise refuse(
            "channels", *marks, mark(call, At(w, 0), channels), wanted=slopes, found=channels
        )
    return Bound(call, (kept(call, x),), ((At(x, 1), At(w, 0)),))


def _prelu_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind != "channels":
        return None
    x = refusal.call.tensor("input")
    channels, slopes = refusal.facts["found"], refusal.facts["wanted"]
    return Report(
        said(
            "{who} has a slope for each of {slopes}: {found} ≠ {wanted}.",
            who=refusal.who,
            slopes=Count(slopes, "channel"),
            found=channels,
            wanted=slopes,
        ),
        (
            said(
                "Dimension 1 of {x} {shape}, where channels are, is {found}.",
                x=refusal.name(x, said("the input")),
                shape=refusal.shape(x or 0),
                found=channels,
            ),
        ),
    )


operation(
    "prelu",
    bind=_prelu,
    words=_kept_words(said("negative values multiplied by a learned factor, the others kept")),
    report=_prelu_report,
    scene=Scene("each", cells=loosely(by_dims)),  # a slope counts of negative values alone
)
layers(prelu="PReLU")
