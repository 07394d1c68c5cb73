from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, text

from ircops.errors import OpsError
from ircops.store import schema
from ircops.store.database import Database

ROW = {"seq": 1, "at": "2026-11-22T09:00:00.000000Z", "event": "started", "hash": "0" * 64}


@pytest.fixture
def database(tmp_path: Path):
    database = Database("", tmp_path / "state")
    database.open()
    yield database
    database.close()


def refusal(database: Database) -> str:
    with pytest.raises(OpsError) as error:
        database.open()
    assert "\n" not in error.value.message
    return error.value.message


def test_the_file_is_made_in_the_state_directory_and_only_its_owner_reads_it(database, tmp_path):
    assert database.path == tmp_path / "state" / "ircops.sqlite"
    with database.write():
        files = list(database.path.parent.glob("ircops.sqlite*"))
    assert len(files) == 3  # with SQLite's own two
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path):
    path = tmp_path / "old.sqlite"
    path.touch(mode=0o644)
    path.chmod(0o644)
    database = Database(path)
    database.open()
    database.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "given", ["x.sqlite", "{tmp}/x.sqlite", "sqlite:///{tmp}/x.sqlite", "sqlite:///x.sqlite"]
)
def test_a_database_may_be_named_by_path_or_url(given, tmp_path):
    assert Database(given.format(tmp=tmp_path), tmp_path).path == tmp_path / "x.sqlite"


def test_another_kind_of_database_is_refused_without_showing_its_password():
    with pytest.raises(
        OpsError, match=r"^\[bot\] database: postgresql\+psycopg is not supported"
    ) as error:
        Database("postgresql+psycopg://ops:hunter2@db/ircops")
    assert "hunter2" not in error.value.message


def test_commits_reach_the_disk_before_they_return_and_keys_are_enforced(database):
    with database.read() as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1]  # 2: FULL


def test_the_migrations_make_exactly_the_schema(database):
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def test_alembic_is_not_imported_when_the_schema_is_new_enough(database):
    look = "import sys; from ircops.store.database import Database\nDatabase(sys.argv[1]).open(); print('alembic' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", look, str(database.path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_what_was_written_is_there_after_opening_again(database):
    with database.write() as connection:
        connection.execute(schema.record.insert(), ROW)
    again = Database(database.path)
    again.open()
    with again.read() as connection:
        assert connection.execute(schema.record.select()).mappings().one()["event"] == "started"
    again.close()


@pytest.mark.parametrize("change", ["UPDATE record SET event = 'x'", "DELETE FROM record"])
def test_a_row_of_the_record_can_be_neither_changed_nor_deleted(database, change):
    with database.write() as connection:
        connection.execute(schema.record.insert(), ROW)
    with pytest.raises(OpsError, match="the record is append-only"), database.write() as connection:
        connection.execute(text(change))
    with database.read() as connection:
        assert connection.execute(schema.record.select()).mappings().one()["event"] == "started"


def test_a_database_of_a_newer_ircops_is_refused(database):
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert "has schema 9999 of a newer ircops, this one knows 0002; install" in refusal(
        Database(database.path)
    )


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("remember the milk\n" * 100)
    assert refusal(Database(path)).endswith(
        "file is not a database; move it away or restore a backup"
    )
    assert path.read_text() == "remember the milk\n" * 100


def test_a_damaged_database_is_refused(database):
    with database.write() as connection:
        rows = [ROW | {"seq": seq, "line": "x" * 500} for seq in range(1, 500)]
        connection.execute(schema.record.insert(), rows)
    database.close()
    content = bytearray(database.path.read_bytes())
    for page in range(20, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    database.path.write_bytes(content)
    assert "move it away or restore a backup" in refusal(Database(database.path))


def test_a_place_that_cannot_hold_the_file_is_named(tmp_path):
    (tmp_path / "file").touch()
    assert refusal(Database("", tmp_path / "file" / "state")).endswith(
        "set [bot] state to a directory the bot may write"
    )
    assert "it must be a file" in refusal(Database(tmp_path))


def test_a_failed_migration_leaves_nothing_behind(tmp_path):
    path = tmp_path / "x.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TABLE schedules (name)"
        )  # in the way of the migration's last step
    refusal(Database(path))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("schedules",)]


def test_two_that_start_at_once_migrate_once(tmp_path):
    databases = [Database("", tmp_path) for _ in range(2)]
    faults = []

    def start(database: Database) -> None:
        try:
            database.open()
        except OpsError as error:
            faults.append(error.message)

    threads = [threading.Thread(target=start, args=[database]) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    for database in databases:
        database.close()


def test_a_second_writer_waits_and_then_says_who_is_in_its_way(database):
    other = Database(database.path, busy=0.05)
    other.open()
    locked = pytest.raises(OpsError, match="database is locked; end the other process")
    with database.write(), locked, other.write():
        pass
    with other.write() as connection:  # and goes on when the other has ended
        connection.execute(schema.record.insert(), ROW)
    other.close()


def test_a_reader_does_not_wait_for_a_writer(database):
    with database.write() as writer:
        writer.execute(schema.record.insert(), ROW)
        with database.read() as reader:
            assert reader.execute(schema.record.select()).all() == []


def test_a_full_disk_is_a_sentence_and_nothing_is_half_written(database):
    def leave_no_page(connection, entry, proxy) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # SQLite makes that: as many as there are

    event.listen(database.engine, "checkout", leave_no_page)
    rows = [ROW | {"seq": seq, "line": "x" * 500} for seq in range(1, 500)]
    full = pytest.raises(OpsError, match="database or disk is full; make room on its disk")
    with full, database.write() as connection:
        connection.execute(schema.record.insert(), rows)
    event.remove(database.engine, "checkout", leave_no_page)
    with database.read() as connection:
        assert connection.execute(schema.record.select()).all() == []


def test_times_are_stored_in_utc_at_one_width_and_come_back_the_same():
    noon = datetime(2026, 11, 22, 12, tzinfo=timezone(timedelta(hours=3)))
    assert schema.stamp(noon) == "2026-11-22T09:00:00.000000Z"
    assert schema.moment(schema.stamp(noon)) == noon
    assert schema.moment(schema.stamp(noon)).tzinfo is UTC
