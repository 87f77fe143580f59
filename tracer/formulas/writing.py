"""Sizes as formulas: exact arithmetic on the sizes a user chooses, written as a person writes it.

An expression is sympy's: sums, products and powers of symbols that are positive integers, with the
functions below for what divides and chooses.  Nothing here runs torch.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

import sympy
from sympy.core.function import Function
from sympy.core.relational import Relational

from tracer.document import Formula
from tracer.sentences import Said, said

Expr: TypeAlias = sympy.Expr
Condition: TypeAlias = sympy.Basic
Divisions: TypeAlias = frozenset[tuple[Expr, Expr]]
"""Pairs (a, b) of which it is known that b divides a."""


class Floor(Function):  # type: ignore[misc]
    """⌊x⌋"""


class Ceil(Function):  # type: ignore[misc]
    """⌈x⌉"""


class Mod(Function):  # type: ignore[misc]
    """x mod y, with the sign of y"""


class Max(Function):  # type: ignore[misc]
    """The larger of two"""


class Min(Function):  # type: ignore[misc]
    """The smaller of two"""


def symbol(name: str) -> sympy.Symbol:
    return sympy.Symbol(name, integer=True, positive=True)


LONGEST = 80
"""Parts of an expression beyond which nobody would read it, and sympy takes its time."""


def readable(expression: sympy.Basic) -> bool:
    """Whether it is short enough to be simplified and written."""
    parts = sympy.preorder_traversal(expression)
    return len(list(itertools.islice(parts, LONGEST + 1))) <= LONGEST


# --- normal form --------------------------------------------------------------------------------


def simplified(expression: sympy.Basic, divisions: Divisions = frozenset()) -> Any:
    """The same number, or the same condition, in a form in which equal sizes look equal.

    `expression` may use torch's functions (FloorDiv, CeilToInt, ...).  ⌊a/b⌋ becomes a/b where
    `divisions` says that it divides.

    Raises:
        ValueError: the expression has a function that is unknown here.
    """
    return _simplified(expression, divisions)


@functools.lru_cache(maxsize=4096)
def _simplified(e: sympy.Basic, divisions: Divisions) -> Any:
    if e.is_Float:
        return sympy.Rational(Fraction(float(e)))
    if e.is_Atom:
        return e
    args = [_simplified(arg, divisions) for arg in e.args]
    if e.is_Add:
        return _halves(sympy.expand(sympy.Add(*args)))
    if e.is_Mul or e.is_Pow:
        return sympy.expand(e.func(*args))
    name = type(e).__name__
    if name in _FUNCTIONS:
        return _FUNCTIONS[name](*args, divisions)
    if name in ("Max", "Min"):
        return _chosen(Max if name == "Max" else Min, args)
    if name in _RELATIONS or isinstance(e, sympy.And | sympy.Or | sympy.Not):
        return e.func(*args, evaluate=False) if name in _RELATIONS else e.func(*args)
    raise ValueError(f"{name} is no function of sizes that is known.")


_RELATIONS = {
    "Equality": "=",
    "Unequality": "≠",
    "GreaterThan": "≥",
    "StrictGreaterThan": ">",
    "LessThan": "≤",
    "StrictLessThan": "<",
}


def _quotient(a: Expr, b: Expr, divisions: Divisions) -> Expr:
    """⌊a/b⌋ of integers: whole parts stand before the bracket, ⌊(a − 1)/b⌋ + 1 is ⌈a/b⌉."""
    value = _over(a, b)
    if _whole(value, divisions):
        return value
    a, b = sympy.fraction(sympy.together(value))
    whole, rest = sympy.Integer(0), []
    for term in sympy.Add.make_args(sympy.expand(a)):
        part = _over(term, b)
        if _whole(part, divisions):
            whole += part
        else:
            rest.append(term)
    constant = sum((term for term in rest if term.is_Integer), sympy.Integer(0))
    others = sum((term for term in rest if not term.is_Integer), sympy.Integer(0))
    if b.is_Integer:
        turns, constant = divmod(int(constant), int(b))
        # One less than a multiple is what a ceiling adds.
        if constant == b - 1:
            turns, constant = turns + 1, -1
        whole += turns
    if others == 0:
        return (
            sympy.expand(whole + math.floor(Fraction(int(constant), int(b))))
            if b.is_Integer
            else whole + Floor(sympy.Integer(constant) / b)
        )
    if constant == -1:
        # ⌊(x − 1)/b⌋ = ⌈x/b⌉ − 1 of integers.
        return sympy.expand(whole - 1 + _rounded(Ceil, others, b, divisions))
    return sympy.expand(whole + _rounded(Floor, others + constant, b, divisions))


def _rounded(function: Any, a: Expr, b: Expr, divisions: Divisions) -> Expr:
    value = _over(a, b)
    if _whole(value, divisions):
        return value
    if value.could_extract_minus_sign():
        return -(Ceil if function is Floor else Floor)(_over(-a, b))
    # ⌊⌊x⌋/n⌋ = ⌊x/n⌋, and the same of ceilings.
    if type(a) is function:
        above, below = sympy.fraction(sympy.together(a.args[0] / b))
        return _rounded(function, above, below, divisions)
    return function(value)


def _over(a: Expr, b: Expr) -> Expr:
    if a.is_Mul or a.is_Atom or a.is_Pow:
        return a / b  # cancels by itself
    return sympy.expand(sympy.cancel(a / b)) if b.free_symbols else sympy.expand(a / b)


def _whole(value: Expr, divisions: Divisions) -> bool:
    """Whether this is certainly an integer."""
    if _integral(value):
        return True
    for a, b in divisions:
        if _integral(sympy.cancel(value / (a / b))):
            return True
        if a.is_Symbol:
            times = sympy.Dummy(integer=True, positive=True)
            if _integral(sympy.expand(sympy.cancel(value.xreplace({a: b * times})))):
                return True
    return False


def _integral(value: Expr) -> bool:
    """A polynomial with whole coefficients, in symbols and in what rounds."""
    for term in sympy.Add.make_args(value):
        for factor in sympy.Mul.make_args(term):
            if factor.is_Rational:
                if not factor.is_Integer:
                    return False
            elif factor.is_Pow:
                if not (factor.exp.is_Integer and factor.exp > 0 and _integral(factor.base)):
                    return False
            elif factor.is_Add:
                if not _integral(factor):
                    return False
            elif isinstance(factor, Max | Min):
                if not all(_integral(arg) for arg in factor.args):
                    return False
            elif not (factor.is_Symbol or isinstance(factor, Floor | Ceil | Mod)):
                return False
    return True


def _halves(total: Expr) -> Expr:
    """n − ⌊n/2⌋ is ⌈n/2⌉, n − ⌈n/2⌉ is ⌊n/2⌋, and ⌊n/2⌋ + ⌈n/2⌉ is n."""
    for part in sorted(total.atoms(Floor, Ceil), key=sympy.default_sort_key):
        whole = 2 * part.args[0]
        other = (Ceil if isinstance(part, Floor) else Floor)(part.args[0])
        if not _integral(whole):
            continue
        factor = total.coeff(part)
        if factor == 0:
            continue
        if (total - factor * part).coeff(other) == factor:
            return _halves(sympy.expand(total - factor * (part + other) + factor * whole))
        # Whether all of n is there: what remains of n's terms gets shorter.
        swapped = sympy.expand(total - factor * part + factor * (whole - other))
        if len(sympy.Add.make_args(swapped)) < len(sympy.Add.make_args(total)):
            return _halves(swapped)
    return total


def _chosen(function: Any, args: Iterable[Expr]) -> Expr:
    flat: list[Expr] = []
    for arg in args:
        flat += arg.args if isinstance(arg, function) else [arg]
    numbers = [arg for arg in flat if arg.is_Rational]
    kept = sorted({arg for arg in flat if not arg.is_Rational}, key=sympy.default_sort_key)
    if numbers:
        number = (max if function is Max else min)(numbers)
        # Sizes are at least 1.
        sizes = all(isinstance(arg, sympy.Symbol) for arg in kept)
        if kept and sizes and number <= 1:
            if function is Min:
                return number
        else:
            kept.insert(0, number)
    return kept[0] if len(kept) == 1 else function(*kept)


def _divided(a: Expr, b: Expr, divisions: Divisions) -> Expr:
    return _over(a, b)


def _remainder(a: Expr, b: Expr, divisions: Divisions) -> Expr:
    return sympy.Integer(0) if _whole(_over(a, b), divisions) else Mod(a, b)


def _floor(a: Expr, divisions: Divisions) -> Expr:
    above, below = sympy.fraction(sympy.together(a))
    return _quotient(above, below, divisions)


def _ceiling(a: Expr, divisions: Divisions) -> Expr:
    above, below = sympy.fraction(sympy.together(a))
    return sympy.expand(-_quotient(-above, below, divisions))


def _same(a: Expr, divisions: Divisions) -> Expr:
    return a


def _power(a: Expr, b: Expr, divisions: Divisions) -> Expr:
    return sympy.expand(a**b)


# torch's functions of integers (torch.utils._sympy.functions), and those above.
_FUNCTIONS: dict[str, Callable[..., Expr]] = {
    **dict.fromkeys(("FloorDiv", "CleanDiv"), _quotient),
    **dict.fromkeys(("Mod", "PythonMod"), _remainder),
    **dict.fromkeys(("IntTrueDiv", "FloatTrueDiv"), _divided),
    # Sizes are positive: to truncate is to round down.
    **dict.fromkeys(("floor", "Floor", "FloorToInt", "TruncToInt"), _floor),
    **dict.fromkeys(("ceiling", "Ceil", "CeilToInt"), _ceiling),
    **dict.fromkeys(("ToFloat", "Identity"), _same),
    **dict.fromkeys(("PowByNatural", "FloatPow"), _power),
}


# --- numbers ------------------------------------------------------------------------------------


def evaluate(expression: sympy.Basic, values: Mapping[str, int]) -> Any:
    """The value of an expression (int or Fraction, exact unless it has roots) or condition (bool).

    Raises:
        ValueError: a symbol has no value, or something is divided by zero.
    """
    try:
        value = _compiled(expression)(values)
    except (KeyError, ZeroDivisionError) as error:
        raise ValueError(f"{expression} has no value where {error} is.") from error
    if isinstance(value, Fraction) and value.denominator == 1:
        return int(value)
    return value


@functools.lru_cache(maxsize=4096)
def _compiled(e: sympy.Basic) -> Callable[[Mapping[str, int]], Any]:
    # Python's own code is many times quicker than a walk through the expression.
    names = {"floor": math.floor, "ceil": math.ceil, "trunc": math.trunc, "F": Fraction}
    made: Callable[[Mapping[str, int]], Any] = eval(f"lambda v: {_code(e)}", names)
    return made


def _code(e: sympy.Basic) -> str:
    if e.is_Symbol:
        return f"v[{e.name!r}]"
    if e.is_Integer:
        return f"({int(e)})"
    if e.is_Rational:
        return f"F({int(e.p)}, {int(e.q)})"
    if e.is_Float:
        return f"F({float(e)!r})"
    if e in (sympy.true, sympy.false):
        return str(bool(e))
    name = type(e).__name__
    template = _CODE.get(name)
    if template is None:
        raise ValueError(f"{type(e).__name__} is no function of sizes that is known.")
    parts = [_code(arg) for arg in e.args]
    if name in ("Max", "Min"):
        return f"{name.lower()}({', '.join(parts)})"
    if template[0] == "(":  # an operator between any number of parts
        return f"({template[1:-1].join(parts)})"
    return f"({template.format(*parts)})"


_CODE = {
    "Add": "( + )",
    "Mul": "( * )",
    **dict.fromkeys(("Pow", "PowByNatural", "FloatPow"), "F({0}) ** {1}"),
    **dict.fromkeys(("Floor", "floor", "FloorToInt"), "floor({0})"),
    **dict.fromkeys(("Ceil", "ceiling", "CeilToInt"), "ceil({0})"),
    "TruncToInt": "trunc({0})",
    **dict.fromkeys(("FloorDiv", "CleanDiv"), "( // )"),
    **dict.fromkeys(("Mod", "PythonMod"), "( % )"),
    **dict.fromkeys(("IntTrueDiv", "FloatTrueDiv"), "F({0}) / {1}"),
    **dict.fromkeys(("ToFloat", "Identity"), "{0}"),
    **dict.fromkeys(("Max", "Min"), "(, )"),
    "Equality": "(==)",
    "Unequality": "(!=)",
    "GreaterThan": "(>=)",
    "StrictGreaterThan": "(>)",
    "LessThan": "(<=)",
    "StrictLessThan": "(<)",
    "And": "( and )",
    "Or": "( or )",
    "Not": "not {0}",
}


# --- writing ------------------------------------------------------------------------------------


def written(expression: Expr, order: Sequence[str], aliases: tuple[str, ...] = ()) -> Formula:
    """A simplified expression as a person writes it; factors and terms in the `order` of names."""
    text, latex = _written(expression, tuple(order))
    return Formula(text, latex, aliases)


_SUM, _PRODUCT, _QUOTIENT, _ATOM = range(4)
_Piece = tuple[str, str, int]  # text, LaTeX, how loosely it is bound


@functools.lru_cache(maxsize=4096)
def _written(expression: Expr, order: tuple[str, ...]) -> tuple[str, str]:
    forms = [_write(expression, order)]
    if expression.is_Add:
        forms.append(_write(sympy.factor_terms(expression), order))
        factored = sympy.factor(expression)
        if not factored.is_Add:
            forms.append(_write(factored, order))
    text, latex, _ = min(forms, key=lambda piece: len(piece[0]))
    return text, latex


def _rank(e: sympy.Basic, order: tuple[str, ...]) -> tuple[Any, ...]:
    """Where a part stands: by the first of the input's names in it."""
    places = sorted(
        order.index(name) if name in order else len(order)
        for name in (symbol.name for symbol in e.free_symbols)
    )
    return (not places, places, str(e))


