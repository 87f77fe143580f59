"""Rows looked up in a table by their numbers: embedding, bags of them, one-hot vectors."""

from __future__ import annotations

from typing import Any

from tracer.ops.algebra import below, known
from tracer.ops.bound import MIXED, NEW, PIECE, Bound, Dim, all_marks, kept, mark, refuse
from tracer.ops.call import At, Call, Operand, Unclear, need
from tracer.ops.cells import Along, Cells, Scene, by_dims
from tracer.ops.refusal import Refusal, Report, Said, said
from tracer.ops.reports import setting_report
from tracer.ops.say import (
    Spoken,
    Told,
    arrow,
)
from tracer.ops.spec import operation
from tracer.ops.steps import layer_sizes, layers
from tracer.sentences import ShapeOf

# --- embedding -----------------------------------------------------------------------------------


def _table(call: Call) -> tuple[int, int]:
    """(the numbers, the table)

    Raises:
        Refused: the numbers are no whole ones, or name rows that are not there.
    """
    index, weight = call.tensor("indices", "input"), call.tensor("weight")
    if index is None or weight is None:
        raise Unclear
    if call.operands[weight].rank != 2:
        raise refuse("rank", *all_marks(call, weight), rank=2, ranks=(2,), at=weight)
    numbers = call.operands[index]
    if numbers.dtype not in ("int64", "int32"):
        raise refuse(
            "dtype",
            wanted_dtype="int64",
            found_dtype=numbers.dtype,
            whole=is_whole(numbers),
            at=index,
        )
    return index, weight


def is_whole(operand: Operand) -> bool:
    """Whether a tensor holds whole numbers, as far as its entries are known."""
    if operand.values is not None:
        return operand.values.whole()
    return True


def _check_rows(call: Call, index: int, weight: int) -> None:
    rows = call.operands[weight].shape[0]
    values = call.operands[index].values
    span = values.span() if values is not None else None
    if span is None or not known(rows):
        return
    low, high = span
    if low < 0 or high >= rows:
        marks = (mark(call, At(weight, 0), high + 1),) if high >= rows else ()
        raise refuse(
            "range",
            *marks,
            wanted=high + 1,
            found=rows,
            index=high if high >= rows else low,
            low=low,
            high=high,
            at=index,
        )


def _embedding(call: Call) -> Bound:
    index, weight = _table(call)
    _check_rows(call, index, weight)
    columns = At(weight, 1)
    row = Dim(call.operands[weight].shape[1], MIXED, (columns,))
    return Bound(call, ((*kept(call, index), row),))


def _embedding_words(step: Spoken) -> Told:
    index, weight = _table(step.call)
    return Told(
        said(
            "{arrow}: each index replaced by its row of a table with {n} rows",
            arrow=arrow(ShapeOf(step.ins[index]), ShapeOf(step.out)),
            n=step.ins[weight][0],
        ),
        [
            said(
                "dim {axis}: new, the {n} values of a row",
                axis=step.call.operands[index].rank,
                n=step.out[-1],
            )
        ],
    )


def _embedding_report(refusal: Refusal) -> Report | None:
    kind = refusal.violation.kind
    if kind == "rank" and "bag" not in refusal.facts:
        return _table_report(refusal)
    if kind == "dtype":
        return _dtype_report(refusal)
    if kind == "range":
        return _range_report(refusal)
    return None


def _table_report(refusal: Refusal) -> Report:
    at = refusal.facts["at"]
    values = {"who": refusal.who, "shape": refusal.shape(at)}
    return Report(
        said("{who} looks up rows of a table, which has 2 dimensions: it is {shape}.", **values),
        (said("Its first dimension counts the rows, its second the numbers in a row."),),
    )


def _dtype_report(refusal: Refusal) -> Report:
    facts, at = refusal.facts, refusal.facts["at"]
    values: dict[str, Any] = {
        "who": refusal.who,
        "x": refusal.name(at, said("the input")),
        "shape": refusal.shape(at),
        "dtype": facts["found_dtype"],
    }
    return Report(
        said("{who} needs whole numbers (int64 or int32): {x} is {dtype}.", **values),
        (
            said(
                "{who} looks up rows of a table by their number, so its input must be int64 or "
                "int32.",
                **values,
            ),
            said(
                "{x} {shape} is {dtype}: `.long()` turns it into whole numbers, if it does hold "
                "tokens."
                if facts["whole"]
                else "{x} {shape} is {dtype}: its values are no whole numbers, so it does not hold "
                "tokens; a linear layer takes such an input.",
                **values,
            ),
        ),
        said("See where {x} became {dtype}.", **values),
    )


def _range_report(refusal: Refusal) -> Report:
    facts, at = refusal.facts, refusal.facts["at"]
    values: dict[str, Any] = {
        **facts,
        "who": refusal.who,
        "last": facts["found"] - 1,
        "x": refusal.name(at, said("the input")),
        "shape": refusal.shape(at),
        "bad": facts["index"],
        "is_built": refusal.is_built(),
    }
    reason: list[Said] = [
        said(
            "{is_built}, and {x} {shape} holds numbers from {low} to {high}."
            if refusal.built
            else "The table has {found} rows, and {x} {shape} holds numbers from {low} to {high}.",
            **values,
        )
    ]
    if facts["high"] == facts["found"]:
        reason.append(
            said("It is one too high: tokens are counted from 0, or the table lacks a row.")
        )
    elif facts["low"] < 0:
        reason.append(said("A negative number is no row; -1 or -100 often marks padding."))
    return Report(
        said("{who} has rows 0 to {last}: {x} holds {bad}.", **values),
        tuple(reason),
        said("Make the table larger, or see where {bad} comes from.", **values),
    )


