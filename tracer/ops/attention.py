"""Attention: scaled_dot_product_attention, its layers with heads and masks, and transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracer.ops.algebra import differ, known, product
from tracer.ops.bound import (
    NEW,
    SAME,
    Bound,
    Dim,
    Dims,
    Mark,
    Refused,
    all_marks,
    broadcast,
    kept,
    laid_on,
    mark,
    moved,
    refuse,
    same,
)
from tracer.ops.call import At, Call, Shape, Size, need
from tracer.ops.refusal import Refusal, Report, said
from tracer.ops.say import (
    KEPT,
    Spoken,
    Told,
    arrow,
    pair_arrow,
)
from tracer.ops.spec import operation
from tracer.ops.steps import layer_sizes, layers
from tracer.sentences import Count, ShapeOf, SizeAt

_NAMES = ("query", "key", "value")


def _differing(call: Call, first: At, second: At, kind: str) -> tuple[At, At]:
    """Two dimensions that must have one size.

    Raises:
        Refused: they have not.
    """
    a, b = (call.operands[at.operand].shape[at.dim] for at in (first, second))
    if differ(a, b):
        raise refuse(kind, mark(call, first, b), mark(call, second, a), wanted=b, found=a)
    return first, second


# --- scaled_dot_product_attention ----------------------------------------------------------------


def _attention(call: Call) -> Bound:
    q, k, v = (call.position(name) for name in _NAMES)
    query, key, value = (call.operands[index].shape for index in (q, k, v))
    least = 3 if call.flag("enable_gqa") else 2  # where heads are shared there are some
    for index in (q, k, v):
        if call.operands[index].rank < least:
            raise refuse("rank", *all_marks(call, index), rank=least, at=index)
    ties = [
        _differing(call, At(q, len(query) - 1), At(k, len(key) - 1), "matmul"),
        _differing(call, At(k, len(key) - 2), At(v, len(value) - 2), "matmul"),
    ]
    if call.flag("enable_gqa"):
        front, met = _shared_heads(call, q, k, v)
    else:
        front, met = broadcast(call, (q, k, v), but=2, kind="batch")
    rows, columns = At(q, len(query) - 2), At(v, len(value) - 1)
    dims = (*front, same(call, rows), same(call, columns))
    keys = same(call, At(k, len(key) - 2), At(v, len(value) - 2))
    masked = _masked(call, (*front, dims[-2], keys))
    return Bound(call, (dims,), (*ties, *met, *masked))


def _shared_heads(call: Call, q: int, k: int, v: int) -> tuple[Dims, tuple[tuple[At, At], ...]]:
    """With `enable_gqa` several heads of the queries share one of the keys and values."""
    heads = At(q, call.operands[q].rank - 3)
    own = call.operands[q].shape[-3]
    for index in (k, v):
        count = call.operands[index].shape[-3]
        if known(own) and known(count) and (count == 0 or own % count):
            shared = mark(call, At(index, call.operands[index].rank - 3))
            raise refuse("heads", mark(call, heads), shared, parts=count)
    front, ties = broadcast(call, (q, k, v), but=3, kind="batch")
    return (*front, same(call, heads)), ties


def _masked(call: Call, scores: Dims) -> tuple[tuple[At, At], ...]:
    """What is one with the mask's dimensions.

    Raises:
        Refused: kind `mask`, it is no shape that stretches to the scores; `arguments`, it is given
            beside `is_causal`.
    """
    index = call.tensor("attn_mask")
    if index is None:
        return ()
    if call.flag("is_causal"):
        raise refuse("arguments", at=index)
    mask, wanted = call.operands[index], tuple(dim.size for dim in scores)
    try:
        ties = laid_on(call, index, scores)
    except Refused as refused:
        raise _mask_refusal(call, index, wanted, refused.violation.marks[:1]) from None
    query = call.operands[call.position("query")]
    if mask.dtype not in ("bool", query.dtype):
        raise refuse("dtype", at=index, query_dtype=query.dtype, mask_dtype=mask.dtype)
    return ties


def _mask_refusal(
    call: Call, index: int, wanted: Shape, marks: Sequence[Mark], **facts: Any
) -> Exception:
    """To be raised: operand `index` is a mask that should have the shape `wanted`."""
    found = call.operands[index].shape
    return refuse("mask", *marks, wanted=wanted, found=found, at=index, **facts)


def _attention_words(step: Spoken) -> Told:
    query, key = (step.call.shape(name) for name in _NAMES[:2])
    effect = KEPT if step.out == query else arrow(ShapeOf(query), ShapeOf(step.out))
    return Told(
        said(
            "{effect}: {queries} query takes an average of {values} values, weighted by how well "
            "the keys match"
            if str(query[-2]) == "1"
            else "{effect}: each of {queries} queries takes an average of {values} values, "
            "weighted by how well the keys match",
            effect=effect,
            queries=query[-2],
            values=key[-2],
        ),
        [
            said(
                "contracted over {width} (last of query and key), then over {length} "
                "(keys and values)",
                width=query[-1],
                length=key[-2],
            )
        ],
    )


def _attention_flops(bound: Bound) -> Size:
    """The scores, and the values weighted by them."""
    query, key = (bound.call.shape(name) for name in _NAMES[:2])
    (out,) = bound.shapes
    scores = product((*out[:-2], query[-2], key[-2]))
    return 2 * scores * (query[-1] + out[-1])


def _attention_report(refusal: Refusal) -> Report | None:
    kind = refusal.violation.kind
    if kind in ("matmul", "batch"):
        return _pair_report(refusal)
    if kind == "mask":
        return _mask_report(refusal)
    if kind not in ("rank", "dtype", "arguments"):
        return None
    index = refusal.facts["at"]
    values: dict[str, Any] = {"name": refusal.name(index), "op": refusal.call.op}
    if kind == "rank":
        values |= {"rank": refusal.call.operands[index].rank, "shape": refusal.shape(index)}
        return Report(
            said("{op} needs at least 2 dimensions (..., T, E): {name} has {rank}.", **values),
            (said("{name} is {shape}.", **values),),
        )
    if kind == "dtype":
        values |= {"wanted": refusal.facts["query_dtype"], "found": refusal.facts["mask_dtype"]}
        return Report(
            said("{op} needs an attn_mask of bool or {wanted}: {name} is {found}.", **values),
            (
                said(
                    "A mask of bool says which keys are seen; one of floats is added to the scores."
                ),
            ),
        )
    return Report(
        said("{op} takes an attn_mask or is_causal=True, not both.", **values),
        (said("The causal mask is one of its own; put it into {name} instead.", **values),),
    )


def _pair_report(refusal: Refusal) -> Report:
    call = refusal.call
    roles = {call.position(name): name for name in _NAMES}
    values = refusal.pair(*(roles[mark.operand] for mark in refusal.violation.marks[:2]))
    one = values["one"]
    if refusal.violation.kind == "batch":
        return Report(
            said("{op} needs the sizes before the last two to agree: {one} ≠ {two}.", **values),
            (said("{a} {shape_a} and {b} {shape_b} differ in batch or heads.", **values),),
        )
    if roles[one.operand] == "query" and one.dim == call.operands[one.operand].rank - 1:
        return Report(
            said("{op} needs query and key of one width: {one} ≠ {two}.", **values),
            (
                said(
                    "Each query is multiplied with each key, number by number: {a} {shape_a} and "
                    "{b} {shape_b}.",
                    **values,
                ),
            ),
        )
    return Report(
        said("{op} needs as many values as keys: {one} ≠ {two}.", **values),
        (said("Each key of {a} {shape_a} goes with one value of {b} {shape_b}.", **values),),
    )


def _mask_report(refusal: Refusal) -> Report:
    index, scores = refusal.facts["at"], refusal.facts["wanted"]
    mask = refusal.call.operands[index].shape
    values: dict[str, Any] = {
        "op": refusal.call.op,
        "scores": ShapeOf(scores),
        "m": refusal.name(index, "attn_mask"),
        "shape": refusal.shape(index),
        "queries": scores[-2],
        "keys": scores[-1],
        "front": ShapeOf(scores[:-2]),
    }
    reason = [
        said(
            "The scores have one number for each query and key, {queries} × {keys}, in each of "
            "{front}. Sizes of the mask must be equal to those, or 1.",
            **values,
        )
    ]
    if len(mask) == 2 and len(scores) == 4 and mask == (scores[0], scores[-1]):
        reason.append(
            said(
                "A mask of (N, T) needs dimensions of 1 for heads and queries: "
                "`{m}[:, None, None, :]`.",
                **values,
            )
        )
    return Report(
        said("{op} lays attn_mask on scores of {scores}: {m} {shape} does not fit.", **values),
        tuple(reason),
    )


operation(
    "scaled_dot_product_attention",
    bind=_attention,
    words=_attention_words,
    report=_attention_report,
    flops=_attention_flops,
)


# --- attention with several heads ----------------------------------------------------------------


class _Heads:
    """A call of multi_head_attention_forward or nn.MultiheadAttention, as it reads its shapes.

    The function takes (T, N, E) alone; the layer also (N, T, E), with `batch_first`.
    """

    def __init__(self, call: Call) -> None:
        self.call = call
        self.layer = call.op == "multihead_attention"
        self.query, self.key, self.value = (call.position(name) for name in _NAMES)
        self.first = self.layer and call.flag("batch_first")
        shape = call.operands[self.query].shape
        self.batched = len(shape) == 3
        self.sequence = int(self.batched and self.first)
        self.heads = call.size("num_heads")

    @property
    def batch(self) -> int:
        """The dimension that counts samples."""
        return 0 if self.first else 1

    def size(self, operand: int, dim: int) -> Size:
        return self.call.operands[operand].shape[dim]

    def widths(self) -> tuple[Size, Size, Size]:
        """What query, key and value must end in."""
        if self.layer:
            return (self.call.size("embed_dim"), self.call.size("kdim"), self.call.size("vdim"))
        width = self.call.size("embed_dim_to_check")
        if not self.call.flag("use_separate_proj_weight"):
            return width, width, width
        own = (self.call.shape(f"{name}_proj_weight") for name in "kv")
        return (width, *(shape[1] for shape in own))


def _heads(call: Call) -> Bound:
    given = _Heads(call)
    _check_ranks(given)
    _check_widths(given)
    _check_batches(given)
    memory = _memory(given)
    _check_masks(given, memory)
    q, k, v = given.query, given.key, given.value
    rank = call.operands[q].rank
    width = given.widths()[0]
    last = moved(Dim(width, SAME, (At(q, rank - 1),)))
    result = (*kept(call, q)[:-1], last)
    ties = [(At(k, dim), At(v, dim)) for dim in range(rank - 1)]
    if given.batched:
        ties.append((At(q, given.batch), At(k, given.batch)))
    if not call.flag("need_weights", True):
        return Bound(call, (result,), tuple(ties))
    keys = [At(k, given.sequence)]
    whole = same(call, *keys) if memory is None else Dim(memory, NEW, tuple(keys), kind="place")
    rows = same(call, At(q, given.sequence))
    batch = (same(call, At(q, given.batch)),) if given.batched else ()
    average = call.flag("average_attn_weights", True)
    heads = () if average else (Dim(given.heads, NEW, hint="h"),)
    return Bound(call, (result, (*batch, *heads, rows, whole)), tuple(ties))


def _memory(given: _Heads) -> Size | None:
    """How many keys there are, where the layer adds some of its own."""
    call = given.call
    own = call.tensor("bias_k") is not None
    zero = call.flag("add_zero_attn")
    steps = given.size(given.key, given.sequence)
    return steps + int(own) + int(zero) if own or zero else None


def _check_ranks(given: _Heads) -> None:
    call = given.call
    operands = (given.query, given.key, given.value)
    for name, index in zip(_NAMES, operands, strict=True):
        if call.operands[index].rank not in (2, 3):
            raise refuse("rank", *all_marks(call, index), rank=3, at=index, argument=name)
    ranks = [call.operands[index].rank for index in operands]
    if len(set(ranks)) > 1:
        raise refuse("rank", *all_marks(call, given.key), rank=ranks[0])


def _check_widths(given: _Heads) -> None:
    call = given.call
    operands = (given.query, given.key, given.value)
    for name, index, width in zip(_NAMES, operands, given.widths(), strict=True):
        at = At(index, call.operands[index].rank - 1)
        found = given.size(*at)
        if differ(found, width):
            weight = call.tensor("in_proj_weight")
            marks = [mark(call, at, width)]
            if weight is not None:
                marks.append(mark(call, At(weight, 1), found))
            raise refuse("width", *marks, wanted=width, found=found, at=index, argument=name)


def _check_batches(given: _Heads) -> None:
    call = given.call
    key, value = call.operands[given.key].shape, call.operands[given.value].shape
    odd = [dim for dim in range(len(key) - 1) if differ(key[dim], value[dim])]
    if odd:
        marks = [mark(call, At(given.value, dim), key[dim]) for dim in odd]
        raise refuse("batch", *marks, values=True)
    if given.batched:
        one, two = At(given.query, given.batch), At(given.key, given.batch)
        found, other = given.size(*one), given.size(*two)
        if differ(found, other):
            steps = given.size(given.query, given.sequence)
            raise refuse(
                "batch",
                mark(call, one, other),
                mark(call, two, found),
                wanted=found,
                found=other,
                batch_first=given.first,
                turned=not differ(steps, given.size(given.key, given.sequence)),
            )


def _check_masks(given: _Heads, memory: Size | None) -> None:
    call = given.call
    steps, keys = (given.size(index, given.sequence) for index in (given.query, given.key))
    batch = given.size(given.query, given.batch) if given.batched else 1
    hidden = (batch, keys) if given.batched else (keys,)
    for argument, allowed, other in (
        ("attn_mask", ((steps, keys), (batch * given.heads, steps, keys)), (batch, batch)),
        ("key_padding_mask", (hidden,), hidden[::-1]),
    ):
        index = call.tensor(argument)
        if index is None or any(_alike(call.operands[index].shape, each) for each in allowed):
            continue
        turned = _alike(call.operands[index].shape, other)
        if argument == "attn_mask":
            turned = turned and not differ(steps, keys)
        facts = {"argument": argument, "batch_first": given.first, "turned": turned}
        raise _mask_refusal(call, index, allowed[0], all_marks(call, index), **facts)


def _alike(shape: Shape, other: Shape) -> bool:
    return len(shape) == len(other) and not any(map(differ, shape, other))


def _heads_words(step: Spoken) -> Told:
    return Told(
        said(
            "Shape kept: every query takes an average of the values, weighted by how well the keys "
            "match, in several heads"
        )
    )


def _heads_flops(bound: Bound) -> Size:
    """Of the projections, the scores and what they weigh."""
    call = bound.call
    given = _Heads(call)
    batch = given.size(given.query, given.batch) if given.batched else 1
    queries, keys = (given.size(index, given.sequence) for index in (given.query, given.key))
    width, *others = given.widths()
    projected = queries * 2 * width + keys * sum(others)
    memory = _memory(given)
    return 2 * batch * width * (projected + 2 * queries * (keys if memory is None else memory))


def _heads_report(refusal: Refusal) -> Report | None:
    given = _Heads(refusal.call)
    kind = refusal.violation.kind
    if kind == "batch":
        write = _values_report if refusal.facts.get("values") else _batches_report
    elif kind == "rank":
        write = _rank_report if "argument" in refusal.facts else _ranks_report
    elif kind == "mask":
        masks = {"attn_mask": _heads_mask_report, "key_padding_mask": _padding_report}
        write = masks[refusal.facts["argument"]]
    elif kind == "width":
        write = _width_report
    else:
        return None
    order = "(N, T, E)" if given.first else "(T, N, E)"
    values: dict[str, Any] = {
        "who": refusal.who,
        "order": order,
        "batch_first": given.first,
        "other_order": not given.first,
    }
    for name, index in zip(_NAMES, (given.query, given.key, given.value), strict=True):
        values |= {name: refusal.name(index, name), f"{name}_shape": refusal.shape(index)}
    return write(refusal, given, values)


def _rank_report(refusal: Refusal, given: _Heads, values: Mapping[str, Any]) -> Report:
    index = refusal.facts["at"]
    own = {
        "label": refusal.facts["argument"],
        "name": refusal.name(index, refusal.facts["argument"]),
        "shape": refusal.shape(index),
        "rank": refusal.call.operands[index].rank,
    }
    return Report(
        said(
            "{who} needs a {label} with 3 dimensions {order}, or 2 without the batch: {name} has "
            "{rank}.",
            **values,
            **own,
        ),
        (
            said("{name} {shape} does not read as a sequence of vectors.", **own),
            said("Positions of a picture are flattened into one dimension first."),
        ),
    )


def _ranks_report(refusal: Refusal, given: _Heads, values: Mapping[str, Any]) -> Report:
    return Report(
        said(
            "{who} needs query, key and value with the same number of dimensions: query "
            "{query_shape}, key {key_shape}, value {value_shape}.",
            **values,
        ),
        (said("Either all three have a batch dimension, or none."),),
    )


def _width_report(refusal: Refusal, given: _Heads, values: Mapping[str, Any]) -> Report:
    wanted, found, index = (refusal.facts[name] for name in ("wanted", "found", "at"))
    label = refusal.facts["argument"]
    shape = refusal.call.operands[index].shape
    own: dict[str, Any] = {
        "label": label,
        "name": refusal.name(index, label),
        "shape": refusal.shape(index),
        "wanted": wanted,
        "features": Count(wanted, "feature"),
        "found": SizeAt(index, len(shape) - 1, found),
        "setting": "embed_dim" if wanted == given.widths()[0] else f"{label[0]}dim",
    }
    reason = [
        said(
            "{who} was made with {setting}={wanted}, and the last dimension of {name} {shape} is "
            "{found}.",
            **values,
            **own,
        )
    ]
    if wanted in shape[:-1]:
        own["at"] = shape.index(wanted)
        reason.append(
            said(
                "The size {wanted} is there, in dimension {at}: features come last, {order}.",
                **values,
                **own,
            )
        )
    return Report(
        said(
            "{who} needs a {label} of {features}: {found} ≠ {wanted} ({name} {shape}).",
            **values,
            **own,
        ),
        tuple(reason),
        said(
            "See whether {name} should have {wanted} features, or {who} should take {found}.",
            **values,
            **own,
        ),
    )


def _values_report(refusal: Refusal, given: _Heads, values: Mapping[str, Any]) -> Report:
    return Report(
        said("{who} needs as many values as keys: {key_shape} and {value_shape}.", **values),
        (
            said(
                "Each key of {key} {key_shape} goes with one value of {value} {value_shape}.",
                **values,
            ),
        ),
    )


def _batches_report(refusal: Refusal, given: _Heads, values: Mapping[str, Any]) -> Report:
    filled = {
        **refusal.pair(),
        **values,
        "steps": SizeAt(given.query, given.sequence, int(given.size(given.query, given.sequence))),
    }
    reason = [
        said(
            "With batch_first={batch_first} the shapes are read as {order}: {query} {query_shape} "
            "holds {one} sequences and {key} {key_shape} holds {two}.",
            **filled,
        )
    ]
    if refusal.facts["turned"]:
        reason.append(
            said(
                "The other sizes agree ({steps}): the batch may be there, with "
                "batch_first={other_order}.",
                **filled,
            )
        )
    return Report(
        said("{who} needs query and key of one batch size: {one} ≠ {two}.", **filled),
        tuple(reason),
    )


def _heads_mask_report(refusal: Refusal, given: _Heads, values: Mapping[str, Any]) -> Report:
    steps, keys = refusal.facts["wanted"]
    index, found = refusal.facts["at"], refusal.facts["found"]
    batch = given.size(given.query, given.batch) if given.batched else 1
    filled = {
        **values,
        "m": refusal.name(index, "attn_mask"),
        "shape": refusal.shape(index),
        "flat": ShapeOf((steps, keys)),
        "full": ShapeOf((batch * given.heads, steps, keys)),
        "steps": steps,
        "keys": keys,
        "batch": batch,
        "heads": given.heads,
        "front": batch * given.heads,
    }
    reason = [
        said(
            "The mask says for each of {steps} queries which of {keys} keys it may see. One for "
            "each sample and head needs {batch}·{heads} = {front} in front.",
            **filled,
        ),
        said("A mask of (N, T) that hides padding is key_padding_mask.")
        if found == (batch, keys)
        else said("With batch_first={batch_first} the shapes are read as {order}.", **filled),
    ]
    return Report(
        said("{who} needs an attn_mask of {flat} or {full}: {m} is {shape}.", **filled),
        tuple(reason),
    )


def _padding_report(refusal: Refusal, given: _Heads, values: Mapping[str, Any]) -> Report:
    index, wanted = refusal.facts["at"], refusal.facts["wanted"]
    filled = {
        **values,
        "m": refusal.name(index, "key_padding_mask"),
        "shape": refusal.shape(index),
        "wanted": ShapeOf(wanted),
        "keys": wanted[-1],
    }
    reason = [
        said(
            "It says for each sample which of its {keys} keys are padding, always as (N, T). The "
            "keys {key_shape} are read as {order}.",
            **filled,
        )
    ]
    if refusal.facts["turned"]:
        reason.append(
            said(
                "Turned round it would fit: the batch may be there, with "
                "batch_first={other_order}.",
                **filled,
            )
        )
    return Report(
        said("{who} needs a key_padding_mask of {wanted}: {m} is {shape}.", **filled),
        tuple(reason),
    )


operation(
    "multihead_attention multi_head_attention_forward",
    bind=_heads,
    words=_heads_words,
    report=_heads_report,
    flops=_heads_flops,
)
layers(multihead_attention="MultiheadAttention")
layer_sizes("MultiheadAttention", reads="embed_dim", makes="embed_dim")


# --- transformers --------------------------------------------------------------------------------


def _transformer(call: Call) -> Bound:
    src, tgt = call.position("src"), call.position("tgt")
    width = call.size("d_model")
    ranks = [call.operands[index].rank for index in (src, tgt)]
    need(ranks in ([2, 2], [3, 3]))
    ties = []
    if ranks[0] == 3:
        at = 0 if call.flag("batch_first") else 1
        one, two = At(src, at), At(tgt, at)
        a, b = (call.operands[index].shape[at] for index in (src, tgt))
        if differ(a, b):
            raise refuse(
                "batch",
                mark(call, one, b),
                mark(call, two, a),
                wanted=a,
                found=b,
                batch_first=call.flag("batch_first"),
            )
        ties.append((one, two))
    for name, index in (("src", src), ("tgt", tgt)):
        last = At(index, ranks[0] - 1)
        found = call.operands[index].shape[-1]
        if differ(found, width):
            marked = mark(call, last, width)
            raise refuse("width", marked, wanted=width, found=found, at=index, argument=name)
    return Bound(call, (_worked_on(call, tgt),), tuple(ties))


def _worked_on(call: Call, operand: int) -> Dims:
    """The shape is kept, and each position's features are made anew of all of them."""
    *front, last = kept(call, operand)
    return (*front, moved(last))


