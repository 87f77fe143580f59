"""Recurrent layers and cells, and sequences of several lengths packed for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracer.ops.algebra import differ, product
from tracer.ops.bound import (
    MIXED,
    SAME,
    Bound,
    Dim,
    Dims,
    Violation,
    all_marks,
    kept,
    mark,
    new,
    refuse,
)
from tracer.ops.call import At, Call, Shape, Size, Unclear, need
from tracer.ops.refusal import Refusal, Report, said
from tracer.ops.say import (
    LAST_DIM,
    Spoken,
    Told,
    arrow,
    effect_text,
    told,
)
from tracer.ops.spec import operation
from tracer.ops.steps import layer_sizes, layers
from tracer.sentences import Count, Said, ShapeOf, SizeAt

_GATES = {"lstm": 4, "gru": 3, "rnn": 1}

Stacked = dict[At, tuple[Dim, int]]


# --- whole sequences -----------------------------------------------------------------------------


class _Sequence:
    """A call of nn.LSTM, nn.GRU or nn.RNN, or of the functions that they call, as it reads its
    shapes.  A packed sequence comes as its data (steps of all sequences, features) and further
    tensors that say which is whose."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.kind = call.op.partition("_")[0]  # rnn_tanh
        given = call.tensors("input", "data")
        need(bool(given))
        self.input, self.others = given[0], given[1:]
        self.packed = bool(self.others) or call.tensor("data") is not None
        if call.tensor("batch_sizes") is not None:
            self.others = (call.position("batch_sizes"),)
        self.first = call.flag("batch_first")
        self.ways = 2 if call.flag("bidirectional") else 1
        self.layers = call.size("num_layers")
        self.weights = call.tensors("params", "weight_ih_l0")

    @property
    def shape(self) -> Shape:
        return self.call.operands[self.input].shape

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def batched(self) -> bool:
        return not self.packed and self.rank == 3

    @property
    def batch(self) -> int:
        return 0 if self.first else 1

    @property
    def time(self) -> int:
        return 1 if self.first and self.batched else 0

    def widths(self) -> tuple[Size, Size, Size]:
        """The features of the input, of the state h, and of the cell state c."""
        if self.call.layer:
            hidden = self.call.size("hidden_size")
            shown = self.call.whole("proj_size", default=0) or hidden
            return self.call.size("input_size"), shown, hidden
        need(len(self.weights) >= 2)
        inner, back = (self.call.operands[index].shape for index in self.weights[:2])
        need(len(inner) == len(back) == 2)
        return inner[1], back[1], inner[0] // _GATES[self.kind]

    def states(self) -> tuple[int, ...]:
        return self.call.tensors("hx")

    def sequences(self) -> Size | None:
        """How many there are; of a packed sequence the shapes of its operands do not say it."""
        if not self.packed:
            return self.shape[self.batch] if self.batched else None
        counts = self.call.operands[self.others[0]].values
        if counts is not None and (span := counts.span()) is not None:
            return span[1]
        made = [result for result in self.call.results if result.rank == 3]
        return made[-1].shape[1] if made else None


def _recurrent(call: Call) -> Bound:
    given = _Sequence(call)
    _check_input(given)
    _check_states(given)
    _, shown, hidden = given.widths()
    last = At(given.input, given.rank - 1)
    rows = tuple(At(index, 0) for index in given.weights[:1])
    state = Dim(shown, MIXED, rows, replaces=last)
    whole = Dim(shown * given.ways, MIXED, rows, replaces=last, times=given.ways)
    results: list[Dims] = [(*kept(call, given.input)[:-1], whole)]
    results += [kept(call, index) for index in given.others]
    count = given.sequences()
    need(count is not None or not given.packed)
    middle = (Dim(count, SAME, (At(given.input, given.batch),)),) if given.batched else ()
    if given.packed:
        middle = (new(count),)
    # How many states there are is the layer's own, as its width is.
    count_of_states = Dim(given.layers * given.ways, MIXED, rows, kind="layers")
    cell = state if not differ(hidden, shown) else Dim(hidden, MIXED, rows, replaces=last)
    for inner in (state, cell)[: 1 + (given.kind == "lstm")]:
        results.append((count_of_states, *middle, inner))
    ties, stacked = _operands(given, state, whole, cell)
    return Bound(call, tuple(results), ties, stacked=stacked)


