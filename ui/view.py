"""What a reader is looking at, as data, and its form in the address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from modules.lesson import InputKind, Option, Size
from tracer.sentences import Said, said
from ui.shipped import LESSONS, lesson

MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class Own:
    """A file of the reader's, known by its content's `digest`; `role` is the input that it is
    given as, empty for weights."""

    name: str
    digest: str
    role: str = ""


@dataclass(frozen=True)
class View:
    """A lesson with everything that decides what its run looks like. `settings` are the lesson's
    sizes and options in their declared order; the whole is hashable, so it keys the caches.  What
    is the reader's `own` is in no address."""

    lesson: str
    settings: tuple[tuple[str, Any], ...]
    kind: InputKind
    seed: int
    training: bool
    values: bool
    own: tuple[Own, ...] = ()

    def with_settings(self, changes: Mapping[str, Any]) -> View:
        return replace(self, settings=tuple((k, changes.get(k, v)) for k, v in self.settings))


def default_view(key: str) -> View:
    """The lesson as it opens: its defaults, with values unless its preset says otherwise."""
    chosen = lesson(key)
    view = View(
        lesson=key,
        settings=tuple(chosen.settings().items()),
        kind=chosen.kinds[0],
        seed=0,
        training=False,
        values=True,
    )
    preset = matching_preset(view)
    return view if preset is None else preset_view(view, preset)


def preset_view(view: View, name: str) -> View:
    """`view` with the settings of one of its lesson's presets."""
    chosen = lesson(view.lesson)
    preset = chosen.preset(name)
    return replace(
        view,
        settings=tuple(chosen.settings(name).items()),
        values=preset.values,
        training=preset.training,
    )


def matching_preset(view: View) -> str | None:
    """The preset whose settings are exactly those of the view."""
    chosen = lesson(view.lesson)
    settings = dict(view.settings)
    for preset in chosen.presets:
        if chosen.settings(preset.name) == settings:
            return preset.name
    return None


# --- the address -----------------------------------------------------------------------------


def to_query(view: View) -> dict[str, str]:
    """The shortest query that `from_query` reads back as `view`: only what differs from the
    lesson's defaults."""
    base = default_view(view.lesson)
    query = {"lesson": view.lesson}
    for (name, value), (_, default) in zip(view.settings, base.settings, strict=True):
        if value != default:
            query[name] = option_text(value)
    if view.kind != base.kind:
        query["input"] = view.kind
    if view.seed != base.seed:
        query["seed"] = str(view.seed)
    if view.training != base.training:
        query["training"] = option_text(view.training)
    if view.values != base.values:
        query["show"] = "values" if view.values else "shapes"
    return query


def from_query(query: Mapping[str, str]) -> tuple[View, list[Said]]:
    """The view that an address asks for, and one sentence for each thing in it that cannot be
    had, saying what is shown in its place. Unknown names are not ours and are left alone."""
    complaints: list[Said] = []
    key = query.get("lesson")
    if key is None:
        key = LESSONS[0].key
    elif key not in {known.key for known in LESSONS}:
        known = ", ".join(_code(known.key) for known in LESSONS)
        key, wrong = LESSONS[0].key, key
        complaints.append(
            said(
                "There is no lesson {name}: use {known}. Showing {shown}.",
                name=_code(wrong),
                known=known,
                shown=_code(key),
            )
        )
    chosen = lesson(key)
    view = default_view(key)
    changes: dict[str, Any] = {}
    for size in chosen.sizes:
        if size.name in query:
            changes[size.name], complaint = _read_size(size, query[size.name])
            complaints += complaint
    for option in chosen.options:
        if option.name in query:
            changes[option.name], complaint = _read_option(option, query[option.name])
            complaints += complaint
    view = view.with_settings(changes)

    def choose(name: str, choices: Mapping[str, Any], default: Any) -> Any:
        text = query.get(name)
        if text is None or text in choices:
            return default if text is None else choices[text]
        complaints.append(
            said(
                "{setting} is not one of {choices}; the default is used.",
                setting=_code(f"{name}={text}"),
                choices=", ".join(map(_code, choices)),
            )
        )
        return default

    kind = choose("input", {kind: kind for kind in chosen.kinds}, view.kind)
    training = choose("training", {"false": False, "true": True}, view.training)
    values = choose("show", {"values": True, "shapes": False}, view.values)
    seed = view.seed
    if "seed" in query:
        seed, complaint = _read_size(Size("seed", "", seed, 0, MAX_SEED), query["seed"])
        complaints += complaint
    return replace(view, kind=kind, training=training, values=values, seed=seed), complaints


def option_text(value: Any) -> str:
    """An option's value in the address and on screen."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read_size(size: Size, text: str) -> tuple[int, list[Said]]:
    try:
        value = int(text, 10) if len(text) <= 20 else None
    except ValueError:
        value = None
    if value is None:
        return size.default, [
            said(
                "{setting} is not a whole number from {low} to {high}; {used} is used.",
                setting=_code(f"{size.name}={text}"),
                low=f"{size.low:,}",
                high=f"{size.high:,}",
                used=f"{size.default:,}",
            )
        ]
    nearest = min(max(value, size.low), size.high)
    if nearest != value:
        return nearest, [
            said(
                "{setting} is outside {low} to {high}; {used} is used.",
                setting=_code(f"{size.name}={value:,}"),
                low=f"{size.low:,}",
                high=f"{size.high:,}",
                used=f"{nearest:,}",
            )
        ]
    return value, []


def _read_option(option: Option, text: str) -> tuple[Any, list[Said]]:
    texts = {option_text(choice): choice for choice in option.choices}
    if text.lower() in texts:
        return texts[text.lower()], []
    if text in texts:
        return texts[text], []
    return option.default, [
        said(
            "{setting} is not one of {choices}; {used} is used.",
            setting=_code(f"{option.name}={text}"),
            choices=", ".join(map(_code, texts)),
            used=_code(option_text(option.default)),
        )
    ]


def _code(text: str) -> str:
    """Words of an address within a sentence: no part of it, whatever is in them."""
    short = text if len(text) <= 40 else text[:37] + "…"
    return f"`{short.replace('`', '´')}`"
