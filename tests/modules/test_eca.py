"""ECA against its mathematics, written a second time with numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules import lesson
from modules.eca import ECA, ECALayer, adaptive_kernel_size
from modules.lesson import run, tensor
from tests.effort import TIMES
from tests.together import together

few = settings(max_examples=25 * TIMES, deadline=None)


def draw(*shape: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def sequence_eca(kernel_size: int, seed: int = 3) -> ECA:
    model = ECA(kernel_size).double()
    with torch.no_grad():
        model.conv.weight.copy_(draw(1, 1, kernel_size, seed=seed))
    return model


def image_eca(channel: int, k_size: int | None, seed: int = 3) -> ECALayer:
    model = ECALayer(channel, k_size).double()
    with torch.no_grad():
        model.conv.weight.copy_(draw(*model.conv.weight.shape, seed=seed))
    return model


def gate_of(y: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """sigmoid of the correlation of each row with the kernel; Keras's `same` puts (k - 1) // 2
    zeros before a row and the others behind it."""
    k = len(kernel)
    padded = np.zeros((y.shape[0], y.shape[1] + k - 1))
    padded[:, (k - 1) // 2 : (k - 1) // 2 + y.shape[1]] = y
    score = np.zeros_like(y)
    for c in range(y.shape[1]):
        score[:, c] = padded[:, c : c + k] @ kernel
    return 1 / (1 + np.exp(-score))


@together("kernel_size", [1, 2, 3, 4, 5, 8])
@together("masked", [False, True])
def test_sequence_is_the_formula(kernel_size: int, masked: bool) -> None:
    model = sequence_eca(kernel_size)
    inputs = draw(4, 7, 11)
    mask = draw(4, 7, seed=2) > -0.5 if masked else None
    x = inputs.numpy()
    m = np.ones((4, 7)) if mask is None else mask.numpy().astype(float)
    y = np.einsum("bt,btc->bc", m, x) / m.sum(axis=1, keepdims=True)
    expected = x * gate_of(y, model.conv.weight.detach().numpy()[0, 0])[:, None, :]
    np.testing.assert_allclose(model(inputs, mask).detach().numpy(), expected, rtol=1e-10)


def test_padding_of_an_even_kernel_goes_to_the_right() -> None:
    model = sequence_eca(2)
    with torch.no_grad():
        model.conv.weight.copy_(torch.tensor([[[0.0, 1.0]]]))
    inputs = torch.tensor([[[1.0, 2.0, 3.0]]], dtype=torch.float64)
    # The second weight looks at the next channel, and after the last there is a zero.
    expected = inputs * torch.sigmoid(torch.tensor([2.0, 3.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(model(inputs), expected)


@together("k_size", [None, 1, 3, 5, 7])
def test_image_is_the_formula(k_size: int | None) -> None:
    model = image_eca(20, k_size)
    x = draw(3, 20, 5, 7)
    y = x.numpy().mean(axis=(2, 3))
    expected = x.numpy() * gate_of(y, model.conv.weight.detach().numpy()[0, 0])[:, :, None, None]
    np.testing.assert_allclose(model(x).detach().numpy(), expected, rtol=1e-10)


def test_gradients() -> None:
    mask = torch.tensor([[True, True, False], [True, True, True]])
    model = sequence_eca(4)
    assert torch.autograd.gradcheck(lambda x: model(x, mask), draw(2, 3, 6).requires_grad_())
    image = image_eca(6, 3)
    assert torch.autograd.gradcheck(image, draw(2, 6, 2, 3).requires_grad_())


def test_both_forms_agree_where_they_overlap() -> None:
    """A feature map whose places are read as frames is a sequence."""
    x = draw(2, 16, 3, 5)
    image, sequence = image_eca(16, 5), sequence_eca(5)
    frames = x.flatten(2).transpose(1, 2)
    torch.testing.assert_close(sequence(frames).transpose(1, 2).view_as(x), image(x))


# --- invariants -------------------------------------------------------------------------------


@few
@given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 11), st.integers(0, 99))
def test_a_gate_depends_on_its_neighbours_only(
    kernel_size: int, channels: int, changed: int, seed: int
) -> None:
    changed %= channels
    model = sequence_eca(kernel_size, seed)
    inputs = torch.ones(1, 3, channels, dtype=torch.float64)
    other = inputs.clone()
    other[:, :, changed] = 3.0
    gate, moved = model(inputs)[0, 0], (model(other) / other)[0, 0]
    left = (kernel_size - 1) // 2
    for c in range(channels):
        sees = -left <= changed - c <= kernel_size - 1 - left
        assert bool((gate[c] - moved[c]).abs() > 1e-12) == sees


@few
@given(st.integers(1, 5), st.integers(1, 6), st.integers(2, 9), st.integers(0, 99))
def test_gates_lie_between_zero_and_one_and_ignore_the_order_of_frames(
    batch: int, length: int, channels: int, seed: int
) -> None:
    model = sequence_eca(3, seed)
    inputs = draw(batch, length, channels, seed=seed)
    gate = model(inputs) / inputs
    assert ((gate > 0) & (gate < 1)).all()
    order = torch.randperm(length, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(model(inputs[:, order]), model(inputs)[:, order])


@few
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_the_image_gate_ignores_where_things_are(height: int, width: int, seed: int) -> None:
    model = image_eca(8, 3, seed)
    x = draw(2, 8, height, width, seed=seed)
    order = torch.randperm(height * width, generator=torch.Generator().manual_seed(seed))
    shuffled = x.flatten(2)[:, :, order].view_as(x)
    wanted = model(x).flatten(2)[:, :, order].view_as(x)
    torch.testing.assert_close(model(shuffled), wanted)


@few
@given(st.integers(0, 99))
def test_padded_frames_do_not_reach_the_others(seed: int) -> None:
    model = sequence_eca(5, seed)
    inputs = draw(3, 6, 9, seed=seed)
    mask = torch.arange(6) < torch.tensor([[2], [6], [4]])
    other = torch.where(mask[:, :, None], inputs, inputs + 100.0)
    torch.testing.assert_close(model(inputs, mask)[mask], model(other, mask)[mask])
    assert not torch.allclose(model(inputs)[mask], model(other)[mask])


def test_a_mask_that_keeps_everything_changes_nothing() -> None:
    model = sequence_eca(5)
    inputs = draw(3, 6, 9)
    everything = torch.ones(3, 6, dtype=torch.bool)
    torch.testing.assert_close(model(inputs, everything), model(inputs))


def test_a_sequence_without_frames_is_nan_and_alone_with_it() -> None:
    model = sequence_eca(3)
    mask = torch.tensor([[False, False], [True, False]])
    out = model(draw(2, 2, 5), mask)
    assert out[0].isnan().all()
    assert out[1].isfinite().all()


# --- arguments and layout -----------------------------------------------------------------------


@together(
    ("channel", "k"),
    [(16, 3), (32, 3), (64, 3), (128, 5), (256, 5), (512, 5), (708, 5), (1024, 5), (2048, 7)],
)
def test_adaptive_kernel_sizes(channel: int, k: int) -> None:
    assert adaptive_kernel_size(channel) == k
    assert ECALayer(channel).conv.kernel_size == (k,)


@together("channel", range(1, 70))
def test_adaptive_kernel_sizes_are_odd(channel: int) -> None:
    assert adaptive_kernel_size(channel) % 2 == 1


@pytest.mark.parametrize("model", [ECA(5), ECALayer(64, 5)])
def test_the_kernel_is_all_there_is_to_load(model: torch.nn.Module) -> None:
    assert [(name, tuple(v.shape)) for name, v in model.state_dict().items()] == [
        ("conv.weight", (1, 1, 5))
    ]
    model.load_state_dict({"conv.weight": torch.arange(5.0).view(1, 1, 5)})


@pytest.mark.parametrize("k_size", [2, 4])
def test_an_even_kernel_does_not_suit_the_image_form(k_size: int) -> None:
    with pytest.raises(RuntimeError, match=r"expanded size of the tensor \(16\) must match"):
        ECALayer(16, k_size)(torch.randn(2, 16, 3, 3))


def test_bad_arguments_get_a_sentence() -> None:
    with pytest.raises(ValueError, match="kernel_size is 0: use 1 or more"):
        ECA(0)
    with pytest.raises(ValueError, match="k_size is -1: use 1 or more"):
        ECALayer(8, -1)
    with pytest.raises(ValueError, match="channel is 0: use 1 or more"):
        ECALayer(0)


# --- shapes -------------------------------------------------------------------------------------


def test_sequence_shapes_at_the_post_size() -> None:
    sequence = lesson("eca-sequence")
    trace = run(sequence, sequence.settings("Post's size"), values=False)
    wanted = {
        "inputs": (1024, 23, 708),
        "weight": (1024, 23, 1),
        "total": (1024, 708),
        "count": (1024, 1),
        "y": (1024, 708),
        "column": (1024, 708, 1),
        "line": (1024, 1, 708),
        "padded": (1024, 1, 712),
        "mixed": (1024, 1, 708),
        "scores": (1024, 708, 1),
        "score": (1024, 708),
        "omega": (1024, 708),
        "gate": (1024, 1, 708),
    }
    assert {name: tensor(trace, name).shape for name in wanted} == wanted
    assert [note.shape for note in trace.outputs] == [(1024, 23, 708)]


def test_image_shapes() -> None:
    image = lesson("eca-image")
    trace = run(image, image.settings("Feature map"), values=False)
    assert [step.outputs[0].shape for step in trace.steps] == [
        (2, 64, 1, 1),
        (2, 64, 1),
        (2, 1, 64),
        (2, 1, 64),
        (2, 64, 1),
        (2, 64, 1, 1),
        (2, 64, 1, 1),
        (2, 64, 14, 14),
        (2, 64, 14, 14),
    ]
