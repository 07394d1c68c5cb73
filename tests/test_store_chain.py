from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ircops.store import chain
from ircops.store.database import Database


@pytest.fixture
def database(tmp_path: Path):
    database = Database("", tmp_path)
    database.open()
    yield database
    database.close()


def fill(database: Database, count: int = 6) -> None:
    row = {"at": "2026-11-22T09:00:00.000000Z", "event": "note"}
    with database.append() as connection:
        chain.append(connection, [row | {"line": f"line {n}"} for n in range(1, count + 1)])
    assert faults(database) == []


def faults(database: Database) -> list[str]:
    with database.read() as connection:
        return list(chain.faults(chain.rows(connection)))


def export(database: Database) -> list[str]:
    with database.read() as connection:
        return [chain.canonical(row) for row in chain.rows(connection)]


def tamper(database: Database, *statements: str) -> None:
    """What somebody with the file and a SQLite shell can do."""
    with closing(sqlite3.connect(database.path)) as connection:
        connection.execute("DROP TRIGGER record_no_UPDATE")
        connection.execute("DROP TRIGGER record_no_DELETE")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    "change",
    [
        "line = 'nothing'",
        "user = 'mallory'",
        "at = '2026-11-22T09:00:00.000001Z'",
        "at = 'soon'",
        "outcome = x'00ff'",
        "exit_code = 0",
        "call = 7",
        "hash = 'f' || substr(hash, 2)",
    ],
)
def test_a_changed_row_is_named(change, database):
    fill(database)
    tamper(database, f"UPDATE record SET {change} WHERE seq = 3")
    assert faults(database)[0] == "entry 3 was changed"


def test_a_changed_row_whose_hash_was_made_anew_is_named(database):
    fill(database)
    lines = [json.loads(line) for line in export(database)]
    forged = {**lines[2], "line": "nothing"}
    del forged["hash"]
    text = json.dumps(forged, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    tamper(database, f"UPDATE record SET line = 'nothing', hash = '{digest}' WHERE seq = 3")
    assert faults(database) == [
        "entry 4 does not follow entry 3: one of them was moved or replaced"
    ]


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("seq = 3", "entry 3 was removed"),
        ("seq = 1", "entry 1 was removed"),
        ("seq BETWEEN 2 AND 4", "entries 2-4 were removed"),
    ],
)
def test_a_removed_row_is_named(gone, said, database):
    fill(database)
    tamper(database, f"DELETE FROM record WHERE {gone}")
    assert faults(database) == [said]


def test_a_removed_row_is_named_even_if_the_rest_moved_up(database):
    fill(database)
    tamper(
        database,
        "DELETE FROM record WHERE seq = 3",
        "UPDATE record SET seq = seq - 1 WHERE seq > 3",
    )
    assert "entry 3 does not follow entry 2" in faults(database)[0]


def test_rows_that_changed_places_are_named(database):
    fill(database)
    tamper(
        database,
        "UPDATE record SET seq = 99 WHERE seq = 3",
        "UPDATE record SET seq = 3 WHERE seq = 4",
        "UPDATE record SET seq = 4 WHERE seq = 99",
    )
    assert "entry 3 does not follow entry 2" in faults(database)[0]


def test_anyone_can_check_an_export(database):
    fill(database)
    previous = ""
    for line in export(database):
        row = json.loads(line)
        given = row.pop("hash")
        assert row.get("previous", "") == previous
        text = json.dumps(row, sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(text.encode()).hexdigest() == given
        previous = given
    with database.read() as connection:
        assert chain.head(connection) == (6, previous)


def test_the_hash_of_an_old_row_never_changes(database):
    """A record of today must verify with the code of any later day."""
    fill(database, 1)
    assert export(database) == [
        '{"at":"2026-11-22T09:00:00.000000Z","event":"note",'
        '"hash":"e8a3c7e82e8582b87c21df3ce4e1007cbae154c73ed37c3914fbddd5f533c70c",'
        '"line":"line 1","seq":1}'
    ]


def test_an_empty_chain_is_sound(database):
    with database.read() as connection:
        assert chain.head(connection) == (0, "")
    assert faults(database) == []