def _write(e: Expr, order: tuple[str, ...]) -> _Piece:
    if e.is_Symbol:
        return e.name, name_latex(e.name), _ATOM
    if e.is_Integer:
        return str(e), str(e), _ATOM if e >= 0 else _SUM
    if e.is_Add:
        return _write_sum(e, order)
    if e.is_Mul or e.is_Rational:
        return _write_product(e, order)
    if e.is_Pow:
        return _write_power(e, order)
    rounded = isinstance(e, Floor | Ceil)
    parts = [_write(sympy.together(arg) if rounded else arg, order) for arg in e.args]
    text, latex = ", ".join(part[0] for part in parts), ", ".join(part[1] for part in parts)
    if isinstance(e, Floor):
        return f"⌊{text}⌋", rf"\left\lfloor {latex} \right\rfloor", _ATOM
    if isinstance(e, Ceil):
        return f"⌈{text}⌉", rf"\left\lceil {latex} \right\rceil", _ATOM
    if isinstance(e, Mod):
        a, b = (_bracketed(part, _PRODUCT) for part in parts)
        return f"{a[0]} mod {b[0]}", rf"{a[1]} \bmod {b[1]}", _SUM
    name = "max" if isinstance(e, Max) else "min"
    return f"{name}({text})", rf"\{name}({latex})", _ATOM


