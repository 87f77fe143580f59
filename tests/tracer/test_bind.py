"""Arguments by name: what `bind` calls them is what torch takes under that name."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import pytest
import sympy
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode, get_overridable_functions, resolve_name

from tests.cells import forward_cell
from tests.together import together
from tests.tracer.test_recorder_operations import TABLE, operands
from tracer import Trace, trace
from tracer.document import Bound, Slice, TensorAt
from tracer.formulas.run import run_with_symbols
from tracer.record.bind import _known_forms, bind

# What the statements of test_recorder_operations do not call; names as in its `operands`.
CALLS = """
x.view(size=(3, 2)); x.view(torch.int32); x.reshape(-1); x.reshape(3, -1); b.permute((2, 0, 1))
torch.permute(b, (0, 2, 1)); b.transpose(dim0=0, dim1=1); b.swapaxes(0, 1)
torch.swapaxes(b, 0, 2); torch.swapaxes(b, axis0=0, axis1=2); b.swapdims(0, 1)
b.movedim((0, 1), (1, 2)); b.moveaxis(0, 1); torch.moveaxis(b, source=0, destination=2)
x.expand((4, 2, 3)); x.expand_as(b); x.broadcast_to((4, 2, 3)); x.repeat((2, 2))
x.repeat(2, 2, 2); x.tile(2); x.tile((2, 1)); torch.tile(x, (2, 2)); x.repeat_interleave(2, dim=1)
torch.repeat_interleave(x, 2, 1); x.unsqueeze(0); torch.unsqueeze(x, dim=-1); b.squeeze()
b.squeeze(0); b.squeeze((0, 1)); torch.squeeze(b, 1); b.flatten(); b.flatten(0, 1)
torch.flatten(b, 1, end_dim=2); x.unflatten(1, (3, 1)); torch.unflatten(x, 1, (1, 3)); x.ravel()
b.diagonal(0, 1, 2); x.triu(1); torch.tril(x, diagonal=-1); x.flip(0); x.flip((0, 1))
x.flip(0, 1); torch.flip(x, [1]); x.fliplr(); x.roll(1, 0); torch.roll(b, (1, 2), dims=(0, 1))
x.rot90(1, (0, 1)); torch.rot90(x, 1, [0, 1]); x.select(1, 0); torch.select(x, 0, 1)
x.narrow(dim=1, start=0, length=2); x.index_select(1, i); torch.index_select(x, 1, i)
x.take_along_dim(j, 1); torch.gather(x, 1, j); x.masked_select(m); x.scatter(1, j, 2.0)
x.scatter(1, j, y); x.scatter_add(1, j, y); x.index_add(1, i, y); x.scatter_reduce(1, j, y, "sum")
x.scatter_reduce(1, j, y, "amax", include_self=False); x.index_copy(1, i, y)
x.index_fill(1, i, 2); x.masked_fill(m, s); torch.masked_fill(x, m, 1.0); torch.where(m, x, 0.0)
torch.where(m, 1.0, 0.0); x.where(m, y); x.where(m, 0.0); torch.cat([x, y], 1)
torch.cat(tensors=(x, y), dim=1); torch.cat([x, y], axis=1); torch.concat([x, y])
torch.hstack([x, y]); torch.vstack((x, y)); torch.dstack([x, y]); torch.stack([x, y])
torch.stack((x, y), 2); torch.column_stack([x, y]); torch.row_stack([x, y]); torch.split(b, 3)
torch.split(b, [1, 3], dim=0); b.split(2); b.split((1, 3)); b.chunk(2); torch.chunk(b, 2, 1)
b.tensor_split(3); b.tensor_split((1, 2), dim=0); b.unbind(); torch.unbind(b, 2)
x.split_with_sizes((1, 2), 1); torch.meshgrid(i, i); torch.meshgrid([i, i], indexing="xy")
torch.broadcast_tensors(x, b); torch.block_diag(x, y); torch.cartesian_prod(i, i)
torch.atleast_2d(s); torch.atleast_3d(x); x.sum(1); x.sum((0, 1)); x.sum(dim=1, keepdim=True)
x.sum(axis=1, keepdims=True); torch.sum(x, dtype=torch.float64); x.mean(-1)
torch.mean(x, [0], True); x.std(); x.std(1); x.std(False); x.std(dim=1, correction=0)
torch.var(x, 1, unbiased=False); torch.std_mean(x, 1); x.max(); x.max(y)
torch.max(x, dim=1, keepdim=True); x.min(0); x.amax(1); x.amin((0, 1), True)
torch.aminmax(x, dim=1); x.argmin(); x.argmax(dim=1, keepdim=True); x.prod(1); x.norm(2, 1)
torch.norm(x, dim=1); torch.norm(x, 1, [0]); x.norm(p=1, dim=(0, 1), keepdim=True)
torch.linalg.vector_norm(x, 2, dim=1); torch.linalg.norm(x, ord=2, dim=1); x.logsumexp(1)
torch.logsumexp(x, (0, 1)); x.any(1); m.all(); x.median(); x.median(1); x.mode(1)
x.count_nonzero(1); x.cumsum(1); torch.cumprod(x, dim=0); x.cummax(1); x.logcumsumexp(0)
x.nansum(1); x.nanmean(); x.quantile(0.5); torch.quantile(x, p[0].clamp(max=1), dim=1); x.sort()
x.sort(1, True); torch.sort(x, dim=1, descending=True, stable=True); x.argsort(1)
x.argsort(dim=1, descending=True); x.topk(1, 0, False); torch.topk(x, k=2, dim=1); x.kthvalue(1)
torch.kthvalue(x, 1, dim=1); x.unique(); torch.unique(n, return_inverse=True)
torch.unique(n, dim=0); i.bincount(); x.softmax(dim=1); torch.softmax(x, 1, torch.float64)
F.softmax(x, -1); x.log_softmax(1); F.log_softmax(x, dim=1); F.softmin(x, 1); F.glu(image, 3)
x.clamp(0, 1); x.clamp(max=0.5); torch.clamp(x, min=y); torch.clip(x, -1, 1); x.clamp_min(0)
x.add(y, alpha=2); torch.sub(x, y, alpha=3); torch.add(x, 2); torch.mul(x, y); torch.mul(2, x)
x.div(p, rounding_mode="floor"); torch.true_divide(x, p); x.floor_divide(p); x.remainder(2)
x.fmod(p); torch.pow(x, 2); torch.pow(2, x); x.pow(y); torch.rsub(x, y); torch.rsub(x, y, alpha=2)
x.lerp(y, 0.5); torch.lerp(x, y, p); torch.addcmul(x, y, p, value=2); x.addcdiv(y, p); x.atan2(y)
x.maximum(y); torch.minimum(x, y); x.hypot(y); x.eq(0); torch.isclose(x, y); x.logical_and(m)
n.bitwise_and(1); n.bitwise_or(n); True & m; True | m; True ^ m; x @ w; w.T @ x.T; torch.mm(x, w)
b.bmm(b.mT); b.matmul(w); x.mv(y[0]); torch.dot(y[0], x[0]); torch.inner(x, y)
torch.outer(x[0], y[1]); torch.ger(x[0], y[1]); torch.addmm(x, x, w[:, :3], beta=2)
torch.baddbmm(b[:, :, :2], b, b.mT, alpha=0.5); torch.addmv(y[:, 0], x, y[0])
torch.einsum("ij,kj->ik", [x, y]); torch.einsum("...j,kj", b, y); torch.tensordot(b, w, 1)
torch.tensordot(x, y, dims=([1], [1])); torch.cdist(x, y); torch.cdist(x, y, p=1.0)
torch.kron(x, y); torch.cross(x, y, dim=1); torch.linalg.cross(x, y); x.diff(dim=1)
torch.chain_matmul(x, w, w.T); torch.linalg.multi_dot([x, w, w.T]); torch.linalg.inv(w[:, :3])
torch.linalg.solve(w[:, :3], y.T); F.bilinear(x, y, torch.ones(5, 3, 3)); F.linear(x, v, v[:, 0])
F.conv2d(image, kernel, None, 2); F.conv2d(image, kernel, stride=(1, 2))
F.conv2d(image, kernel, padding="same"); F.conv1d(b, w[:2, None, :2], groups=2)
torch.conv2d(image, kernel, padding=(1, 0))
F.conv_transpose2d(image, kernel.transpose(0, 1), stride=2); F.max_pool2d(image, 2, 1, padding=1)
F.max_pool2d(image, (2, 1), return_indices=True); F.avg_pool2d(image, 3, stride=2, ceil_mode=True)
F.adaptive_max_pool2d(image, (2, 3)); F.lp_pool2d(image, 2, 2); F.unfold(image, 3, padding=1)
F.fold(torch.ones(1, 12, 9), (4, 4), 2)
F.interpolate(image, (4, 5), mode="bilinear", align_corners=True)
F.pad(image, (1, 1, 1, 1), "reflect"); F.pixel_shuffle(torch.ones(1, 4, 2, 2), 2)
F.pixel_unshuffle(image, 2); F.one_hot(i); F.channel_shuffle(torch.ones(1, 4, 2, 2), 2)
F.grid_sample(image, torch.zeros(2, 3, 3, 2), align_corners=False)
F.affine_grid(torch.zeros(2, 2, 3), (2, 3, 4, 4), align_corners=False); F.embedding(i, v)
F.embedding_bag(n, torch.ones(7, 3), mode="mean"); F.layer_norm(x, (3,))
F.layer_norm(x, [3], p[0], p[1]); F.rms_norm(x, (3,)); F.group_norm(image, 3)
F.batch_norm(image, None, None, training=True); F.instance_norm(image)
F.local_response_norm(image, 2); F.normalize(x, p=1.0); F.dropout(x, 0.5, False); F.gelu(x)
F.gelu(x, approximate="tanh"); F.leaky_relu(x, 0.2); F.elu(x, alpha=2.0); F.silu(x)
F.hardtanh(x, -2, 2); F.softplus(x, beta=2); F.threshold(x, 0.1, 20); F.prelu(x, p[0, :1])
F.celu(x); F.cross_entropy(x, i[:2])
F.cross_entropy(x, i[:2], reduction="none", label_smoothing=0.1)
F.nll_loss(x, i[:2], ignore_index=5); F.binary_cross_entropy_with_logits(x, p, pos_weight=p[0])
F.binary_cross_entropy(m.float(), m.float(), reduction="sum"); F.l1_loss(x, y)
F.smooth_l1_loss(x, y, beta=0.5); F.huber_loss(x, y, delta=2.0); F.kl_div(x, p, log_target=True)
F.cosine_similarity(x, y, dim=0); F.pairwise_distance(x, y, keepdim=True)
F.triplet_margin_loss(x, y, p); F.poisson_nll_loss(x, p); F.scaled_dot_product_attention(b, b, b)
F.scaled_dot_product_attention(b, b, b, is_causal=True, scale=2.0); torch.fft.rfft(x, n=4)
torch.fft.fft2(x, dim=(0, 1)); torch.fft.fftshift(x, dim=1); torch.polar(abs=p, angle=x)
torch.special.logit(p, 0.1); torch.special.xlogy(p, 2); torch.arange(1, 5)
torch.arange(0, 10, step=3); torch.arange(end=4, dtype=torch.float32); torch.zeros((2, 3))
torch.zeros(2, 3, dtype=torch.int64); torch.ones([2]); torch.full((2, 2), fill_value=1.5)
torch.eye(2, 3); torch.linspace(start=0, end=1, steps=3); torch.logspace(0, 1, 3)
torch.zeros_like(x, dtype=torch.int64); torch.full_like(x, 3); x.new_ones((2, 2))
x.new_ones(2, 2); x.new_full((2,), 3.0); x.new_tensor([1, 2]); torch.as_tensor([1, 2])
torch.tensor([1], dtype=torch.float64); torch.tril_indices(3, 3, offset=1); torch.complex(x, y)
torch.hann_window(4); torch.scalar_tensor(2.0); x.to("cpu")
x.to(torch.zeros(1).device, torch.float64); x.to(y); x.to(dtype=torch.float16)
x.type(torch.int64); x.type_as(n); x.double(); x.half(); x.long(); x.int(); x.bool(); x.cpu()
x.clone(memory_format=torch.contiguous_format); x.nan_to_num(0.0, posinf=1.0); x.round(decimals=1)
x.sigmoid(); torch.tanh(x); x.exp(); p.log(); p.sqrt(); torch.bucketize(x, p[0].sort()[0])
torch.searchsorted(p[0].sort()[0], y); x.histc(4); torch.trapezoid(x, dim=1)
x.addmm_(x, w[:, :3], beta=0.5); x.clamp_(0, 1); x.fill_(3); x.sub_(y, alpha=2)
x.index_add_(1, i, y); x.scatter_(1, j, 1.0); x.scatter_(1, j, y, reduce="add")
x.copy_(y, non_blocking=True); x.transpose_(0, 1); x.unsqueeze_(0); x.masked_scatter(m, y)
x.put(i, y[0]); x.renorm(2, 0, 1.0); torch.cov(x); x.trace(); b.view_as(b); b.reshape_as(b)
torch.ops.aten.add.Tensor(x, y); torch.ops.aten.mean.dim(x, [1], True); torch.ops.aten.mm(x, w)
torch.combinations(i, r=2); torch.stft(image[0, 0, 0].repeat(4), 8, return_complex=True)
torch.diag_embed(x, dim1=0); torch.vander(i); x.t_(); b.squeeze_(0); torch.nn.functional.relu6(x)
torch.rms_norm(x, (3,)); torch.square(x); torch.sgn(c); x.angle()
torch.triangular_solve(w[:, :3], w[:, :3]); torch.cumulative_trapezoid(x)
torch.slice_copy(x, 0, 0, 1)
"""

STATEMENTS = [case.statement for case in TABLE] + [
    each.strip() for line in CALLS.splitlines() for each in line.split(";") if each.strip()
]


class Calls(TorchFunctionMode):
    """Keeps each call as a mode is given it, bound to copies of its arguments, with its result."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[Any, dict[str, Any], Any, Any]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        copied = copy.deepcopy((args, kwargs or {}))
        state = torch.get_rng_state()
        result = func(*args, **kwargs or {})
        self.found.append((func, bind(func, *copied), copy.deepcopy(result), state))
        return result


