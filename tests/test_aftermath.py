"""Jobs of a bot that was killed; whole bots that are killed are in real/test_aftermath_real.py."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from ircops.aftermath import Aftermath
from ircops.call import Call, Reply, Sender
from ircops.jobs import Jobs
from ircops.record import Record
from ircops.store.database import Database
from tests.people import ALICE, Heard, on_irc, until

LOST = "lost: the bot was killed while it ran"


async def cut_off(record: Record, line: str, hosts: str, where: str, sender: Sender) -> None:
    """A call begins, and its end is never recorded."""
    async with record.entry(Call(sender, line, Reply(Heard()), where)) as entry:
        entry.user, entry.hosts, entry.command = ALICE, hosts, line.split()[0]
        await asyncio.to_thread(entry.start)
        entry.is_handed_over = True


def test_every_call_that_began_and_did_not_end_is_lost_once(
    database: Database, tmp_path: Path
) -> None:
    said: list[tuple[tuple[str, ...], Heard]] = []

    def outlet(channels: tuple[str, ...]) -> Heard:
        said.append((channels, Heard()))
        return said[-1][1]

    async def scene() -> None:
        record, jobs = Record(database), Jobs(tmp_path)
        await record.open()
        await cut_off(record, "run web[1-2] make", "web[1-2]", "#ops", on_irc("alice"))
        await cut_off(record, "coffee", "", "", Sender("console", "alice", "alice"))
        aftermath = Aftermath(database, record, jobs, outlet)
        left = aftermath.read()
        await cut_off(record, "load web1", "web1", "#ops", on_irc("alice"))  # of this bot
        work = asyncio.create_task(aftermath.run(left, lambda: None))
        await until(lambda: len(said) == 2 and said[1][1].is_finished)
        where = f"{LOST}; it may still run on web[1-2]"
        assert [(places, heard.lines) for places, heard in said] == [
            (("test/#ops",), [f"job 1 (alice: run web[1-2] make) is {where}"]),
            ((), [f"job 2 (alice: coffee) is {LOST}"]),
        ]
        assert [(job.number, job.state, job.outcome) for job in jobs.recent] == [
            (2, "lost", LOST),
            (1, "lost", where),
        ]
        ends = [(e.call, e.outcome) for e in record.entries(last=9) if e.event == "ended"]
        assert ends == [(1, where), (2, LOST)]
        assert not record.verify()
        await until(lambda: [row["call"] for row in left_now(aftermath)] == [3])
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        await record.close()

    asyncio.run(scene())


def left_now(aftermath: Aftermath) -> list[dict[str, object]]:
    left = aftermath.read()
    assert left is not None
    return list(left.unfinished)


def test_nothing_is_called_lost_while_another_process_may_run_it(
    database: Database, tmp_path: Path
) -> None:
    aftermath = Aftermath(database, Record(database), Jobs(tmp_path), lambda channels: Heard())
    other = Jobs(tmp_path)
    assert aftermath.read() is None
    other.close()
    assert aftermath.read() is not None