def _embedding_cells(bound: Bound, number: int) -> Cells:
    """The row that the number at this place names."""
    index, weight = _table(bound.call)
    return by_dims(bound, number, {At(weight, 0): Along("named", by=index)})


operation(
    "embedding",
    bind=_embedding,
    words=_embedding_words,
    report=_embedding_report,
    scene=Scene("lookup", cells=_embedding_cells),
)
layers(embedding="Embedding")

# --- bags ----------------------------------------------------------------------------------------


def _embedding_bag(call: Call) -> Bound:
    index, weight = _table(call)
    offsets, shares = call.tensor("offsets"), call.tensor("per_sample_weights")
    numbers = call.operands[index]
    if numbers.rank not in (1, 2):
        raise refuse("rank", *all_marks(call, index), rank=2, ranks=(1, 2), at=index, bag=True)
    if (offsets is None) == (numbers.rank == 1):
        raise refuse("arguments", argument="offsets", at=index)
    if shares is not None and call.operands[shares].shape != numbers.shape:
        raise refuse(
            "arguments", *all_marks(call, shares), argument="per_sample_weights", at=shares
        )
    if shares is not None and call.get("mode", default="mean") not in ("sum", 0):
        raise refuse("arguments", argument="mode", at=index)
    row = Dim(call.operands[weight].shape[1], MIXED, (At(weight, 1),))
    if offsets is None:
        bags = kept(call, index)[0]
    else:
        if call.operands[offsets].rank != 1:
            raise refuse(
                "rank", *all_marks(call, offsets), rank=1, ranks=(1,), at=offsets, bag=True
            )
        bags = kept(call, offsets)[0]
        if call.flag("include_last_offset"):
            count = bags.size - 1
            if below(count, 0):
                raise refuse("arguments", argument="offsets", at=offsets)
            bags = Dim(count, PIECE, bags.sources, stop=count)
    _check_rows(call, index, weight)
    # Torch's own function beneath gives three more, which `backward` reads: how long they are is
    # its own affair.
    more = (tuple(Dim(size, NEW) for size in each.shape) for each in call.results[1:])
    return Bound(call, ((bags, row), *more))


def _bag_words(step: Spoken) -> Told:
    _, weight = _table(step.call)
    mode = step.call.get("mode", default="mean")
    # Torch's own function counts the ways.
    if mode in ("sum", 0):
        how = said("added up")
    elif mode in ("max", 2):
        how = said("their largest values taken")
    else:
        how = said("averaged")
    return Told(
        said(
            "{shape}: of a table with {n} rows those that each bag names, {how}",
            shape=ShapeOf(step.out),
            n=step.ins[weight][0],
            how=how,
        ),
        [
            said("dim 0: {n} bags", n=step.out[0]),
            said("dim {axis}: new, the {n} values of a row", axis=1, n=step.out[1]),
        ],
    )


operation("embedding_bag", bind=_embedding_bag, words=_bag_words, report=_embedding_report)
layers(embedding_bag="EmbeddingBag")
layer_sizes("Embedding EmbeddingBag", reads="num_embeddings", makes="embedding_dim")

# --- one-hot vectors -----------------------------------------------------------------------------


def _one_hot(call: Call) -> Bound:
    need(bool(call.operands))
    numbers = call.operands[0]
    if numbers.dtype != "int64":
        raise refuse(
            "dtype",
            wanted_dtype="int64",
            found_dtype=numbers.dtype,
            whole=is_whole(numbers),
            at=0,
        )
    classes = call.whole("num_classes", default=-1)
    span = numbers.values.span() if numbers.values is not None else None
    counted = known(classes) and classes == -1
    if span is not None:
        low, high = span
        if low < 0 or (not counted and not below(high, classes)):
            raise refuse("range", wanted=high + 1, found=classes, low=low, high=high)
    if counted:
        need(span is not None or (bool(call.results) and call.results[0].rank > 0))
        classes = high + 1 if span is not None else call.results[0].shape[-1]
    elif below(classes, 1):
        raise refuse("arguments", argument="num_classes", value=classes, least=1)
    return Bound(call, ((*kept(call), Dim(classes, NEW)),))


def _one_hot_words(step: Spoken) -> Told:
    size = step.out[-1]
    return Told(
        said("{arrow}: each index becomes {n} values, one of them 1", arrow=step.arrow, n=size),
        [said("dim {axis}: new, {n} classes", axis=len(step.x), n=size)],
    )


def _one_hot_report(refusal: Refusal) -> Report | None:
    kind, facts = refusal.violation.kind, refusal.facts
    values: dict[str, Any] = {"x": refusal.name(0, said("the input")), **facts}
    if kind == "arguments":
        return setting_report(refusal)
    if kind == "dtype":
        return Report(
            said("one_hot needs class numbers of int64: {x} is {found_dtype}.", **values),
            (
                said(
                    "Each entry of {x} names a class; `.long()` makes whole numbers of them.",
                    **values,
                ),
            ),
        )
    if kind != "range":
        return None
    values |= {
        "last": facts["found"] - 1,
        "bad": facts["high"] if facts["high"] >= facts["found"] else facts["low"],
    }
    return Report(
        said(
            "one_hot has classes from 0 on: {x} holds {low}."
            if facts["found"] == -1
            else "one_hot has classes 0 to {last}: {x} holds {bad}.",
            **values,
        ),
        (said("{x} holds numbers from {low} to {high}.", **values),),
    )


operation("one_hot", bind=_one_hot, words=_one_hot_words, report=_one_hot_report, whole=True)