# Where the function's own name for an argument is not the one that all share.
OWN_NAMES = {
    (torch.split, "input"): "tensor",
    (torch.split, "split_size"): "split_size_or_sections",
    (torch.tensordot, "input"): "a",
    (torch.tensordot, "other"): "b",
    (torch.swapaxes, "dim0"): "axis0",
    (torch.swapaxes, "dim1"): "axis1",
    (Tensor.swapaxes, "dim0"): "axis0",
    (Tensor.swapaxes, "dim1"): "axis1",
    (Tensor.copy_, "src"): "other",
}
# What the call is given as `*tensors` cannot be given by name.
ONE_BY_ONE = frozenset(
    ["meshgrid", "broadcast_tensors", "block_diag", "cartesian_prod", "atleast_2d", "atleast_3d"]
)


def by_name(function: Any, bound: dict[str, Any]) -> Any:
    """Calls `function` with everything by name that torch takes by name."""
    name = function.__name__
    named = dict(bound)
    if function is torch.rsub or (name.startswith("__r") and name != "__rshift__"):
        named["input"], named["other"] = named["other"], named["input"]
    if name.startswith("__"):
        # Python's own operators take no names.
        return function(*[value for key, value in named.items() if key != "alpha"])
    first: list[Any] = []
    if name == "einsum":
        first = [named.pop("equation"), *named.pop("tensors")]
    elif name == "chain_matmul":
        first = list(named.pop("matrices"))
    elif name in ONE_BY_ONE:
        first = list(named.pop("tensors"))
    elif function.__qualname__.startswith("Tensor") or isinstance(function, BY_POSITION):
        first = [named.pop("input")]
    if function == Tensor.to:
        first += [
            named.pop(key) for key in ("other", "device", "dtype") if named.get(key) is not None
        ]
    if function in (torch.pow, torch.where) and type(named.get("input")) in (int, float):
        named["self"] = named.pop("input")
    named = {OWN_NAMES.get((function, key), key): value for key, value in named.items()}
    try:
        return function(*first, **named)
    except TypeError:
        # Some defaults of the schemas cannot be written in Python: `pin_memory=None`.
        return function(*first, **{key: value for key, value in named.items() if value is not None})


