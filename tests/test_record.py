from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from ircops.call import Call, Reply, Sender, User
from ircops.errors import Denied, Unrecorded
from ircops.policy import Role
from ircops.record import Entry, Open, Record
from ircops.store.database import Database
from tests.people import Heard, on_irc, until

NINE = datetime(2026, 11, 22, 9, tzinfo=UTC)
ALICE = on_irc("alice")


def call(line: str = "load @web", sender: Sender = ALICE, where: str = "#ops") -> Call:
    return Call(sender, line, Reply(Heard()), where, message_id="m1")


def on(record: Record, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Open the record, do the work on a loop, close it."""

    async def go() -> Any:
        await record.open()
        try:
            return await work()
        finally:
            await record.close()

    return asyncio.run(go())


async def run(record: Record, a_call: Call, **known: Any) -> Open:
    """What dispatch does for a call that succeeds."""
    async with record.entry(a_call) as entry:
        entry.user = User(a_call.sender.account, Role.OPERATOR)
        for name, value in known.items():
            setattr(entry, name, value)
        await asyncio.to_thread(entry.start)
        entry.finished("ok", 0, "d" * 64, 2)
    return entry


def story(record: Record) -> list[tuple[int | None, str, str]]:
    return [(entry.call, entry.event, entry.outcome) for entry in record.entries()]


def test_a_call_has_a_row_before_it_starts_and_one_when_it_ended(database, address):
    ticks = iter(NINE + timedelta(seconds=2.5 * n) for n in range(9))
    record = Record(database, now=lambda: next(ticks))
    seen_at_start: list[str] = []

    async def work() -> None:
        async with record.entry(call()) as entry:
            entry.user = User("alice", Role.OPERATOR)
            entry.command, entry.hosts, entry.approvers = "load", "web[1-3]", ["bob", "carol"]
            entry.start()
            with closing(Database(address)) as another_process:
                seen_at_start.extend(entry.event for entry in Record(another_process).entries())
            entry.finished("failed on web2", 1, "d" * 64, 3)

    on(record, work)
    assert seen_at_start == ["started"]
    started, ended = record.entries()
    assert started == Entry(
        seq=1,
        call=1,
        at=NINE,
        event="started",
        door="irc",
        network="test",
        channel="#ops",
        user="alice",
        role="operator",
        account="alice",
        evidence="account-tag",
        mask="alice!alice@host.example",
        message_id="m1",
        line="load @web",
        command="load",
        hosts="web[1-3]",
        plan="",
        approvers=("bob", "carol"),
        outcome="",
        exit_code=None,
        seconds=None,
        lines=None,
        digest="",
        previous="",
        hash=started.hash,
    )
    assert (ended.call, ended.event, ended.outcome, ended.exit_code) == (
        1,
        "ended",
        "failed on web2",
        1,
    )
    assert (ended.seconds, ended.lines, ended.digest) == (2.5, 3, "d" * 64)
    assert (ended.user, ended.line, ended.previous) == ("alice", "load @web", started.hash)
    assert [str(started), str(ended)] == [
        "2026-11-22 09:00:00Z #1 alice started: load @web on web[1-3]",
        "2026-11-22 09:00:02Z #1 alice ended: load @web on web[1-3]: failed on web2 (2.5 s)",
    ]


def test_a_refused_call_leaves_one_row_with_the_reason(database):
    record = Record(database)

    async def work() -> None:
        async with record.entry(call("reboot web1")) as entry:
            entry.failed(Denied("reboot needs role admin; yours is operator"))
        async with record.entry(call("laod")) as entry:
            entry.failed(click.UsageError("No such command 'laod'."))

    on(record, work)
    assert story(record) == [
        (1, "refused", "reboot needs role admin; yours is operator"),
        (2, "refused", "no such command 'laod'"),
    ]
    assert [entry.exit_code for entry in record.entries()] == [1, 2]


def test_a_call_that_only_asked_for_help_is_not_refused(database):
    record = Record(database)

    async def work() -> None:
        async with record.entry(call("load --help")) as entry:
            entry.finished()

    on(record, work)
    assert story(record) == [(1, "ended", "ok")]


def test_the_ending_is_written_whatever_ends_the_call(database):
    record = Record(database)

    async def work() -> None:
        with pytest.raises(ZeroDivisionError):
            async with record.entry(call()) as entry:
                entry.start()
                raise ZeroDivisionError
        started = asyncio.Event()

        async def endless() -> None:
            async with record.entry(call()) as entry:
                entry.start()
                started.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(endless())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    on(record, work)
    assert story(record)[1::2] == [(1, "ended", "cut off"), (2, "ended", "cut off")]


def test_nothing_starts_that_cannot_be_recorded(database, locked):
    record = Record(database)
    ran: list[int] = []

    async def work() -> str:
        with locked():
            try:
                async with record.entry(call()) as entry:
                    entry.start()
                    ran.append(entry.number)
            except Unrecorded as error:
                return error.message
        return ""

    sentence = on(record, work)
    assert ran == []
    assert sentence.startswith("not run, since it cannot be recorded: the database ")
    assert sentence.endswith("; end the other process that writes to it")
    assert story(record) == [(1, "refused", "cut off")]  # kept until the database was free again


def test_an_ending_that_cannot_be_written_is_tried_again_until_it_is(database, locked, caplog):
    record = Record(database, retry=0.01)

    async def work() -> None:
        async with record.entry(call()) as entry:
            entry.start()
            entry.finished()
            lock = locked()
            lock.__enter__()
        await until(lambda: "1 rows wait to be recorded" in caplog.text)
        lock.__exit__(None, None, None)
        await until(lambda: len(record.entries()) == 2)

    on(record, work)
    assert story(record) == [(1, "started", ""), (1, "ended", "ok")]
    assert record.verify() == []


def test_what_was_kept_goes_before_what_came_later(database, locked):
    record = Record(database, retry=0.05)

    async def work() -> None:
        with locked():
            for word in ("one", "two"):
                await record.note(word)
        await record.note("three")

    on(record, work)
    assert [entry.event for entry in record.entries()] == ["one", "two", "three"]


def test_what_can_never_be_written_ends_up_in_the_log(database, locked, caplog):
    record = Record(database)
    caplog.set_level(logging.CRITICAL)
    with locked():
        on(record, lambda: record.note("stopped", outcome="goodbye"))
    assert record.entries() == []
    assert 'could not be recorded: {"at":"' in caplog.text
    assert '"event":"stopped","outcome":"goodbye"}' in caplog.text


def test_a_closed_record_lets_nothing_start(database):
    record = Record(database)

    async def work() -> None:
        await record.close()
        async with record.entry(call()) as entry:
            with pytest.raises(Unrecorded, match="the bot is stopping"):
                entry.start()

    on(record, work)


def test_the_loop_goes_on_while_the_database_is_stuck(database, locked):
    record = Record(database)

    async def work() -> int:
        with locked():
            stuck = asyncio.create_task(record.note("started"))
            turns = 0
            while not stuck.done():
                turns += 1
                await asyncio.sleep(0)
        return turns

    assert on(record, work) > 10


def test_a_burst_is_committed_together(database, monkeypatch):
    record = Record(database)
    commits: list[object] = []
    append = database.append

    def counted() -> object:
        commits.append(None)
        return append()

    async def work() -> None:
        monkeypatch.setattr(database, "append", counted)
        await asyncio.gather(*(run(record, call(f"ping {n}")) for n in range(200)))

    on(record, work)
    assert len(commits) < 200  # 400 rows
    assert len(record.entries(last=999)) == 400
    assert record.verify() == []


def test_calls_are_numbered_in_the_order_they_came(database):
    def numbers() -> list[int]:
        record = Record(database)

        async def work() -> list[Open]:
            return await asyncio.gather(*(run(record, call()) for _ in range(20)))

        return [entry.number for entry in on(record, work)]

    assert numbers() == list(range(1, 21))
    assert numbers() == list(range(21, 41))  # also over a restart


def test_who_comes_while_others_wait_for_a_number_does_not_overtake_them(database):
    record, asked, given = Record(database), [], []

    async def one(name: int) -> None:
        asked.append(name)
        async with record.entry(call()) as entry:
            given.append((entry.number, name))
        if len(asked) < 500:  # at each turn of the loop one more comes
            await one(len(asked))

    async def work() -> None:
        await asyncio.gather(*map(one, range(200)))

    on(record, work)
    assert [name for _, name in sorted(given)] == asked


PROCESS = """
import asyncio, sys
from pathlib import Path
from ircops.call import Call, Reply, Sender
from ircops.record import Record
from ircops.store.database import Database
from tests.people import Heard

async def main():
    database = Database(sys.argv[1])
    database.open()
    record = Record(database)
    await record.open()
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(25):
        async with record.entry(Call(Sender("console", "bob"), "ping", Reply(Heard()))) as entry:
            entry.start()
            print(entry.number, flush=True)
            entry.finished()
    await record.close()
    database.close()

asyncio.run(main())
"""


def process(address: str) -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", PROCESS, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


def test_two_processes_share_one_chain_and_no_number(database, address):
    processes = [process(address) for _ in range(2)]
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    numbers = [
        int(number) for one in processes for number in one.communicate(timeout=60)[0].split()
    ]
    assert len(set(numbers)) == 50
    record = Record(database)
    assert record.verify() == []
    assert record.head[0] == 100


def test_a_started_call_is_on_the_record_though_the_bot_is_killed(database, address):
    one = process(address)
    assert one.stdin is not None and one.stdout is not None
    one.stdin.write("go\n")
    one.stdin.flush()
    number = int(one.stdout.readline())
    one.kill()
    one.communicate()
    assert Record(database).entries(call=number)[0].event == "started"
    assert Record(database).verify() == []


def test_secrets_stay_off_the_record(database):
    record = Record(database, secrets=["hunter2"])

    async def work() -> None:
        async with record.entry(call("say hunter2 --token abc123 s3cret")) as entry:
            record.hide(["s3cret"])
            entry.failed("no: hunter2 is s3cret")

    on(record, work)
    (entry,) = record.entries()
    assert (entry.line, entry.outcome) == ("say hunter2 --token *** ***", "no: hunter2 is ***")


def test_bytes_that_are_no_text_do_not_stop_the_record(database):
    record = Record(database)
    on(record, lambda: run(record, call(b"say caf\xe9\0".decode("utf-8", "surrogateescape"))))
    assert [entry.line for entry in record.entries()] == [r"say caf\udce9\0"] * 2
    assert record.verify() == []


def test_the_record_can_be_checked_and_taken_away(database, kind):
    record = Record(database)
    assert (record.verify(), record.head, list(record.export())) == ([], (0, ""), [])
    on(record, lambda: run(record, call()))
    assert [json.loads(line)["event"] for line in record.export()] == ["started", "ended"]
    assert record.head == (2, record.entries()[-1].hash)
    kept = record.head
    with database.append() as connection:
        where = " ON record" if kind == "postgresql" else ""
        connection.execute(f"DROP TRIGGER record_no_update{where}")
        connection.execute("UPDATE record SET line = 'ping' WHERE event = 'started'")
        connection.execute(f"DROP TRIGGER record_no_delete{where}")
        connection.execute("DELETE FROM record WHERE event = 'ended'")
    assert record.verify(kept) == [
        "entry 1 was changed",
        "entry 2 was removed",
        "the triggers are gone that refuse changes to the record; restore a backup",
    ]


def test_entries_are_found_by_what_is_asked(database):
    times = iter(NINE + timedelta(minutes=n) for n in range(99))
    record = Record(database, now=lambda: next(times))
    bob = Sender("console", "bob", "bob")

    async def work() -> None:
        await run(
            record, call("load @web"), command="load", hosts="web[1-12]"
        )  # 09:00, ended 09:01
        await run(record, call("schedule pause x", bob, ""), command="schedule pause")  # 09:02
        await run(record, call("load db1", bob, "#db"), command="load", hosts="db1,web2")  # 09:04
        await record.note("stopped")  # 09:06

    on(record, work)

    def found(**asked: Any) -> list[int | None]:
        return [entry.call for entry in record.entries(**asked)]

    assert found() == [1, 1, 2, 2, 3, 3, None]
    assert found(last=2) == [3, None]
    assert found(user="bob") == [2, 2, 3, 3]
    assert found(host="web1") == [1, 1]
    assert found(host="web2") == [1, 1, 3, 3]
    assert found(host="web12") == [1, 1]
    assert found(host="web") == found(host="web[1-12]") == found(host="web[") == []
    assert found(command="schedule") == found(command="schedule pause") == [2, 2]
    assert found(command="sched") == []
    assert found(where="#db") == [3, 3]
    assert found(since=NINE + timedelta(minutes=4)) == [3, 3, None]
    assert found(call=2) == [2, 2]
    assert found(user="bob", host="web2", last=1) == [3]
