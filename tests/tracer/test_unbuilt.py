"""What cannot be built or read in is told with what to type instead."""

from __future__ import annotations

import textwrap

from tests.cells import run_cell
from tests.together import together
from tracer.unbuilt import Unbuilt, wanted

NET = """
    class Net(nn.Module):
        def __init__(self, {arguments}):
            {before}
            self.body = {body}
"""


def net(body: str, arguments: str = "width=8", before: str = "super().__init__()") -> str:
    return textwrap.dedent(NET).format(arguments=arguments, before=before, body=body)


COMPARED = """
class Net(nn.Module):
    def __eq__(self, other):
        return True
hash(Net())
"""


@together(
    ("source", "given", "words"),
    [
        (net("nn.ReLU()", before="pass"), {}, "before `super().__init__()`"),
        (COMPARED, {}, "`@dataclass(eq=False)` above Net"),
        (net("nn.Linear(width, 2)"), {"width": "'8'"}, "width is a text: type one, such as 8"),
        (net("nn.Linear(width / 2, 2)"), {"width": "8"}, "write // for /"),
        (net("nn.Linear((width,), 2)"), {}, "of type tuple"),
        (net("nn.Linear(width, 2)"), {"width": "-3"}, "0 or more, and width is -3"),
        (net("nn.Linear(width - 9, 2)"), {}, "this one comes to -1"),
        (net("nn.Linear(width, 2, biass=True)"), {}, "no argument biass: write bias"),
        (net("nn.ReLU(xyz=1)"), {}, "no argument xyz; it has inplace"),
        (net("nn.Linear(WIDTH, 2)"), {}, "write `WIDTH = …` above"),
        (net("torch.load('w.pt')"), {}, "it reads the file w.pt"),
        (
            net("nn.Linear(width, 2)", "width, heads=8", "assert width % heads == 0"),
            {"width": "10"},
            "the check `width % heads == 0` does not hold: choose width and heads so that it does",
        ),
        (net("nn.Linear(c.wide, c.out)", "c"), {}, "type such as `SimpleNamespace(wide=8, out=8)`"),
        (net("nn.Linear(c['wide'], 2)", "c"), {}, "type such as `{'wide': 8}` into its field"),
        # These say it themselves.
        (net("nn.MultiheadAttention(width, 3)"), {}, ""),
        (net("nn.Conv2d(width, 2, 3, padding='samee')"), {}, ""),
        (net("nn.Linear(c.wide, 2)", "c"), {"c": "3"}, ""),
    ],
)
def test_it_is_said_what_to_type(source: str, given: dict[str, str], words: str) -> None:
    settings = {name: eval(text) for name, text in given.items()}
    arguments = settings or {name: 8 for name in ("width", "c") if f"self, {name}" in source}
    try:
        names = run_cell(source)
        names["Net"](**arguments)
    except Exception as error:  # noqa: BLE001 - whatever it is
        frame, line = error.__traceback__, None
        while frame is not None:
            if frame.tb_frame.f_code.co_filename.startswith("<cell"):
                line = frame.tb_lineno
            frame = frame.tb_next
        found = wanted(Unbuilt(error, str(error), source.strip("\n") + "\n", line, given))
        assert (words in str(found)) if words else found is None, (source, str(found))
        return
    raise AssertionError("it was built")


def test_a_gpu_that_is_not_there() -> None:
    found = wanted(Unbuilt(AssertionError(), "Torch not compiled with CUDA enabled", "", None, {}))
    assert "leave out `.cuda()`" in str(found)