def _bracketed(piece: _Piece, least: int) -> tuple[str, str]:
    text, latex, level = piece
    return (text, latex) if level >= least else (f"({text})", f"({latex})")


def _write_sum(e: Expr, order: tuple[str, ...]) -> _Piece:
    terms = sorted(
        sympy.Add.make_args(e),
        key=lambda t: (t.is_number, t.could_extract_minus_sign(), _rank(t, order)),
    )
    # A sum that begins with a minus reads badly.
    first = next((t for t in terms if not t.could_extract_minus_sign()), terms[0])
    terms.sort(key=lambda term: term != first)
    text = latex = ""
    for term in terms:
        minus = term.could_extract_minus_sign()
        piece = _bracketed(_write(-term if minus else term, order), _PRODUCT)
        sign = "−" if minus else "+"
        text += f" {sign} {piece[0]}" if text else ("−" if minus else "") + piece[0]
        latex_sign = "-" if minus else "+"
        latex += f" {latex_sign} {piece[1]}" if latex else ("-" if minus else "") + piece[1]
    return text, latex, _SUM


def _write_product(e: Expr, order: tuple[str, ...]) -> _Piece:
    if e.could_extract_minus_sign():
        text, latex = _bracketed(_write(-e, order), _PRODUCT)
        return f"−{text}", f"-{latex}", _SUM
    above, below = sympy.fraction(e)
    if below == 1:
        number, factors = e.as_coeff_mul()
        ordered = sorted(factors, key=lambda factor: _rank(factor, order))
        if number != 1:
            ordered.insert(0, number)
        pieces = [_bracketed(_write(factor, order), _QUOTIENT) for factor in ordered]
        return "·".join(p[0] for p in pieces), r" \cdot ".join(p[1] for p in pieces), _PRODUCT
    top, bottom = _write(above, order), _write(below, order)
    text = f"{_bracketed(top, _PRODUCT)[0]}/{_bracketed(bottom, _ATOM)[0]}"
    return text, rf"\frac{{{top[1]}}}{{{bottom[1]}}}", _PRODUCT


