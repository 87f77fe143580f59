"""Traces that many tests look at, each run once in a process: shapes alone."""

from __future__ import annotations

import functools

import torch

from modules import lesson
from modules.lesson import CheckedClaim, Lesson, Preset, check_claims, prepare, run
from tests import models
from tracer import Trace, trace


def of_lesson(each: Lesson) -> Trace:
    """Its first preset; the name is that of its class, as without a lesson."""
    return _of_lesson(each.key)


@functools.cache
def _of_lesson(key: str) -> Trace:
    each = lesson(key)
    model, args, kwargs = prepare(each, each.settings(), values=False, training=True)
    with torch.no_grad():
        return trace(model, *args, values=False, device="meta", **kwargs)


def shapes_only(each: Lesson, preset: Preset) -> Trace:
    """A preset as the lesson runs it, with its story and without a diagnosis."""
    return _shapes_only(each.key, preset.name)


@functools.cache
def _shapes_only(key: str, name: str) -> Trace:
    each = lesson(key)
    training = each.preset(name).training
    return run(each, each.settings(name), values=False, training=training, diagnose=False)


def claims(each: Lesson) -> tuple[CheckedClaim, ...]:
    """What the post says, and what the runs show."""
    return _claims(each.key)


@functools.cache
def _claims(key: str) -> tuple[CheckedClaim, ...]:
    return check_claims(lesson(key))


def of_model(model: models.Model) -> Trace:
    return _of_model(model.key)


@functools.cache
def _of_model(key: str) -> Trace:
    model = models.BY_KEY[key]
    args, kwargs = model.arguments()
    return trace(model.make(), *args, values=False, **kwargs)
