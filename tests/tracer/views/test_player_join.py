"""Modules joined into the text of one."""

from __future__ import annotations

import pytest

from tests.together import together
from tracer.views import player
from tracer.views.player.join import JoinError, join

CHAIN = {
    "a.js": 'import { one } from "./b.js";\nimport {\n  two,\n  Three,\n} from "./c.js";\n\n'
    "export const a = one + two + Three.four;\n",
    "b.js": 'import { two } from "./c.js";\nexport function one() {\n  return two;\n}\n',
    "c.js": "const hidden = 2;\nexport const two = hidden;\nexport class Three {}\n",
    "other.js": "export nonsense\n",
}


def test_each_module_stands_once_behind_those_it_imports() -> None:
    text = join(CHAIN, "a.js")
    order = [line.removeprefix("// --- ") for line in text.splitlines() if line[:6] == "// ---"]
    assert order == ["c.js", "b.js", "a.js"]
    assert "import" not in text
    assert [line for line in text.splitlines() if line.startswith("export")] == [
        "export const a = one + two + Three.four;"
    ]


def test_the_entry_may_have_a_default() -> None:
    page = 'import { one } from "./b.js";\nexport default function () {\n  one();\n}\n'
    assert "export default function () {" in join({**CHAIN, "page.js": page}, "page.js")
    with pytest.raises(JoinError, match=r"b\.js: not understood: export default"):
        join({"a.js": CHAIN["a.js"], "b.js": "export default function one() {}\n"}, "a.js")


@together(
    ("changed", "message"),
    [
        ({"c.js": CHAIN["c.js"] + "const a = 3;\n"}, "c.js and a.js both declare a"),
        ({"c.js": "export const two = 2;\n"}, "a.js imports Three, which c.js does not export"),
        ({"c.js": 'import { a } from "./a.js";\na;\n'}, "each other: a.js → b.js → c.js → a.js"),
        ({"b.js": 'import { a } from "./d.js";\na;\n'}, "b.js imports d.js, which is not there"),
        ({"a.js": 'import { one } from "./b.js";\n'}, "a.js imports one and does not use it"),
        ({"b.js": 'import { two as one } from "./c.js";\n'}, "b.js: not understood: import { two"),
        ({"b.js": 'import * as c from "./c.js";\n'}, "b.js: not understood: import * as c"),
        ({"b.js": 'import c from "./c.js";\n'}, "b.js: not understood: import c from"),
        ({"b.js": 'import { two } from "../c.js";\n'}, "b.js: not understood: import { two }"),
        ({"b.js": 'import "./c.js";\n'}, 'b.js: not understood: import "./c.js";'),
        ({"b.js": 'export { two } from "./c.js";\n'}, "b.js: not understood: export { two }"),
        ({"b.js": "export const one = 1;\nexport { one };\n"}, "not understood: export { one }"),
        ({"b.js": "export const { one } = window;\n"}, "not understood: export const { one }"),
        ({"b.js": "const [one] = [1];\n"}, "b.js: not understood: const [one] = [1];"),
        ({"b.js": "export var one = 1;\n"}, "b.js: not understood: export var one = 1;"),
        ({"b.js": 'export const one = await import("./c.js");\n'}, "not understood: const one"),
    ],
)
def test_what_is_not_understood_is_refused(changed: dict[str, str], message: str) -> None:
    with pytest.raises(JoinError) as refused:
        join({**CHAIN, **changed}, "a.js")
    assert message in str(refused.value)


def test_the_player_is_one_module_that_exports_mount() -> None:
    text = player.script()
    exports = [line for line in text.splitlines() if line.startswith("export")]
    assert exports == ["export function mount(root, payload, options = {}) {"]
    compared = player.script('import { compare } from "./compare.js";\ncompare;\n')
    toured = player.script('import { offerTour } from "./tour.js";\nofferTour;\n')
    whole = text + compared + toured
    assert all(f"// --- {name}\n" in whole for name in player.modules())


def test_the_player_s_modules_are_short() -> None:
    long = {name: text.count("\n") for name, text in player.modules().items()}
    assert {name: lines for name, lines in long.items() if lines > 450} == {}