def _operands(
    given: _Sequence, state: Dim, whole: Dim, cell: Dim
) -> tuple[tuple[tuple[At, At], ...], Stacked]:
    """What the dimensions of the states and weights are: weights have the gates of the state, one
    after the other, as rows."""
    call = given.call
    ties: list[tuple[At, At]] = []
    stacked: Stacked = {}
    for index, inner in zip(given.states(), (state, cell), strict=False):
        stacked[At(index, call.operands[index].rank - 1)] = (inner, 1)
        if given.batched:
            ties.append((At(given.input, given.batch), At(index, 1)))
    for name in call.arguments:
        found = call.tensor(name) if name.startswith(("weight_", "bias_")) else None
        if found is None:
            continue
        index = found
        if name.startswith("weight_hr"):
            stacked |= {At(index, 0): (state, 1), At(index, 1): (cell, 1)}
            continue
        stacked[At(index, 0)] = (cell, _GATES[given.kind])
        if name.startswith("weight_hh"):
            stacked[At(index, 1)] = (state, 1)
        elif name.startswith("weight_ih_l0"):
            ties.append((At(given.input, given.rank - 1), At(index, 1)))
        elif name.startswith("weight_ih"):
            stacked[At(index, 1)] = (whole, 1)
    return tuple(ties), stacked


def _check_input(given: _Sequence) -> None:
    call = given.call
    if not given.packed and given.rank not in (2, 3):
        raise refuse("rank", *all_marks(call, given.input), rank=3)
    wanted, found = given.widths()[0], given.shape[-1]
    if differ(found, wanted):
        last = mark(call, At(given.input, given.rank - 1), wanted)
        weights = [mark(call, At(index, 1), found) for index in given.weights[:1]]
        raise refuse("width", last, *weights, wanted=wanted, found=found)


def _check_states(given: _Sequence) -> None:
    call = given.call
    if call.arguments.get("hx") is None:
        return
    pair = isinstance(call.arguments["hx"], tuple)
    states = given.states()
    if given.kind == "lstm" and not (pair and len(states) == 2):
        raise refuse("hidden", pair=pair, count=len(states))
    if given.kind != "lstm" and pair:
        raise refuse("type", count=len(call.arguments["hx"]))
    count = given.sequences()
    need(count is not None or not given.packed)
    for index, letter, width in zip(states, "hc", given.widths()[1:], strict=False):
        found = call.operands[index].shape
        middle = (count,) if given.batched or given.packed else ()
        wanted = (given.layers * given.ways, *middle, width)
        if len(found) == len(wanted) and not any(map(differ, found, wanted)):
            continue
        turned, marks = False, all_marks(call, index)
        if len(found) == len(wanted):
            marks = tuple(
                mark(call, At(index, dim), size)
                for dim, size in enumerate(wanted)
                if differ(found[dim], size)
            )
            if given.batched and differ(found[1], wanted[1]):
                turned = not differ(found[1], given.shape[1 - given.batch])
                marks += (mark(call, At(given.input, given.batch), found[1]),)
        raise refuse(
            "hidden",
            *marks,
            wanted=wanted,
            found=found,
            batch_first=given.first,
            state=letter,
            turned=turned,
            at=index,
        )


def _clues(call: Call, violation: Violation) -> Mapping[str, Any]:
    """`layout`: `tokens` where the input holds numbers as tokens are, `axis` where the width that
    is wanted stands in another dimension."""
    if violation.kind != "width":
        return {}
    given, wanted = _Sequence(call), violation.facts["wanted"]
    values = call.operands[given.input].values
    if given.rank == 2 and values is not None and values.whole():
        span = values.span()
        if span is not None and span[0] >= 0 and 1 < span[1] < wanted:
            return {"layout": "tokens"}
    return {"layout": "axis" if wanted in given.shape[1:-1] else ""}


def _words(step: Spoken) -> Told:
    given = _Sequence(step.call)
    x, out = given.shape, step.out
    if given.packed:
        along = said("through each packed sequence")
    else:
        along = said("along dim {axis}", axis=given.time)
    how = said(
        "read step by step {along} in both directions, each result depends on the steps before"
        if given.ways == 2
        else "read step by step {along}, each result depends on the steps before",
        along=along,
    )
    return Told(told(effect_text(x[-1:], out[-1:], (LAST_DIM,)), how))


