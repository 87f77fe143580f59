"""What a forward reads of an argument that holds tensors is found and given to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from tests.together import together
from tracer import fitting, holding, inputs


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(40, 6)

    def forward(self, sample: Any) -> Any:
        return self.proj(sample["audio"])


class Keyed(nn.Module):
    """Read here, by a method, and by a layer that it is handed to; of pictures and of words."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.stem, self.encoder = nn.Embedding(30, 6), nn.Conv2d(3, 6, 3), Encoder()

    def words(self, given: Any) -> Any:
        return self.table(given["input_ids"]).mean(1, keepdim=True)

    def forward(self, batch: dict[str, Tensor]) -> Any:
        picture = self.stem(batch["front"]).mean((2, 3))[:, None]
        weight = batch.get("weight")
        assert weight is None
        return picture + self.words(batch) + self.encoder(sample=batch)


class Graph(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 4)

    def forward(self, data) -> Any:  # type: ignore[no-untyped-def]
        x, adj = data.x, data.adj
        return adj @ self.first(x)


@dataclass
class Batch:
    tokens: Tensor
    mask: Tensor
    labels: Tensor | None = None

    @property
    def lengths(self) -> Tensor:
        return self.mask.sum(1)


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 8)

    def forward(self, batch: Batch) -> Any:
        words = self.table(batch.tokens) * batch.mask[..., None]
        return words.sum(1) / batch.lengths[:, None].clamp(min=1)


class Undeclared(Pooled):
    def forward(self, batch) -> Any:  # type: ignore[no-untyped-def]
        return super().forward(batch) * (batch.lengths + batch.mask.sum())[:, None]


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


class Twins(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(5, 3), nn.Linear(7, 3)

    def forward(self, pair: Pair) -> Any:
        return self.left(pair.left) + self.right(pair.right)


@dataclass
class Clicks:
    user_id: Tensor
    features: Tensor


class Tower(nn.Module):
    """One number for each sample, and what is known of it beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.body = nn.Embedding(30, 40), nn.Linear(40 + 11, 5)

    def forward(self, clicks: Clicks) -> Any:
        both = torch.cat([self.table(clicks.user_id), clicks.features], dim=-1)
        scores = self.body(both) @ self.body(both).T
        return nn.functional.cross_entropy(scores, torch.arange(len(scores)))


class Unpacked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(9, 4)

    def forward(self, batch) -> Any:  # type: ignore[no-untyped-def]
        x, labels = batch
        return nn.functional.cross_entropy(self.fc(x).mean(1), labels)


class Sized(nn.Module):
    """What is asked is what a tensor has as well."""

    def forward(self, x) -> Any:  # type: ignore[no-untyped-def]
        b, *_ = x.shape
        return x.flatten(1).view(b, -1).T


@together(
    ("made", "texts"),
    [
        (Keyed, ("batch={front=B,C,H,W; input_ids=B,N:int64<30; audio=B,N,D}",)),
        (Graph, ("data=SimpleNamespace(x=B,N,C; adj=B,N,N)",)),
        (Pooled, ("batch=Batch(tokens=B,N:int64<50; mask=B,N)",)),
        (Undeclared, ("batch=Batch(tokens=B,N:int64<50; mask=B,N)",)),
        (Twins, ("pair=Pair(left=B,N,C; right=B,N,D)",)),
        (Tower, ("clicks=Clicks(user_id=B:int64<30; features=B,C)",)),
        (Unpacked, ("batch=(B,N,C; B:int64<2)",)),
        (Sized, ("x=B,N,C",)),
    ],
)
def test_what_is_read_of_an_argument_is_given(
    made: type[nn.Module], texts: tuple[str, ...]
) -> None:
    model = made()
    found = fitting.fitted(model)
    assert found is not None
    assert found.runs, found
    assert found.texts == texts
    args, kwargs = inputs.make(found.texts, found.sizes, kinds=holding.names_of(model))
    model(*args, **kwargs)


def test_texts_of_what_holds_tensors() -> None:
    texts = ["batch={x=B,C; more=(B; [2,N; :=3])}", "Batch(tokens=B,N:int64<4; mask=B,N)"]
    kinds = {"Batch": Batch, "print": print}
    args, kwargs = inputs.make(texts, {"B": 2, "C": 3, "N": 4}, kinds=kinds)
    one, (two, three) = kwargs["batch"]["more"]
    assert (kwargs["batch"]["x"].shape, one.shape, two.shape, three) == ((2, 3), (2,), (2, 4), 3)
    assert isinstance(args[0], Batch)
    assert torch.equal(args[0].lengths, args[0].mask.sum(1))
    assert inputs.letters(texts) == ("B", "C", "N")
    assert inputs.dims(texts, ["given"]) == {
        "batch['x']": "B C",
        "batch['more'][0]": "B",
        "batch['more'][1][0]": "_ N",
        "given.tokens": "B N",
        "given.mask": "B N",
    }
    for text in ("{2,3}", "{x=2; x=3}", "Missing(x=2)", "print(x=2)", "Batch(mask=2)"):
        with pytest.raises(inputs.InputError):
            inputs.make([text], {}, kinds=kinds)
