"""What the record promises, tried on it: bent in every way, killed in the middle, without room."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from ircops.call import Call, Reply
from ircops.errors import Unrecorded
from ircops.record import Record
from ircops.store import chain, verify
from ircops.store.database import Database
from tests.bench import Bench, with_bot
from tests.people import Heard, on_irc, until
from tests.real.postgres import Postgres

ROW = {"at": "2026-11-22T09:00:00.000000Z", "event": "note", "user": "alice", "network": "test"}
MANY = 10_000


def test_whatever_is_done_to_one_of_ten_thousand_entries_is_named(tmp_path):
    with closing(Database("", tmp_path)) as database:
        database.open()
        rows = (ROW | {"line": f"this is line {n}."} for n in range(1, MANY + 1))
        with database.append() as connection:
            chain.append(connection, rows)
        with database.read() as connection:
            kept = chain.head(connection)
    sound = database.path.read_bytes()

    def found(content: bytes, *statements: str, head: chain.Head | None = None) -> list[str]:
        database.path.write_bytes(content)
        with closing(Database(database.path)) as bent:
            bent.open()
            with bent.append() as connection:
                for verb in ("insert", "update", "delete") if statements else ():
                    connection.execute(f"DROP TRIGGER record_no_{verb}")
                for statement in statements:
                    connection.execute(statement)
            with bent.read() as connection:
                return verify.faults(chain.rows(connection), head)

    assert found(sound, head=kept) == []
    at = sound.index(b"this is line 5123.")
    assert found(sound[:at] + b"T" + sound[at + 1 :]) == ["entry 5123 was changed"]
    assert found(
        sound[:at] + b"\xff" + sound[at + 1 :],  # no text at all
        "DELETE FROM record WHERE seq = 77",
        "UPDATE record SET seq = 0 WHERE seq = 300",
        "UPDATE record SET seq = 300 WHERE seq = 9000",
        "UPDATE record SET seq = 9000 WHERE seq = 0",
    ) == [
        "entry 77 was removed",
        "entry 9000 stands in the place of entry 300",
        "entry 5123 was changed",
        "entry 300 stands in the place of entry 9000",
    ]
    cut = "DELETE FROM record WHERE seq > 9990"
    assert found(sound, cut, head=kept) == ["entries 9991-10000 were removed"]


WRITER = """
import asyncio, os, sys
from ircops.call import Call, Reply, Sender
from ircops.record import Record
from ircops.store.database import Database
from tests.people import Heard

async def work(record):
    while True:
        async with record.entry(Call(Sender("console", "bob"), "ping", Reply(Heard()))) as entry:
            await asyncio.to_thread(entry.start)
            os.write(1, b"%d\\n" % entry.number)
            entry.finished()

async def load(database):
    database.open()
    record = Record(database)
    await record.open()
    await asyncio.gather(*(work(record) for _ in range(8)))

database = Database(sys.argv[1])
for _ in sys.stdin:
    pid = os.fork()
    if not pid:
        try:
            asyncio.run(load(database))
        finally:
            os._exit(1)
    os.write(1, b"pid %d\\n" % pid)
    os.waitpid(pid, 0)
    os.write(1, b"dead\\n")
