"""Inputs from a line of text."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.together import together
from tracer.inputs import InputError, dims, dtype_of, letters, make


def kinds(value: Any) -> Any:
    if isinstance(value, Tensor):
        return tuple(value.shape), str(value.dtype).removeprefix("torch.")
    if isinstance(value, list | tuple):
        return type(value)(kinds(item) for item in value)
    return {key: kinds(item) for key, item in value.items()} if isinstance(value, dict) else value


@together(
    ("text", "found"),
    [
        ("2,3,4", ((2, 3, 4), "float32")),
        (" 2, 3 ", ((2, 3), "float32")),
        ("7", ((7,), "float32")),
        ("", ((), "float32")),
        ("0,3", ((0, 3), "float32")),
        ("2,3:float64", ((2, 3), "float64")),
        ("2,3:torch.int64", ((2, 3), "int64")),
        ("2,3 : bool", ((2, 3), "bool")),
        ("2:complex64", ((2,), "complex64")),
        ("B,C,H,W", ((2, 3, 8, 6), "float32")),
        ("B,H*W,C:float16", ((2, 48, 3), "float16")),
        ("B, H//2, W-1, C+1", ((2, 4, 5, 4), "float32")),
        ("[1,2; B,C:int64]", [((1, 2), "float32"), ((2, 3), "int64")]),
        ("(1,2; 3)", (((1, 2), "float32"), ((3,), "float32"))),
        ("[]", []),
        ("２，Ｃ：int64", ((2, 3), "int64")),
        ("{x＝2、3；y：＝3}", {"x": ((2, 3), "float32"), "y": 3}),
        (":='，'", "，"),
        (":=3", 3),
        (":=(7, 'a')", (7, "a")),
        (":=None", None),
    ],
)
def test_what_a_text_stands_for(text: str, found: Any) -> None:
    args, kwargs = make([text], {"B": 2, "C": 3, "H": 8, "W": 6})
    assert (kinds(args), kwargs) == ((found,), {})


def test_names() -> None:
    args, kwargs = make(["2,3", "mask=2,10:bool", "size:=7", "lengths = 2:int64"])
    assert kinds(args) == (((2, 3), "float32"),)
    assert {key: kinds(value) for key, value in kwargs.items()} == {
        "mask": ((2, 10), "bool"),
        "size": 7,
        "lengths": ((2,), "int64"),
    }


def test_whole_numbers_are_legal_indices() -> None:
    (few, many, none), _ = make(["1000:int64", "1000:int64<50", "5:int64<0"])
    assert set(few.tolist()) == {0, 1}
    assert set(many.tolist()) == set(range(50))
    assert set(none.tolist()) == {0}


def test_the_seed_makes_the_values() -> None:
    def values(seed: int) -> list[float]:
        return make(["5", "5"], seed=seed)[0][1].tolist()

    assert values(1) == values(1) != values(2)
    assert make(["5"], dtype=torch.float64)[0][0].dtype == torch.float64


def test_letters_that_need_a_size() -> None:
    texts = ["B,C,H*W", "mask=B,T:bool", "k:=value", "[B,N; 3,M]", "2,3:float32"]
    assert letters(texts) == ("B", "C", "H", "W", "T", "N", "M")


@together(
    ("text", "words"),
    [
        ("2,-1", "'2,-1' should be sizes such as 2,3,224,224"),
        ("2,,x.y", "should be sizes"),
        ("2,3.5", "should be sizes"),
        ("2,?", "should be sizes"),
        ("=2,3", "should be sizes"),
        ("1a=2,3", "should be sizes"),
        ("2,__import__('os')", "should be sizes"),
        ("2**9", "should be sizes"),
        ("9" * 5000, "should be sizes"),
        ("2,1//0", "should be sizes"),
        ("B,3", "B has no size: say what it is, such as B=2."),
        ("2:flot32", "'flot32' is no dtype of torch"),
        ("2:Tensor", "is no dtype"),
        ("99999999999,99999999999", "cannot be made"),
        (":=open('x')", "no Python value"),
        (":=", "no Python value"),
    ],
)
def test_wrong_texts_get_one_sentence(text: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        make([text])
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_name_given_twice() -> None:
    with pytest.raises(InputError, match="x is given twice"):
        make(["x=1", "x=2"])


def test_dtypes_by_name() -> None:
    assert dtype_of("torch.bfloat16") == dtype_of(" bfloat16") == torch.bfloat16


@together(
    ("texts", "found"),
    [
        (["B,C,H,W"], {"x": "B C H W"}),
        (["B,3,H*2,W:float16"], {"x": "B _ _ W"}),
        (["2,3", "mask=B,N:bool"], {"mask": "B N"}),
        (["B,N", "B,M"], {"x": "B N", "y": "B M"}),
        # Nothing but numbers: the usual names for the first.
        (["2,3,8,8", "2,8"], {"x": "B C H W"}),
        ([":=3", "2,5,4"], {"y": "B N C"}),
        (["[2,3; 2,4]"], {}),
        (["2,2,2,2,2,2"], {}),
    ],
)
def test_names_of_dimensions(texts: list[str], found: dict[str, str]) -> None:
    assert dims(texts, ["x", "y"]) == found
