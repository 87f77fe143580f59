"""Attention and transformers against torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.samples import Draw, Sample, calls, entries
from tracer.ops.call import At


def attention(draw: Draw) -> tuple[Any, ...]:
    rank = draw.randint(0, 2)
    front = [draw.size() for _ in range(rank)]
    queries, keys, width, made = (draw.size() for _ in range(4))
    settings: dict[str, Any] = {}
    shared = front
    if rank and draw.maybe(0.2):
        settings["enable_gqa"] = True
        front = [*front[:-1], front[-1] * draw.randint(1, 2)]
    elif draw.maybe(0.2):
        shared = draw.stretched(front)
    if draw.maybe(0.5):
        mask = [*front, queries, keys]
        mask = draw.stretched(mask[:-2]) + [1 if draw.maybe(0.2) else size for size in mask[-2:]]
        dtype = draw.choice([torch.bool, torch.float64, torch.float64])
        chosen = draw.tensor(*mask, dtype=dtype)
        # Of a mask with fewer dimensions one of torch's CPU kernels complains, others do not.
        settings["attn_mask"] = chosen if chosen.dim() >= 2 else torch.ones(mask[-2:]).double()
    elif draw.maybe(0.2):
        settings["is_causal"] = True
    return (
        F.scaled_dot_product_attention,
        draw.tensor(*front, queries, width),
        draw.tensor(*shared, keys, width),
        draw.tensor(*shared, keys, made),
        settings,
    )


def heads(draw: Draw) -> tuple[Any, ...]:
    count, width = draw.randint(1, 3), draw.randint(1, 3)
    embed, batch, steps, keys = count * width, draw.size(), draw.size(), draw.size()
    first, batched = draw.maybe(), draw.maybe(0.8)
    kdim, vdim = (draw.size(), draw.size()) if draw.maybe(0.2) else (embed, embed)
    layer = nn.MultiheadAttention(
        embed,
        count,
        add_bias_kv=draw.maybe(0.2),
        add_zero_attn=draw.maybe(0.2),
        kdim=kdim,
        vdim=vdim,
        batch_first=first,
        dtype=torch.float64,
    )

    def tensor(length: int, features: int) -> Any:
        if not batched:
            return draw.tensor(length, features)
        return draw.tensor(*((batch, length) if first else (length, batch)), features)

    settings: dict[str, Any] = {}
    if draw.maybe(0.3):
        settings["need_weights"] = draw.maybe()
    if draw.maybe(0.3):
        settings["average_attn_weights"] = draw.maybe()
    if draw.maybe(0.3):
        front = [(batch if batched else 1) * count] if draw.maybe() else []
        settings["attn_mask"] = draw.tensor(*front, steps, keys)
    if draw.maybe(0.3):
        mask = draw.tensor(*([batch] if batched else []), keys)
        settings["key_padding_mask"] = mask
    return layer, tensor(steps, embed), tensor(keys, kdim), tensor(keys, vdim), settings


def forward(draw: Draw) -> tuple[Any, ...]:
    count, width = draw.randint(1, 3), draw.randint(1, 3)
    embed, batch, steps, keys = count * width, draw.size(), draw.size(), draw.size()
    weights = [torch.randn(3 * embed, embed).double(), torch.randn(3 * embed).double()]
    out = [torch.randn(embed, embed).double(), torch.randn(embed).double()]
    query = draw.tensor(steps, batch, embed)
    key, value = draw.tensor(keys, batch, embed), draw.tensor(keys, batch, embed)
    zero = draw.maybe(0.2)
    rest = (embed, count, *weights, None, None, zero, 0.0, *out)
    return F.multi_head_attention_forward, query, key, value, *rest


def transformer(draw: Draw) -> tuple[Any, ...]:
    width, batch = 2 * draw.randint(1, 3), draw.size()
    first, batched = draw.maybe(), draw.maybe(0.8)
    layer = nn.Transformer(width, 2, 1, 1, 4, batch_first=first, dtype=torch.float64)
    shapes = []
    for length in (draw.size(), draw.size()):
        front = (length,) if not batched else (batch, length) if first else (length, batch)
        shapes.append((*front, width))
    draw.wrong = draw.choice([0.0, 0.2])
    source = draw.tensor(*shapes[0])
    target = draw.tensor(*shapes[1])
    if {source.dim(), target.dim()} not in ({2}, {3}):
        source, target = torch.randn(shapes[0]).double(), torch.randn(shapes[1]).double()
    return layer, source, target


def part(kind: type[nn.Module]) -> Sample:
    """A layer of a transformer; what it refuses, the attention inside it refuses."""

    def sample(draw: Draw) -> tuple[Any, ...]:
        width, batch = 2 * draw.randint(1, 3), draw.size()
        layer = kind(width, 2, 4, dtype=torch.float64)
        x, memory = (torch.randn(draw.size(), batch, width).double() for _ in range(2))
        return (layer, x) if kind is nn.TransformerEncoderLayer else (layer, x, memory)

    return sample


SAMPLES: dict[str, Sample] = {
    "scaled_dot_product_attention": attention,
    "multihead_attention": heads,
    "multi_head_attention_forward": forward,
    "transformer": transformer,
    "transformer_encoder": part(nn.TransformerEncoderLayer),
    "transformer_decoder": part(nn.TransformerDecoderLayer),
}


def test_every_entry_has_samples() -> None:
    assert set(entries("attention")) == SAMPLES.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_as_torch(name: str) -> None:
    refused = 0
    for function, args, kwargs in calls(SAMPLES[name], 100, wrong=0.05):
        if name.startswith("scaled") and args[1].shape[-2:-1] != args[2].shape[-2:-1]:
            continue  # one of torch's kernels reads on where values are missing
        # The meta kernels check fewer masks.
        found = check(function, *args, on="cpu", **kwargs)
        refused += found.violation is not None
        assert found.call.op == name
    assert refused >= 5 or name in ("transformer_encoder", "transformer_decoder")


@pytest.mark.parametrize("front", [(), (2,)])
def test_each_key_has_a_value(front: tuple[int, ...]) -> None:
    query, key, value = (torch.zeros(*front, length, 4) for length in (3, 5, 6))
    found = check(F.scaled_dot_product_attention, query, key, value, on="cpu").violation
    assert found is not None
    assert [mark.size for mark in found.marks] == [5, 6]


def test_heads_are_shared_where_there_are_heads() -> None:
    for shapes in (((5, 2), (4, 5, 2), (4, 5, 4)), ((2, 4, 3), (3, 3), (1, 3, 3))):
        operands = [torch.zeros(shape) for shape in shapes]
        found = check(F.scaled_dot_product_attention, *operands, on="cpu", enable_gqa=True)
        assert found.violation is not None
        assert found.violation.kind == "rank"
        assert dict(found.violation.facts)["rank"] == 3


def test_flows() -> None:
    permuted = resized = 0
    for function, args, kwargs in calls(attention, 40, wrong=0):
        if not kwargs.keys() & {"is_causal", "enable_gqa"}:
            permuted += check_permuted(function, *args, tolerance=1e-6, **kwargs)
            resized += check_resized(function, *args, **kwargs)
    assert permuted >= 40
    assert resized >= 40


def test_heads_and_transformers_flow() -> None:
    permuted = 0
    for function, args, kwargs in calls(heads, 30, wrong=0):
        last = args[0].dim() - 1
        features = [At(1, last), At(2, last)]
        if kwargs.keys().isdisjoint({"attn_mask", "key_padding_mask"}):
            added = function.bias_k is not None or function.add_zero_attn
            keys = [At(1, last - 1), At(1, 0)] if added else []  # what is added stands behind them
            permuted += check_permuted(
                function, *args, tolerance=1e-6, ordered=[*features, *keys], **kwargs
            )
    assert permuted >= 20
    for kind in (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer):
        for function, args, _ in calls(part(kind), 5, wrong=0):
            # Such a layer does not say which dimension the memory's samples are in.
            ordered = [At(1, dim) for dim in range(3)] + [At(0, 1)] if len(args) > 1 else []
            found = check_permuted(function.eval(), *args, tolerance=1e-6, ordered=ordered)
            front = args[0].shape[: 1 if len(args) > 1 else 2]
            assert found == sum(size > 1 for size in front)
