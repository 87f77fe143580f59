"""Tensors from files that somebody gives: a picture or an array as an input, a state dict as
weights.  What is damaged, too large or would run code when it is read is refused in one sentence.

To be called where reading a hostile file does no harm (`tracer.worker`).
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tracer import inputs
from tracer.endings import ARRAYS, PICTURES, STATES, is_picture, is_state
from tracer.sentences import Count, Filling, Said, ToldError, said

MOST_PIXELS = 50_000_000
"""Of a picture, before it is decoded."""

_NAMED = 4
"""Names of weights that a sentence tells."""

_WRAPPED = ("state_dict", "model_state_dict", "model", "module")
"""Under which of its entries a checkpoint has the weights."""


class GivenError(ToldError):
    """The file cannot be used; the message is one sentence for the user."""


def _damaged(name: str) -> GivenError:
    return GivenError(
        said(
            "{name} cannot be read: it is damaged, or no {kind} file.", name=name, kind=_kind(name)
        )
    )


def _kind(name: str) -> str:
    return Path(name).suffix.removeprefix(".").upper().replace("JPEG", "JPG") or "?"


# --- inputs -------------------------------------------------------------------------------------


class Files:
    """The files of a folder that a run was given; `notes` tells what was done to those that were
    used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: list[Said] = []

    def path(self, name: str) -> Path:
        """Raises:
        GivenError: there is no such file.
        """
        path = self.folder / Path(name).name
        if not path.is_file():
            raise GivenError(said("{name} is not here: open the file again.", name=name))
        return path

    def tensor(self, name: str, shape: Sequence[int] | None) -> Tensor:
        """What is given of the file in the place of a tensor of this shape; of its own where there
        is none.

        Raises:
            GivenError: the file cannot be used, or has another shape.
        """
        path = self.path(name)
        if is_picture(name):
            found, told = picture(path, PICTURE if shape is None else shape)
            self.notes.append(told)
            return found
        found = array(path)
        if shape is not None and found.shape != tuple(shape):
            raise GivenError(
                said(
                    "{name} has the shape {shape}, not {wanted}.",
                    name=name,
                    shape=str(tuple(found.shape)),
                    wanted=str(tuple(shape)),
                )
            )
        return found

    def apart(
        self, texts: Sequence[str], parameters: Sequence[str]
    ) -> tuple[tuple[str, ...], dict[str, str]]:
        """The texts of inputs (`tracer.inputs.make`) without their files, and the files by the
        parameters that take them.  What has no sizes has those of its array; a picture, which is
        made to fit, leaves its input to be found.  `parameters` are what the forward takes."""
        if not any("@" in text for text in texts):
            return tuple(texts), {}
        kept, files = [], {}
        names = iter(parameters)
        for text in texts:
            if inputs.is_holding(text):
                name = "" if inputs.named(text) else next(names, "")
                kept.append(f"{name}={text}" if name else text)
                continue
            head, _, file = text.partition("@")
            name, equals, sizes = head.rpartition("=")
            name = name.rstrip(": ") if equals else ""
            name = name or next(names, "")
            if file and name:
                files[name] = file
                sizes = sizes.strip() or (
                    "" if is_picture(file) else _sizes(self.tensor(file, None))
                )
                kept += [f"{name}={sizes}"] if sizes else []
            elif ":=" in text:
                kept.append(f"{name}:={text.partition(':=')[2]}" if name else text)
            else:
                kept.append(f"{name}={sizes}@{file}".rstrip("@") if name else text)
        return tuple(kept), files


PICTURE = (1, 3, 224, 224)
"""The shape of a picture where nothing says another."""


def joined(texts: Sequence[str], files: Mapping[str, str]) -> tuple[str, ...]:
    """The texts of inputs with the files that `Files.apart` took from them."""
    found = []
    left = dict(files)
    for text in texts:
        file = left.pop(text.partition("=")[0].rstrip(": "), None)
        found.append(text if file is None else inputs.with_file(text, file))
    usual = ",".join(map(str, PICTURE))
    return (*found, *(f"{name}={usual}@{file}" for name, file in left.items()))


def _sizes(found: Tensor) -> str:
    text = ",".join(map(str, found.shape))
    if found.dtype.is_floating_point or found.dtype == torch.bool:
        return text if found.dtype != torch.bool else f"{text}:bool"
    dtype = str(found.dtype).removeprefix("torch.")
    most = int(found.max()) if found.numel() and not found.dtype.is_complex else 1
    return f"{text}:{dtype}" + ("" if found.dtype.is_complex else f"<{max(2, most + 1)}")


