"""Layers: normalisation, pooling, recurrent networks, attention, embedding, losses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tracer.diagnosis.finding import Finding
from tracer.diagnosis.rules import (
    Case,
    broadcast_break,
    counted,
    dims,
    kind_of,
    layer_rule,
    rule,
)
from tracer.ops.names import shape_text

# --- pooling and resizing ------------------------------------------------------------------------


# --- recurrent -----------------------------------------------------------------------------------


@layer_rule(nn.LSTM, nn.GRU, nn.RNN)
def recurrent(case: Case, layer: Any, input: Any, hx: Any = None) -> Finding | None:
    kind, who = type(layer).__name__, case.who()
    if isinstance(input, nn.utils.rnn.PackedSequence):
        return None
    x = case.name(input, "the input")
    order = "(N, T, features)" if layer.batch_first else "(T, N, features)"
    if input.dim() not in (2, 3):
        return case.found(
            "rank",
            f"nn.{kind} needs 3 dimensions {order}, or 2 without the batch: {x} has {input.dim()}.",
            f"{x} is {shape_text(input)}. {who} reads one vector at each step of a sequence, so "
            + (
                "a dimension for the steps, or for the features, is missing."
                if input.dim() < 2
                else f"{dims(input.dim() - 3)} too many are there: fold the features into one."
            ),
            *((input, d, None) for d in range(input.dim())),
            check=f"Bring {x} to {order}.",
            rank=3,
        )
    wanted, found = int(layer.input_size), int(input.shape[-1])
    if wanted != found:
        reason = (
            f"{case.is_built()}: at each step it reads a vector of {wanted} numbers, and the "
            f"last dimension of {x} {shape_text(input)} is {found}."
        )
        if wanted in input.shape[:-1]:
            reason += (
                f" The size {wanted} is there, in dimension {list(input.shape).index(wanted)}: "
                f"features come last, {order}."
            )
        layout = "axis" if wanted in input.shape[1:-1] else ""
        if input.dim() == 2 and _whole(input) and _numbers_below(input, wanted):
            layout = "tokens"
            reason += (
                f" {x} holds whole numbers below {wanted}, as tokens are: `F.one_hot` or an "
                f"nn.Embedding makes a vector of each."
            )
        weight = getattr(layer, "weight_ih_l0", None)
        return case.found(
            "width",
            f"{who} needs {counted(wanted, 'feature')} in the last dimension of its input: {found} "
            f"≠ {wanted} ({x} {shape_text(input)}).",
            reason,
            (input, -1, wanted),
            (weight, 1, found),
            check=f"See whether {x} should have {wanted} features, or {who} should take {found}.",
            wanted=wanted,
            found=found,
            layout=layout,
        )
    if hx is None:
        return None
    lstm = isinstance(layer, nn.LSTM)
    if lstm and not (isinstance(hx, tuple | list) and len(hx) == 2):
        what = f"one tensor {shape_text(hx)}" if isinstance(hx, Tensor) else type(hx).__name__
        return case.found(
            "hidden",
            f"nn.LSTM needs its state as a pair (h, c): it is given {what}.",
            "An LSTM carries two tensors from step to step, the hidden state h and the cell state "
            "c. A GRU or RNN carries h alone.",
            check="Pass `(h, c)`, or use nn.GRU.",
        )
    if not lstm and isinstance(hx, tuple | list):
        return case.found(
            "type",
            f"nn.{kind} needs one tensor as its state: it is given a {type(hx).__name__} of "
            f"{len(hx)}.",
            f"Only an LSTM has a pair (h, c); nn.{kind} carries h alone.",
            check="Pass h alone.",
        )
    layers = layer.num_layers * (2 if layer.bidirectional else 1)
    sizes = [("h", layer.proj_size or layer.hidden_size), ("c", layer.hidden_size)]
    batched = input.dim() == 3
    batch = int(input.shape[0 if layer.batch_first else 1]) if batched else 0
    for state, (letter, width) in zip(hx if lstm else (hx,), sizes, strict=False):
        wanted_shape = (layers, batch, width) if batched else (layers, width)
        found_shape = tuple(int(size) for size in state.shape)
        if found_shape == wanted_shape:
            continue
        name = case.name(state, letter)
        why = (f"{layer.num_layers} layers" if layer.num_layers > 1 else "1 layer") + (
            " in two directions" if layer.bidirectional else ""
        )
        reason = (
            f"The state holds a vector of {width} for each layer and each sample: {why}"
            + (f", a batch of {batch}" if batched else ", and no batch")
            + f", so {shape_text(wanted_shape)}; {name} is {shape_text(found_shape)}."
        )
        turned, check = False, "Make the state from the input's own batch size, or leave it out."
        marks: list[tuple[Any, int, int | None]]
        if len(found_shape) == len(wanted_shape) and found_shape[1:] == wanted_shape[1:]:
            reason += (
                f" Its first size counts layers times directions: a layer with {found_shape[0]} of "
                f"them made it, and {who} has {layers}."
            )
            check = "Give both layers as many layers and directions, or choose or join those here."
        if len(found_shape) != len(wanted_shape):
            reason += (
                f" {x} {shape_text(input)} has {dims(input.dim())}, so the state must have "
                f"{len(wanted_shape)}."
            )
            marks = [(state, d, None) for d in range(state.dim())]
        else:
            marks = [
                (state, d, w)
                for d, (f, w) in enumerate(zip(found_shape, wanted_shape, strict=True))
                if f != w
            ]
            if batched and found_shape[1] != batch:
                other = int(input.shape[1 if layer.batch_first else 0])
                flag = "batch_first=True" if layer.batch_first else "batch_first=False"
                reason += f" With {flag}, {x} {shape_text(input)} is read as {order}."
                turned = found_shape[1] == other
                if turned:
                    reason += (
                        f" The other of its first two sizes, {other}, fits the state: the batch "
                        "may be there."
                    )
                marks.append((input, 0 if layer.batch_first else 1, found_shape[1]))
        return case.found(
            "hidden",
            f"{who} needs a state {letter} of {shape_text(wanted_shape)}: {name} is "
            f"{shape_text(found_shape)}.",
            reason,
            *marks,
            check=check,
            wanted=wanted_shape,
            found=found_shape,
            batch_first=bool(layer.batch_first),
            state=letter,
            turned=turned,
        )
    return None


def _numbers_below(tensor: Tensor, limit: int) -> bool:
    return bool(tensor.numel()) and float(tensor.min()) >= 0 and 1 < float(tensor.max()) < limit


@layer_rule(nn.LSTMCell, nn.GRUCell, nn.RNNCell)
def cell(case: Case, layer: Any, input: Tensor, hx: Any = None) -> Finding | None:
    kind, who, x = type(layer).__name__, case.who(), case.name(input, "the input")
    if input.dim() not in (1, 2):
        return case.found(
            "rank",
            f"nn.{kind} needs 2 dimensions (N, features), or 1 without the batch: {x} has "
            f"{input.dim()}.",
            f"{x} is {shape_text(input)}. A cell does one step; a whole sequence is for "
            f"nn.{kind.removesuffix('Cell')}, or for a loop over the steps.",
            *((input, d, None) for d in range(input.dim())),
            rank=2,
        )
    if input.shape[-1] != layer.input_size:
        return case.found(
            "width",
            f"{who} needs {counted(layer.input_size, 'feature')} in the last dimension of its "
            f"input: {input.shape[-1]} ≠ {layer.input_size}.",
            f"{case.is_built()}, and {x} is {shape_text(input)}.",
            (input, -1, layer.input_size),
            (layer.weight_ih, 1, int(input.shape[-1])),
            wanted=layer.input_size,
            found=int(input.shape[-1]),
        )
    states = hx if isinstance(hx, tuple | list) else () if hx is None else (hx,)
    if isinstance(layer, nn.LSTMCell) and hx is not None and len(states) != 2:
        return case.found(
            "hidden",
            "nn.LSTMCell needs its state as a pair (h, c): it is given one tensor.",
            "An LSTM carries two tensors from step to step, h and c.",
        )
    for state in states:
        wanted = (*map(int, input.shape[:-1]), layer.hidden_size)
        if tuple(state.shape) != wanted:
            name = case.name(state, "the state")
            return case.found(
                "hidden",
                f"{who} needs a state of {shape_text(wanted)}: {name} is {shape_text(state)}.",
                f"The state has one vector of {layer.hidden_size} for each sample of {x} "
                f"{shape_text(input)}.",
                *(
                    (state, d, wanted[d] if len(wanted) == state.dim() else None)
                    for d in range(state.dim())
                    if state.dim() != len(wanted) or int(state.shape[d]) != wanted[d]
                ),
                wanted=wanted,
                found=tuple(map(int, state.shape)),
            )
    return None


# --- attention -----------------------------------------------------------------------------------


@layer_rule(nn.MultiheadAttention)
def multihead(
    case: Case,
    layer: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> Finding | None:
    who = case.who()
    order = "(N, T, E)" if layer.batch_first else "(T, N, E)"
    given = (
        ("query", query, layer.embed_dim),
        ("key", key, layer.kdim),
        ("value", value, layer.vdim),
    )
    for label, tensor, _ in given:
        if tensor.dim() not in (2, 3):
            return case.found(
                "rank",
                f"{who} needs a {label} with 3 dimensions {order}, or 2 without the batch: "
                f"{case.name(tensor, 'it')} has {tensor.dim()}.",
                f"{case.sized(tensor, label)} does not read as a sequence of vectors. "
                "Positions of a picture are flattened into one dimension first.",
                *((tensor, d, None) for d in range(tensor.dim())),
                rank=3,
            )
    if len({tensor.dim() for _, tensor, _ in given}) > 1:
        listed = ", ".join(f"{label} {shape_text(t)}" for label, t, _ in given)
        return case.found(
            "rank",
            f"{who} needs query, key and value with the same number of dimensions: {listed}.",
            "Either all three have a batch dimension, or none.",
            *((key, d, None) for d in range(key.dim())),
            rank=query.dim(),
        )
    for label, tensor, width in given:
        if tensor.shape[-1] != width:
            found, name = int(tensor.shape[-1]), case.name(tensor, label)
            setting = "embed_dim" if width == layer.embed_dim else f"{label[0]}dim"
            reason = (
                f"{who} was made with {setting}={width}, and the last dimension of {name} "
                f"{shape_text(tensor)} is {found}."
            )
            if width in tensor.shape[:-1]:
                reason += (
                    f" The size {width} is there, in dimension "
                    f"{list(tensor.shape).index(width)}: features come last, {order}."
                )
            return case.found(
                "width",
                f"{who} needs a {label} of {counted(int(width), 'feature')}: {found} ≠ {width} "
                f"({name} {shape_text(tensor)}).",
                reason,
                (tensor, -1, int(width)),
                (layer.in_proj_weight, 1, found),
                check=f"See whether {name} should have {width} features, or {who} should take "
                f"{found}.",
                wanted=int(width),
                found=found,
            )
    batched = query.dim() == 3
    batch_at = 0 if layer.batch_first else 1
    seq_at = (1 if layer.batch_first else 0) if batched else 0
    steps, memory = int(query.shape[seq_at]), int(key.shape[seq_at])
    batch = int(query.shape[batch_at]) if batched else 1
    if key.shape[:-1] != value.shape[:-1]:
        return case.found(
            "batch",
            f"{who} needs as many values as keys: {shape_text(key)} and {shape_text(value)}.",
            f"Each key of {case.sized(key, 'key')} goes with one value of "
            f"{case.sized(value, 'value')}.",
            *(
                (value, d, int(key.shape[d]))
                for d in range(key.dim() - 1)
                if key.shape[d] != value.shape[d]
            ),
        )
    if batched and int(key.shape[batch_at]) != batch:
        other = int(key.shape[batch_at])
        flag = f"batch_first={layer.batch_first}"
        swapped = int(query.shape[seq_at]) == int(key.shape[seq_at])
        return case.found(
            "batch",
            f"{who} needs query and key of one batch size: {batch} ≠ {other}.",
            f"With {flag} the shapes are read as {order}: {case.sized(query, 'query')} holds "
            f"{batch} sequences and {case.sized(key, 'key')} holds {other}."
            + (
                f" The other sizes agree ({steps}): the batch may be there, with "
                f"batch_first={not layer.batch_first}."
                if swapped
                else ""
            ),
            (query, batch_at, other),
            (key, batch_at, batch),
            wanted=batch,
            found=other,
            batch_first=bool(layer.batch_first),
            turned=swapped,
        )
    if isinstance(attn_mask, Tensor):
        m = case.name(attn_mask, "attn_mask")
        allowed = [(steps, memory), (batch * layer.num_heads, steps, memory)]
        if tuple(attn_mask.shape) not in allowed:
            return case.found(
                "mask",
                f"{who} needs an attn_mask of {shape_text(allowed[0])} or "
                f"{shape_text(allowed[1])}: {m} is {shape_text(attn_mask)}.",
                f"The mask says for each of {steps} queries which of {memory} keys it may see. One "
                f"for each sample and head needs {batch}·{layer.num_heads} = "
                f"{batch * layer.num_heads} in front."
                + (
                    " A mask of (N, T) that hides padding is key_padding_mask."
                    if tuple(attn_mask.shape) == (batch, memory)
                    else f" With batch_first={layer.batch_first} the shapes are read as {order}."
                ),
                *((attn_mask, d, None) for d in range(attn_mask.dim())),
                wanted=allowed[0],
                found=tuple(map(int, attn_mask.shape)),
                argument="attn_mask",
                batch_first=bool(layer.batch_first),
                turned=tuple(attn_mask.shape) == (batch, batch) and steps == memory,
            )
    if isinstance(key_padding_mask, Tensor):
        m = case.name(key_padding_mask, "key_padding_mask")
        wanted = (batch, memory) if batched else (memory,)
        turned = tuple(key_padding_mask.shape) == wanted[::-1]
        if tuple(key_padding_mask.shape) != wanted:
            return case.found(
                "mask",
                f"{who} needs a key_padding_mask of {shape_text(wanted)}: {m} is "
                f"{shape_text(key_padding_mask)}.",
                f"It says for each sample which of its {memory} keys are padding, always as "
                f"(N, T). The keys {shape_text(key)} are read as {order}."
                + (
                    f" Turned round it would fit: the batch may be there, with "
                    f"batch_first={not layer.batch_first}."
                    if turned
                    else ""
                ),
                *((key_padding_mask, d, None) for d in range(key_padding_mask.dim())),
                wanted=wanted,
                found=tuple(map(int, key_padding_mask.shape)),
                argument="key_padding_mask",
                batch_first=bool(layer.batch_first),
                turned=turned,
            )
    return None


@layer_rule(nn.Transformer)
def transformer(
    case: Case, layer: Any, src: Tensor, tgt: Tensor, *_: Any, **__: Any
) -> Finding | None:
    at = 0 if layer.batch_first else 1
    if src.dim() == 3 and tgt.dim() == 3 and src.shape[at] != tgt.shape[at]:
        order = "(N, T, E)" if layer.batch_first else "(T, N, E)"
        return case.found(
            "batch",
            f"{case.who()} needs src and tgt of one batch size: {src.shape[at]} ≠ {tgt.shape[at]}.",
            f"With batch_first={layer.batch_first} the shapes are read as {order}: "
            f"{case.sized(src, 'src')} and {case.sized(tgt, 'tgt')}.",
            (src, at, int(tgt.shape[at])),
            (tgt, at, int(src.shape[at])),
            batch_first=bool(layer.batch_first),
            wanted=int(src.shape[at]),
            found=int(tgt.shape[at]),
        )
    for label, tensor in (("src", src), ("tgt", tgt)):
        if tensor.shape[-1] != layer.d_model:
            return case.found(
                "width",
                f"{case.who()} needs {label} of {layer.d_model} features: {tensor.shape[-1]} ≠ "
                f"{layer.d_model}.",
                f"It was made with d_model={layer.d_model}, and {case.sized(tensor, label)} ends "
                f"in {tensor.shape[-1]}.",
                (tensor, -1, layer.d_model),
                wanted=int(layer.d_model),
                found=int(tensor.shape[-1]),
            )
    return None


@rule("scaled_dot_product_attention")
def attention(
    case: Case, query: Tensor, key: Tensor, value: Tensor, attn_mask: Any = None, *_: Any, **__: Any
) -> Finding | None:
    op = "scaled_dot_product_attention"
    q, k, v = (case.name(t, n) for t, n in ((query, "query"), (key, "key"), (value, "value")))
    for tensor, name in ((query, q), (key, k), (value, v)):
        if tensor.dim() < 2:
            return case.found(
                "rank",
                f"{op} needs at least 2 dimensions (..., T, E): {name} has {tensor.dim()}.",
                f"{name} is {shape_text(tensor)}.",
                *((tensor, d, None) for d in range(tensor.dim())),
            )
    if query.shape[-1] != key.shape[-1]:
        return case.found(
            "matmul",
            f"{op} needs query and key of one width: {query.shape[-1]} ≠ {key.shape[-1]}.",
            f"Each query is multiplied with each key, number by number: {q} {shape_text(query)} "
            f"and {k} {shape_text(key)}.",
            (query, -1, int(key.shape[-1])),
            (key, -1, int(query.shape[-1])),
            wanted=int(key.shape[-1]),
            found=int(query.shape[-1]),
        )
    if key.shape[-2] != value.shape[-2]:
        return case.found(
            "matmul",
            f"{op} needs as many values as keys: {key.shape[-2]} ≠ {value.shape[-2]}.",
            f"Each key of {k} {shape_text(key)} goes with one value of {v} {shape_text(value)}.",
            (key, key.dim() - 2, int(value.shape[-2])),
            (value, value.dim() - 2, int(key.shape[-2])),
            wanted=int(value.shape[-2]),
            found=int(key.shape[-2]),
        )
    for first, second, a, b in ((query, key, q, k), (query, value, q, v)):
        broken = broadcast_break(tuple(first.shape[:-2]), tuple(second.shape[:-2]))
        if broken is not None:
            return case.found(
                "batch",
                f"{op} needs the sizes before the last two to agree: {broken[1]} ≠ {broken[3]}.",
                f"{a} {shape_text(first)} and {b} {shape_text(second)} differ in batch or heads.",
                (first, broken[0], broken[3]),
                (second, broken[2], broken[1]),
                wanted=broken[3],
                found=broken[1],
            )
    if isinstance(attn_mask, Tensor):
        scores = (*map(int, query.shape[:-1]), int(key.shape[-2]))
        m = case.name(attn_mask, "attn_mask")
        broken = broadcast_break(scores, tuple(attn_mask.shape))
        if broken is not None or attn_mask.dim() > len(scores):
            dim = broken[2] if broken is not None else 0
            return case.found(
                "mask",
                f"{op} lays attn_mask on scores of {shape_text(scores)}: {m} "
                f"{shape_text(attn_mask)} does not fit.",
                f"The scores have one number for each query and key, {scores[-2]} × {scores[-1]}, "
                f"in each of {shape_text(scores[:-2])}. Sizes of the mask must be equal to those, "
                "or 1."
                + (
                    f" A mask of (N, T) needs dimensions of 1 for heads and queries: "
                    f"`{m}[:, None, None, :]`."
                    if attn_mask.dim() == 2
                    and len(scores) == 4
                    and tuple(attn_mask.shape) == (scores[0], scores[-1])
                    else ""
                ),
                (attn_mask, dim, broken[1] if broken is not None else None),
                wanted=scores,
                found=tuple(map(int, attn_mask.shape)),
                argument="attn_mask",
            )
        if attn_mask.dtype not in (torch.bool, query.dtype):
            return case.found(
                "dtype",
                f"{op} needs an attn_mask of bool or {kind_of(query.dtype)}: {m} is "
                f"{kind_of(attn_mask.dtype)}.",
                "A mask of bool says which keys are seen; one of floats is added to the scores.",
                mask=case.position(attn_mask),
            )
    return None


# --- embedding -----------------------------------------------------------------------------------


def _whole(tensor: Tensor) -> bool:
    if tensor.is_meta or not tensor.is_floating_point():
        return True
    return bool((tensor == tensor.round()).all())


# --- losses --------------------------------------------------------------------------------------


@rule("ctc_loss")
def ctc(
    case: Case,
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    *_: Any,
    **__: Any,
) -> Finding | None:
    x, y = case.name(log_probs, "log_probs"), case.name(targets, "the targets")
    if log_probs.dim() not in (2, 3):
        return case.found(
            "rank",
            f"ctc_loss needs log-probabilities (T, N, C): {x} {shape_text(log_probs)} has "
            f"{dims(log_probs.dim())}.",
            "T is time, N the batch, C the classes with the blank among them.",
            *((log_probs, dim, None) for dim in range(log_probs.dim())),
            rank=3,
        )
    lengths = [
        [int(size) for size in (given.flatten() if isinstance(given, Tensor) else given)]
        for given in (input_lengths, target_lengths)
    ]
    time, classes = int(log_probs.shape[0]), int(log_probs.shape[-1])
    batch = int(log_probs.shape[1]) if log_probs.dim() == 3 else 1
    first, second = len(lengths[0]), len(lengths[1])
    if batch != first or batch != second:
        turned = first == second == time
        reason = f"{x} {shape_text(log_probs)} is read as (T, N, C): {time} steps of {batch} "
        reason += f"samples, and {first} and {second} lengths are given."
        if turned:
            reason += f" The batch of {time} stands first in {x}: `{x}.transpose(0, 1)`."
        return case.found(
            "target",
            "ctc_loss needs one input length and one target length for each sample of "
            f"(T, N, C): {batch} ≠ {first if batch != first else second}.",
            reason,
            (log_probs, 1, first) if log_probs.dim() == 3 else (log_probs, 0, None),
            check="See which dimension counts the samples.",
            wanted=(batch,),
            found=(first,),
            layout="batch_first" if turned else "",
        )
    if max(lengths[0], default=0) > time:
        return case.found(
            "range",
            f"ctc_loss needs input lengths of at most {time}, the steps there are: one is "
            f"{max(lengths[0])}.",
            f"{x} {shape_text(log_probs)} is (T, N, C) with {time} steps. Layers with a stride or "
            "pooling make fewer steps of the input's: its lengths shrink with it.",
            (log_probs, 0, max(lengths[0])),
            check="Divide the lengths as the layers before divided the time.",
        )
    longest = int(targets.shape[-1]) if targets.dim() == 2 else int(targets.numel())
    need = max(lengths[1], default=0) if targets.dim() == 2 else sum(lengths[1])
    if need > longest:
        return case.found(
            "range",
            f"ctc_loss needs targets for the lengths that are given: {need} > {longest}.",
            f"{y} {shape_text(targets)} holds {longest} numbers "
            + ("for each sample." if targets.dim() == 2 else "in all."),
            (targets, targets.dim() - 1, need),
        )
    if not 0 <= blank < classes:
        return case.found(
            "range",
            f"ctc_loss needs a blank from 0 to {classes - 1}: it is {blank}.",
            f"{x} {shape_text(log_probs)} has scores for {classes} classes, the blank among them.",
            (log_probs, log_probs.dim() - 1, blank + 1),
            wanted=blank + 1,
            found=classes,
        )
    return None


@rule("pack_padded_sequence", "_pack_padded_sequence")
def pack(
    case: Case, input: Tensor, lengths: Any, batch_first: bool = False, *_: Any
) -> Finding | None:
    at = 0 if batch_first else 1
    x = case.name(input, "the input")
    batch, count = int(input.shape[at]), int(lengths.shape[0])
    order = "(N, T, ...)" if batch_first else "(T, N, ...)"
    if batch == count:
        return None
    turned = int(input.shape[1 - at]) == count
    return case.found(
        "batch",
        f"pack_padded_sequence needs one length for each sequence: {count} ≠ {batch}.",
        f"With batch_first={batch_first}, {x} {shape_text(input)} is read as {order} and holds "
        f"{batch} sequences; there are {count} lengths."
        + (
            f" The other of its first two sizes is {count}: batch_first={not batch_first} fits."
            if turned
            else ""
        ),
        (input, at, count),
        (lengths, 0, batch),
        wanted=batch,
        found=count,
    )
