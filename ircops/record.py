"""The record of everything done: who, what, where, when, approved by whom, how it ended.

A call writes `started` before its command runs and `ended` after it; one that never started writes a
single row, `refused`. The bot's own news are rows too. Rows are chained (`store/chain.py`), and each says
everything known by then, so that it can be read by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from ircops.call import Call, User
from ircops.errors import FAILED, Unrecorded, sentence
from ircops.redact import redactor
from ircops.store import chain
from ircops.store.database import Database
from ircops.store.times import moment, stamp
from ircops.store.verify import faults
from ircops.store.writer import RETRY, Append, Writer


@dataclass(frozen=True)
class Entry:
    """One row of the record."""

    seq: int
    call: int | None  # the call's number; None: the bot's own news
    at: datetime  # UTC
    event: str
    door: str
    network: str
    channel: str
    user: str
    role: str
    account: str
    evidence: str
    mask: str
    message_id: str
    line: str
    command: str
    hosts: str  # folded
    plan: str  # SHA-256 of what consent was given to, hex
    approvers: tuple[str, ...]
    outcome: str
    exit_code: int | None
    seconds: float | None
    lines: int | None  # of the output, as is its digest
    digest: str
    previous: str
    hash: str

    def __str__(self) -> str:
        """One line: `2026-11-22 09:00:00Z #42 alice ended: load @web on web[1-3]: ok (2.5 s)`."""
        who = f" #{self.call} {self.user or self.mask}" if self.call else ""
        line = f": {self.line}" if self.line else ""
        hosts = f" on {self.hosts}" if self.hosts else ""
        outcome = f": {self.outcome}" if self.outcome else ""
        seconds = f" ({self.seconds:.1f} s)" if self.seconds is not None else ""
        return f"{self.at:%Y-%m-%d %H:%M:%SZ}{who} {self.event}{line}{hosts}{outcome}{seconds}"


class Open:
    """A call's part of the record while it lives: set what becomes known, then say how it ended.

    `async with` it: it has its number in the block, and how it ended is written a moment after that. A record that
    cannot be written shows in `start` only.
    """

    def __init__(self, record: Record, call: Call) -> None:
        self.number = 0  # stays 0 only if the record cannot be written, and then nothing starts
        self.user: User | None = None
        self.command = ""
        self.hosts = ""  # folded
        self.plan = ""  # digest of what consent is given to
        self.approvers: Iterable[str] = ()
        self._record = record
        self._call = call
        self.is_handed_over = False  # it goes on, and its end is another bot's to note
        self._append: Append | None = None  # that it began
        self._started: datetime | None = None
        self._known: dict[str, Any] = {}  # what its rows have in common, once it has started
        self._ending: dict[str, Any] = {"outcome": "cut off", "exit_code": FAILED}

    async def __aenter__(self) -> Open:
        with suppress(Unrecorded):
            await self._record.writer.number(self)
        return self

    async def __aexit__(self, *error: object) -> None:
        if not self.is_handed_over:
            self._record.writer.later(self.ending(), self)

    def begin(self) -> None:
        """Line up for the record that the command is about to run; in a worker thread. Raises Unrecorded."""
        started = self._record.now()
        self._known = self._record.clean(self._row())
        row = {**self._known, "event": "started", "at": stamp(started)}
        self._append = self._record.writer.offer(row, self)
        self._started = started

    def start(self) -> None:
        """Have that on the record now; in the thread that will run it. Raises Unrecorded: then it must not."""
        if self._append is None:
            self.begin()
        assert self._append is not None
        try:
            self._record.writer.wait(self._append)
        except Unrecorded:
            self._started = None
            raise

    async def asked(self) -> None:
        """Have it on the record that its plan is shown and waits for consent."""
        now = stamp(self._record.now())
        await self._record.put({**self._row(), "event": "asked", "at": now}, self)

    def resume(self, started: datetime) -> None:
        """It is on the record already that it began."""
        self._started = started

    def failed(self, error: click.ClickException | str) -> None:
        """Note why it was refused or, once started, what went wrong."""
        code = FAILED if isinstance(error, str) else error.exit_code
        self._ending = {"outcome": sentence(error), "exit_code": code}

    def finished(
        self, outcome: str = "ok", exit_code: int = 0, digest: str = "", lines: int = 0
    ) -> None:
        """Note how it ended: a word, the exit code, SHA-256 (hex) and number of lines of the output."""
        self._ending = {
            "outcome": outcome,
            "exit_code": exit_code,
            "digest": digest,
            "lines": lines,
        }

    def ending(self) -> dict[str, Any]:
        """The row for how it ended, as far as that was noted; clean."""
        now = self._record.now()
        row = self._known or self._record.clean(self._row())
        row = {**row, "event": "ended", "at": stamp(now), **self._record.clean(self._ending)}
        if self._started is not None:
            took = max(timedelta(), now - self._started)  # the clock may have been set back
            row["milliseconds"] = took // timedelta(milliseconds=1)
        elif self._ending["exit_code"]:  # without one it asked for --help
            row["event"] = "refused"
        return row

    def _row(self) -> dict[str, Any]:
        call, sender, user = self._call, self._call.sender, self.user
        return {
            "door": sender.door,
            "network": sender.network,
            "channel": call.where,
            "user": user.name if user else "",
            "role": str(user.role) if user else "",
            "account": sender.account,
            "evidence": sender.evidence,
            "mask": sender.mask or sender.name,
            "message_id": call.message_id,
            "line": call.line,
            "command": self.command,
            "hosts": self.hosts,
            "plan": self.plan,
            "approvers": " ".join(self.approvers),
        }


class Record:
    """The record, from `open` to `close`. Appends on the loop; what reads blocks: for worker threads."""

    def __init__(
        self,
        database: Database,
        secrets: Iterable[str] = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        retry: float = RETRY,
    ) -> None:
        """`secrets` are values that stay off the record even if somebody types them."""
        self.now = now
        self._database = database
        self.writer = Writer(database, retry)
        self.hide(secrets)

    def hide(self, secrets: Iterable[str]) -> None:
        """Replace these values by stars from now on, instead of those named before."""
        self.redact = redactor(secrets)

    async def open(self) -> None:
        """Begin to take entries; the database is open."""
        self.writer.open()

    async def close(self) -> None:
        """Write what waits; what cannot be written even now goes to the log."""
        await self.writer.close()

    def entry(self, call: Call) -> Open:
        """The record of one call."""
        return Open(self, call)

    async def note(self, event: str, **fields: str) -> None:
        """Put on the record what is no call: `note("connected", network="libera")`."""
        await self.put({"at": stamp(self.now()), "event": event, **fields})

    def entries(
        self,
        *,
        user: str = "",
        host: str = "",
        command: str = "",
        where: str = "",
        since: datetime | None = None,
        call: int | None = None,
        last: int = 20,
    ) -> list[Entry]:
        """The `last` entries that fit all that is asked, oldest first. Raises OpsError.

        `host` is one host's name; `command` may be a group of commands.
        """
        from ircops.store.schema import record

        self.writer.flush()
        column = record.c
        query = record.select().order_by(column.seq.desc())
        if user:
            query = query.where(column.user == user)
        if command:
            inner = column.command.startswith(f"{command} ", autoescape=True)
            query = query.where((column.command == command) | inner)
        if where:
            query = query.where(column.channel == where)
        if since is not None:
            query = query.where(column.at >= stamp(since))
        if call is not None:
            query = query.where(column.call == call)
        with (
            self._database.read() as connection,
            connection.execution_options(yield_per=500).execute(query) as found,
        ):
            rows = found.mappings()
            fitting = (row for row in rows if not host or host in _names(row["hosts"]))
            return [_entry(row) for row in itertools.islice(fitting, last)][::-1]

    def verify(self, kept: chain.Head | None = None) -> list[str]:
        """Read all of it and say what was changed, removed or moved, the first first; [] = it is sound.

        `kept` is its head of before: see `store/verify.py`.
        """
        self.writer.flush()
        with self._database.read() as connection:
            found = faults(chain.rows(connection), kept)
        if self._database.unguarded():
            found.append(
                "the triggers are gone that refuse changes to the record; restore a backup"
            )
        return found

    def export(self) -> Iterator[str]:
        """All of it as JSON Lines. A line's hash is the SHA-256 of that line without its `hash` member."""
        with self._database.read() as connection:
            yield from map(chain.canonical, chain.rows(connection))

    @property
    def head(self) -> chain.Head:
        """Number and hash of the newest row; 0 and "" of an empty record."""
        with self._database.read() as connection:
            return chain.head(connection)

    async def put(
        self, row: Mapping[str, Any], call: Open | None = None, must: bool = False
    ) -> None:
        """Append a row without secrets; see `Writer.put`."""
        await self.writer.put(self.clean(row), call, must)

    def clean(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row as it is written: without secrets, and without what is empty."""
        said = {name: value for name, value in row.items() if value != ""}
        whole = "".join(map(str, said.values()))
        if not (whole.isascii() and whole.isprintable()):
            said = {n: _storable(v) if isinstance(v, str) else v for n, v in said.items()}
        for name in ("line", "outcome"):
            if name in said:
                said[name] = self.redact(said[name])
        return said


def _storable(text: str) -> str:
    """Text that every database can hold: no NUL, no lone surrogate."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", r"\0")


def _entry(row: Mapping[Any, Any]) -> Entry:
    values = dict(row)
    milliseconds = values.pop("milliseconds")
    values["seconds"] = None if milliseconds is None else milliseconds / 1000
    values["at"] = moment(values["at"])
    values["approvers"] = tuple(values["approvers"].split())
    return Entry(**values)


def _names(hosts: str) -> frozenset[str]:
    """The hosts a folded node set names."""
    from ircops.ssh.nodes import unfolded  # ClusterShell: for who asks about a host

    return unfolded(hosts)
