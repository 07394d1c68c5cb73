"""The transcript: every line of our channels, written behind the bot's back, kept for a while, searched.

Unlike the record it may lose lines, and says how many: nothing waits for it, and a disk that is full costs
lines, never answers. Words are looked for with LIKE, newest first, in the index of the channel: every SQL
database has it, and a search ends as soon as it has found enough.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from ircops.call import Said
from ircops.errors import OpsError
from ircops.redact import redactor
from ircops.store.database import Database
from ircops.store.times import moment, stamp

log = logging.getLogger(__name__)

GATHER = (
    1.0  # seconds that lines are gathered before they are written together, unless a batch is full
)
BATCH = 100  # lines a transaction: what writes to the record waits milliseconds for one, not more
WAITING = 20_000  # lines that wait while they cannot be written
RETRY = 30.0  # seconds until that is tried again
PRUNED = timedelta(days=1)  # how often old lines are thrown away
EVENTS = ("join", "part", "quit", "nick", "mode")  # nobody looks for them by words

# A search that has answered in a channel is in its transcript; the next one must not find that.
QUOTED = re.compile(r"(\S+: )?([#&+!]\S+ )?(\d{4}-\d\d-\d\d )?\d\d:\d\d (<|\* |-)")

Place = tuple[str, str]  # network and channel

_INSERT = """INSERT INTO transcript
    (at, network, channel, nick, account, kind, text, is_ours, message_id) VALUES """
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
# a line that is there already came again, in a history
_ONCE = " ON CONFLICT DO NOTHING"
_PRUNE = "DELETE FROM transcript WHERE id IN (SELECT id FROM transcript WHERE at < ? LIMIT ?)"


class Transcript:
    """`add` is for the loop and never waits; what reads blocks, for worker threads."""

    def __init__(
        self,
        database: Database,
        secrets: Iterable[str] = (),
        keep: float = 0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        retry: float = RETRY,
    ) -> None:
        """`keep` is seconds, 0 = no line is kept; `secrets` are values that stay out of it."""
        self._database, self._now, self._retry = database, now, retry
        self._waiting: deque[Said] = deque()
        self._thread: ThreadPoolExecutor | None = None
        self._timer: asyncio.TimerHandle | None = None  # of the next flush
        self.lost = 0  # lines, since the start
        self.set(secrets, keep)

    def set(self, secrets: Iterable[str], keep: float) -> None:
        """Take new settings, and throw away what is too old by them."""
        self._redact, self._keep = redactor(secrets), timedelta(seconds=keep)
        self._pruned_at = datetime.min.replace(tzinfo=UTC)
        if self._thread is not None:
            self._flush_in(0)

    def open(self) -> None:
        """Begin to take lines; the database is open. On the loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "transcript")
        self._flush_in(0)

    async def close(self) -> None:
        """Write what waits; what cannot be written even now is lost."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.submit(self._flush)
            await asyncio.to_thread(thread.shutdown)
        if self._waiting:
            self.lost += len(self._waiting)
            log.error("the transcript has lost %d lines, %d in all", len(self._waiting), self.lost)

    # -- writing --

    def add(self, said: Said) -> None:
        """Take a line. On the loop."""
        if self._thread is None or not self._keep:
            return
        if len(self._waiting) >= WAITING:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(said)
        if (
            len(self._waiting) == BATCH
        ):  # a little often, not much at once: who answers now shares the CPU
            self._flush_in(0)
        elif self._timer is None:
            self._flush_in(GATHER)

    def _flush_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._submit)

    def _submit(self) -> None:
        self._timer = None
        if self._thread is not None:
            self._thread.submit(self._flush).add_done_callback(self._flushed)

    def _flushed(self, flush: Future[bool]) -> None:
        """In the thread: a fault is logged, and what waits is tried again later."""
        if error := flush.exception():
            log.error("the transcript's writer failed", exc_info=error)
        elif not flush.result():
            self._loop.call_soon_threadsafe(self._flush_in, self._retry)

    def _flush(self) -> bool:
        """Write all that waits, and prune if it is time; False if that fails. In the thread."""
        batch: list[Said] = []
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                self._write(batch)
                batch = []
            if self._now() - self._pruned_at >= PRUNED:
                self._prune()
        except OpsError as error:
            self._waiting.extendleft(reversed(batch))
            log.error(
                "%d lines wait for the transcript, %d lost so far: %s",
                *(len(self._waiting), self.lost, error.message),
            )
            return False
        return True

    def _write(self, batch: list[Said]) -> None:
        """In one statement: at each of several, others would take turns with us, and the record waits."""
        values = [value for said in batch for value in self._row(said)]
        rows = ", ".join([_ROW] * len(batch))
        with self._database.append() as connection:
            connection.execute(_INSERT + rows + _ONCE, values)

    def _row(self, said: Said) -> tuple[str | int | None, ...]:
        at, network, channel, nick, kind, text, account, message_id, is_ours = said
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode()
        text = self._redact(text.replace("\0", ""))
        who = (nick, account)
        return (stamp(at), network, channel, *who, kind, text, int(is_ours), message_id or None)

    def _prune(self) -> None:
        """Throw away what is too old, a batch at a time: the record must not wait."""
        before = stamp(self._now() - self._keep)
        gone = 1
        while gone:
            with self._database.append() as connection:
                gone = connection.execute(_PRUNE, (before, BATCH)).rowcount
        self._pruned_at = self._now()

    # -- reading --

    def search(
        self,
        words: Iterable[str],
        places: Iterable[Place],
        *,
        user: str = "",
        since: datetime | None = None,
        last: int = 5,
        but: str = "",
    ) -> list[Said]:
        """The newest `last` lines said in `places` that have all the words, oldest first. Raises OpsError.

        `user` is a nick or an account; what begins with `but` is not looked for. Also finds what was
        said a moment ago.
        """
        from sqlalchemy import or_, select

        from ircops.store.schema import transcript

        if self._thread is not None:
            self._thread.submit(self._flush).result()
        column = transcript.c
        query = select(transcript).order_by(column.at.desc(), column.id.desc())
        query = query.where(column.kind.not_in(EVENTS))
        for word in words:
            query = query.where(column.text.icontains(word, autoescape=True))
        if user:
            query = query.where(or_(column.nick == user, column.account == user))
        if since is not None:
            query = query.where(column.at >= stamp(since))
        if but:
            query = query.where(~column.text.istartswith(but, autoescape=True))
        found: list[Said] = []
        for network, channel in places:  # one by one: each is read in the order of its index
            here = query.where(column.network == network, column.channel == channel)
            fitting = (said for said in self._read(here) if not _is_an_answer(said))
            found += itertools.islice(fitting, last)
        found.reverse()
        return sorted(found, key=lambda said: said.at)[-last:]

    def export(self, channel: str = "", since: datetime | None = None) -> Iterator[Said]:
        """All of it, oldest first; `channel` is `#ops` or `network/#ops`."""
        from sqlalchemy import select

        from ircops.store.schema import transcript

        network, _, name = channel.rpartition("/")
        column = transcript.c
        query = select(transcript).order_by(column.at, column.id)
        if name:
            query = query.where(column.channel == name)
        if network:
            query = query.where(column.network == network)
        if since is not None:
            query = query.where(column.at >= stamp(since))
        return self._read(query)

    def _read(self, query: Any) -> Iterator[Said]:
        with (
            self._database.read() as connection,
            connection.execution_options(yield_per=500).execute(query) as found,
        ):
            for row in found.mappings():
                known = {name: row[name] for name in Said._fields}
                known |= {"at": moment(row["at"]), "is_ours": bool(row["is_ours"])}
                yield Said(**known | {"message_id": row["message_id"] or ""})


def _is_an_answer(said: Said) -> bool:
    return said.is_ours and QUOTED.match(said.text) is not None


def as_text(said: Said) -> str:
    """One line for a person: `2026-11-22 21:05:00Z test #ops <alice> hello`."""
    return f"{said.at:%Y-%m-%d %H:%M:%SZ} {said.network} {said.channel} {said}"


def as_json(said: Said) -> str:
    """One line of JSON Lines, without what is empty."""
    known = {name: value for name, value in said._asdict().items() if value}
    return json.dumps(known | {"at": stamp(said.at)}, ensure_ascii=False)