_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _write_power(e: Expr, order: tuple[str, ...]) -> _Piece:
    base, exponent = e.as_base_exp()
    if exponent.is_Integer and exponent > 0:
        text, latex = _bracketed(_write(base, order), _ATOM)
        return text + str(exponent).translate(_RAISED), f"{latex}^{{{exponent}}}", _ATOM
    if exponent.is_Integer:
        return _write_product(e, order)
    pieces = _bracketed(_write(base, order), _ATOM), _write(exponent, order)
    return f"{pieces[0][0]}^({pieces[1][0]})", f"{pieces[0][1]}^{{{pieces[1][1]}}}", _ATOM


def name_latex(name: str) -> str:
    """A name of the source as LaTeX: `H_t` with an index, `num_codes` upright as a word."""
    head, _, rest = name.partition("_")
    if len(head) == 1 and rest and "_" not in rest:
        return f"{head}_{{{_upright(rest)}}}"
    return _upright(name)


def _upright(name: str) -> str:
    escaped = name.replace("_", r"\_")
    return escaped if len(name) == 1 else rf"\mathrm{{{escaped}}}"


def growth(expression: Expr, order: Sequence[str]) -> Formula:
    """How it grows: the terms that no other outgrows, without their numbers and roundings."""

    def smooth(e: Any) -> Any:
        if isinstance(e, Floor | Ceil):
            return smooth(e.args[0])
        if isinstance(e, Max):
            # A constant bounds what is small.
            return sympy.Add(*(smooth(arg) for arg in e.args))
        if isinstance(e, Min | Mod):
            return smooth(e.args[-1])
        return e if e.is_Atom else e.func(*(smooth(arg) for arg in e.args))

    terms = set()
    for term in sympy.Add.make_args(sympy.expand(smooth(expression))):
        if not term.could_extract_minus_sign():
            terms.add(term.as_coeff_Mul()[1])
    kept = [t for t in terms if not any(o != t and _outgrows(o, t) for o in terms)]
    text, latex, _ = _write(sympy.Add(*kept) if kept else sympy.Integer(1), tuple(order))
    return Formula(text, latex)


