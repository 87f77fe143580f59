"""The arguments of a step by name, also of files older than schema 4, which hold their texts alone.

In these files a text says `dim=1` where the name was known and `1` where it was not; tensors are
left out.  `_TABLE` has the names in the order of torch's schemas: `@` marks a tensor, `@*` all
tensors that follow, `*` sizes that may be written one by one, `?` a tensor or a number.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Sequence
from typing import Any

from tracer.document import Bound, Slice, Step, TensorAt, Value
from tracer.ops.names import is_reflected, op_name
from tracer.syntax import parsed

_TABLE = """
@input ?other: (any)
@input dim keepdim=False: all any amax amin aminmax argmax argmin logsumexp max mean median min
@input dim keepdim=False: nanmean nanmedian nansum prod sum
@input dim: count_nonzero cummax cummin cumprod cumsum log_softmax logcumsumexp softmax softmin
@input dim: squeeze unsqueeze
@input dim=-1 descending=False: argsort sort
@input dim=-1 keepdim=False: mode
@input dim unbiased=True keepdim=False: std std_mean var var_mean
@input p='fro' dim keepdim=False: norm
@input ord=2 dim keepdim=False: vector_norm
@input ord dim keepdim=False: torch.linalg.norm
@input k dim=-1 largest=True sorted=True: topk
@input k dim=-1 keepdim=False: kthvalue
@input dim=-1: glu
@input n=1 dim=-1: diff
@input *size: broadcast_to expand new_empty new_ones new_zeros view
*size: empty ones rand randn zeros
size fill_value: full
@input size fill_value: new_full
@input fill_value: full_like
@input *shape: reshape
@input *dims: flip permute tile
@input *repeats: repeat
@input dim0 dim1: swapaxes swapdims transpose
@input source destination: moveaxis movedim
@input start_dim=0 end_dim=-1: flatten
@input dim sizes: unflatten
@input dim=0: unbind
@input split_size dim=0: split
@input split_sizes dim=0: split_with_sizes
@input chunks dim=0: chunk unsafe_chunk
@input sections dim=0: tensor_split
@*tensors dim=0: cat concat concatenate stack
@*tensors: broadcast_tensors column_stack dstack hstack meshgrid row_stack vstack
@input dim index: select
@input dim start length: narrow
@input dim @index: gather index_select
@input dim @index @source: index_add index_copy
@input dim @index ?value: index_fill
@input dim @index @src value: scatter
@input dim @index @src reduce: scatter_add scatter_reduce
@input @indices dim: take_along_dim
@input @mask ?value: masked_fill
@input @mask @source: masked_scatter
@input @mask: masked_select
@condition ?input ?other: where
@input @condition ?other: Tensor.where
@input offset=0 dim1=0 dim2=1: diagonal
@input dimension size step: unfold
@input kernel_size dilation=1 padding=0 stride=1: F.unfold
@input output_size kernel_size dilation=1 padding=0 stride=1: fold
@input shifts dims=(): roll
@input k=1 dims=(0,1): rot90
@input diagonal=0: tril triu
@input ?repeats dim: repeat_interleave
@input @mat2: bmm mm spmm
@input @vec: mv
@input @tensor: dot
@input @vec2: ger outer
@input @mat1 @mat2 beta=1 alpha=1: addmm
@input @mat @vec beta=1 alpha=1: addmv
@input @batch1 @batch2 beta=1 alpha=1: addbmm baddbmm
@input @other dims: tensordot
equation @*tensors: einsum
@x1 @x2 p=2.0: cdist
@x1 @x2 dim=1 eps: cosine_similarity
@x1 @x2 p=2.0 eps keepdim=False: pairwise_distance
@input1 @input2 @weight @bias: bilinear
@input @weight @bias: linear
@input @weight @bias stride=1 padding=0 dilation=1 groups=1: conv1d conv2d conv3d
@input @weight @bias stride=1 padding=0 output_padding=0 groups=1 dilation=1: conv_transpose1d
@input @weight @bias stride=1 padding=0 output_padding=0 groups=1 dilation=1: conv_transpose2d
@input @weight @bias stride=1 padding=0 output_padding=0 groups=1 dilation=1: conv_transpose3d
@input kernel_size stride padding=0 dilation=1 ceil_mode=False: max_pool1d max_pool2d max_pool3d
@input kernel_size stride padding=0 ceil_mode=False: avg_pool1d avg_pool2d avg_pool3d
@input norm_type kernel_size stride ceil_mode=False: lp_pool1d lp_pool2d lp_pool3d
@input output_size: adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
@input output_size: adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
@input normalized_shape @weight @bias eps=1e-05: layer_norm
@input normalized_shape @weight eps: rms_norm
@input num_groups @weight @bias eps=1e-05: group_norm
@input @running_mean @running_var @weight @bias training=False: batch_norm instance_norm
@input pad mode='constant' value: pad
@input size scale_factor mode='nearest' align_corners: interpolate upsample
@input upscale_factor: pixel_shuffle
@input downscale_factor: pixel_unshuffle
@input groups: channel_shuffle native_channel_shuffle
@input @grid mode='bilinear': grid_sample
@theta size: affine_grid
@query @key @value @attn_mask dropout_p=0.0 is_causal=False: scaled_dot_product_attention
@input @weight padding_idx: embedding
@input @target @weight: binary_cross_entropy binary_cross_entropy_with_logits cross_entropy
@input @target @weight: huber_loss kl_div l1_loss mse_loss nll_loss smooth_l1_loss
@input ?exponent: float_power pow
@input ?min ?max: clamp clip
@input ?min: clamp_min
@input ?max: clamp_max
@input @end ?weight: lerp
@input @tensor1 @tensor2 value=1: addcdiv addcmul
@input num_classes=-1: one_hot
start end step=1: arange range
start end steps: linspace logspace
n m: eye
n: randperm
low high size: randint
data: as_tensor tensor
@input data: new_tensor
@input: to type
@input @src: copy
@input @weight: prelu
@abs @angle: polar
@real @imag: complex
@A @B: solve
@A: inv
in_channels out_channels kernel_size stride padding=0 dilation=1 groups=1: Conv1d Conv2d Conv3d
in_channels out_channels kernel_size stride padding=0 dilation=1 groups=1 output_padding=0: \
 ConvTranspose1d ConvTranspose2d ConvTranspose3d
