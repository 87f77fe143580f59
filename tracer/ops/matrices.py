"""Matrices taken apart, inverted and measured: torch.linalg beside products and systems."""

from __future__ import annotations

from collections.abc import Callable

from tracer.ops.algebra import below, differ, is_one, known, product
from tracer.ops.axes import axes_in
from tracer.ops.bound import (
    ANY_MORE,
    Bound,
    Dim,
    Dims,
    all_marks,
    kept,
    mark,
    moved,
    new,
    reduced,
    refuse,
    same,
)
from tracer.ops.call import At, Call, Size, need
from tracer.ops.refusal import Refusal, Report, said
from tracer.ops.say import (
    Spoken,
    Told,
    Words,
    arrow,
    pair_arrow,
    told,
)
from tracer.ops.spec import Op, by_pattern, form, operation
from tracer.sentences import Said, ShapeOf


def _matrix(call: Call, square: bool) -> int:
    """The operand whose last two dimensions are rows and columns.

    Raises:
        Refused: kind `rank`, it has none; `square`, these are not equally many.
    """
    index = call.position("A", "input")
    shape = call.operands[index].shape
    if len(shape) < 2:
        raise refuse("rank", *all_marks(call, index), rank=2, ranks=(2, ANY_MORE), at=index)
    if square and differ(shape[-2], shape[-1]):
        rows, columns = At(index, len(shape) - 2), At(index, len(shape) - 1)
        raise refuse("square", mark(call, rows, shape[-1]), mark(call, columns, shape[-2]))
    return index


# --- results of one matrix -----------------------------------------------------------------------

# Each result by its letters: `m` rows, `n` columns, `k` the fewer of both, `M` and `N` as many but
# in an order of their own; what a batch has in front stays.
_MADE: dict[str, tuple[bool, str, Said]] = {
    "inv inverse": (True, "n m", said("the inverse of every matrix")),
    "inv_ex": (True, "n m|", said("the inverse of every matrix, and whether there is one")),
    "pinv pinverse": (False, "n m", said("the pseudo-inverse of every matrix")),
    "matrix_exp": (True, "m n", said("the exponential of every matrix")),
    "matrix_power": (True, "m n", said("every matrix multiplied by itself")),
    "cholesky": (True, "M N", said("the Cholesky factor of every matrix")),
    "cholesky_ex": (
        True,
        "M N|",
        said("the Cholesky factor of every matrix, and whether there is one"),
    ),
    "cholesky_inverse": (True, "M N", said("the inverse of the matrix that each is the factor of")),
    "det": (True, "", said("the determinant of every matrix")),
    "logdet": (True, "", said("the log of the determinant of every matrix")),
    "slogdet": (True, "|", said("sign and log of the determinant of every matrix")),
    "eig eigh": (True, "N|M N", said("the eigenvalues and eigenvectors of every matrix")),
    "eigvals eigvalsh": (True, "N", said("the eigenvalues of every matrix")),
    "svdvals": (False, "k", said("the singular values of every matrix")),
    "lu": (False, "m m|m k|k n", said("every matrix as a permutation and two triangles")),
    "lu_factor": (
        False,
        "M N|k",
        said("every matrix as two triangles in one, and its row exchanges"),
    ),
    "matrix_rank": (False, "", said("the rank of every matrix")),
    "cond": (False, "", said("the condition number of every matrix")),
}


def _fewer(call: Call, index: int) -> Dim:
    """As many as there are rows or columns, whichever are fewer."""
    rank = call.operands[index].rank
    rows, columns = call.operands[index].shape[-2:]
    need((known(rows) and known(columns)) or rows == columns)
    shorter = known(rows) and known(columns) and columns < rows
    sources = (At(index, rank - 2), At(index, rank - 1))
    return new(columns if shorter else rows, sources=sources)


def _lettered(call: Call, index: int, letters: str) -> Dims:
    *front, rows, columns = kept(call, index)
    own = {"m": rows, "n": columns, "M": moved(rows), "N": moved(columns)}
    dims = [own[letter] if letter in own else _fewer(call, index) for letter in letters.split()]
    # Of several that come from one dimension the order is known of the first alone.
    seen: set[str] = set()
    for place, letter in enumerate(letters.split()):
        if letter in seen:
            dims[place] = moved(dims[place])
        seen.add(letter)
    return (*front, *dims)


