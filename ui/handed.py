"""A module of one's own in the address, and in a file: what is to be run, handed on."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import zlib
from collections.abc import Mapping
from typing import Any

from tracer.worker import Job

LONGEST_LINK = 6_000
"""Characters of a job in an address; servers and messengers cut longer ones."""

LARGEST = 2_000_000
"""Bytes of a job that is unpacked."""

_PARTS = {
    "source": str,
    "file": str,
    "files": dict,
    "name": str,
    "arguments": dict,
    "inputs": list,
    "sizes": dict,
    "training": bool,
}

NAMES = ("class", "module")
"""What the address may have."""


class HandedError(ValueError):
    """What was handed on cannot be read."""


def to_query(job: Job) -> dict[str, str]:
    """The job as parameters of an address: an installed class by its name, as far as that is all;
    empty when it is too long for an address."""
    if job == Job("", job.name):
        return {"class": job.name}
    packed = base64.urlsafe_b64encode(zlib.compress(to_file(job), 9)).decode().rstrip("=")
    return {"module": packed} if len(packed) <= LONGEST_LINK else {}


def from_query(query: Mapping[str, str]) -> Job | None:
    """The job that an address asks for, None if for none.

    Raises:
        HandedError: it is damaged.
    """
    if "module" not in query:
        return Job("", query["class"][:200]) if query.get("class") else None
    text = query["module"]
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        unpacking = zlib.decompressobj()
        plain = unpacking.decompress(packed, LARGEST)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise HandedError from error
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise HandedError
    return from_file(plain)


def to_file(job: Job) -> bytes:
    """The job as JSON, without what is not the reader's choice."""
    parts = dataclasses.asdict(job)
    kept = {name: parts[name] for name in _PARTS if parts[name] != getattr(Job(""), name)}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()


def from_file(text: bytes) -> Job:
    """The job of a file that `to_file` wrote.

    Raises:
        HandedError: it is damaged, or no such file.
    """
    try:
        parts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HandedError from error
    if not isinstance(parts, dict) or not _fits(parts):
        raise HandedError
    inputs = tuple(parts.pop("inputs", ()))
    values: dict[str, Any] = {"source": ""} | parts
    return Job(**values, inputs=inputs)


def _fits(parts: dict[str, Any]) -> bool:
    known = all(name in _PARTS and isinstance(each, _PARTS[name]) for name, each in parts.items())
    if not known:
        return False
    texts = [*parts.get("inputs", ())]
    for name in ("arguments", "files"):
        texts += parts.get(name, {}).values()
    sizes = parts.get("sizes", {}).values()
    return all(isinstance(each, str) for each in texts) and all(type(each) is int for each in sizes)
