"""The record for other eyes: entries that fit what is asked, as JSON Lines or as Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ircops.store.chain import Head
from ircops.store.times import moment, stamp

Row = Mapping[str, Any]  # of an entry, without what is empty

COLUMNS = ("when (UTC)", "call", "who", "where", "what", "hosts", "approved by", "outcome", "took")
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&])")  # what Markdown, or HTML in it, takes for its own


@dataclass(frozen=True)
class Wanted:
    """What is asked for; "" and None = any."""

    user: str = ""
    host: str = ""
    command: str = ""  # or a group of commands
    since: datetime | None = None

    def fits(self, row: Row) -> bool:
        """Whether an entry is of that user, that host, that command, and not older."""
        from ircops.ssh.nodes import unfolded

        command = row.get("command", "")
        return (
            self.user in ("", row.get("user", ""))
            and (not self.command or f"{command} ".startswith(f"{self.command} "))
            and (self.since is None or row["at"] >= stamp(self.since))
            and (not self.host or self.host in unfolded(row.get("hosts", "")))
        )


def chosen(lines: Iterable[str], wanted: Wanted) -> Iterator[str]:
    """Those of the record's JSON Lines that fit, as they are: their hashes still hold, one by one."""
    if wanted == Wanted():
        yield from lines
        return
    yield from (line for line in lines if wanted.fits(json.loads(line)))


def markdown(lines: Iterable[str], head: Head) -> Iterator[str]:
    """The record's JSON Lines for people: a table for each day, with a row for each call, in the order they ended.

    `head` is of the whole record, by which the text can be held against it.
    """
    begun: dict[int, Row] = {}  # calls whose end has not come
    day = ""
    yield "# What was done"
    for row in map(json.loads, lines):
        call = row.get("call")
        if row["event"] in ("asked", "started"):
            begun[call] = row
            continue
        begun.pop(call, None)
        if day != row["at"][:10]:
            day = row["at"][:10]
            yield from _table(day)
        yield _told(row, f"{moment(row['at']):%H:%M:%S}")
    if begun:
        yield from _table("Not ended")
        yield from (_told(row, f"{moment(row['at']):%Y-%m-%d %H:%M:%S}") for row in begun.values())
    yield ""
    yield f"Head of the record: `{head}`" if head.seq else "The record is empty."


def _table(title: str) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"


def _told(row: Row, when: str) -> str:
    """A row of the table."""
    door, where = row.get("door", ""), row.get("channel", "")
    if where and row.get("network"):
        where = f"{row['network']}/{where}"
    is_call = "call" in row
    took = f"{row['milliseconds'] / 1000:.1f} s" if "milliseconds" in row else ""
    cells = (
        when,
        f"#{row['call']}" if is_call else "",
        row.get("user") or row.get("mask", ""),
        where or (f"in private, {door}" if is_call else row.get("network", "")),
        row.get("line", "") if is_call else f"{row['event']} {row.get('line', '')}",
        row.get("hosts", ""),
        ", ".join(row.get("approvers", "").split()),
        row.get("outcome")
        or {"asked": "waits for consent", "started": "has not ended"}.get(row["event"], ""),
        took,
    )
    return f"| {' | '.join(map(_plain, cells))} |"


def _plain(text: str) -> str:
    """As it is, whatever it holds."""
    shown = (c if c.isprintable() else f"\\x{ord(c):02x}" for c in " ".join(text.split()))
    return SPECIAL.sub(r"\\\1", "".join(shown))