def _of_one(square: bool, results: str) -> Callable[[Call], Bound]:
    def bind(call: Call) -> Bound:
        whole = square or (call.op == "cond" and call.get("p") not in (None, 2, -2))
        index = _matrix(call, whole)
        rank = call.operands[index].rank
        if call.op == "cholesky_inverse":
            _filled(call, index)
        found = tuple(_lettered(call, index, letters) for letters in results.split("|"))
        ties = ((At(index, rank - 2), At(index, rank - 1)),) if square else ()
        return Bound(call, found, ties)

    return bind


def _filled(call: Call, index: int) -> None:
    """torch inverts no matrix of nothing."""
    need(not any(below(size, 1) for size in call.operands[index].shape))


def _words(what: Said) -> Words:
    def words(step: Spoken) -> Told:
        return Told(told(arrow(ShapeOf(step.x), tuple(map(ShapeOf, step.outs))), what))

    return words


def _square_report(refusal: Refusal) -> Report | None:
    if refusal.violation.kind != "square":
        return None
    rows, columns = (refusal.size(At(m.operand, m.dim)) for m in refusal.violation.marks)
    values = {
        "op": refusal.call.op,
        "rows": rows,
        "columns": columns,
        "a": refusal.name(rows.operand),
        "shape": refusal.shape(rows.operand),
    }
    return Report(
        said("{op} needs a square matrix: {rows} ≠ {columns} ({a} {shape}).", **values),
        (
            said(
                "The last two dimensions of {a} {shape} are its rows and columns; what stands "
                "before them counts matrices.",
                **values,
            ),
        ),
    )


def _power_flops(bound: Bound) -> Size:
    """Of squares, one for each bit of the exponent but the first, and of what joins them."""
    n = bound.call.size("n")
    need(known(n))
    count = max(abs(n).bit_length() + abs(n).bit_count() - 2, 0)
    return 2 * count * product(bound.shapes[0]) * bound.shapes[0][-1]


for _names, (_square, _results, _text) in _MADE.items():
    operation(
        _names,
        bind=_of_one(_square, _results),
        words=_words(_text),
        report=_square_report,
        flops=_power_flops if _names == "matrix_power" else None,
    )


# --- results that a setting decides --------------------------------------------------------------


def _svd(call: Call) -> Bound:
    """torch.linalg.svd gives U, S and Vᵀ, torch.svd U, S and V."""
    index = _matrix(call, square=False)
    old = "A" not in call.arguments
    full = not call.flag("some", True) if old else call.flag("full_matrices", True)
    if old and not call.flag("compute_uv", True):
        full = True
    right = ("N N" if full else "N k") if old else ("N N" if full else "k N")
    letters = ("M M" if full else "M k", "k", right)
    return Bound(call, tuple(_lettered(call, index, each) for each in letters))


def _qr(call: Call) -> Bound:
    index = _matrix(call, square=False)
    mode = call.get("mode", default="reduced" if call.flag("some", True) else "complete")
    if mode not in ("reduced", "complete", "r"):
        raise refuse("arguments", argument="mode", mode=mode)
    if mode == "r":
        return Bound(call, ((new(0),), _lettered(call, index, "k N")))
    full = mode == "complete"
    letters = ("M M", "M N") if full else ("M k", "k N")
    return Bound(call, tuple(_lettered(call, index, each) for each in letters))


operation("svd", bind=_svd, words=_words(said("every matrix as two rotations and singular values")))
operation("qr", bind=_qr, words=_words(said("every matrix as a rotation and a triangle")))


def _matrix_norm(call: Call) -> Bound:
    index = call.position("A", "input")
    rank = call.operands[index].rank
    if rank < 2:
        raise refuse("rank", *all_marks(call, index), rank=2, ranks=(2, ANY_MORE), at=index)
    axes = axes_in(call, call.get("dim", default=(-2, -1)), index)
    if len(axes) != 2:
        raise refuse("arguments", argument="dim", given=axes, count=2)
    dims = tuple(
        reduced(*dim.sources) if axis in axes else dim
        for axis, dim in enumerate(kept(call, index))
        if call.flag("keepdim") or axis not in axes
    )
    return Bound(call, (dims,))


