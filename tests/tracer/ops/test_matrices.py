"""Matrices taken apart, inverted and measured, against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, linalg

from tests.cells import forward_cell
from tests.together import together
from tests.tracer.ops.against_torch import check, check_permuted, check_resized, meta
from tests.tracer.ops.samples import Draw, Sample, calls, entries
from tracer import trace
from tracer.ops.table import bound_step


def definite(x: Tensor) -> Tensor:
    """Symmetric and positive, where it is square."""
    if x.dim() < 2 or x.shape[-1] != x.shape[-2]:
        return x
    return x @ x.mT + torch.eye(x.shape[-1], dtype=x.dtype)


def one(function: Callable[..., Any], square: bool = True, **choices: list[Any]) -> Sample:
    def sample(draw: Draw) -> tuple[Any, ...]:
        n = draw.size()
        x = draw.tensor(*draw.sizes(0, 2), n if square else draw.size(), n)
        settings = {name: draw.choice(values) for name, values in choices.items()}
        return function, definite(x) if square else x, settings

    return sample


def norm(draw: Draw) -> tuple[Any, ...]:
    shape = draw.sizes(2, 4)
    settings: dict[str, Any] = {"keepdim": draw.maybe(), "ord": draw.choice(["fro", 1, "nuc"])}
    if draw.maybe():
        settings["dim"] = tuple(draw.sample(range(-len(shape), 0), 2))
    return linalg.matrix_norm, draw.tensor(*shape), settings


def system(draw: Draw) -> tuple[Any, ...]:
    n, k, batch = draw.size(), draw.size(), draw.sizes(0, 2)
    left = draw.maybe()
    right = draw.tensor(*draw.stretched(batch), *((n, k) if left else (k, n)))
    settings = {"upper": draw.maybe(), "left": left}
    return linalg.solve_triangular, draw.tensor(*draw.stretched(batch), n, n), right, settings


def cholesky_solve(draw: Draw) -> tuple[Any, ...]:
    n, k, batch = draw.size(), draw.size(), draw.sizes(0, 2)
    right = draw.tensor(*draw.stretched(batch), n, k)
    return torch.cholesky_solve, right, draw.tensor(*draw.stretched(batch), n, n)


def rows(function: Callable[..., Any]) -> Sample:
    return lambda draw: (function, draw.tensor(*draw.sizes(0, 3)))


SAMPLES: dict[str, Sample] = {
    "inv": one(linalg.inv),
    "inverse": one(torch.inverse),
    "inv_ex": one(linalg.inv_ex),
    "pinv": one(linalg.pinv, square=False),
    "pinverse": one(torch.pinverse, square=False),
    "matrix_exp": one(linalg.matrix_exp),
    "matrix_power": one(linalg.matrix_power, n=[-1, 0, 1, 3]),
    "cholesky": one(linalg.cholesky),
    "cholesky_ex": one(linalg.cholesky_ex),
    "cholesky_inverse": one(torch.cholesky_inverse),
    "det": one(linalg.det),
    "logdet": one(torch.logdet),
    "slogdet": one(linalg.slogdet),
    "eig": one(linalg.eig),
    "eigh": one(linalg.eigh),
    "eigvals": one(linalg.eigvals),
    "eigvalsh": one(linalg.eigvalsh),
    "svdvals": one(linalg.svdvals, square=False),
    "lu": one(linalg.lu, square=False),
    "lu_factor": one(linalg.lu_factor, square=False),
    "matrix_rank": one(linalg.matrix_rank, square=False),
    "cond": one(linalg.cond, square=False, p=[None, 2, 1, "fro"]),
    "svd": one(linalg.svd, square=False, full_matrices=[True, False]),
    "qr": one(linalg.qr, square=False, mode=["reduced", "complete", "r"]),
    "matrix_norm": norm,
    "cov": rows(torch.cov),
    "corrcoef": rows(torch.corrcoef),
    "solve_triangular": system,
    "cholesky_solve": cholesky_solve,
}
# The same by other names, with settings of their own.
OLDER: dict[str, Sample] = {
    "svd": one(torch.svd, square=False, some=[True, False], compute_uv=[True, False]),
    "qr": one(torch.qr, square=False, some=[True, False]),
    "cholesky": one(torch.cholesky),
    "det": one(torch.det),
}


def test_every_entry_has_samples() -> None:
    assert set(entries("matrices")) == {*SAMPLES, "lstsq"}


@pytest.mark.filterwarnings("ignore")
@together("name", SAMPLES)
def test_as_torch(name: str) -> None:
    refused = 0
    for sample in filter(None, (SAMPLES[name], OLDER.get(name))):
        for function, args, kwargs in calls(sample, 60):
            found = check(function, *args, on="cpu", **kwargs)
            refused += found.violation is not None
            assert found.call.op == name
    assert refused


@pytest.mark.filterwarnings("ignore")
@together("name", SAMPLES)
def test_flows(name: str) -> None:
    permuted = resized = 0
    for function, args, kwargs in calls(SAMPLES[name], 15, wrong=0):
        permuted += check_permuted(function, *args, tolerance=1e-5, **kwargs)
        if name in ("cov", "corrcoef"):  # they have no meta kernel
            resized += check_resized(function, *args, on="cpu", **kwargs)
        else:
            resized += check_resized(function, *meta(args), **kwargs)
    assert permuted >= 4
    assert resized >= 8


@pytest.mark.parametrize(("a", "b"), [((5, 3), (5, 2)), ((2, 5, 3), (2, 5)), ((3, 3), (3, 1))])
def test_least_squares(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    model = forward_cell("a b", "return torch.linalg.lstsq(a, b).solution")
    found = bound_step(trace(model, torch.randn(a), torch.randn(b)).steps[0])
    assert found is not None
    columns = b[len(a) - 1 :]
    assert found.shapes[0] == (*a[:-2], a[-1], *columns)


def test_least_squares_of_other_rows_are_refused() -> None:
    model = forward_cell("a b", "return torch.linalg.lstsq(a, b).solution")
    found = trace(model, torch.randn(5, 3), torch.randn(4, 2)).failure
    assert found is not None
    assert found.violation is not None
    assert found.violation.kind == "matmul"