def _outgrows(large: Expr, small: Expr) -> bool:
    # A sum below the line grows as one of its own.
    return all(power >= 0 for power in (large / small).as_powers_dict().values())


# --- conditions ---------------------------------------------------------------------------------


def demand(condition: Condition) -> Condition:
    """A condition as one would state it: whole, without roundings, `C ≥ r` for `⌊C/r⌋ ≠ 0`.

    Sizes are positive integers; `true` where these always meet it.
    """
    if isinstance(condition, sympy.Not):
        inner = condition.args[0]
        if isinstance(inner, sympy.And | sympy.Or):
            other = sympy.Or if isinstance(inner, sympy.And) else sympy.And
            return demand(other(*(sympy.Not(part) for part in inner.args)))
        return demand(inner.negated) if isinstance(inner, Relational) else condition
    if isinstance(condition, sympy.And | sympy.Or):
        return condition.func(*(demand(part) for part in condition.args))
    if isinstance(condition, sympy.Eq | sympy.Ne):
        return _equality(condition)
    if isinstance(condition, sympy.StrictGreaterThan):
        return _at_least(condition.lhs - condition.rhs - 1)
    if isinstance(condition, sympy.GreaterThan):
        return _at_least(condition.lhs - condition.rhs)
    if isinstance(condition, sympy.StrictLessThan):
        return _at_least(condition.rhs - condition.lhs - 1)
    if isinstance(condition, sympy.LessThan):
        return _at_least(condition.rhs - condition.lhs)
    return condition


