"""Pictures, arrays and weights that somebody gives: what they become, and what is said of bad
ones."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from tracer import inputs
from tracer.given import Files, GivenError, joined, load_weights, picture


def png(size: tuple[int, int], colour: tuple[int, int, int] = (255, 51, 0)) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, colour).save(written, "PNG")
    return written.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(
        ">I", zlib.crc32(kind + content)
    )  # fmt: skip


def huge_png() -> bytes:
    """A picture of 200 megapixels in a few hundred bytes, as its head says."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


def saved(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("shape", "channels", "words"),
    [
        ((1, 3, 8, 6), (1, 0.2, 0), "(40×20) is given as numbers from 0 to 1, resized to 6×8."),
        ((3, 20, 40), (1, 0.2, 0), "cat.png (40×20) is given as numbers from 0 to 1."),
        ((2, 1, 8, 8), (0.4,), "averaged into one channel, the same for each of 2 samples."),
        ((1, 5, 8, 8), (1, 0.2, 0, 1, 0.2), "its 3 channels repeated to 5."),
        ((8, 8), (0.4,), "averaged into one channel."),
    ],
)  # fmt: skip
def test_a_picture_takes_the_shape_that_is_asked_for(
    tmp_path: Path, shape: tuple[int, ...], channels: tuple[float, ...], words: str
) -> None:
    found, told = picture(saved(tmp_path, "cat.png", png((40, 20))), shape)
    assert found.shape == shape
    planes = found.reshape(-1, len(channels), *shape[-2:])
    expected = torch.tensor(channels).reshape(1, -1, 1, 1).expand(planes.shape)
    torch.testing.assert_close(planes, expected, atol=0.003, rtol=0)
    assert str(told).endswith(words)


def test_a_jpeg_lies_as_its_camera_was_held(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20))
    image.paste((255, 255, 255), (0, 0, 20, 20))  # the left half
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right: what was left is above
    image.save(tmp_path / "cat.jpg", exif=exif, quality=95)
    found, _ = picture(tmp_path / "cat.jpg", (40, 20))
    assert found[:15].min() > 0.9
    assert found[25:].max() < 0.1


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "x.png",
            huge_png(),
            "x.png has 20000×10000 pixels, more than the 50 million",
        ),
        ("x.png", png((40, 20))[:-40], "x.png cannot be read: it is damaged, or no PNG file."),
        ("x.jpg", b"GIF89a", "x.jpg cannot be read: it is damaged, or no JPG file."),
        ("x.png", b"", "x.png cannot be read"),
    ],
)
def test_a_bad_picture_is_one_sentence(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    with pytest.raises(GivenError) as raised:
        picture(saved(tmp_path, name, content), (3, 8, 8))
    assert str(raised.value).startswith(words)


def test_a_picture_is_no_row_of_tokens(tmp_path: Path) -> None:
    with pytest.raises(GivenError, match=r"has the shape \(4,\), not \(B, C, H, W\)"):
        picture(saved(tmp_path, "x.png", png((4, 4))), (4,))


# --- arrays -------------------------------------------------------------------------------------


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("it ran",)


def npy(found: object) -> bytes:
    written = io.BytesIO()
    np.save(written, np.asarray(found), allow_pickle=True)
    return written.getvalue()


def npz(**found: object) -> bytes:
    written = io.BytesIO()
    np.savez(written, **{key: np.asarray(each) for key, each in found.items()})
    return written.getvalue()


def pt(found: object) -> bytes:
    written = io.BytesIO()
    torch.save(found, written)
    return written.getvalue()


def promising(count: int) -> bytes:
    """An array whose head tells of more values than it has."""
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({count},), }}"
    padded = head.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode() + b"\0" * 64


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.npy", npy(np.arange(6.0).reshape(2, 3))),
        ("x.npy", npy(np.arange(6.0).reshape(2, 3).astype(">f8"))),
        ("x.npz", npz(x=np.arange(6.0, dtype="f4").reshape(2, 3))),
        ("x.pt", pt(torch.arange(6.0).reshape(2, 3))),
        ("x.pt", pt({"x": torch.arange(6.0).reshape(2, 3).half()})),
    ],
)
def test_an_array_is_an_input_as_it_is(tmp_path: Path, name: str, content: bytes) -> None:
    saved(tmp_path, name, content)
    files = Files(tmp_path)
    (found,), _ = inputs.make((f"@{name}",), opened=files.tensor)
    torch.testing.assert_close(found, torch.arange(6.0).reshape(2, 3))
    (sized,), _ = inputs.make((f"B,3:float64@{name}",), {"B": 2}, opened=files.tensor)
    assert sized.dtype == torch.float64
    with pytest.raises(GivenError, match=rf"{name} has the shape \(2, 3\), not \(2, 4\)"):
        inputs.make((f"2,4@{name}",), opened=files.tensor)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.npy", npy([Hostile()]), "x.npy holds Python objects, which are not read since"),
        ("x.npz", npz(a=[Hostile()]), "x.npz holds Python objects"),
        ("x.pt", pt(Hostile()), "x.pt holds Python objects"),
        ("x.pt", pickle.dumps(Hostile()), "x.pt"),
        ("x.npy", npy(["a"]), "x.npy holds values of type <U1, of which there are no tensors."),
        ("x.npy", promising(10**15), "x.npy"),
        ("x.npy", promising(100), "x.npy cannot be read: it is damaged, or no NPY file."),
        ("x.npy", b"\x93NUMPY", "x.npy cannot be read"),
        ("x.npz", npz(a=1.0)[:-30], "x.npz cannot be read"),
        ("x.npz", npz(a=1.0, b=2.0), "x.npz has 2 tensors (a, b): an input is one, so"),
        ("x.pt", pt({"a": 1}), "x.pt has no tensor."),
        ("x.pt", pt(torch.ones(9))[:-90], "x.pt cannot be read"),
        ("x.safetensors", struct.pack("<Q", 10**12), "x.safetensors cannot be read"),
        ("x.bin", b"", "x.bin is of no kind that is read here: .png"),
    ],
)  # fmt: skip
def test_a_bad_array_is_one_sentence_and_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, words: str
) -> None:
    saved(tmp_path, name, content)
    with pytest.raises(GivenError) as raised:
        Files(tmp_path).tensor(name, None)
    assert str(raised.value).startswith(words)
    assert "it ran" not in capsys.readouterr().out


