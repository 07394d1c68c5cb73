"""What another bot left behind, killed or ended in peace: its jobs are found again or said to be lost, every one.

The record says which calls began and have not ended. Where such a call had detached what it ran (which is written
down before it starts), it is followed on and its story finished where it was asked; the others are lost, with
the hosts where something of them may still run.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ircops.call import Call, Kind, Outlet, Reply, Sender, User
from ircops.errors import FAILED, OK, HandedOver, OpsError, sentence
from ircops.jobs import REMEMBERED, Job, Jobs, State
from ircops.policy import Role
from ircops.record import Open, Record
from ircops.store.database import Database
from ircops.store.times import moment, stamp
from ircops.terminal import Terminal

if TYPE_CHECKING:
    from ircops.ops import Parts
    from ircops.ssh.detach import Word

log = logging.getLogger(__name__)

RETRY = 5.0  # seconds until tidying up is tried again
LOST = "lost: the bot was killed while it ran"
NOT_ANSWERED = "not run: the bot was killed while it waited for consent"
COLUMNS = (
    "seq call at event door network channel user role account evidence mask message_id line command "
    "hosts approvers outcome"
).split()
SELECT = "SELECT " + ", ".join(f'r."{name}"' for name in COLUMNS) + " FROM record r"
# What is accounted for up to some row need not be read again.
UNFINISHED = f"""{SELECT}
WHERE r.seq > coalesce((SELECT value FROM counters WHERE name = 'accounted'), 0) AND r.call IS NOT NULL
AND (r.event = 'started' OR r.event = 'asked'
     AND NOT EXISTS (SELECT 1 FROM record s WHERE s.call = r.call AND s.event = 'started'))
