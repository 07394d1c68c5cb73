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
from ircops.store import chain, schema, times, verify
from ircops.store.database import Database, _upgrade, password
from tests.real.postgres import Postgres

ROW = {"seq": 1, "at": "2026-11-22T09:00:00.000000Z", "event": "started", "hash": "0" * 64}


@pytest.fixture
def sqlite(tmp_path: Path):
    """A database of the usual kind, where the test is about files."""
    database = Database("", tmp_path / "state")
    database.open()
    yield database
    database.close()


def refusal(database: Database) -> str:
    with pytest.raises(OpsError) as error:
        database.open()
    assert "\n" not in error.value.message
    return error.value.message


def test_the_file_is_made_in_the_state_directory_and_only_its_owner_reads_it(sqlite, tmp_path):
    assert sqlite.path == tmp_path / "state" / "ircops.sqlite"
    with sqlite.write():
        files = list(sqlite.path.parent.glob("ircops.sqlite*"))
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


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("mysql://ops:hunter2@db/ircops", "mysql is not supported; leave it empty, name a SQLite"),
        ("postgresql://ops:hunter2@db/ircops", "postgresql is not supported; "),
        ("postgresql+psycopg://ops:hunter2@db", "write postgresql+psycopg://USER@HOST/NAME"),
        ("postgresql+psycopg://ops:hunter2@db:x/y", "write postgresql+psycopg://USER@HOST/NAME"),
    ],
)
def test_another_kind_of_database_is_refused_without_showing_its_password(given, said):
    with pytest.raises(OpsError) as error:
        Database(given)
    assert error.value.message.startswith(f"[bot] database: {said}")
    assert "hunter2" not in error.value.message


def test_the_password_of_a_database_is_known_to_those_who_hide_it():
    assert password("postgresql+psycopg://ops:hunter%402@db/ircops") == "hunter@2"
    assert password("postgresql+psycopg://ops@db/ircops") == password("x.sqlite") == ""


def test_commits_reach_the_disk_before_they_return_and_keys_are_enforced(sqlite):
    with sqlite.read() as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1]  # 2: FULL


def test_the_migrations_make_exactly_the_schema(database):
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def test_alembic_is_not_imported_when_the_schema_is_new_enough(sqlite):
    look = "import sys; from ircops.store.database import Database\nDatabase(sys.argv[1]).open(); print('alembic' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", look, str(sqlite.path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_what_was_written_is_there_after_opening_again(database, address):
    with database.write() as connection:
        connection.execute(schema.record.insert(), ROW)
    again = Database(address)
    again.open()
    with again.read() as connection:
        assert connection.execute(schema.record.select()).mappings().one()["event"] == "started"
    again.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE record SET event = 'x'",
        "DELETE FROM record",
        "INSERT INTO record (seq, at, event, hash) VALUES (0, '', 'x', '')",
        "INSERT INTO record (seq, at, event, hash) VALUES (3, '', 'x', '')",
    ],
)
def test_a_row_of_the_record_can_be_neither_changed_nor_deleted(database, change):
    with database.write() as connection:
        connection.execute(schema.record.insert(), ROW)
    with pytest.raises(OpsError, match="the record is append-only"), database.write() as connection:
        connection.execute(text(change))
    with database.read() as connection:
        assert connection.execute(schema.record.select()).mappings().one()["event"] == "started"


def test_a_row_of_the_record_cannot_be_replaced(sqlite):
    with sqlite.write() as connection:
        connection.execute(schema.record.insert(), ROW)
    replace = "INSERT OR REPLACE INTO record (seq, at, event, hash) VALUES (1, '', 'x', '')"
    with pytest.raises(OpsError, match="the record is append-only"), sqlite.append() as connection:
        connection.execute(replace)


def test_the_record_cannot_be_emptied_at_one_stroke(postgres):
    database = Database(postgres.new())
    database.open()
    with (
        pytest.raises(OpsError, match="the record is append-only"),
        database.append() as connection,
    ):
        connection.execute("TRUNCATE record")
    database.close()


def test_it_is_known_when_the_triggers_were_taken_away(database, kind):
    assert not database.unguarded()
    with database.append() as connection:
        on = " ON record" if kind == "postgresql" else ""
        connection.execute(f"DROP TRIGGER record_no_update{on}")
    assert database.unguarded()


def test_a_database_of_a_newer_ircops_is_refused(database, address):
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    said = refusal(Database(address))
    assert "has schema 9999 of a newer ircops, this one knows 0" in said
    assert said.endswith("or restore the backup from before it")


def test_an_older_database_goes_forward_and_keeps_its_record(address):
    older = Database(address)
    with older._kind.opening(), older.write() as connection:
        _upgrade(connection, "0002")
    names = [name for name in chain.BLANK if name != "plan"]  # since 0005
    listed = ", ".join(f'"{name}"' for name in names)
    insert = f"INSERT INTO record ({listed}) VALUES ({', '.join('?' * len(names))})"
    previous = ""
    with older.append() as connection:
        for seq in (1, 2, 3):
            row = chain.BLANK | ROW | {"seq": seq, "previous": previous}
            row["hash"] = previous = chain.hash_of(row)
            connection.execute(insert, tuple(row[name] for name in names))
    assert older.unguarded()  # since 0003 only the next number is taken
    older.close()
    newer = Database(address)
    newer.open()
    assert not newer.unguarded()
    with newer.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
        assert verify.faults(chain.rows(connection)) == []
        assert chain.head(connection).seq == 3
    newer.close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("remember the milk\n" * 100)
    assert refusal(Database(path)).endswith(
        "file is not a database; move it away or restore a backup"
    )
    assert path.read_text() == "remember the milk\n" * 100