in_features out_features: Linear
num_features eps momentum affine track_running_stats: BatchNorm1d BatchNorm2d BatchNorm3d
num_features eps momentum affine track_running_stats: InstanceNorm1d InstanceNorm2d InstanceNorm3d
normalized_shape eps: LayerNorm RMSNorm
num_groups num_channels eps: GroupNorm
size alpha beta k: LocalResponseNorm
num_embeddings embedding_dim padding_idx: Embedding
input_size hidden_size num_layers=1 batch_first=False bidirectional=False proj_size=0: GRU LSTM RNN
input_size hidden_size: GRUCell LSTMCell RNNCell
padding: ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d ReflectionPad2d
padding: ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d ZeroPad1d ZeroPad2d
padding: ZeroPad3d CircularPad1d CircularPad2d CircularPad3d
groups: ChannelShuffle
"""

_ALIASES = {
    "axis": "dim",
    "keepdims": "keepdim",
    "axis0": "dim0",
    "axis1": "dim1",
    "split_size_or_sections": "split_size",
}
_FORWARDS = {
    "MultiheadAttention": ("query", "key", "value"),
    "Bilinear": ("input1", "input2"),
    "CosineSimilarity": ("x1", "x2"),
    "PairwiseDistance": ("x1", "x2"),
    "LSTM": ("input", "hx"),
    "GRU": ("input", "hx"),
    "RNN": ("input", "hx"),
    "Embedding": ("input",),
}
_LONGEST = 400


def bound_of(step: Step) -> Bound:
    """The arguments of a step by name, as `Step.bound` has them, read from its texts where the file
    is older."""
    if step.bound or not (step.arguments or step.inputs):
        return step.bound
    name = step.op.rpartition(".")[2]
    if name in ("__getitem__", "__setitem__"):
        return Bound(tuple(_indexing(step)))
    named = dict(_layer(step, name) if step.op.startswith("nn.") else _function(step))
    reflected = is_reflected(step.op) or name == "rsub"
    if reflected and "other" in named:
        named["input"], named["other"] = named["other"], named.get("input")
    return Bound(tuple(named.items()))


def index_of(step: Step) -> tuple[Value, ...]:
    """What stands between the brackets of `x[...]`; nothing where that cannot be read."""
    index = bound_of(step).get("index")
    return index if isinstance(index, tuple) else ()


def _forms() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in _TABLE.replace("\\\n", "").strip().splitlines():
        parameters, _, names = line.rpartition(": ")
        for name in names.split():
            found[name] = tuple(parameters.split())
    return found


FORMS = _forms()


def _function(step: Step) -> Iterator[tuple[str, Value]]:
    short = op_name(step.op)
    form = FORMS.get(step.op) or FORMS.get(short) or FORMS["(any)"]
    plain, named = _read(step.arguments)
    if short in ("arange", "range") and len(plain) == 1:
        form = ("end",)
    elif short == "randint" and len(plain) == 2:
        form = ("high", "size")
    yield from _assigned(form, plain, named, [*range(len(step.inputs))])


def _layer(step: Step, kind: str) -> Iterator[tuple[str, Value]]:
    """The settings that a layer prints of itself, and its weights by the names they have in it."""
    plain, named = _read(step.arguments)
    given: list[int] = []
    own: dict[str, Value] = {}
    for position, note in enumerate(step.inputs):
        path, _, name = note.name.rpartition(".")
        if not f"{path}.".startswith(f"{step.module}."):
            given.append(position)
        elif path == step.module:
            own[name] = TensorAt(position)
    if "weight" in own and "bias" in named:
        named["bias"] = own.get("bias")
    if given[:1] == [0]:
        names = _FORWARDS.get(kind, ("input", "target"))
        yield from zip(names, map(TensorAt, given), strict=False)
    yield from _assigned(FORMS.get(kind, ()), plain, named, [])
    yield from own.items()


def _assigned(
    form: Sequence[str], plain: list[Value], named: dict[str, Value], tensors: list[int]
) -> Iterator[tuple[str, Value]]:
    for word in form:
        name, _, default = word.lstrip("@*?").partition("=")
        if name in named:
            yield name, named.pop(name)
        elif word.startswith("@*"):
            yield name, tuple(map(TensorAt, tensors))
            tensors = []
        elif word[0] in "@?" and tensors:
            yield name, TensorAt(tensors.pop(0))
        elif word.startswith("@"):
            if plain and plain[0] is None:
                yield name, plain.pop(0)
        elif word.startswith("*") and plain:
            one = len(plain) == 1 and isinstance(plain[0], tuple)
            yield name, plain[0] if one else tuple(plain)
            plain = []
        elif plain:
            yield name, plain.pop(0)
        elif default:
            yield name, _value(default)
    yield from named.items()
    if tensors:
        yield "other", TensorAt(tensors[0])


# --- texts ---------------------------------------------------------------------------------------


def _read(texts: Sequence[str]) -> tuple[list[Value], dict[str, Value]]:
    """The values without a name, and those with one; lists of tensors are no values."""
    plain: list[Value] = []
    named: dict[str, Value] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        if equals and name.isidentifier():
            named[_ALIASES.get(name, name)] = _value(rest)
        elif not text.lstrip("([").startswith("tensor"):
            plain.append(_value(text))
    return plain, named


def _value(text: str) -> Value:
    """The value of a literal; anything else stays text."""
    if text in ("inf", "-inf"):
        return float(text)
    if text == "nan":
        return math.nan
    if len(text) > _LONGEST or "\\" in text:
        return text
    try:
        return _plain(ast.literal_eval(parsed(text.strip(), "eval")))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text.removeprefix("torch.")


def _plain(value: Any) -> Value:
    if isinstance(value, list | tuple):
        return tuple(_plain(item) for item in value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError


def _indexing(step: Step) -> Iterator[tuple[str, Value]]:
    """`x[...]` and `x[...] = value`: tensors in the index are the operands behind the first."""
    if not step.inputs or not step.arguments:
        return
    yield "input", TensorAt(0)
    text, *rest = step.arguments
    index = _index(text, len(step.inputs))
    if index is not None:
        yield "index", index
        if step.op.endswith("__setitem__"):
            count = 1 + sum(isinstance(item, TensorAt) for item in index)
            if rest:
                yield "value", _value(rest[0])
            elif count < len(step.inputs):
                yield "value", TensorAt(count)


def _index(text: str, count: int) -> tuple[Value, ...] | None:
    try:
        tree = parsed(f"_{text[:_LONGEST]}", "eval").body
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(tree, ast.Subscript):
        return None
    nodes = tree.slice.elts if isinstance(tree.slice, ast.Tuple) else [tree.slice]
    positions = iter(range(1, count))
    try:
        return tuple([_entry(node, positions, count) for node in nodes])
    except ValueError:
        return None


def _entry(node: ast.expr, positions: Iterator[int], count: int) -> Value:
    if isinstance(node, ast.Slice):
        bounds = (node.lower, node.upper, node.step)
        return Slice(*(None if each is None else _entry(each, positions, count) for each in bounds))
    if isinstance(node, ast.Name) and node.id == "tensor":
        # One that stands twice in the index may have been recorded once.
        return TensorAt(next(positions, count - 1))
    if isinstance(node, ast.List | ast.Tuple):
        return tuple([_entry(part, positions, count) for part in node.elts])
    if isinstance(node, ast.Constant) and node.value is Ellipsis:
        return Ellipsis
    return _plain(ast.literal_eval(node))