def _flops(bound: Bound) -> Size:
    """Of the gates' products with the input and the state, and of what projects the state, in each
    layer, direction and step."""
    given = _Sequence(bound.call)
    width, shown, hidden = given.widths()
    further = (given.layers - 1) * (shown * given.ways + shown)
    per_step = _GATES[given.kind] * hidden * (width + shown + further)
    if differ(shown, hidden) or bound.call.whole("proj_size", default=0):
        per_step = per_step + given.layers * shown * hidden
    return 2 * given.ways * product(given.shape[:-1]) * per_step


def _report(refusal: Refusal) -> Report | None:
    given = _Sequence(refusal.call)
    kind = refusal.violation.kind
    write = {
        "rank": _rank_report,
        "width": _width_report,
        "type": _type_report,
        "hidden": _state_report if "wanted" in refusal.facts else _pair_report,
    }[kind]
    values: dict[str, Any] = {
        "who": refusal.who,
        "layer": f"nn.{refusal.call.layer}" if refusal.call.layer else refusal.call.op,
        "x": refusal.name(given.input, said("the input")),
        "shape": refusal.shape(given.input),
        "order": "(N, T, features)" if given.first else "(T, N, features)",
        "batch_first": given.first,
        "built": refusal.is_built(),
    }
    return write(refusal, given, values)


def _rank_report(refusal: Refusal, given: _Sequence, values: dict[str, Any]) -> Report:
    values |= {"rank": given.rank, "over": Count(given.rank - 3, "dimension")}
    if given.rank < 2:
        reason = said(
            "{x} is {shape}. {who} reads one vector at each step of a sequence, so a dimension for "
            "the steps, or for the features, is missing.",
            **values,
        )
    else:
        reason = said(
            "{x} is {shape}. {who} reads one vector at each step of a sequence, so {over} too many "
            "are there: fold the features into one.",
            **values,
        )
    return Report(
        said(
            "{layer} needs 3 dimensions {order}, or 2 without the batch: {x} has {rank}.", **values
        ),
        (reason,),
        said("Bring {x} to {order}.", **values),
    )


def _width_report(refusal: Refusal, given: _Sequence, values: dict[str, Any]) -> Report:
    wanted, found = refusal.facts["wanted"], refusal.facts["found"]
    values |= {
        "wanted": wanted,
        "features": Count(wanted, "feature"),
        "found": SizeAt(given.input, given.rank - 1, found),
    }
    reason = [
        said(
            "{built}: at each step it reads a vector of {wanted} numbers, and the last dimension "
            "of {x} {shape} is {found}.",
            **values,
        )
    ]
    if wanted in given.shape[:-1]:
        values["at"] = given.shape.index(wanted)
        reason.append(
            said(
                "The size {wanted} is there, in dimension {at}: features come last, {order}.",
                **values,
            )
        )
    if refusal.facts["layout"] == "tokens":
        reason.append(
            said(
                "{x} holds whole numbers below {wanted}, as tokens are: `F.one_hot` or an "
                "nn.Embedding makes a vector of each.",
                **values,
            )
        )
    return Report(
        said(
            "{who} needs {features} in the last dimension of its input: {found} ≠ {wanted} ({x} "
            "{shape}).",
            **values,
        ),
        tuple(reason),
        said(
            "See whether {x} should have {wanted} features, or {who} should take {found}.", **values
        ),
    )


def _pair_report(refusal: Refusal, given: Any, values: dict[str, Any]) -> Report:
    states = refusal.call.tensors("hx")
    if refusal.facts["pair"] or not states:
        count = refusal.facts["count"]
        rule = said(
            "{layer} needs its state as a pair (h, c): it is given {count}.",
            **values,
            count=Count(count, "tensor"),
        )
    else:
        values["state"] = refusal.shape(states[0])
        rule = said(
            "{layer} needs its state as a pair (h, c): it is given one tensor {state}.", **values
        )
    return Report(
        rule,
        (
            said(
                "An LSTM carries two tensors from step to step, the hidden state h and the cell "
                "state c. A GRU or RNN carries h alone."
            ),
        ),
        said("Pass `(h, c)`, or use nn.GRU."),
    )