operation("matrix_norm", bind=_matrix_norm, words=_words(said("the norm of every matrix")))


def _variances(call: Call) -> Bound:
    """Rows are variables, columns their observations."""
    rank = call.first.rank
    if rank > 2:
        raise refuse("rank", *all_marks(call, 0), rank=2, ranks=(0, 1, 2), at=0)
    if rank < 2 or is_one(call.first.shape[0]):
        return Bound(call, ((),))
    rows = same(call, At(0, 0))
    return Bound(call, ((rows, rows),))


operation("cov", bind=_variances, words=_words(said("how every two rows vary together")))
operation("corrcoef", bind=_variances, words=_words(said("how every two rows are correlated")))

# --- systems of equations ------------------------------------------------------------------------

_TRIANGULAR = {
    True: form("input: *b n n", "B: *b n k", gives="*b n k"),
    False: form("input: *b n n", "B: *b k n", gives="*b k n"),
}
_KINDS = {"n": "matmul", "*b": "batch"}


def _solve_triangular(call: Call) -> Bound:
    _matrix(call, square=True)
    left = call.flag("left", True)
    found = by_pattern(Op((call.op,), forms=(_TRIANGULAR[left],), kinds=_KINDS), call)
    return _in_order(found, call.position("input"))


def _cholesky_solve(call: Call) -> Bound:
    factor = call.position("input2")
    shape = call.operands[factor].shape
    if len(shape) >= 2 and differ(shape[-2], shape[-1]):
        rows, columns = At(factor, len(shape) - 2), At(factor, len(shape) - 1)
        raise refuse("square", mark(call, rows, shape[-1]), mark(call, columns, shape[-2]))
    pattern = form("input: *b n k", "input2: *b n n", gives="*b n k")
    return _in_order(by_pattern(Op((call.op,), forms=(pattern,), kinds=_KINDS), call), factor)


def _in_order(found: Bound, triangle: int) -> Bound:
    """Of a triangle the order of rows and columns counts."""
    dims = tuple(
        moved(dim)
        if any(at.operand == triangle for at in dim.sources) and _last_two(found, dim)
        else dim
        for dim in found.results[0]
    )
    return Bound(found.call, (dims,), found.ties, letters=found.letters)


def _last_two(found: Bound, dim: Dim) -> bool:
    return any(at.dim >= found.call.operands[at.operand].rank - 2 for at in dim.sources)


def _system_words(step: Spoken) -> Told:
    how = said("{n} unknowns from {n} equations", n=step.bound.letters["n"])
    return Told(told(pair_arrow(step.ins[0], step.ins[1], step.out), how))


operation("solve_triangular", bind=_solve_triangular, words=_system_words, report=_square_report)
operation("cholesky_solve", bind=_cholesky_solve, words=_system_words, report=_square_report)


def _lstsq(call: Call) -> Bound:
    """Whether there are residuals the values alone say: the sizes but the solution's are those
    recorded.

    Raises:
        Refused: kinds `rank`, `matmul`.
    """
    first, second = _matrix(call, square=False), call.position("B", "b")
    a, b = call.operands[first].shape, call.operands[second].shape
    vector = len(b) == len(a) - 1 and not any(map(differ, a, b))
    if not vector and len(b) < 2:
        raise refuse("rank", *all_marks(call, second), rank=len(a) - 1, at=second)
    rows = At(second, len(b) - 1 if vector else len(b) - 2)
    if differ(a[-2], b[rows.dim]):
        marks = mark(call, At(first, len(a) - 2), b[rows.dim]), mark(call, rows, a[-2])
        raise refuse("matmul", *marks, wanted=a[-2], found=b[rows.dim])
    need(len(call.results) == 4)
    front = [dim for n, dim in enumerate(kept(call, first)[:-2]) if not is_one(a[n])]
    need(len(front) == len(a) - 2)
    unknowns = moved(same(call, At(first, len(a) - 1)))
    columns = () if vector else (same(call, At(second, len(b) - 1)),)
    rest = tuple(tuple(map(new, result.shape)) for result in call.results[1:])
    return Bound(call, ((*front, unknowns, *columns), *rest))


operation("lstsq", bind=_lstsq, words=_words(said("what comes nearest to solving every system")))