def test_a_damaged_database_is_refused(sqlite):
    with sqlite.write() as connection:
        rows = [ROW | {"seq": seq, "line": "x" * 500} for seq in range(1, 500)]
        connection.execute(schema.record.insert(), rows)
    sqlite.close()
    content = bytearray(sqlite.path.read_bytes())
    for page in range(20, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    sqlite.path.write_bytes(content)
    assert "move it away or restore a backup" in refusal(Database(sqlite.path))


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


def test_two_that_start_at_once_migrate_once(address):
    databases = [Database(address) for _ in range(2)]
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


def test_a_second_writer_waits_and_then_says_who_is_in_its_way(database, address):
    other = Database(address, busy=0.05)
    other.open()
    for writing in (other.write, other.append):
        locked = pytest.raises(OpsError, match="; end the other process that writes to it$")
        with database.append(), locked, writing():
            pass
        with database.write(), locked, writing():
            pass
    with other.write() as connection:  # and goes on when the other has ended
        connection.execute(schema.record.insert(), ROW)
    other.close()


def test_a_reader_does_not_wait_for_a_writer(database):
    with database.write() as writer:
        writer.execute(schema.record.insert(), ROW)
        with database.read() as reader:
            assert reader.execute(schema.record.select()).all() == []


def test_a_full_disk_is_a_sentence_and_nothing_is_half_written(sqlite):
    def leave_no_page(connection, entry, proxy) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # SQLite makes that: as many as there are

    event.listen(sqlite.engine, "checkout", leave_no_page)
    rows = [ROW | {"seq": seq, "line": "x" * 500} for seq in range(1, 500)]
    full = pytest.raises(OpsError, match="database or disk is full; make room on its disk")
    with full, sqlite.write() as connection:
        connection.execute(schema.record.insert(), rows)
    event.remove(sqlite.engine, "checkout", leave_no_page)
    with sqlite.read() as connection:
        assert connection.execute(schema.record.select()).all() == []


def test_a_database_that_has_gone_is_told_once_and_so_is_its_return(sqlite, monkeypatch):
    monkeypatch.setattr("ircops.store.sqlite.LOOK", -1.0)
    told: list[str] = []
    sqlite.trouble = told.append
    away = sqlite.path.with_name("away")
    sqlite.path.rename(away)
    for _ in range(3):
        with pytest.raises(OpsError, match="unable to open database file"), sqlite.append():
            pass
    assert not sqlite.path.exists()  # a new one would hide the loss
    away.rename(sqlite.path)
    for _ in range(3):
        with sqlite.append():
            pass
    [gone, back] = told
    assert gone.startswith(f"the database {sqlite.path} fails: unable to open")
    assert back == ""


def test_a_server_that_stops_is_a_sentence_until_it_is_back():
    server = Postgres()
    try:
        server.start()
        database = Database(server.new())
        database.open()
        told: list[str] = []
        database.trouble = told.append
        server.stop()
        for use in (database.append, database.write, database.read):
            with pytest.raises(OpsError, match="; see that it runs, and correct") as error, use():
                pass
            assert "\n" not in error.value.message
        server.start()
        for use in (database.append, database.write, database.read):
            with use():
                pass
        assert [bool(sentence) for sentence in told] == [True, False]
        # the connection that was kept has died since: nobody is refused for that
        server.stop()
        server.start()
        with database.append():
            pass
        database.close()
    finally:
        server.remove()


def test_a_wrong_password_is_not_shown(postgres):
    nobody = postgres.url("ircops").replace("ops@", "ops:hunter2@")
    said = refusal(Database(nobody))
    assert 'database "ircops" does not exist' in said
    assert "hunter2" not in said
    assert "hunter2" not in refusal(Database("postgresql+psycopg://ops:hunter2@127.0.0.1:1/x"))


def test_a_copy_is_whole_private_and_as_of_now(sqlite, tmp_path):
    target = tmp_path / "copy.sqlite"
    target.write_text("an older one")
    with sqlite.append() as connection:
        chain.append(connection, [ROW] * 3)
    sqlite.copy(target)
    with sqlite.append() as connection:
        chain.append(connection, [ROW])
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path != sqlite.path.parent] == [target.name]
    copy = Database(target)
    copy.open()
    with copy.read() as connection:
        assert chain.head(connection).seq == 3
    copy.close()


def test_a_copy_that_cannot_be_made_leaves_the_one_before(sqlite, tmp_path):
    with pytest.raises(OpsError, match="cannot write .*: no such file or directory; name another"):
        sqlite.copy(tmp_path / "nowhere" / "copy.sqlite")
    older = tmp_path / "copy.sqlite"
    older.write_text("an older one")
    sqlite.path.unlink()
    with pytest.raises(OpsError, match="cannot copy to"):
        sqlite.copy(older)
    assert older.read_text() == "an older one"
    assert list(tmp_path.glob(".*")) == []


def test_postgresql_has_its_own_program_for_copies(postgres, tmp_path):
    with pytest.raises(OpsError, match="pg_dump -Fc -f"):
        Database(postgres.url("x")).copy(tmp_path / "copy")


def test_times_are_stored_in_utc_at_one_width_and_come_back_the_same():
    noon = datetime(2026, 11, 22, 12, tzinfo=timezone(timedelta(hours=3)))
    assert times.stamp(noon) == "2026-11-22T09:00:00.000000Z"
    assert times.moment(times.stamp(noon)) == noon
    assert times.moment(times.stamp(noon)).tzinfo is UTC
