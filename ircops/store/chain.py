"""Rows that are only ever added, each with the hash of the one before: what was changed or removed shows.

The hash of a row is the SHA-256 of it as JSON, in the one spelling that `canonical` gives, without its
`hash` member. What a chain cannot show is that its newest rows were cut off, or that all of it was made
anew: for that, somebody must have kept an older `head`.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ircops.store.schema import record

if TYPE_CHECKING:
    from sqlalchemy import Connection

BLANK: dict[str, Any] = {column.name: "" if column.server_default else None for column in record.c}

_NEWEST = "SELECT seq, hash FROM record ORDER BY seq DESC LIMIT 1"
_INSERT = f"""INSERT INTO record ({", ".join(f'"{name}"' for name in BLANK)})
    VALUES ({", ".join(f":{name}" for name in BLANK)})"""


def append(connection: sqlite3.Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Number, chain and insert; in a transaction that writes alone, for others append to the same chain."""
    seq, previous = connection.execute(_NEWEST).fetchone() or (0, "")
    links = []
    for row in rows:
        seq += 1
        link = BLANK | dict(row) | {"seq": seq, "previous": previous}
        link["hash"] = previous = hash_of(link)
        links.append(link)
    connection.executemany(_INSERT, links)


def head(connection: Connection) -> tuple[int, str]:
    """Number and hash of the newest row; 0 and "" of an empty chain."""
    row = connection.exec_driver_sql(_NEWEST).first()
    return (row[0], row[1]) if row else (0, "")


def rows(connection: Connection) -> Iterator[Mapping[str, Any]]:
    """Every row, in order, read as they are asked for."""
    query = record.select().order_by(record.c.seq)
    for row in connection.execution_options(yield_per=500).execute(query).mappings():
        yield {str(name): value for name, value in row.items()}


def faults(links: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A sentence for each place where the chain does not hold."""
    seq, previous = 0, ""
    for row in links:
        gap = range(seq + 1, row["seq"])
        if len(gap) == 1:
            yield f"entry {gap[0]} was removed"
        elif gap:
            yield f"entries {gap[0]}-{gap[-1]} were removed"
        elif row["previous"] != previous:
            yield f"entry {row['seq']} does not follow entry {seq}: one of them was moved or replaced"
        if row["hash"] != hash_of(row):
            yield f"entry {row['seq']} was changed"
        seq, previous = row["seq"], row["hash"]


def canonical(row: Mapping[str, Any]) -> str:
    """A row as JSON: keys sorted, no spaces, ASCII only, nothing that is empty.

    Leaving out what is empty keeps old hashes true when the table gets new columns.
    """
    said = {name: value for name, value in row.items() if value not in ("", None)}
    return json.dumps(said, sort_keys=True, separators=(",", ":"), default=repr)


def hash_of(row: Mapping[str, Any]) -> str:
    """The hash that belongs to what `row` says."""
    said = {name: value for name, value in row.items() if name != "hash"}
    return hashlib.sha256(canonical(said).encode()).hexdigest()
