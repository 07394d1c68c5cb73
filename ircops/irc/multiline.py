"""Messages of many lines: draft/multiline, where the server offers it. Ours are made here, others' taken apart.

Source: ircv3.net/specs/extensions/multiline.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ircops.irc.protocol import NO_TAGS, Line, build

CAP = "draft/multiline"
SIZE = 2560  # bytes on the wire of one batch, whatever the server allows: it leaves in one piece

OPEN = 20  # messages that may be on their way to us at once
TEXTS = 200  # lines of one that are kept; servers allow a hundred at most

_references = itertools.count(1)


@dataclass(frozen=True)
class Limits:
    """What one message may hold; 1 line: there are no such messages."""

    lines: int = 1
    size: int = 0  # bytes of its text, with a line end between two lines


NONE = Limits()


def offered(line: Line) -> Limits | None:
    """The limits that a CAP LS or NEW tells; None if it says nothing of them."""
    if line.command != "CAP" or line.param(1).upper() not in ("LS", "NEW"):
        return None
    for word in line.params[-1].split(" "):
        name, _, value = word.partition("=")
        if name == CAP:
            limits = dict(pair.split("=", 1) for pair in value.split(",") if "=" in pair)
            lines, size = limits.get("max-lines", "100"), limits.get("max-bytes", "")
            if lines.isdecimal() and size.isdecimal():  # max-bytes is required
                return Limits(int(lines), int(size))
    return None


def portions(texts: Iterable[str], limits: Limits, overhead: int) -> Iterator[list[str]]:
    """Divide `texts` into messages within the limits; `overhead` bytes on the wire come with each line."""
    portion: list[str] = []
    size = wire = 0
    for text in texts:
        length = len(text.encode())
        is_over = size + 1 + length > limits.size or wire + overhead + length > SIZE
        if portion and (is_over or len(portion) >= limits.lines):
            yield portion
            portion, size, wire = [], 0, 0
        portion.append(text)
        size += 1 + length
        wire += overhead + length
    if portion:
        yield portion


def batch(
    verb: str, target: str, texts: Iterable[str], tags: Mapping[str, str] = NO_TAGS
) -> list[bytes]:
    """The lines of one message; `tags` are of the whole."""
    reference = f"m{next(_references)}"
    inner = {"batch": reference}
    lines = [build(verb, target, text, tags=inner) for text in texts]
    return [
        build("BATCH", f"+{reference}", CAP, target, tags=tags),
        *lines,
        build("BATCH", f"-{reference}"),
    ]


@dataclass
class _Opened:
    start: Line
    lines: list[Line] = field(default_factory=list)


class Incoming:
    """Takes messages of many lines for as many messages, each with the tags of the whole (account, msgid, time)."""

    def __init__(self) -> None:
        self._opened: dict[str, _Opened] = {}

    def clear(self) -> None:
        """The connection is gone."""
        self._opened.clear()

    def feed(self, line: Line) -> list[Line]:
        """Give the lines that `line` makes complete: itself, mostly."""
        if line.command == "BATCH":
            reference = line.param(0)[1:]
            is_outermost = "batch" not in line.tags  # in another it is history
            if line.param(0).startswith("+") and line.param(1) == CAP and is_outermost:
                if len(self._opened) < OPEN:
                    self._opened[reference] = _Opened(line)
                return []
            if line.param(0).startswith("-") and reference in self._opened:
                return self._opened.pop(reference).lines
        opened = self._opened.get(line.tags.get("batch", "")) if self._opened else None
        if opened is None:
            return [line]
        if line.source == opened.start.source and len(opened.lines) < TEXTS:
            if f"{CAP}-concat" in line.tags and opened.lines:
                last = opened.lines[-1]
                text = last.params[-1] + line.params[-1]
                opened.lines[-1] = last._replace(params=(*last.params[:-1], text))
            else:
                opened.lines.append(line._replace(tags=opened.start.tags))
        return []
