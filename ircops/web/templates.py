"""The templates, and what they all use. Everything put into one is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ircops.web import svg

DIRECTORY = Path(__file__).with_name("templates")
STYLE = (DIRECTORY / "style.css").read_text("utf-8")
PIECE = 64 * 1024  # characters that are sent together


def _hash(style: str) -> str:
    """A style that the browser may use, by its content (CSP Level 3 §6.7.3.3)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"


HASHES = f"{_hash(STYLE)} {_hash(svg.STYLE)}"


def moment(at: datetime) -> str:
    """As people on the bot's machine read a clock: `Sat 28 Nov 14:05:09`."""
    return f"{at.astimezone():%a %d %b %H:%M:%S}"


def size(count: int) -> str:
    """Bytes as people say them."""
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count} bytes"


def seconds(count: float) -> str:
    """How long something took."""
    if count < 60:
        return (
            f"{count:.0f} s"
            if count >= 10
            else f"{count:.1f} s"
            if count >= 1
            else f"{count:.2f} s"
        )
    minutes, rest = divmod(round(count), 60)
    hours, minutes = divmod(minutes, 60)
    amounts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join([f"{amount} {unit}" for amount, unit in amounts if amount][:2])


_environment = Environment(
    loader=FileSystemLoader(DIRECTORY),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals["style"] = Markup(STYLE)
_environment.filters |= {"moment": moment, "size": size, "seconds": seconds}


def page(name: str, **values: Any) -> bytes:
    """A page of the template `name`, whole."""
    return _environment.get_template(name).render(values).encode(errors="replace")


def pieces(name: str, **values: Any) -> Iterator[str]:
    """The same in pieces, made one after the other: what a template loops over may be endless."""
    return gathered(_environment.get_template(name).generate(values))


def gathered(texts: Iterator[str]) -> Iterator[str]:
    """Small texts in larger pieces."""
    waiting: list[str] = []
    length = 0
    for text in texts:
        waiting.append(text)
        length += len(text)
        if length >= PIECE:
            yield "".join(waiting)
            waiting, length = [], 0
    if waiting:
        yield "".join(waiting)
