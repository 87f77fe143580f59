"""Fourier transforms against torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.together import together
from tests.tracer.ops.against_torch import check, check_permuted, check_resized
from tests.tracer.ops.samples import Draw, Sample, calls, entries, refusals
from tracer.ops.call import At

ONE = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
SEVERAL = tuple(f"{name}{dims}" for name in ONE for dims in ("2", "n"))


def one(name: str) -> Sample:
    def sample(draw: Draw) -> tuple[Any, ...]:
        shape = draw.sizes(0 if draw.maybe(0.1) else 1, 3)
        settings: dict[str, Any] = {}
        if draw.maybe():
            settings["dim"] = draw.randint(-len(shape) - draw.maybe(0.1), max(len(shape) - 1, 0))
        if draw.maybe():
            settings["n"] = draw.randint(0 if draw.maybe(0.2) else 1, 6)
        return getattr(torch.fft, name), signal(draw, name, shape), settings

    return sample


def signal(draw: Draw, name: str, shape: list[int]) -> torch.Tensor:
    """Real ones, and complex ones, of which some transforms are none."""
    chance = {"r": 0.05, "i": 0.05}.get(name[0], 0.4) if "rfft" in name or "ih" in name else 0.4
    x = draw.tensor(*shape)
    return x.to(torch.complex128) if draw.maybe(chance) else x


def several(name: str) -> Sample:
    def sample(draw: Draw) -> tuple[Any, ...]:
        shape = draw.sizes(2 if name[-1] == "2" and draw.maybe(0.9) else 0, 4)
        settings: dict[str, Any] = {}
        dims = draw.sample(range(len(shape)), min(len(shape), draw.randint(1, 3)))
        if dims and draw.maybe(0.5 if name[-1] == "n" else 0.15):
            settings["dim"] = [d - len(shape) if draw.maybe() else d for d in dims]
        if draw.maybe(0.4):
            count = len(settings["dim"]) if "dim" in settings else 2 if name[-1] == "2" else 1
            count += draw.maybe(0.1)
            settings["s"] = [draw.choice([-1, 1, 2, 3, 5]) for _ in range(count)]
        return getattr(torch.fft, name), signal(draw, name, shape), settings

    return sample


def shift(name: str) -> Sample:
    def sample(draw: Draw) -> tuple[Any, ...]:
        shape = draw.sizes(1, 3)
        dim = {"dim": draw.randint(-len(shape), len(shape) - draw.maybe(0.8))}
        return getattr(torch.fft, name), draw.tensor(*shape), dim if draw.maybe() else {}

    return sample


def stft(draw: Draw) -> tuple[Any, ...]:
    n = draw.randint(1, 8)
    shape = [draw.randint(1, 3)] * draw.maybe() + [draw.randint(4, 20)]
    settings: dict[str, Any] = {"return_complex": draw.maybe(0.8), "center": draw.maybe()}
    x = draw.tensor(*shape)
    if draw.maybe(0.2):
        x = x.to(torch.complex128)
    elif draw.maybe(0.3):
        settings["onesided"] = draw.maybe()
    if draw.maybe():
        settings["hop_length"] = draw.randint(0 if draw.maybe(0.1) else 1, 4)
    elif n < 4:
        settings["hop_length"] = 1
    if draw.maybe(0.4):
        settings["win_length"] = draw.randint(1, n)
    if draw.maybe(0.4):
        settings["window"] = draw.tensor(settings.get("win_length", n))
    return torch.stft, x, n, settings


def istft(draw: Draw) -> tuple[Any, ...]:
    n = draw.randint(4, 8)
    hop = draw.randint(1, n // 4)
    front = [draw.randint(1, 3)] * draw.maybe()
    settings: dict[str, Any] = {"center": draw.maybe(0.8), "hop_length": hop}
    if draw.maybe(0.3):
        settings["onesided"] = draw.maybe()
    heights = n if settings.get("onesided") is False else n // 2 + 1
    if draw.maybe(0.3):
        settings["length"] = draw.randint(1, 10)
    settings["window"] = torch.ones(n, dtype=torch.float64)
    x = draw.tensor(*front, heights, draw.randint(3, 6))
    return torch.istft, x if draw.maybe(0.05) else x.to(torch.complex128), n, settings


def frequencies(name: str) -> Sample:
    return lambda draw: (getattr(torch.fft, name), draw.randint(1, 9))


SAMPLES: dict[str, Sample] = {
    **{name: one(name) for name in ONE},
    **{name: several(name) for name in SEVERAL},
    **{name: shift(name) for name in ("fftshift", "ifftshift")},
    **{name: frequencies(name) for name in ("fftfreq", "rfftfreq")},
    "stft": stft,
    "istft": istft,
}


def test_every_entry_has_samples() -> None:
    assert set(entries("spectral")) == SAMPLES.keys()


@pytest.mark.filterwarnings("ignore")
@together("name", SAMPLES)
def test_as_torch(name: str) -> None:
    refused = refusals(name, SAMPLES[name], 60)
    assert refused or name.endswith("freq")


@together("center", [True, False])
@together("length", [None, 0, 3])
@together("windows", [1, 2])
def test_a_signal_has_values(center: bool, length: int | None, windows: int) -> None:
    x = torch.zeros(5, windows, dtype=torch.complex64)
    settings = {"center": center, "length": length, "window": torch.ones(8)}
    found = check(torch.istft, x, 8, on="cpu", **settings)
    assert (found.violation is None) == (length == 3 or (length is None and windows > center))


@together("onesided", [None, True, False])
@together("frequencies", [5, 6, 8])
def test_spectra_of_all_frequencies_are_whole(onesided: bool | None, frequencies: int) -> None:
    x = torch.ones(frequencies, 4, dtype=torch.complex64)
    settings = {"onesided": onesided, "window": torch.ones(8)}
    found = check(torch.istft, x, 8, on="cpu", **settings)
    taken = {None: (5, 8), True: (5,), False: (8,)}[onesided]
    assert (found.violation is None) == (frequencies in taken)


@pytest.mark.filterwarnings("ignore")
@together("name", sorted(SAMPLES.keys() - {"fftfreq", "rfftfreq"}))
def test_flows(name: str) -> None:
    permuted = resized = 0
    for function, args, kwargs in calls(SAMPLES[name], 25, wrong=0):
        ordered = [At(1, 0), *([At(0, args[0].dim() - 2)] if name == "istft" else [])]
        permuted += check_permuted(function, *args, ordered=ordered, **kwargs)
        resized += check_resized(function, *args, on="cpu", **kwargs)
    assert permuted >= 4
    assert resized >= 6
