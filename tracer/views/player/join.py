"""Plain ES modules as the text of one module, so that a page needs no other file.

Only what the player's own modules use is understood, and all else is refused, so that the joined
text means what the modules mean:

    import { a, b } from "./other.js";    before all else, from the same folder, without renaming
    export const a = 1;                   also let, class, function, function* and async function
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_IMPORT = re.compile(r'^import \{([\w$,\s]+)\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_DECLARED = re.compile(
    r"^(export )?(?:const|let|class|(?:async )?function\*?) ([\w$]+)", re.MULTILINE
)
_DEFAULT = re.compile(r"^export default function\b", re.MULTILINE)
_OTHER = re.compile(
    r"^(?:import|export|var)\b.*|^(?:const|let) *[\[{].*|^.*\bimport *[.(].*", re.MULTILINE
)
_NAME = re.compile(r"[\w$]+")


class JoinError(ValueError):
    """The modules cannot be joined; the message says which and why."""


@dataclass(frozen=True)
class _Module:
    imports: Mapping[str, frozenset[str]]  # names by module
    declared: frozenset[str]
    exported: frozenset[str]
    body: str  # without the imports and without the word `export`


def join(texts: Mapping[str, str], entry: str) -> str:
    """The module `entry` after all that it imports, as one text without imports.

    Args:
        texts: modules by file name; those that `entry` does not need are left out.
        entry: its exports are those of the result, and it alone may have a default.

    Raises:
        JoinError: a name or module that is imported does not exist, modules import each other in a
            circle, two declare the same name, or one has an import or export of another form.
    """
    modules: dict[str, _Module] = {}
    _add(modules, texts, entry, ())
    homes: dict[str, str] = {}
    for name, module in modules.items():
        for declared in sorted(module.declared):
            if declared in homes:
                raise JoinError(f"{homes[declared]} and {name} both declare {declared}")
            homes[declared] = name
    bodies = {name: module.body for name, module in modules.items()}
    bodies[entry] = _IMPORT.sub("", texts[entry])
    return "\n".join(f"// --- {name}\n\n{body.strip()}\n" for name, body in bodies.items())


def _add(
    modules: dict[str, _Module], texts: Mapping[str, str], name: str, above: tuple[str, ...]
) -> None:
    """Add the module to `modules`, behind those that it imports."""
    if name in above:
        circle = " → ".join((*above[above.index(name) :], name))
        raise JoinError(f"modules import each other: {circle}")
    if name in modules:
        return
    if name not in texts:
        raise JoinError(f"{above[-1] if above else 'the page'} imports {name}, which is not there")
    module = _read(name, texts[name], has_default=not above)
    for other, names in module.imports.items():
        _add(modules, texts, other, (*above, name))
        for imported in sorted(names - modules[other].exported):
            raise JoinError(f"{name} imports {imported}, which {other} does not export")
    modules[name] = module


def _read(name: str, text: str, has_default: bool) -> _Module:
    imports: dict[str, frozenset[str]] = {}
    for match in _IMPORT.finditer(text):
        names = [each.strip() for each in match[1].rstrip(", \n").split(",")]
        if match[2] in imports or not all(each.isidentifier() for each in names):
            raise JoinError(f"{name}: not understood: {match[0].strip()}")
        imports[match[2]] = frozenset(names)
    code = _IMPORT.sub("", text)
    declarations = list(_DECLARED.finditer(code))
    body = _DECLARED.sub(lambda match: match[0].removeprefix("export "), code)
    for other in _OTHER.finditer(_DEFAULT.sub("function", body) if has_default else body):
        raise JoinError(f"{name}: not understood: {other[0].strip()}")
    unused = frozenset().union(*imports.values()) - {*_NAME.findall(code)}
    for imported in sorted(unused):
        raise JoinError(f"{name} imports {imported} and does not use it")
    return _Module(
        imports,
        frozenset(match[2] for match in declarations),
        frozenset(match[2] for match in declarations if match[1]),
        body,
    )