def _equality(condition: Any) -> Condition:
    difference = _without_denominators(sympy.expand(condition.lhs - condition.rhs))
    equal = isinstance(condition, sympy.Eq)
    if difference.is_number:
        return sympy.true if (difference == 0) == equal else sympy.false
    if not equal and _least(difference) == 0:
        return _at_least(difference - 1)
    # n − b·⌊n/b⌋ = 0 says that b divides n.
    for part in difference.atoms(Floor, Ceil):
        n, b = sympy.fraction(sympy.together(part.args[0]))
        for sign in (1, -1):
            if sympy.expand(difference - sign * (n - b * part)) == 0:
                difference = Mod(n, b)
    if isinstance(difference, Mod) or (-difference).func is Mod:
        difference = difference if isinstance(difference, Mod) else -difference
    factors = [f for f in sympy.Mul.make_args(sympy.factor(difference)) if f.free_symbols]
    if len(factors) == 1 or not equal:
        factors = [difference]
    # A product is zero where one of the factors is; sizes are not.
    open_ = [factor for factor in factors if (_least(factor) or 0) < 1]
    relation = sympy.Eq if equal else sympy.Ne
    stated = [relation(*_sides(f), evaluate=False) for f in open_]
    if not stated:
        return sympy.false if equal else sympy.true
    return sympy.Or(*stated) if len(stated) > 1 else stated[0]


def _at_least(difference: Expr) -> Condition:
    """difference ≥ 0, a single rounding resolved: ⌊x⌋ ≥ n is x ≥ n, ⌈x⌉ ≥ n is x > n − 1."""
    difference = _without_denominators(sympy.expand(difference))
    parts = difference.atoms(Floor, Ceil)
    outer = [part for part in parts if not any(part in other.args[0].atoms(type(part))
                                               for other in parts)]  # fmt: skip
    if len(outer) == 1:
        (part,) = outer
        factor = difference.coeff(part)
        rest = sympy.expand(difference - factor * part)
        if abs(factor) == 1 and not rest.has(part) and _integral(rest):
            x = part.args[0]
            below = sympy.fraction(sympy.together(x))[1]
            exact = Floor if factor == 1 else Ceil
            gap = 0 if isinstance(part, exact) else 1 - 1 / below
            return _at_least(factor * x + rest + gap)
    difference = _without_denominators(difference)
    least = _least(difference)
    if difference.is_number or (least is not None and least >= 0):
        return sympy.true if difference.is_number is False or difference >= 0 else sympy.false
    most = _least(-difference)
    if most is not None and most > 0:
        return sympy.false
    above, below = _sides(difference)
    return sympy.Ge(above, below, evaluate=False)


def _without_denominators(difference: Expr) -> Expr:
    above, below = sympy.fraction(sympy.together(difference))
    if below.is_number or (_least(below) or 0) > 0:
        difference = sympy.expand(above)
    content = (
        sympy.Poly(difference).content()
        if difference.free_symbols
        and _integral(difference)
        and not difference.atoms(Floor, Ceil, Mod, Max, Min)
        else 1
    )
    return sympy.expand(difference / content) if content not in (0, 1) else difference


def _least(e: Expr) -> int | None:
    """A bound from below that positive integers guarantee, None if there is none to see."""
    if e.is_Rational:
        return math.floor(Fraction(int(e.p), int(e.q)))
    if e.is_Symbol:
        return 1
    if isinstance(e, Floor | Mod):
        return 0
    if isinstance(e, Ceil):
        return 1
    if isinstance(e, Max):
        known = [bound for bound in map(_least, e.args) if bound is not None]
        return max(known) if known else None
    if e.is_Add or isinstance(e, Min):
        found = [_least(arg) for arg in e.args]
        if None in found:
            return None
        return sum(found) if e.is_Add else min(found)  # type: ignore[arg-type, type-var]
    if e.is_Mul:
        found = [_least(arg) for arg in e.args]
        return math.prod(found) if all(f is not None and f >= 0 for f in found) else None  # type: ignore[arg-type]
    if e.is_Pow and e.exp.is_Integer and e.exp > 0:
        bound = _least(e.base)
        return bound ** int(e.exp) if bound is not None and bound >= 0 else None
    return None