def array(path: Path) -> Tensor:
    """The one tensor of a file of type npy, npz, pt or pth.

    Raises:
        GivenError: there is none, or several, or the file is damaged or hostile.
    """
    name, ending = path.name, path.suffix.casefold()
    if ending not in (*ARRAYS, *STATES):
        kinds = ", ".join((*PICTURES, *ARRAYS, *STATES))
        raise GivenError(
            said("{name} is of no kind that is read here: {kinds}.", name=name, kinds=kinds)
        )
    if ending not in ARRAYS:
        return _single(name, _loaded(path))
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return _from_numpy(name, found)
        with found:
            return _single(name, {key: _from_numpy(name, found[key]) for key in found.files})
    except GivenError:
        raise
    except (MemoryError, OverflowError) as error:
        raise GivenError(
            said("{name} is larger than the memory that a run may take.", name=name)
        ) from error
    except ValueError as error:
        if "pickle" in str(error) or "Object arrays" in str(error):
            raise _objects(name) from error
        raise _damaged(name) from error
    except (OSError, EOFError, KeyError, SyntaxError, zipfile.BadZipFile) as error:
        raise _damaged(name) from error


def _objects(name: str) -> GivenError:
    return GivenError(
        said(
            "{name} holds Python objects, which are not read since reading them runs code: save "
            "plain tensors.",
            name=name,
        )
    )


def _from_numpy(name: str, found: Any) -> Tensor:
    try:
        return torch.from_numpy(np.ascontiguousarray(found.astype(found.dtype.newbyteorder("="))))
    except TypeError as error:
        raise GivenError(
            said(
                "{name} holds values of type {dtype}, of which there are no tensors.",
                name=name,
                dtype=str(found.dtype),
            )
        ) from error


def _single(name: str, found: Any) -> Tensor:
    """The tensor, or the only one among named ones."""
    if isinstance(found, Tensor):
        return found.detach()
    tensors = (
        {key: each for key, each in found.items() if isinstance(each, Tensor)}
        if isinstance(found, Mapping)
        else {}
    )
    if len(tensors) == 1:
        return next(iter(tensors.values())).detach()
    if not tensors:
        raise GivenError(said("{name} has no tensor.", name=name))
    raise GivenError(
        said(
            "{name} has {tensors} ({names}): an input is one, so save it alone.",
            name=name,
            tensors=Count(len(tensors), "tensor"),
            names=_some(list(tensors)),
        )
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(str, names[:_NAMED])) + (", …" if len(names) > _NAMED else "")


def picture(path: Path, shape: Sequence[int]) -> tuple[Tensor, Said]:
    """A picture as numbers from 0 to 1 in the shape `(..., C, H, W)` or `(H, W)`: resized, its
    channels averaged into one or repeated to more, the same for every sample; and what was done.

    Raises:
        GivenError: the file is damaged or too large, or the shape is none of a picture.
    """
    if not 2 <= len(shape) <= 4 or 0 in shape:
        raise GivenError(
            said(
                "{name} is a picture, and the input has the shape {shape}, not (B, C, H, W): give "
                "sizes such as 1,3,224,224@{name}.",
                name=path.name,
                shape=str(tuple(shape)),
            )
        )
    return lifted(path.name, *pixels(path, shape[-2], shape[-1]), shape)


def pixels(path: Path, height: int, width: int) -> tuple[Tensor, tuple[int, int]]:
    """A picture resized to `(height, width, 3)`, whole numbers of 8 bits, and the width and height
    that it had.

    Raises:
        GivenError: the file is damaged or too large.
    """
    from PIL import Image, ImageOps

    name = path.name
    Image.MAX_IMAGE_PIXELS = None  # the limit is ours
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as opened:
            was = opened.size
            if was[0] * was[1] > MOST_PIXELS:
                raise _too_many_pixels(name, was)
            opened.draft("RGB", (width, height))  # of a JPEG no more is decoded than is needed
            turned = ImageOps.exif_transpose(opened).convert("RGB")
    except GivenError:
        raise
    except MemoryError as error:
        raise GivenError(
            said("{name} is larger than the memory that a run may take.", name=name)
        ) from error
    except (
        OSError,
        ValueError,
        SyntaxError,
        TypeError,
        EOFError,
        IndexError,
        OverflowError,
    ) as error:
        raise _damaged(name) from error
    resized = turned.resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(resized).copy()), was


def lifted(
    name: str, found: Tensor, was: tuple[int, int], shape: Sequence[int]
) -> tuple[Tensor, Said]:
    """Pixels of the height and width that the shape has, in that shape, as `picture` says."""
    values = found.permute(2, 0, 1).to(torch.float32) / 255
    channels = shape[-3] if len(shape) > 2 else 1
    repeated = values[torch.arange(channels) % 3]
    values = values.mean(0, keepdim=True) if channels == 1 else repeated
    values = values if len(shape) > 2 else values[0]
    batch = shape[0] if len(shape) == 4 else 1
    told = _told(name, was, (shape[-1], shape[-2]), channels, batch)
    return values.expand(tuple(shape)).contiguous(), told