AND NOT EXISTS (SELECT 1 FROM record e WHERE e.call = r.call AND e.event IN ('ended', 'refused'))
ORDER BY r.seq"""
RECENT = f"""{SELECT}
WHERE r.event = 'ended' AND r.call IS NOT NULL ORDER BY r.seq DESC LIMIT {REMEMBERED}"""
ENDED = """SELECT word, hosts FROM detached d
WHERE EXISTS (SELECT 1 FROM record r WHERE r.call = d.call AND r.event = 'ended')"""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Left:
    """What there was when we came."""

    unfinished: list[Row]
    recent: list[Row]  # newest first
    detached: Mapping[int, list[tuple[str, str, str]]]  # by call: word, hosts, when its time is up
    head: int  # the last row of the record


class Aftermath:
    """`detach` is for worker threads, `run` for the loop, beside everything else."""

    def __init__(
        self,
        database: Database,
        record: Record,
        jobs: Jobs,
        outlet: Callable[[tuple[str, ...]], Outlet],
    ) -> None:
        """`outlet` gives the way to channels, each as `network/#channel`."""
        self._database, self._record, self._jobs = database, record, jobs
        self._outlet = outlet
        self._following: set[asyncio.Task[None]] = set()

    def detach(self, job: Job, hosts: Iterable[str], timeout: float) -> Word:
        """Have it written down that a run of `job` goes on `hosts` without us, then give its word. Raises OpsError."""
        from ircops.ssh.detach import Word

        word = Word(secrets.token_hex(16))
        ends_at = stamp(datetime.now(UTC) + timedelta(seconds=timeout)) if timeout else ""
        with self._database.append() as connection:
            row = (word.run, job.number, " ".join(hosts), ends_at)
            connection.execute("INSERT INTO detached VALUES (?, ?, ?, ?)", row)
        job.is_detached = True
        return word

    def read(self) -> Left | None:
        """What is left by others; None while another process is at work on it. Blocking; before any door opens."""
        if not self._jobs.is_alone():
            log.warning("another process has jobs here; what was left is looked at by the next bot")
            return None
        with self._database.append() as connection:
            unfinished = connection.execute(UNFINISHED).fetchall()
            recent = connection.execute(RECENT).fetchall()
            detached = connection.execute("SELECT call, word, hosts, ends_at FROM detached")
            by_call: dict[int, list[tuple[str, str, str]]] = {}
            for call, *rest in detached.fetchall():
                by_call.setdefault(call, []).append((rest[0], rest[1], rest[2]))
            (head,) = connection.execute("SELECT coalesce(max(seq), 0) FROM record").fetchone()
        return Left(_rows(unfinished), _rows(recent), by_call, head)

    async def run(self, left: Left | None, parts: Callable[[], Parts]) -> None:
        """Account for what is left, then tidy up after detached jobs as they end."""
        if left is not None:
            self.recall(left)
            await self._account(left, parts)
        while True:
            is_tidy = await asyncio.to_thread(self._tidy, parts)
            if not is_tidy:
                asyncio.get_running_loop().call_later(RETRY, self._jobs.settled.set)
            await self._jobs.settled.wait()
            self._jobs.settled.clear()

    def recall(self, left: Left) -> None:
        """Have the last jobs that ended known again, and keep the output of no others."""
        for row in reversed(left.recent):
            self._jobs.remember(_job(row, _call(row, _Silence()), self._jobs))
        self._jobs.tidy(row["call"] for row in left.unfinished)

    async def _account(self, left: Left, parts: Callable[[], Parts]) -> None:
        accounted = left.head
        for row in left.unfinished:
            if row["event"] == "asked":
                await self._leave_unanswered(row)
            elif runs := left.detached.get(row["call"]):
                accounted = min(accounted, row["seq"] - 1)
                self._resume(row, runs, parts())
            else:
                await self._lose(row)
        try:
            await asyncio.to_thread(self._note, accounted)
        except OpsError as error:  # they are looked at once more at the next start
            log.error("%s", error.message)

    def _note(self, accounted: int) -> None:
        with self._database.append() as connection:
            connection.execute("DELETE FROM counters WHERE name = 'accounted'")
            connection.execute("INSERT INTO counters VALUES ('accounted', ?)", (accounted,))

    async def _lose(self, row: Row) -> None:
        """Nothing is known of it but that it began."""
        outcome = LOST + (f"; it may still run on {row['hosts']}" if row["hosts"] else "")
        outlet = self._way(row)
        call = _call(row, outlet)
        self._jobs.remember(_job({**row, "outcome": outcome}, call, self._jobs))
        opened = self._opened(row, call)
        opened.failed(outcome)
        await self._record.put(opened.ending(), opened)
        outlet.write(Kind.REPORT, f"job {row['call']} ({row['user']}: {row['line']}) is {outcome}")
        outlet.finish()

    async def _leave_unanswered(self, row: Row) -> None:
        """It never began. `unanswered.py` asks again, as another call, where that can be done."""
        opened = Open(self._record, _call(row, _Silence()))
        opened.number, opened.command, opened.hosts = row["call"], row["command"], row["hosts"]
        opened.user = _user(row)
        opened.failed(NOT_ANSWERED)
        await self._record.put(opened.ending(), opened)

    def _resume(self, row: Row, runs: list[tuple[str, str, str]], parts: Parts) -> None:
        """Follow it on."""
        from ircops.ssh.detach import Word

        call = _call(row, self._way(row))
        job = _job(row, call, self._jobs)
        job.state, job.is_detached = "running", True
        self._jobs.enter(job)
        for word, hosts, ends_at in runs:
            left = (moment(ends_at) - datetime.now(UTC)).total_seconds() if ends_at else 0.0
            results = parts.fanout.run(
                "",
                hosts.split(),
                detach=Word(word, is_known=True),
                timeout=max(left, 1.0) if ends_at else 0.0,
                stop=call.stop,
                missing=job.report,
                spool=job.spool(parts.settings.ssh.spool),
            )
            job.runs.append(results)
        task = asyncio.create_task(self._finish(row, job))
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    async def _finish(self, row: Row, job: Job) -> None:
        """Wait for its end, and tell it as its own bot would have."""
        thread = ThreadPoolExecutor(1, f"job-{job.number}")  # for days, it may be
        opened = self._opened(row, job.call)
        state: State
        try:
            terminal = await asyncio.get_running_loop().run_in_executor(thread, _told, job)
        except HandedOver as error:
            self._jobs.end(job, "running", sentence(error))  # here, that is
            return
        except OpsError as error:  # stopped
            state = "killed"
            outcome = "; ".join([sentence(error), *(results.ending for results in job.runs)])
            opened.failed(outcome)
            job.call.reply.report(f"job {job.number} ({job.user}: {job.line}): {outcome}")
        else:
            is_ok = all(results.ok for results in job.runs)
            state, outcome = ("done", "ok") if is_ok else ("failed", "exit 1")
            code = OK if is_ok else FAILED
            opened.finished(outcome, code, terminal.digest, terminal.lines)
        finally:
            thread.shutdown(wait=False)
        job.call.reply.finish()
        self._jobs.end(job, state, outcome)
        await self._record.put(opened.ending(), opened)
        self._jobs.settled.set()

    def _tidy(self, parts: Callable[[], Parts]) -> bool:
        """Forget, here and there, detached runs whose end is on the record; False if some are about to be."""
        try:
            with self._database.append() as connection:
                ended = connection.execute(ENDED).fetchall()
            for word, hosts in ended:
                from ircops.ssh.detach import Word

                parts().fanout.forget(Word(word), hosts.split()).wait()
                # a host that was away tidies up by itself
                with self._database.append() as connection:
                    connection.execute("DELETE FROM detached WHERE word = ?", (word,))
            with self._database.append() as connection:
                left = connection.execute("SELECT call FROM detached").fetchall()
        except OpsError as error:
            log.error("cannot tidy up after detached jobs: %s", error.message)
            return False
        running = {job.number for job in self._jobs.running}
        return all(call in running for (call,) in left)

    def _opened(self, row: Row, call: Call) -> Open:
        opened = Open(self._record, call)
        opened.number, opened.command, opened.hosts = row["call"], row["command"], row["hosts"]
        opened.user = _user(row)
        opened.approvers = row["approvers"].split()
        opened.resume(moment(row["at"]))
        return opened

    def _way(self, row: Row) -> Outlet:
        """To where it was asked; what was asked in private or at a console is for `!last` and the log."""
        is_public = row["door"] in ("irc", "schedule") and row["channel"]
        place = f"{row['network']}/{row['channel']}" if row["network"] else row["channel"]
        return self._outlet((place,) if is_public else ())


class _Silence:
    """An Outlet of a call that has long ended."""

    def write(self, kind: Kind, text: str) -> None:
        pass

    def finish(self) -> None:
        pass

    def more(self) -> list[str]:
        return []


def _told(job: Job) -> Terminal:
    """Wait for what runs for `job`, and say what came of it. In a thread. Raises HandedOver, Stopped."""
    texts = [str(results) for results in job.runs]
    job.call.stop.check()
    terminal = Terminal(job.call, job.file, job.head, job.clean)
    terminal.write(f"job {job.number} ({job.user}: {job.line}), found again after a restart:\n")
    terminal.write("\n".join(texts) + "\n")
    terminal.close()
    return terminal


def _rows(found: list[Any]) -> list[Row]:
    return [dict(zip(COLUMNS, row, strict=True)) for row in found]


def _call(row: Row, outlet: Outlet) -> Call:
    name = row["mask"].partition("!")[0] or row["user"]
    who = (row["account"], row["mask"], row["network"], row["evidence"])
    sender = Sender(row["door"], name, *who)
    return Call(sender, row["line"], Reply(outlet), row["channel"], row["message_id"])


def _job(row: Row, call: Call, jobs: Jobs) -> Job:
    """As it ended, or as it began if it has not."""
    job = jobs.made(row["call"], _user(row), call, row["command"], row["hosts"])
    job.outcome, job.started = row["outcome"], moment(row["at"])
    if job.outcome:
        job.ended = job.started
        is_lost = job.outcome.startswith(LOST)
        job.state = "lost" if is_lost else "done" if job.outcome == "ok" else "failed"
    return job


def _user(row: Row) -> User:
    return User(row["user"], Role[(row["role"] or "nobody").upper()])
