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

_SORTED = sorted(BLANK.keys() - {"hash"})
_NAMES = ", ".join(f'"{name}"' for name in BLANK)
_NEWEST = "SELECT seq, hash FROM record ORDER BY seq DESC LIMIT 1"
_INSERT = f"INSERT INTO record ({_NAMES}) VALUES ({', '.join('?' * len(BLANK))})"
_ALL = f"SELECT {_NAMES} FROM record ORDER BY seq"
_encode = json.JSONEncoder(separators=(",", ":"), default=repr).encode


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
        link = {**BLANK, **row, "seq": seq, "previous": previous}
        link["hash"] = previous = hash_of(link)
        links.append(tuple(link.values()))
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
    return _encode({name: row[name] for name in sorted(row) if row[name] not in ("", None)})


def hash_of(row: Mapping[str, Any]) -> str:
    """The hash that belongs to what `row` says."""
    said = {name: row[name] for name in _hashed(row) if row[name] not in ("", None)}
    return hashlib.sha256(_encode(said).encode()).hexdigest()


def _hashed(row: Mapping[str, Any]) -> Iterable[str]:
    """The names of what is hashed, sorted; nearly every row has just those of the table."""
    return _SORTED if row.keys() == BLANK.keys() else sorted(row.keys() - {"hash"})