# Of these the tensor itself has no name.
BY_POSITION = (type(Tensor.view), torch._ops.OpOverload, torch._ops.OpOverloadPacket)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return (
            one.dtype == other.dtype
            and one.shape == other.shape
            and bool(torch.isclose(one, other, equal_nan=True).all())
        )
    if isinstance(one, tuple | list):
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


@pytest.mark.filterwarnings("ignore")
@together("statement", STATEMENTS)
def test_called_by_name_it_gives_the_same(statement: str) -> None:
    space = {"torch": torch, "F": F, **operands()}
    with Calls() as calls:
        exec(statement, space)
    assert calls.found
    for function, bound, result, state in calls.found:
        if function.__name__ in ("empty", "__setitem__"):
            continue
        torch.set_rng_state(state)
        assert same(by_name(function, bound), result), (function.__name__, bound)


def test_every_function_of_torch_that_gives_tensors_has_names() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        functions = [f for found in get_overridable_functions().values() for f in found]
    unknown = {str(resolve_name(f)) for f in functions if not list(_known_forms(f))}
    nameless = ["__bool__", "__float__", "__int__", "__long__", "_is_view", "const_data_ptr"]
    nameless += ["data_ptr", "ndimension", "nelement", "numpy", "tolist", "untyped_storage"]
    assert unknown == {f"torch.Tensor.{name}" for name in nameless}
    assert len(functions) > 1000


