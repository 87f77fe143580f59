"""What a reader gives to a lesson: a picture or an array in the place of its input, a state dict in
the place of its weights."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from tracer.endings import ARRAYS, LARGEST, PICTURES, STATES, is_picture, is_state, safe_name
from tracer.language import translator
from tracer.sentences import Said, render, said
from ui.held import held
from ui.language import language, say
from ui.share import Kept
from ui.shipped import lesson
from ui.text import code, prose
from ui.view import Own, View

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn

KEPT_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Opened:
    """A file of the reader's."""

    file_id: str
    name: str
    content: bytes = field(repr=False)


_contents: Kept[str, bytes] = Kept(KEPT_BYTES, len)
"""Of the files that are open, by their digests."""


def uploaded(key: str) -> list[Opened]:
    """What opens pictures, arrays and weights; the files that are open.  Those that were open when
    the reader left the page are so still, each with what closes it."""
    before: list[Opened] = st.session_state.setdefault(f"{key}-before", [])
    if key not in st.session_state:  # Streamlit forgets a control that is not drawn
        before += st.session_state.get(f"{key}-open", [])
    chosen = st.file_uploader(
        say("A picture or an array as input, a state dict as weights"),
        type=[ending.removeprefix(".") for ending in (*PICTURES, *ARRAYS, *STATES)],
        accept_multiple_files=True,
        max_upload_size=LARGEST // 1_000_000,
        key=key,
    )
    known = {each.file_id: each for each in st.session_state.get(f"{key}-open", [])}
    found = [
        known.get(each.file_id) or Opened(each.file_id, each.name, each.getvalue())
        for each in chosen
    ]
    st.session_state[f"{key}-open"] = found
    for each in before:
        st.button(
            say("Close {name}", name=code(each.name)),
            key=f"{key}-close/{each.file_id}",
            type="tertiary",
            icon=":material/close:",
            on_click=before.remove,
            args=(each,),
        )
    return [*before, *found]


def given(view: View) -> tuple[Own, ...]:
    """The control that opens files for a lesson: what is open, each with what it is for."""
    names = {name: say("Input {name}", name=name) for name in lesson(view.lesson).dims}
    names[""] = say("Weights")
    with st.popover(
        say("Your picture, array or weights"), icon=":material/image:", width="stretch"
    ):
        files = uploaded("own-data")
        found = tuple(_file(each) for each in files)
        chosen = {each.digest: each.role for each in view.own}
        inputs = itertools.cycle(lesson(view.lesson).dims)
        own: dict[str, Own] = {}  # of two files for the same the later counts
        for each in found:
            usual = "" if is_state(each.name) else next(inputs)
            role = _role(view, each, chosen.get(each.digest, usual), names)
            own[role] = replace(each, role=role)
    if own and not view.values:
        st.caption(say("These are shapes alone: choose values to see your files in them."))
    return tuple(own.values())


def _file(opened: Opened) -> Own:
    digests = st.session_state.setdefault("own-digests", {})
    if opened.file_id not in digests:
        digests[opened.file_id] = hashlib.sha256(opened.content).hexdigest()
    digest = str(digests[opened.file_id])
    _contents.put(digest, opened.content)
    return Own(safe_name(opened.name), digest)


def _role(view: View, each: Own, role: str, names: dict[str, str]) -> str:
    if not is_state(each.name):
        names = {name: text for name, text in names.items() if name}

    def choose(chosen: str) -> None:
        own = tuple(
            replace(other, role=chosen) if other.digest == each.digest else other
            for other in view.own
        )
        st.session_state["view"] = replace(view, own=own)

    keys = list(names)
    index = keys.index(role) if role in keys else 0
    control = held(f"{view.lesson}/own/{each.digest[:16]}/{language()}", keys[index], choose)
    st.selectbox(
        say("{name} is for", name=code(each.name)),
        keys,
        index,
        format_func=names.__getitem__,
        **control,
    )
    return keys[index]


def told(notes: Iterable[Said]) -> None:
    """What was done to the files."""
    for note in notes:
        st.caption(f":material/info: {prose(render(note, translator(language())))}")


class Taken:
    """Puts the files of a view into a run of its lesson; `notes` says what was done to them."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.notes: list[Said] = []

    def __call__(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with those that the reader gives; the model gets his weights.

        Raises:
            GivenError: a file cannot be used; one sentence that says why.
        """
        from tracer.given import put

        names = list(lesson(self.view.lesson).dims)
        values = dict(zip(names, args, strict=False)) | kwargs
        for each in self.view.own:
            if each.role:
                values[each.role] = self._input(each, values[each.role])
            else:
                self.notes.append(put(model, each.name, _read(each, weights=True)))
        positional = tuple(values[name] for name in names[: len(args)])
        return positional, {name: values[name] for name in kwargs}

    def _input(self, own: Own, usual: Tensor) -> Tensor:
        from tracer.given import GivenError, lifted

        shape = tuple(usual.shape)
        if is_picture(own.name):
            dims = lesson(self.view.lesson).dims[own.role].split()
            if len(dims) != 4:
                raise GivenError(
                    said(
                        "{name} is a picture, and {input} has the dimensions {dims}, which are "
                        "not those of pictures: open an array for it.",
                        name=own.name,
                        input=own.role,
                        dims=" ".join(dims),
                    )
                )
            found = _read(own, picture=(shape[-2], shape[-1]))
            width, height = found["size"].tolist()
            picture, note = lifted(own.name, found["pixels"], (width, height), shape)
            self.notes.append(note)
            return picture
        (array,) = _read(own).values()
        if tuple(array.shape) != shape:
            raise GivenError(
                said(
                    "{name} has the shape {shape}, and {input} has {wanted} at these sizes: change "
                    "the sizes in the sidebar, or the array.",
                    name=own.name,
                    shape=str(tuple(array.shape)),
                    input=own.role,
                    wanted=str(shape),
                )
            )
        return array.to(usual.dtype)


def _read(
    own: Own, picture: tuple[int, int] | None = None, weights: bool = False
) -> dict[str, Tensor]:
    from tracer import worker
    from tracer.given import GivenError

    content = _contents.get(own.digest)
    if content is None:
        raise GivenError(said("{name} is not here: open the file again.", name=own.name))
    found = worker.tensors(own.name, content, picture, weights)
    if isinstance(found, worker.Problem):
        raise GivenError(found.says)
    return found
