from __future__ import annotations

import hashlib
import json

import pytest
from sqlalchemy import text

from ircops.store import chain, schema, verify
from ircops.store.database import Database


def fill(database: Database, count: int = 6) -> None:
    row = {"at": "2026-11-22T09:00:00.000000Z", "event": "note"}
    with database.append() as connection:
        chain.append(connection, [row | {"line": f"line {n}"} for n in range(1, count + 1)])
    assert faults(database) == []


def faults(database: Database, kept: chain.Head | None = None) -> list[str]:
    with database.read() as connection:
        return verify.faults(chain.rows(connection), kept)


def export(database: Database) -> list[str]:
    with database.read() as connection:
        return [chain.canonical(row) for row in chain.rows(connection)]


def tamper(database: Database, *statements: str) -> None:
    """What somebody who may change the tables themselves can do."""
    with database.write() as connection:
        where = " ON record" if connection.dialect.name == "postgresql" else ""
        for verb in ("insert", "update", "delete"):
            connection.execute(text(f"DROP TRIGGER record_no_{verb}{where}"))
        for statement in statements:
            connection.execute(text(statement))


@pytest.mark.parametrize(
    "change",
    [
        "line = 'nothing'",
        "\"user\" = 'mallory'",
        "at = '2026-11-22T09:00:00.000001Z'",
        "at = 'soon'",
        "outcome = line",
        "exit_code = 0",
        "call = 7",
        "hash = 'f' || substr(hash, 2)",
    ],
)
def test_a_changed_row_is_named(change, database):
    fill(database)
    tamper(database, f"UPDATE record SET {change} WHERE seq = 3")
    assert faults(database) == ["entry 3 was changed"]


def test_a_changed_row_whose_hash_was_made_anew_is_named(database):
    fill(database)
    lines = [json.loads(line) for line in export(database)]
    forged = {**lines[2], "line": "nothing"}
    del forged["hash"]
    spelled = json.dumps(forged, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(spelled.encode()).hexdigest()
    tamper(database, f"UPDATE record SET line = 'nothing', hash = '{digest}' WHERE seq = 3")
    assert faults(database) == ["entry 4 does not follow entry 3: one of them was replaced"]


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
        *(f"UPDATE record SET seq = {seq - 1} WHERE seq = {seq}" for seq in (4, 5, 6)),
    )
    assert faults(database) == [
        f"entry {seq + 1} stands in the place of entry {seq}" for seq in (3, 4, 5)
    ]


@pytest.mark.parametrize("other", [4, 6])
def test_rows_that_changed_places_are_named(other, database):
    fill(database)
    tamper(
        database,
        "UPDATE record SET seq = 99 WHERE seq = 3",
        f"UPDATE record SET seq = 3 WHERE seq = {other}",
        f"UPDATE record SET seq = {other} WHERE seq = 99",
    )
    assert faults(database) == [
        f"entry {other} stands in the place of entry 3",
        f"entry 3 stands in the place of entry {other}",
    ]


def test_only_the_first_are_named_where_much_was_done(database):
    fill(database, 50)
    tamper(database, "UPDATE record SET line = 'nothing' WHERE seq > 9")
    assert faults(database) == [
        *(f"entry {seq} was changed" for seq in range(10, 20)),
        "and more: these are the first",
    ]


def test_what_was_cut_off_at_the_end_shows_by_a_head_that_was_kept(database):
    fill(database)
    with database.read() as connection:
        kept = chain.head(connection)
    tamper(database, "DELETE FROM record WHERE seq > 4")
    assert faults(database) == []
    assert faults(database, kept) == ["entries 5-6 were removed"]


def test_a_record_that_was_made_anew_shows_by_a_head_that_was_kept(database):
    fill(database)
    with database.read() as connection:
        kept = chain.head(connection)
    tamper(database, "DELETE FROM record")
    row = {"at": "2026-11-22T09:00:00.000000Z", "event": "note"}
    with database.append() as connection:
        chain.append(connection, [row] * 9)
    assert faults(database) == []
    assert faults(database, kept) == [
        "entry 6 is not the one that was kept: all up to it was made anew"
    ]
    with database.read() as connection:
        assert faults(database, chain.head(connection)) == []


def test_anyone_can_check_an_export(database):
    fill(database)
    previous = ""
    for line in export(database):
        row = json.loads(line)
        given = row.pop("hash")
        assert row.get("previous", "") == previous
        spelled = json.dumps(row, sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(spelled.encode()).hexdigest() == given
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


def test_a_blank_row_has_every_column_of_the_table():
    columns = {column.name: "" if column.server_default else None for column in schema.record.c}
    assert columns == chain.BLANK