def _type_report(refusal: Refusal, given: _Sequence, values: dict[str, Any]) -> Report:
    values["count"] = refusal.facts["count"]
    return Report(
        said("{layer} needs one tensor as its state: it is given a tuple of {count}.", **values),
        (said("Only an LSTM has a pair (h, c); {layer} carries h alone.", **values),),
        said("Pass h alone."),
    )


def _state_report(refusal: Refusal, given: _Sequence, values: dict[str, Any]) -> Report:
    facts, index = refusal.facts, refusal.facts["at"]
    wanted, found = facts["wanted"], facts["found"]
    values |= {
        "letter": facts["state"],
        "name": refusal.name(index, facts["state"]),
        "wanted": ShapeOf(wanted),
        "state": refusal.shape(index),
        "width": wanted[-1],
        "layers": Count(given.layers, "layer"),
        "both": wanted[0],
        "dims": Count(given.rank, "dimension"),
        "number": len(wanted),
        "theirs": found[0] if found else 0,
    }
    reason = [_state_reason(given, wanted, values)]
    check = said("Make the state from the input's own batch size, or leave it out.")
    if len(found) != len(wanted):
        reason.append(said("{x} {shape} has {dims}, so the state must have {number}.", **values))
    elif found[1:] == wanted[1:]:
        reason.append(
            said(
                "Its first size counts layers times directions: a layer with {theirs} of them made "
                "it, and {who} has {both}.",
                **values,
            )
        )
        check = said(
            "Give both layers as many layers and directions, or choose or join those here."
        )
    elif given.batched and found[1] != wanted[1]:
        reason.append(
            said("With batch_first={batch_first}, {x} {shape} is read as {order}.", **values)
        )
        if facts["turned"]:
            values["other"] = found[1]
            reason.append(
                said(
                    "The other of its first two sizes, {other}, fits the state: the batch may be "
                    "there.",
                    **values,
                )
            )
    return Report(
        said("{who} needs a state {letter} of {wanted}: {name} is {state}.", **values),
        tuple(reason),
        check,
    )


def _state_reason(given: _Sequence, wanted: Shape, values: dict[str, Any]) -> Said:
    batch = wanted[1] if len(wanted) == 3 else None
    filled = {**values, "batch": batch}
    if given.ways == 2 and batch is not None:
        return said(
            "The state holds a vector of {width} for each layer and each sample: {layers} in two "
            "directions, a batch of {batch}, so {wanted}; {name} is {state}.",
            **filled,
        )
    if given.ways == 2:
        return said(
            "The state holds a vector of {width} for each layer and each sample: {layers} in two "
            "directions, and no batch, so {wanted}; {name} is {state}.",
            **filled,
        )
    if batch is not None:
        return said(
            "The state holds a vector of {width} for each layer and each sample: {layers}, a batch "
            "of {batch}, so {wanted}; {name} is {state}.",
            **filled,
        )
    return said(
        "The state holds a vector of {width} for each layer and each sample: {layers}, and no "
        "batch, so {wanted}; {name} is {state}.",
        **filled,
    )


operation(
    "lstm gru rnn rnn_tanh rnn_relu",
    returns="output, state",
    bind=_recurrent,
    words=_words,
    clues=_clues,
    report=_report,
    flops=_flops,
)
layers(lstm="LSTM", gru="GRU", rnn="RNN")
layer_sizes("LSTM GRU RNN", reads="input_size", makes="hidden_size")


# --- one step ------------------------------------------------------------------------------------


def _cell(call: Call) -> Bound:
    x = call.position("input")
    shape = call.operands[x].shape
    weight = call.position("weight_ih", "w_ih")
    back = call.position("weight_hh", "w_hh")
    wanted, hidden = call.operands[weight].shape[1], call.operands[back].shape[1]
    gates = _GATES[call.op.partition("_")[0]]
    if len(shape) not in (1, 2):
        raise refuse("rank", *all_marks(call, x), rank=2)
    last = At(x, len(shape) - 1)
    if differ(shape[-1], wanted):
        marks = mark(call, last, wanted), mark(call, At(weight, 1), shape[-1])
        raise refuse("width", *marks, wanted=wanted, found=shape[-1])
    _check_cell_states(call, (*shape[:-1], hidden))
    state = Dim(hidden, MIXED, (At(weight, 0),), replaces=last)
    ties = [(last, At(weight, 1))]
    stacked: Stacked = {At(weight, 0): (state, gates), At(back, 0): (state, gates)}
    stacked[At(back, 1)] = (state, 1)
    for name in ("bias_ih", "bias_hh", "b_ih", "b_hh"):
        index = call.tensor(name)
        if index is not None:
            stacked[At(index, 0)] = (state, gates)
    for index in call.tensors("hx"):
        stacked[At(index, len(shape) - 1)] = (state, 1)
        ties += [(At(x, 0), At(index, 0))] if len(shape) == 2 else []
    made = (*kept(call, x)[:-1], state)
    return Bound(call, (made,) * (1 + (gates == 4)), tuple(ties), stacked=stacked)