# --- in a document -------------------------------------------------------------------------------


def recorded(statement: str) -> Bound:
    """The arguments of the only step of a forward, there and back."""
    given = operands()
    model = forward_cell(" ".join(given), f"{statement}\nreturn x")
    found = trace(model, **given, values=False)
    read = Trace.from_json(found.to_json())
    assert read == found
    (step,) = read.steps
    return step.bound


@together(
    ("statement", "wanted"),
    [
        ("z = x.view(3, -1)", {"input": TensorAt(0), "size": (3, -1)}),
        ("z = x + x", {"input": TensorAt(0), "other": TensorAt(1), "alpha": 1}),
        ("z = 1 - x", {"input": 1, "other": TensorAt(0)}),
        ("z = torch.rsub(x, y)", {"input": TensorAt(1), "other": TensorAt(0), "alpha": 1}),
        ("z = torch.sum(x, axis=1)", {"dim": 1, "keepdim": False, "dtype": None}),
        ("z = torch.cat([x, y])", {"tensors": (TensorAt(0), TensorAt(1)), "dim": 0}),
        ("z = x.where(m, 0)", {"input": TensorAt(0), "condition": TensorAt(1), "other": 0}),
        ("z = torch.where(m, x, y)", {"condition": TensorAt(0), "input": TensorAt(1)}),
        ("z = x.to(torch.float64)", {"dtype": "float64"}),
        ("z = torch.zeros(2, dtype=float, device='cpu')", {"dtype": "float64", "device": "cpu"}),
        ("z = torch.randint(0, 9, (2, 2))", {"low": 0, "high": 9, "dtype": "int64"}),
        ("z = F.softmax(x, 1)", {"input": TensorAt(0), "dim": 1, "dtype": None}),
        ("z = x.masked_fill(m, -float('inf'))", {"mask": TensorAt(1), "value": -math.inf}),
        ("z = x.nan_to_num(float('nan'))", {"nan": math.nan, "posinf": None}),
        ("z = F.conv2d(image, kernel, None, (1, 2))", {"bias": None, "stride": (1, 2),
         "padding": (0, 0), "dilation": (1, 1), "groups": 1}),
        ("z = F.max_pool2d(image, 2, stride=1)", {"kernel_size": 2, "stride": 1, "padding": 0,
         "dilation": 1, "ceil_mode": False, "return_indices": False}),
        ("z = torch.einsum(x, [0, 1], w, [1, ...], [0, ...])",
         {"equation": "AB,B...->A...", "tensors": (TensorAt(0), TensorAt(1))}),
        ("z = x[0]", {"input": TensorAt(0), "index": (0,)}),
        ("z = x[[0, 1]]", {"index": ((0, 1),)}),
        ("z = b[..., None, 1:-1:2]", {"index": (..., None, Slice(1, -1, 2))}),
        ("z = b[i, :, True]", {"index": (TensorAt(1), Slice(None, None, None), True)}),
        ("x[:, 1] = s", {"index": (Slice(None, None, None), 1), "value": TensorAt(1)}),
        ("torch.add(x, y, out=p)", {"out": TensorAt(2)}),
    ],
)  # fmt: skip
def test_the_values_of_a_step(statement: str, wanted: dict[str, Any]) -> None:
    bound = recorded(statement)
    assert {name: bound[name] for name in wanted} == wanted


