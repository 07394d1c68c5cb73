"""Rows for the record: whoever comes first writes all that waits, in one transaction; the others find it done.

A row that must be there before a command runs is written at once, by the command's own thread. One that only
has to get there lingers, for the next of the others to take it along, and is written a moment later if none comes.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from ircops.errors import OpsError, Unrecorded
from ircops.store import chain
from ircops.store.database import Database

log = logging.getLogger(__name__)

RETRY = 5.0  # seconds until what could not be written is tried again
LINGER = 0.01  # seconds that a row nobody waits for may wait for company
BLOCK = 64  # numbers for calls taken at a time, at the least; a bot that is killed leaves its rest unused


class Numbered(Protocol):
    """A call, which has its number before the first thing it puts here."""

    number: int  # 0 = none yet


@dataclass(eq=False, slots=True)
class Append:
    """A row on its way, or only a wish for numbers."""

    row: Mapping[str, Any] | None
    call: Numbered | None
    must: bool
    is_done: bool = False
    fault: OpsError | None = None
    on_done: Callable[[], object] | None = None  # called in any thread


class Writer:
    """Appends to the record between `open` and `close`, both on the loop."""

    def __init__(self, database: Database, retry: float = RETRY) -> None:
        self._database = database
        self._retry = retry
        self._later: asyncio.TimerHandle | None = None
        self._flushes = 0  # since the start
        self._waiting: deque[Append] = deque()
        self._numbers: deque[int] = deque()  # taken, for calls to come
        self._asking = asyncio.Lock()
        self._askers = 0  # who wait for a number; nobody may overtake them
        self._writing = threading.Lock()
        self._thread: ThreadPoolExecutor | None = None

    def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "record")

    async def close(self) -> None:
        """Write what waits; what still cannot be written goes to the log."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.submit(self.flush)
            thread.submit(self._give_back)
            await asyncio.to_thread(thread.shutdown)
        while self._waiting:
            _log_lost(self._waiting.popleft())

    async def number(self, call: Numbered) -> None:
        """Give `call` the next number, in the order they ask. Raises Unrecorded where none is to be had."""
        if self._numbers and not self._askers:
            call.number = self._numbers.popleft()
            return
        self._askers += 1
        try:
            async with self._asking:
                while not self._numbers:
                    await self._put(Append(None, None, must=True))
                call.number = self._numbers.popleft()
        finally:
            self._askers -= 1

    async def put(
        self, row: Mapping[str, Any], call: Numbered | None = None, must: bool = False
    ) -> None:
        """Append a row; returns when that is durable.

        A row that need not be written now is kept until it can be, and this returns after the first try.
        Raises Unrecorded for one that must. A task cancelled meanwhile does not take its row back.
        """
        await self._put(Append(row, call, must))

    def later(self, row: Mapping[str, Any], call: Numbered) -> None:
        """Append a row some time soon, or as soon as it can be. On the loop."""
        append = Append(row, call, must=False)
        if self._thread is None:
            _log_lost(append)
        else:
            self._waiting.append(append)
            if self._later is None:
                self._later = self._loop.call_later(LINGER, self._linger, self._flushes)

    def offer(self, row: Mapping[str, Any], call: Numbered) -> Append:
        """Line up a row that must be durable when `wait` for it returns. Any thread. Raises Unrecorded."""
        append = Append(row, call, must=True)
        if self._thread is None:
            raise _stopping()
        self._waiting.append(append)
        return append

    def wait(self, append: Append) -> None:
        """Have it durable, with all that waits beside it; in a worker thread. Raises Unrecorded."""
        if not append.is_done:
            with self._writing:
                if not append.is_done:  # nobody took it along
                    self._flush_alone()
        if append.fault:
            raise append.fault

    def flush(self) -> None:
        """Write all that waits. In a worker thread."""
        with self._writing:
            self._flush_alone()

    async def _put(self, append: Append) -> None:
        if self._thread is None:
            if append.must:
                raise _stopping()
            _log_lost(append)
            return
        done = self._loop.create_future()
        append.on_done = lambda: self._loop.call_soon_threadsafe(_release, done)
        self._waiting.append(append)
        if append.must:
            self._submit()
        else:
            self._submit_after(LINGER)
        await done
        if append.fault:
            raise append.fault

    def _linger(self, flushes: int) -> None:
        """Write what waits, unless others write all the time. On the loop."""
        if flushes == self._flushes:
            self._submit()
        elif self._waiting:
            self._later = self._loop.call_later(LINGER, self._linger, self._flushes)
        else:
            self._later = None

    def _submit(self) -> None:
        """Have the thread look at what waits. On the loop."""
        self._later = None
        if self._thread is not None and self._waiting:
            self._thread.submit(self.flush).add_done_callback(_log_fault)

    def _submit_after(self, seconds: float) -> None:
        if self._later is None:
            self._later = self._loop.call_later(seconds, self._submit)

    def _flush_alone(self) -> None:
        """Write all that waits. In any thread, holding the lock, as are `_write` and `_settle`."""
        self._flushes += 1
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        fault: OpsError | None = OpsError("the writer failed; see the bot's log")
        try:
            self._write(batch)
            fault = None
        except OpsError as error:
            fault = error
        finally:  # whatever happens, nobody waits for ever
            self._settle(batch, fault)

    def _write(self, batch: list[Append]) -> None:
        if not batch:
            return
        with self._database.append() as connection:
            is_short = len(self._numbers) < BLOCK // 2
            taken = _take_numbers(connection, BLOCK + self._askers) if is_short else range(0)
            spare = iter(taken)
            rows = []
            for append in batch:
                if append.row is not None:
                    # a call has none if nothing could be written when it came
                    number = append.call and (append.call.number or next(spare, 0))
                    rows.append({**append.row, "call": number})
            chain.append(connection, rows)
        self._numbers.extend(spare)  # not before it is committed

    def _settle(self, batch: list[Append], fault: OpsError | None) -> None:
        """Tell those who wait; keep, in their order, rows that may be written later."""
        kept = [append for append in batch if fault and not append.must]
        self._waiting.extendleft(reversed(kept))
        if fault and kept:
            log.error("%d rows wait to be recorded: %s", len(kept), fault.message)
            self._loop.call_soon_threadsafe(self._submit_after, self._retry)
        for append in batch:
            if append.is_done:  # it was kept before
                continue
            append.is_done = True
            if fault and append.must:
                append.fault = Unrecorded(f"not run, since it cannot be recorded: {fault.message}")
            if append.on_done:
                append.on_done()

    def _give_back(self) -> None:
        """Leave no gap: numbers that were taken and not used go back, unless somebody has taken later ones."""
        if self._numbers:
            change = "UPDATE counters SET value = ? WHERE name = 'call' AND value = ?"
            with self._database.append() as connection:
                connection.execute(change, (self._numbers[0] - 1, self._numbers[-1]))
            self._numbers.clear()


def _take_numbers(connection: sqlite3.Connection, count: int) -> range:
    """The next numbers for so many calls; they are taken when the transaction commits."""
    change = "UPDATE counters SET value = value + ? WHERE name = 'call' RETURNING value"
    ((last,),) = connection.execute(change, (count,)).fetchall()
    return range(last - count + 1, last + 1)


def _release(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _stopping() -> Unrecorded:
    return Unrecorded("not run, since the bot is stopping; call it again when it is back")


def _log_lost(append: Append) -> None:
    """The log is the second best place."""
    if append.row is not None:
        log.critical("could not be recorded: %s", chain.canonical(append.row))


def _log_fault(flush: Future[None]) -> None:
    if error := flush.exception():
        log.error("the record's writer failed", exc_info=error)