def _sides(difference: Expr) -> tuple[Expr, Expr]:
    """What stands left and right of the sign, all with plus."""
    terms = sympy.Add.make_args(difference)
    right = [-term for term in terms if term.could_extract_minus_sign()]
    left = [term for term in terms if not term.could_extract_minus_sign()]
    return sympy.Add(*left), sympy.Add(*right)


def divisions(conditions: Iterable[Condition]) -> Divisions:
    """What divides what where all these hold."""
    found = set()
    for condition in conditions:
        if isinstance(condition, sympy.Eq) and isinstance(condition.lhs, Mod):
            found.add(condition.lhs.args)
    return frozenset(found)


def demanded(condition: Condition, order: Sequence[str]) -> tuple[Formula, Said]:
    """A `demand` as a formula (`C ≥ r`) and as a sentence ("C must be at least r.")."""
    text, latex, rule = _demanded(condition, tuple(order))
    return Formula(text, latex), said("{rule}.", rule=rule)


def _demanded(condition: Condition, order: tuple[str, ...]) -> tuple[str, str, Said]:
    if isinstance(condition, sympy.And | sympy.Or):
        all_of = isinstance(condition, sympy.And)
        parts = [_demanded(part, order) for part in sorted(condition.args, key=str)]
        rule = parts[0][2]
        for _, _, next_one in parts[1:]:
            rule = said(
                "{rule}, and {next}" if all_of else "{rule}, or {next}", rule=rule, next=next_one
            )
        return (
            (" ∧ " if all_of else " ∨ ").join(part[0] for part in parts),
            (r" \land " if all_of else r" \lor ").join(part[1] for part in parts),
            rule,
        )
    if not isinstance(condition, Relational):
        rule = said("{condition} must hold", condition=str(condition))
        return str(condition), rf"\text{{{condition}}}", rule
    name = type(condition).__name__
    left, right = condition.lhs, condition.rhs
    if name in ("Equality", "Unequality"):
        if isinstance(left, Mod) and right == 0:
            a, b = (written(arg, order) for arg in left.args)
            sign, sign_latex = ("=", "=") if name == "Equality" else ("≠", r"\ne")
            if b.text == "2":
                divides = said(
                    "{a} must be even" if name == "Equality" else "{a} must be odd", a=a.text
                )
            else:
                divides = said(
                    "{a} must be divisible by {b}"
                    if name == "Equality"
                    else "{a} must not be divisible by {b}",
                    a=a.text,
                    b=b.text,
                )
            whole = written(left, order)
            return f"{whole.text} {sign} 0", f"{whole.latex} {sign_latex} 0", divides
        if _rank(right, order) < _rank(left, order):
            left, right = right, left
    a, b = written(left, order), written(right, order)
    if name == "GreaterThan" and left.is_number:
        # At most reads better than a number first.
        return (
            f"{b.text} ≤ {a.text}",
            rf"{b.latex} \le {a.latex}",
            said("{a} must be at most {b}", a=b.text, b=a.text),
        )
    sign = _RELATIONS[name]
    latex = {"=": "=", "≠": r"\ne", "≥": r"\ge", ">": ">", "≤": r"\le", "<": "<"}[sign]
    return (
        f"{a.text} {sign} {b.text}",
        f"{a.latex} {latex} {b.latex}",
        _RULES[sign](a.text, b.text),
    )


_RULES: dict[str, Callable[[str, str], Said]] = {
    "=": lambda a, b: said("{a} must equal {b}", a=a, b=b),
    "≠": lambda a, b: said("{a} must not be {b}", a=a, b=b),
    "≥": lambda a, b: said("{a} must be at least {b}", a=a, b=b),
    ">": lambda a, b: said("{a} must be larger than {b}", a=a, b=b),
    "≤": lambda a, b: said("{a} must be at most {b}", a=a, b=b),
    "<": lambda a, b: said("{a} must be smaller than {b}", a=a, b=b),
}