"""


def kill_at_random_moments(address: str, times: int) -> None:
    told: list[int] = []
    moment = random.Random(times)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        for _ in range(times):
            print(file=parent.stdin, flush=True)
            pid, more = 0, moment.randrange(40)  # entries until it is killed
            for line in parent.stdout:
                if line == "dead\n":
                    break
                if line.startswith("pid "):
                    pid = int(line.split()[1])
                    continue
                told.append(int(line))
                more -= 1
                if more < 0 and pid:
                    send, pid = pid, 0
                    os.kill(send, signal.SIGKILL)
        parent.stdin.close()
    assert parent.returncode == 0
    with closing(Database(address)) as database:
        database.open()
        record = Record(database)
        assert record.verify() == []
        events = Counter((entry.call, entry.event) for entry in record.entries(last=10**6))
    assert max(events.values()) == 1  # no number was given twice
    assert {number for number, event in events if event == "started"} >= set(told)
    assert len(told) >= times


def test_an_entry_that_was_promised_is_whole_and_in_its_place_after_kill_9(database, address, kind):
    kill_at_random_moments(address, 20 if kind == "sqlite" else 10)


@pytest.mark.slow
def test_a_hundred_deaths_leave_the_chain_sound(tmp_path):
    kill_at_random_moments(str(tmp_path / "ircops.sqlite"), 100)


def test_a_full_disk_refuses_what_would_begin_and_loses_nothing_that_has(tmp_path, monkeypatch):
    database = Database("", tmp_path)
    database.open()
    told: list[str] = []
    database.trouble = told.append
    record = Record(database, retry=0.01)
    connect = database._kind.connect

    def connect_to_a_full_disk() -> sqlite3.Connection:
        made = connect()
        made.execute("PRAGMA max_page_count = 1")  # SQLite takes that for: what it has now
        return made

    async def work() -> None:
        await record.open()
        long = Call(on_irc("alice"), "say " + "x" * 20_000, Reply(Heard()), "#ops")
        async with record.entry(long) as running:
            await asyncio.to_thread(running.start)
            monkeypatch.setattr(database._kind, "connect", connect_to_a_full_disk)
            database._disconnect()
            running.finished()
        async with record.entry(long) as refused:
            with pytest.raises(Unrecorded, match="disk is full; make room on its disk"):
                await asyncio.to_thread(refused.start)
        assert [fault.endswith("make room on its disk") for fault in told] == [True]
        monkeypatch.undo()
        await until(lambda: len(record.entries()) == 3)
        await record.close()

    asyncio.run(work())
    assert told[1:] == [""]
    assert [(entry.call, entry.event) for entry in record.entries()] == [
        (1, "started"),
        (1, "ended"),
        (2, "refused"),
    ]
    assert record.verify() == []
    database.close()


def test_while_postgresql_is_away_nothing_begins_and_no_ending_is_lost():
    server = Postgres()
    try:
        server.start()
        database = Database(server.new())
        database.open()
        record = Record(database, retry=0.05)

        async def work() -> None:
            await record.open()
            call = Call(on_irc("alice"), "load @web", Reply(Heard()), "#ops")
            async with record.entry(call) as running:
                await asyncio.to_thread(running.start)
                await asyncio.to_thread(server.stop)
                running.finished()
            async with record.entry(call) as refused:
                with pytest.raises(Unrecorded, match="see that it runs, and correct"):
                    await asyncio.to_thread(refused.start)
            await asyncio.to_thread(server.start)
            await until(lambda: len(record.entries()) == 3)
            await record.close()

        asyncio.run(work())
        events = [(entry.call, entry.event, entry.outcome) for entry in record.entries()]
        assert events[:2] == [(1, "started", ""), (1, "ended", "ok")]
        assert events[2][1] == "refused"
        assert record.verify() == []
        database.close()
    finally:
        server.remove()


def test_the_channel_is_told_once_that_nothing_runs_and_once_that_all_does_again(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("ircops.store.sqlite.LOOK", -1.0)
    settings = "[network test]\nserver = 127.0.0.1:6667\ntls = no\nchannels = #ops #dev\n"

    async def scene(bench: Bench) -> None:
        heard, places = Heard(), []

        def outlet(channels: tuple[str, ...]) -> Heard:
            places.append(channels)
            return heard

        bench.bot._notices.to = outlet  # type: ignore[assignment,method-assign]
        path = bench.bot.database.path
        away = path.rename(path.with_name("away"))
        for _ in range(3):
            said = await bench.say("coffee")
            assert said.text.startswith("not run, since it cannot be recorded: the database ")
        away.rename(path)
        assert not (await bench.say("coffee")).text.startswith("not run")
        await until(lambda: len(heard.lines) >= 2)
        assert [line.partition(":")[0] for line in heard.lines] == [
            "nothing runs, since it cannot be recorded",
            "the record can be written again, and commands run",
        ]
        assert set(places) == {("test/#ops",)}

    with_bot(tmp_path, settings, scene)