def _check_cell_states(call: Call, wanted: Shape) -> None:
    states = call.tensors("hx")
    if call.op == "lstm_cell" and call.arguments.get("hx") is not None and len(states) != 2:
        raise refuse("hidden", pair=isinstance(call.arguments["hx"], tuple), count=len(states))
    for index in states:
        found = call.operands[index].shape
        if len(found) != len(wanted):
            marks = all_marks(call, index)
        else:
            marks = tuple(
                mark(call, At(index, dim), size)
                for dim, size in enumerate(wanted)
                if differ(found[dim], size)
            )
        if marks or len(found) != len(wanted):
            raise refuse("hidden", *marks, wanted=wanted, found=found, at=index)


def _cell_words(step: Spoken) -> Told:
    x, out = step.call.shape("input"), step.out
    how = said("one step of the recurrence, from the input and the state before")
    return Told(told(effect_text(x[-1:], out[-1:], (LAST_DIM,)), how))


def _cell_flops(bound: Bound) -> Size:
    call = bound.call
    weights = [call.shape(*names) for names in (("weight_ih", "w_ih"), ("weight_hh", "w_hh"))]
    rows = product(call.shape("input")[:-1])
    return 2 * rows * sum(product(weight) for weight in weights)


def _cell_report(refusal: Refusal) -> Report | None:
    kind, x = refusal.violation.kind, refusal.call.position("input")
    layer = f"nn.{refusal.call.layer}" if refusal.call.layer else refusal.call.op
    values: dict[str, Any] = {
        "who": refusal.who,
        "layer": layer,
        "whole": layer.removesuffix("Cell"),
        "x": refusal.name(x, said("the input")),
        "shape": refusal.shape(x),
        "rank": refusal.call.operands[x].rank,
        "built": refusal.is_built(),
    }
    if kind == "rank":
        return Report(
            said(
                "{layer} needs 2 dimensions (N, features), or 1 without the batch: {x} has {rank}.",
                **values,
            ),
            (
                said(
                    "{x} is {shape}. A cell does one step; a whole sequence is for {whole}, or for "
                    "a loop over the steps.",
                    **values,
                ),
            ),
        )
    if kind == "width":
        wanted, found = refusal.facts["wanted"], refusal.facts["found"]
        values |= {"features": Count(wanted, "feature"), "wanted": wanted}
        values |= {"found": SizeAt(x, values["rank"] - 1, found)}
        return Report(
            said(
                "{who} needs {features} in the last dimension of its input: {found} ≠ {wanted}.",
                **values,
            ),
            (said("{built}, and {x} is {shape}.", **values),),
        )
    if "wanted" not in refusal.facts:
        return _pair_report(refusal, None, values)
    index = refusal.facts["at"]
    values |= {
        "wanted": ShapeOf(refusal.facts["wanted"]),
        "name": refusal.name(index, said("the state")),
        "state": refusal.shape(index),
        "width": refusal.facts["wanted"][-1],
    }
    return Report(
        said("{who} needs a state of {wanted}: {name} is {state}.", **values),
        (said("The state has one vector of {width} for each sample of {x} {shape}.", **values),),
    )


operation(
    "lstm_cell gru_cell rnn_cell rnn_tanh_cell rnn_relu_cell",
    bind=_cell,
    words=_cell_words,
    report=_cell_report,
    flops=_cell_flops,
)
layers(lstm_cell="LSTMCell", gru_cell="GRUCell", rnn_cell="RNNCell")
layer_sizes("LSTMCell GRUCell RNNCell", reads="input_size", makes="hidden_size")