def _transformer_words(step: Spoken) -> Told:
    src, tgt = (step.call.shape(name) for name in ("src", "tgt"))
    return Told(
        said(
            "{arrow}: the target attends to itself and to the source, then a small network works "
            "at each position",
            arrow=pair_arrow(src, tgt, step.out),
        )
    )


def _transformer_report(refusal: Refusal) -> Report | None:
    call, kind = refusal.call, refusal.violation.kind
    src, tgt = call.position("src"), call.position("tgt")
    first = call.flag("batch_first")
    values: dict[str, Any] = {
        "who": refusal.who,
        "batch_first": first,
        "order": "(N, T, E)" if first else "(T, N, E)",
        "src": refusal.name(src, "src"),
        "tgt": refusal.name(tgt, "tgt"),
        "src_shape": refusal.shape(src),
        "tgt_shape": refusal.shape(tgt),
    }
    if kind == "batch":
        values = refusal.pair() | values
        return Report(
            said("{who} needs src and tgt of one batch size: {one} ≠ {two}.", **values),
            (
                said(
                    "With batch_first={batch_first} the shapes are read as {order}: {src} "
                    "{src_shape} and {tgt} {tgt_shape}.",
                    **values,
                ),
            ),
        )
    if kind != "width":
        return None
    index = refusal.facts["at"]
    values |= {
        "label": refusal.facts["argument"],
        "width": refusal.facts["wanted"],
        "found": SizeAt(index, call.operands[index].rank - 1, refusal.facts["found"]),
        "name": refusal.name(index, refusal.facts["argument"]),
        "shape": refusal.shape(index),
    }
    return Report(
        said("{who} needs {label} of {width} features: {found} ≠ {width}.", **values),
        (said("It was made with d_model={width}, and {name} {shape} ends in {found}.", **values),),
    )


operation("transformer", bind=_transformer, words=_transformer_words, report=_transformer_report)


def _transformer_part(call: Call) -> Bound:
    """What a layer of a transformer refuses, the attention inside it refuses."""
    index = call.position("tgt", "src")
    need(call.operands[index].rank in (2, 3))
    return Bound(call, (_worked_on(call, index),))


def _part_words(step: Spoken) -> Told:
    return Told(said("Shape kept: attention between the positions, then a small network at each"))


operation("transformer_encoder transformer_decoder", bind=_transformer_part, words=_part_words)
layers(
    transformer="Transformer",
    transformer_encoder="TransformerEncoder TransformerEncoderLayer",
    transformer_decoder="TransformerDecoder TransformerDecoderLayer",
)
layer_sizes(
    "Transformer TransformerEncoderLayer TransformerDecoderLayer", reads="d_model", makes="d_model"
)