def test_texts_part_with_their_files_and_get_them_back(tmp_path: Path) -> None:
    saved(tmp_path, "ids.npy", npy(np.array([[1, 7]])))
    files = Files(tmp_path)
    plain, taken = files.apart(("@cat.png", "B,4", "@ids.npy", "k:=3"), ("x", "y", "ids"))
    assert plain == ("y=B,4", "ids=1,2:int64<8", "k:=3")
    assert taken == {"x": "cat.png", "ids": "ids.npy"}
    assert joined((*plain, "x=B,C,H,W"), taken) == (
        "y=B,4",
        "ids=1,2:int64<8@ids.npy",
        "k:=3",
        "x=B,C,H,W@cat.png",
    )
    held = "x={words=B,N:int64<9; front=B,C,H,W}"
    assert joined((held,), {"x": "cat.png"}) == (held.replace("W}", "W@cat.png}"),)
    mine = "{front=@cat.png; words=2,3:int64}"
    assert files.apart((mine, "B,4"), ("x", "y")) == ((f"x={mine}", "y=B,4"), {})
    assert joined(("y=B,4",), {"x": "cat.png"}) == ("y=B,4", "x=1,3,224,224@cat.png")
    with pytest.raises(GivenError, match=r"cat.png is not here: open the file again"):
        files.tensor("cat.png", None)


# --- weights ------------------------------------------------------------------------------------


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"epoch": 3, "state_dict": s}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_are_taken_from_a_checkpoint(tmp_path: Path, wrap: object, prefix: str) -> None:
    assert callable(wrap)
    state = {prefix + key: each + 1 for key, each in net().state_dict().items()}
    model = net()
    told = load_weights(model, saved(tmp_path, "w.pt", pt(wrap(state))))
    assert str(told) == "w.pt gives 7 of the module's 7 tensors."
    for key, each in model.state_dict().items():
        assert torch.equal(each, state[prefix + key])


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    state = {"0.weight": torch.ones(3, 4), "0.bias": torch.ones(5), "head.bias": torch.ones(2)}
    save_file(state, tmp_path / "w.safetensors")
    model = net()
    told = str(load_weights(model, tmp_path / "w.safetensors"))
    assert told == (
        "w.safetensors gives 1 of the module's 7 tensors; of another shape: 0.bias (5,) ≠ (3,); "
        "not in the file: 1.weight, 1.bias, 1.running_mean, 1.running_var, …; not in the module: "
        "head.bias."
    )
    assert bool((model.state_dict()["0.weight"] == 1).all())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pt({"a": torch.ones(1)}), "Nothing of w.pt fits the module: it has a, and the module 0.w"),
        (pt({"0.bias": torch.ones(1)}), "Nothing of w.pt fits the module: the shapes differ, 0.b"),
        (pt(torch.ones(1)), "w.pt has a single value and no state dict."),
        (pt({"model": {"a": 1}}), "w.pt has no tensor."),
        (pt({"a": Hostile()}), "w.pt holds Python objects, which are not read since reading them"),
        (b"PK", "w.pt cannot be read"),
    ],
)
def test_weights_that_cannot_be_used_are_one_sentence(
    tmp_path: Path, content: bytes, words: str
) -> None:
    with pytest.raises(GivenError) as raised:
        load_weights(net(), saved(tmp_path, "w.pt", content))
    assert str(raised.value).startswith(words)


def test_a_zip_bomb_of_an_array_is_refused_by_its_size(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", promising(10**15))
    with pytest.raises(GivenError, match=r"x\.npz"):
        Files(tmp_path).tensor("x.npz", None)
