"""Which note a tensor has, as it is now."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

import torch
from torch import Tensor, nn

from tracer import document
from tracer.record import picture
from tracer.record.bind import number
from tracer.record.drafts import Noted
from tracer.record.isolation import (
    storage,
    unobserved,
)
from tracer.record.tensors import paths_of
from tracer.sentences import Said, said
from tracer.source.sites import Site


class TensorNotes:
    """The notes of the tensors of one run.

    `owned` has the path and kind of the model's parameters and buffers, by the tensor's id, and
    `order` their order; `written` what was last written into a memory: the step, where, and when.
    """

    def __init__(self, model: nn.Module, values: bool, capture: int | None) -> None:
        self.values = values
        self.capture = capture
        self.captured: Tensor | None = None
        self.remarks: dict[Said, None] = {}
        self.notes: dict[int, Noted] = {}  # by the tensor's id
        self.next_note = 0
        self.written: dict[int, tuple[int | None, Site | None, int]] = {}
        self.writes = itertools.count(1)
        self.modules: dict[int, nn.Module] = {}
        self.paths: dict[int, list[str]] = {}
        self.owned: dict[int, tuple[str, str]] = {}
        self.own(model)

    def own(self, model: nn.Module, root: str = "") -> None:
        """Take the modules within one for known, with their parameters and buffers, under their
        paths behind `root`."""
        buffers: dict[int, tuple[str, str]] = {}
        for within, module in paths_of(model):
            path = f"{root}.{within}" if root and within else root or within
            self.modules[id(module)] = module
            self.paths.setdefault(id(module), []).append(path)
            prefix = f"{path}." if path else ""
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    self.owned.setdefault(id(parameter), (prefix + name, "parameter"))
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    buffers.setdefault(id(buffer), (prefix + name, "buffer"))
        for key, own in buffers.items():
            self.owned.setdefault(key, own)
        names = dict.fromkeys([path for path, _ in self.owned.values()])
        self.order = {path: place for place, path in enumerate(names)}

    def known(self, tensor: Tensor) -> Noted | None:
        """The note of this tensor object as it is now."""
        noted = self.notes.get(id(tensor))
        if (
            noted is not None
            and noted.of() is tensor
            and (noted.version is None or noted.version == tensor._version)
            and (not self.written or noted.moment == self._moment(tensor))
        ):
            return noted
        return None

    def _moment(self, tensor: Tensor) -> int:
        """When the tensor was last written to, as far as that was seen; with its version, this
        changes whenever it is.  The version alone does not tell: inference tensors have none, and
        some kernels write without raising it."""
        written = self.written.get(storage(tensor))
        return written[2] if written is not None else 0

    def note(self, tensor: Tensor, name: str = "", kind: str = "constant") -> Noted:
        return self.known(tensor) or self._anew(tensor, name, kind)

    def _anew(self, tensor: Tensor, name: str, kind: str) -> Noted:
        """The note of a tensor that has none as it is now."""
        was = self.notes.get(id(tensor))
        if was is not None and was.of() is tensor:
            born, site, _ = self.written.get(storage(tensor), (was.born, was.site, 0))
            kind = "made" if born is not None and was.kind == "constant" else was.kind
            noted = self.make(tensor, was.name, kind, born, site)
            noted.inner = was.inner
            return noted
        owned = self.owned.get(id(tensor))
        if owned is not None:
            return self.make(tensor, owned[0], owned[1], None, None)
        return self.make(tensor, name, kind, None, None)

    def make(
        self,
        tensor: Tensor,
        name: str,
        kind: str,
        born: int | None,
        site: Site | None,
        figures: document.Stats | None = None,
    ) -> Noted:
        if self.values or self.next_note == self.capture or torch._C._len_torch_dispatch_stack():
            with unobserved():
                noted = self._described(tensor, name, kind, born, site)
                self._look_at(tensor, noted, figures)
                return noted
        return self._described(tensor, name, kind, born, site)

    def _described(
        self, tensor: Tensor, name: str, kind: str, born: int | None, site: Site | None
    ) -> Noted:
        number = self.next_note
        self.next_note = number + 1
        dtype, device = tensor.dtype, tensor.device
        noted = self.notes[id(tensor)] = Noted(
            weakref.ref(tensor),
            None if tensor.is_inference() else tensor._version,
            self._moment(tensor) if self.written else 0,
            number,
            name,
            self.shape_of(tensor),
            _texts.get(dtype) or _text_of(dtype),
            _texts.get(device) or _text_of(device),
            kind,
            born,
            site,
        )
        return noted

    def _look_at(self, tensor: Tensor, noted: Noted, figures: document.Stats | None) -> None:
        number = noted.id
        if number == self.capture:
            self.captured = tensor.detach().clone()
        if self.values and picture.measurable(tensor):
            less = 1 if number < 400 else 2 if number < 1500 else 4
            try:
                noted.stats = figures if figures is not None else picture.stats(tensor)
                noted.heatmap = picture.heatmap(tensor, picture.SIDE // less)
                noted.corner = picture.corner(tensor, noted.heatmap, picture.CORNER // less**2)
            except (RuntimeError, NotImplementedError):
                # Tensors inside vmap and the like have shapes but no elements to look at.
                remark = said("Some tensors could not be measured: only shapes are shown.")
                self.remarks[remark] = None

    def number(self, value: Any) -> int | float:
        return number(value)

    def shape_of(self, tensor: Tensor) -> tuple[int, ...]:
        if tensor.is_nested:
            remark = said("A nested tensor has no one shape: its number of tensors is shown.")
            self.remarks[remark] = None
            return (tensor.size(0),)
        shape = tuple(tensor.shape)
        for size in shape:
            if type(size) is not int:  # while torch traces or compiles
                return tuple(map(int, shape))
        return shape

    def same_elements(self, view: Tensor, base: Tensor) -> document.Stats | None:
        """The figures of `base` if `view` shows exactly the same elements in another shape."""
        if (
            view.dtype != base.dtype
            or view.numel() != base.numel()
            or view.layout != torch.strided
            or base.layout != torch.strided
            or storage(view) != storage(base)
            or view.storage_offset() != base.storage_offset()
            or not (picture.dense(view) and picture.dense(base))
            or view.is_conj() != base.is_conj()
            or view.is_neg() != base.is_neg()
        ):
            return None
        known = self.known(base)
        return known.stats if known is not None else None


_texts: dict[torch.dtype | torch.device, str] = {}


def _text_of(value: torch.dtype | torch.device) -> str:
    text = _texts[value] = str(value).removeprefix("torch.")
    return text