# --- packed sequences ----------------------------------------------------------------------------


def _pack(call: Call) -> Bound:
    """Shapes do not say how long the sequences are: their lengths, or what was made of them, do."""
    x, lengths = call.position("input"), call.position("lengths")
    operand = call.operands[x]
    need(operand.rank >= 2 and call.operands[lengths].rank == 1)
    at = 0 if call.flag("batch_first") else 1
    batch, count = At(x, at), At(lengths, 0)
    samples, given = operand.shape[at], call.operands[lengths].shape[0]
    if differ(samples, given):
        turned = not differ(operand.shape[1 - at], given)
        marks = mark(call, batch, given), mark(call, count, samples)
        raise refuse("batch", *marks, wanted=samples, found=given, turned=turned)
    total, longest = _counted(call, lengths)
    data = (new(total, kind="place", sources=(At(x, 1 - at), batch)), *kept(call, x)[2:])
    return Bound(call, (data, (new(longest),)), ((batch, count),))


def _counted(call: Call, lengths: int) -> tuple[Size, Size]:
    """All steps of all sequences together, and those of the longest."""
    values = call.operands[lengths].values
    if values is not None and (span := values.span()) is not None:
        return values.total(), span[1]
    if len(call.results) != 2 or any(result.rank < 1 for result in call.results):
        raise Unclear
    data, sizes = call.results
    return data.shape[0], sizes.shape[0]


def _pack_words(step: Spoken) -> Told:
    x, out = step.call.shape("input"), step.out
    return Told(
        said(
            "{arrow}: the sequences packed without their padding",
            arrow=arrow(ShapeOf(x), ShapeOf(out)),
        ),
        [
            said(
                "dims 0 and 1: {first} × {second} → {after}, the padding left out",
                first=x[0],
                second=x[1],
                after=out[0],
            )
        ],
    )


def _pack_report(refusal: Refusal) -> Report | None:
    call = refusal.call
    first = call.flag("batch_first")
    x = call.position("input")
    found, wanted = refusal.facts["found"], refusal.facts["wanted"]
    values: dict[str, Any] = {
        "count": found,
        "batch": SizeAt(x, 0 if first else 1, wanted),
        "batch_first": first,
        "other_order": not first,
        "x": refusal.name(x, said("the input")),
        "shape": refusal.shape(x),
        "order": "(N, T, ...)" if first else "(T, N, ...)",
    }
    reason = [
        said(
            "With batch_first={batch_first}, {x} {shape} is read as {order} and holds {batch} "
            "sequences; there are {count} lengths.",
            **values,
        )
    ]
    if refusal.facts["turned"]:
        reason.append(
            said(
                "The other of its first two sizes is {count}: batch_first={other_order} fits.",
                **values,
            )
        )
    return Report(
        said(
            "pack_padded_sequence needs one length for each sequence: {count} ≠ {batch}.", **values
        ),
        tuple(reason),
    )


operation("_pack_padded_sequence", bind=_pack, words=_pack_words, report=_pack_report)


def _unpack(call: Call) -> Bound:
    data, sizes = call.position("data"), call.position("batch_sizes")
    need(call.operands[data].rank >= 1)
    values = call.operands[sizes].values
    span = values.span() if values is not None else None
    if span is not None:
        count = span[1]
    else:
        need(len(call.results) == 2 and call.results[1].rank == 1)
        count = call.results[1].shape[0]
    steps = call.operands[sizes].shape[0]
    asked = call.whole("total_length", default=0)
    if asked is not None and asked > 0:
        steps = asked
    samples, places = new(count), new(steps, kind="place")
    front = (samples, places) if call.flag("batch_first") else (places, samples)
    return Bound(call, ((*front, *kept(call, data)[1:]), (samples,)))


def _unpack_words(step: Spoken) -> Told:
    x, out = step.call.shape("data"), step.out
    return Told(
        said(
            "{arrow}: the sequences padded to one length again",
            arrow=arrow(ShapeOf(x), ShapeOf(out)),
        ),
        [
            said(
                "dim 0: {before} → {first} × {second}, short sequences filled up",
                before=x[0],
                first=out[0],
                second=out[1],
            )
        ],
    )


operation("_pad_packed_sequence", bind=_unpack, words=_unpack_words)
