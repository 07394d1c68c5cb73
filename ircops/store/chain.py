"""Rows that are only ever added, each with the hash of the one before: what was changed or removed shows.

The hash of a row is the SHA-256 of it as JSON, in the one spelling that `canonical` gives, without its
`hash` member. What a chain cannot show is that its newest rows were cut off, or that all of it was made
anew: for that, somebody must have kept an older head.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sqlalchemy import Connection

# What a row has that says nothing. Stated here once more, for the table itself is SQLAlchemy's, and a bot that
# only appends does without.
_TEXTS = """door network channel user role account evidence mask message_id line command hosts plan approvers
    outcome digest previous""".split()
_OTHERS = "seq call at event exit_code milliseconds lines hash".split()
BLANK: dict[str, Any] = dict.fromkeys(_TEXTS, "") | dict.fromkeys(_OTHERS)

_NAMES = ", ".join(f'"{name}"' for name in BLANK)
_NEWEST = "SELECT seq, hash FROM record ORDER BY seq DESC LIMIT 1"
_INSERT = f"INSERT INTO record ({_NAMES}) VALUES ({', '.join('?' * len(BLANK))})"
_ALL = f"SELECT {_NAMES} FROM record ORDER BY seq"
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=repr).encode


class Head(NamedTuple):
    """The newest row: its number, and its hash, which stands for all before it. 0 and "" of an empty chain."""

    seq: int
    hash: str

    def __str__(self) -> str:
        """`12:9f86d0…`, as people keep it and give it back."""
        return f"{self.seq}:{self.hash}"


def append(connection: Any, rows: Iterable[Mapping[str, Any]]) -> None:
    """Number, chain and insert; in `Database.append`, for others append to the same chain."""
    seq, previous = connection.execute(_NEWEST).fetchone() or (0, "")
    links = []
    for row in rows:
        seq += 1
        link = {**row, "seq": seq, "previous": previous}
        previous = hash_of(link)
        links.append(tuple({**BLANK, **link, "hash": previous}.values()))
    if links:
        connection.executemany(_INSERT, links)


def head(connection: Connection) -> Head:
    """Of the chain as it is now."""
    row = connection.exec_driver_sql(_NEWEST).first()
    return Head(*row) if row else Head(0, "")


def rows(connection: Connection) -> Iterator[Mapping[str, Any]]:
    """Every row, in order, read as they are asked for."""
    with connection.execution_options(yield_per=500).exec_driver_sql(_ALL) as found:
        for row in found:
            yield dict(zip(BLANK, row, strict=True))


def canonical(row: Mapping[str, Any]) -> str:
    """A row as JSON: keys sorted, no spaces, ASCII only, nothing that is empty.

    Leaving out what is empty keeps old hashes true when the table gets new columns.
    """
    values = row.values()
    if "" in values or None in values:
        row = {name: value for name, value in row.items() if value not in ("", None)}
    return _encode(row)


def hash_of(row: Mapping[str, Any]) -> str:
    """The hash that belongs to what `row` says."""
    if "hash" in row:
        row = {name: value for name, value in row.items() if name != "hash"}
    return hashlib.sha256(canonical(row).encode()).hexdigest()