def test_a_tensor_that_is_no_operand_is_noted() -> None:
    given = operands()
    found = trace(forward_cell("x i", "return x[:i[0]]"), x=given["x"], i=given["i"])
    assert found.steps[-1].bound["index"] == (Slice(None, TensorAt(None), None),)


def test_what_is_no_data_is_left_out() -> None:
    bound = recorded("z = torch.rand(2, generator=torch.Generator())")
    assert bound["size"] == (2,)
    assert "generator" not in bound
    assert [*recorded("z = F.softmax(x, 1)")] == ["input", "dim", "dtype"]  # no `_stacklevel`


def test_a_call_that_torch_refuses_has_its_arguments_all_the_same() -> None:
    given = operands()
    found = trace(forward_cell("x", "return x.view(4, 'a')"), given["x"], diagnose=False)
    assert found.failure is not None
    assert found.failure.step is not None
    assert found.failure.step.bound["input"] == TensorAt(0)
    assert (4, "a") in found.failure.step.bound.values()


# --- layers --------------------------------------------------------------------------------------


@together(
    ("layer", "shape", "wanted"),
    [
        (nn.Conv2d(3, 4, 3, padding=1, bias=False), (2, 3, 5, 5),
         {"input": TensorAt(0), "weight": TensorAt(1), "bias": None, "in_channels": 3,
          "out_channels": 4, "kernel_size": (3, 3), "stride": (1, 1), "padding": (1, 1),
          "dilation": (1, 1), "groups": 1, "padding_mode": "zeros"}),
        (nn.Linear(3, 4), (2, 3), {"input": TensorAt(0), "weight": TensorAt(1),
         "bias": TensorAt(2), "in_features": 3, "out_features": 4}),
        (nn.BatchNorm1d(3), (2, 3), {"num_features": 3, "eps": 1e-5, "momentum": 0.1,
         "affine": True, "track_running_stats": True, "training": True, "weight": TensorAt(1),
         "running_mean": TensorAt(3)}),
        (nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True), (2, 5, 3), {"hx": None,
         "input_size": 3, "hidden_size": 4, "num_layers": 2, "bias": True, "batch_first": True,
         "bidirectional": True, "dropout": 0.0, "proj_size": 0, "weight_ih_l0": TensorAt(1)}),
        (nn.LayerNorm(3), (2, 3), {"normalized_shape": (3,), "eps": 1e-5}),
        (nn.Softmax(dim=-1), (2, 3), {"dim": -1}),
        (nn.Flatten(), (2, 3, 4), {"start_dim": 1, "end_dim": -1}),
        (nn.MaxPool2d(2), (1, 2, 4, 4), {"kernel_size": 2, "stride": 2, "padding": 0,
         "dilation": 1, "ceil_mode": False, "return_indices": False}),
        (nn.AdaptiveAvgPool2d((1, None)), (1, 2, 4, 4), {"output_size": (1, None)}),
        (nn.Upsample(scale_factor=2), (1, 2, 4, 4), {"size": None, "scale_factor": 2.0,
         "mode": "nearest"}),
        (nn.Dropout(0.5, inplace=True), (2, 3), {"p": 0.5, "inplace": True, "training": True}),
        (nn.Unflatten(1, (1, 3)), (2, 3), {"dim": 1, "unflattened_size": (1, 3)}),
        (nn.GELU("tanh"), (2, 3), {"approximate": "tanh"}),
        (nn.ConvTranspose1d(3, 4, 2, output_padding=0), (2, 3, 5), {"output_size": None,
         "output_padding": (0,), "transposed": True}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)  # fmt: skip
def test_the_settings_of_a_layer(layer: nn.Module, shape: Any, wanted: dict[str, Any]) -> None:
    found = trace(nn.Sequential(layer), torch.ones(shape), values=False)
    (step,) = found.steps
    assert {name: step.bound[name] for name in wanted} == wanted
    assert Trace.from_json(found.to_json()) == found
    for name, parameter in layer.named_parameters():
        at = step.bound[name]
        assert isinstance(at, TensorAt)
        assert at.index is not None
        assert step.inputs[at.index].shape == tuple(parameter.shape)


def test_attention_and_an_operand_that_comes_three_times() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attend = nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.attend(x, x, x, need_weights=False)[0]
            return found

    (step,) = trace(Model(), torch.ones(2, 3, 4), values=False).steps
    bound = step.bound
    assert [bound[name] for name in ("query", "key", "value")] == [TensorAt(0)] * 3
    assert (bound["embed_dim"], bound["num_heads"], bound["batch_first"]) == (4, 2, True)
    assert bound["need_weights"] is False
    assert bound["attn_mask"] is None


def test_what_a_symbol_stands_for_is_kept_and_demands_nothing() -> None:
    """The shape of a symbolic run: an argument that is made of symbols is a number in the
    document, and no condition comes of that."""
    model = forward_cell("x", "return x.view(x.shape[0], x.shape[1] * x.shape[2])")
    found = run_with_symbols(
        lambda sizes: model,
        lambda sizes: ((torch.empty(sizes["B"], sizes["N"], 4),), {}),
        {"B": 5, "N": 7},
    )
    assert found.error is None
    assert found.trace.steps[0].bound["size"] == (5, 28)
    # What asks for the number behind a symbol demands that it be this number.
    assert not any(isinstance(each.condition, sympy.Eq) for each in found.demands)