def _too_many_pixels(name: str, size: tuple[int, int]) -> GivenError:
    return GivenError(
        said(
            "{name} has {width}×{height} pixels, more than the {most} million that are read: make "
            "it smaller first.",
            name=name,
            width=size[0],
            height=size[1],
            most=f"{MOST_PIXELS / 1e6:.0f}",
        )
    )


def _told(name: str, was: tuple[int, int], now: tuple[int, int], channels: int, batch: int) -> Said:
    lifted: Filling = ""
    if channels == 1:
        lifted = said(", its colours averaged into one channel")
    elif channels > 3:
        lifted = said(", its 3 channels repeated to {channels}", channels=channels)
    elif channels == 2:
        lifted = said(", its first 2 channels taken")
    return said(
        "{name} ({was}) is given as numbers from 0 to 1{resized}{channels}{batch}.",
        name=name,
        was=f"{was[0]}×{was[1]}",
        resized=said(", resized to {now}", now=f"{now[0]}×{now[1]}") if was != now else "",
        channels=lifted,
        batch=said(", the same for each of {batch} samples", batch=batch) if batch > 1 else "",
    )


# --- weights ------------------------------------------------------------------------------------


def _loaded(path: Path) -> Any:
    """What a file of tensors holds."""
    name = path.name
    try:
        if path.suffix.casefold() == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError as error:
        raise GivenError(
            said("{name} is larger than the memory that a run may take.", name=name)
        ) from error
    except pickle.UnpicklingError as error:
        if re.search(r"(?i)unsupported (global|class)|allowed global", str(error)):
            raise _objects(name) from error
        raise _damaged(name) from error
    except Exception as error:  # each reader has errors of its own for damage
        raise _damaged(name) from error


def load_weights(model: nn.Module, path: Path) -> Said:
    """Put the tensors of a file's state dict into the module, as `put` does.

    Raises:
        GivenError: none fits, or the file is damaged or hostile.
    """
    return put(model, path.name, state(path))


def put(model: nn.Module, name: str, state: dict[str, Tensor]) -> Said:
    """Put the tensors of a state dict, which is called `name`, into the module, as far as their
    names and shapes are its own; what fitted and what did not.

    Raises:
        GivenError: none fits.
    """
    own = {key: value for key, value in model.state_dict().items() if isinstance(value, Tensor)}
    if state.keys().isdisjoint(own):
        shorter = {key.removeprefix("module."): value for key, value in state.items()}
        state = state if shorter.keys().isdisjoint(own) else shorter
    fitting = {
        key: state[key] for key in own if key in state and state[key].shape == own[key].shape
    }
    others = [key for key in own if key in state and key not in fitting]
    if not fitting:
        raise GivenError(_nothing_fits(name, state, own, others))
    model.load_state_dict(fitting, strict=False)
    missing = [key for key in own if key not in state]
    unused = [key for key in state if key not in own]
    return said(
        "{name} gives {count} of the module's {all}{others}{missing}{unused}.",
        name=name,
        count=len(fitting),
        all=Count(len(own), "tensor"),
        others=said("; of another shape: {names}", names=_shapes(others, state, own))
        if others
        else "",
        missing=said("; not in the file: {names}", names=_some(missing)) if missing else "",
        unused=said("; not in the module: {names}", names=_some(unused)) if unused else "",
    )


def state(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict, which may stand in a checkpoint.

    Raises:
        GivenError: there is none, or the file is damaged or hostile.
    """
    name = path.name
    if not is_state(name):
        raise GivenError(
            said(
                "{name} is no state dict: weights are read from {kinds}.",
                name=name,
                kinds=", ".join(STATES),
            )
        )
    found = _loaded(path)
    for key in _WRAPPED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping):
        raise GivenError(said("{name} has a single value and no state dict.", name=name))
    tensors = {str(key): each for key, each in found.items() if isinstance(each, Tensor)}
    if not tensors:
        raise GivenError(said("{name} has no tensor.", name=name))
    return tensors


def _shapes(names: list[str], state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    told = [f"{key} {tuple(state[key].shape)} ≠ {tuple(own[key].shape)}" for key in names]
    return _some(told)


def _nothing_fits(
    name: str, state: Mapping[str, Tensor], own: Mapping[str, Tensor], others: list[str]
) -> Said:
    if others:
        return said(
            "Nothing of {name} fits the module: the shapes differ, {names}.",
            name=name,
            names=_shapes(others, state, own),
        )
    if not own:
        return said("The module has no weights, so {name} has nothing to give.", name=name)
    return said(
        "Nothing of {name} fits the module: it has {theirs}, and the module {own}.",
        name=name,
        theirs=_some(list(state)),
        own=_some(list(own)),
    )
