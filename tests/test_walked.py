"""Modules of torch.nn, timm and transformers, found and walked as a reader does it; those of
packages that are not installed here are left out."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.effort import TIMES
from tracer import Trace, worker
from tracer.document import Step
from tracer.sentences import render
from tracer.views import changes, words
from tracer.worker import Job

pytestmark = pytest.mark.waits

MODULES = {
    "torch": (
        "torch.nn.Linear",
        "torch.nn.Conv2d",
        "torch.nn.ConvTranspose1d",
        "torch.nn.GroupNorm",
        "torch.nn.EmbeddingBag",
        "torch.nn.LSTM",
        "torch.nn.GRUCell",
        "torch.nn.MultiheadAttention",
        "torch.nn.TransformerEncoderLayer",
        "torch.nn.TransformerDecoderLayer",
    ),
    "timm": (
        "timm.layers.cbam.CbamModule",
        "timm.layers.EcaModule",
        "timm.models.resnet.Bottleneck",
        "timm.models.convnext.ConvNeXtBlock",
        "timm.models.swin_transformer.SwinTransformerBlock",
    ),
    "transformers": (
        "transformers.models.bert.modeling_bert.BertLayer",
        "transformers.models.bert.modeling_bert.BertModel",
        "transformers.models.llama.modeling_llama.LlamaDecoderLayer",
        "transformers.models.vit.modeling_vit.ViTEmbeddings",
        "transformers.models.whisper.modeling_whisper.WhisperEncoder",
    ),
}

COMPARED = 0.05
"""The share of the steps of which no more may be said than their shapes."""


def leaves(
    steps: tuple[Step, ...], said: tuple[changes.Explanation, ...]
) -> Iterator[tuple[Step, str]]:
    """The operations that a reader comes to, each with its sentence."""
    for step, told in zip(steps, said, strict=True):
        yield step, told.summary
        yield from leaves(step.children, told.children)


def compared(trace: Trace) -> list[str]:
    """The operations of which nothing but the shapes before and after is said."""
    return [
        step.op
        for step, told in leaves(trace.steps, changes.explain(trace))
        if told == render(words._compared(step), str)
    ]


@pytest.fixture(scope="module", autouse=True)
def _worker() -> Iterator[None]:
    yield
    worker.stop()


@pytest.mark.parametrize("package", MODULES)
def test_modules_are_walked_and_their_steps_are_told(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip("its package is not installed here")
    count, silent = 0, Counter[str]()
    # Each is a process that loads its package.
    for name in MODULES[package][:: 1 if TIMES > 1 else 2]:
        answer = worker.run(Job("", name))
        assert answer.problem is None, name
        trace = answer.trace
        assert trace is not None
        assert trace.failure is None, name
        steps = sum(1 for _ in trace.walk())
        assert steps > 0, name
        count += steps
        silent.update(compared(trace))
    print(package, count, dict(silent))
    assert sum(silent.values()) <= COMPARED * count, silent
