"""Rules for products that contract dimensions."""

from __future__ import annotations

from tracer.views.rules.case import (
    Case,
    Told,
    dtype_of,
    need,
    tells,
)


@tells("scaled_dot_product_attention")
def _attention(case: Case) -> Told:
    real = [i for i, note in enumerate(case.step.inputs) if dtype_of(note) != "bool"]
    need(len(case.ins) == 1 or len(real) >= 3)  # with two, which one came twice is not recorded
    q, k, v = (0, 0, 0) if len(case.ins) == 1 else real[:3]
    query, key, value = case.ins[q], case.ins[k], case.ins[v]
    need(len(query) == len(key) == len(value) >= 2)
    need(query[-1] == key[-1] and key[-2] == value[-2])
    need(case.out == (*query[:-1], value[-1]))
    case.atoms.same(case.dims(q)[-1], case.dims(k)[-1])
    case.atoms.same(case.dims(k)[-2], case.dims(v)[-2])
    for axis in range(len(query) - 2):
        for other in (k, v):
            if case.ins[other][axis] == query[axis]:
                case.atoms.same(case.dims(q)[axis], case.dims(other)[axis])
    return Told(
        f"{'Shape kept' if case.out == query else case.arrow}: "
        f"each of {query[-2]} queries takes an average of {key[-2]} values, "
        "weighted by how well the keys match",
        [
            f"contracted over {query[-1]} (last of query and key), then over {key[-2]} "
            "(keys and values)"
        ],
        [(*case.dims(q)[:-1], case.dims(v)[-1])],
    )
