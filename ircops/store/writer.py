"""Rows for the record: queued on the loop, written by one thread, what waits together in one transaction."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ircops.errors import OpsError, Unrecorded
from ircops.store import chain
from ircops.store.database import Database
from ircops.store.schema import counters

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = logging.getLogger(__name__)

RETRY = 5.0  # seconds until what could not be written is tried again


class Numbered(Protocol):
    """A call, which gets its number with the first thing it puts here."""

    number: int  # 0 = none yet


@dataclass(eq=False)
class _Append:
    row: Mapping[str, Any] | None
    call: Numbered | None
    must: bool
    done: Future[None] = field(default_factory=Future)


class Writer:
    """Appends to the record between `open` and `close`, both on the loop."""

    def __init__(self, database: Database, retry: float = RETRY) -> None:
        self._database = database
        self._retry = retry
        self._retrying = False
        self._waiting: deque[_Append] = deque()
        self._thread: ThreadPoolExecutor | None = None

    def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "record")

    async def close(self) -> None:
        """Write what waits; what still cannot be written goes to the log."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.submit(self._flush)
            await asyncio.to_thread(thread.shutdown)
        while self._waiting:
            _log_lost(self._waiting.popleft())

    async def put(
        self, row: Mapping[str, Any] | None, call: Numbered | None = None, must: bool = False
    ) -> None:
        """Append a row, or with None only give the call its number; returns when that is durable.

        A row that need not be written now is kept until it can be, and this returns after the first try.
        Raises Unrecorded for one that must. A task cancelled meanwhile does not take its row back.
        """
        append = _Append(row, call, must)
        if self._thread is not None:
            self._waiting.append(append)
            self._submit()
            await asyncio.shield(asyncio.wrap_future(append.done))
        elif must:
            raise Unrecorded("not run, since the bot is stopping; call it again when it is back")
        else:
            _log_lost(append)

    def _submit(self) -> None:
        """Have the thread look at what waits. On the loop."""
        self._retrying = False
        if self._thread is not None:
            self._thread.submit(self._flush).add_done_callback(_log_fault)

    def _submit_later(self) -> None:
        if not self._retrying:
            self._retrying = True
            self._loop.call_later(self._retry, self._submit)

    def _flush(self) -> None:
        """Write all that waits. In the thread, as are `_write` and `_settle`."""
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        fault: OpsError | None = OpsError("the writer failed; see the bot's log")
        try:
            self._write(batch)
            fault = None
        except OpsError as error:
            fault = error
        finally:  # whatever happens, nobody waits for ever
            self._settle(batch, fault)

    def _write(self, batch: list[_Append]) -> None:
        if not batch:
            return
        with self._database.write() as connection:
            calls = dict.fromkeys(a.call for a in batch if a.call and not a.call.number)
            numbers = dict(zip(calls, _take_numbers(connection, len(calls)), strict=True))
            rows = [
                {**a.row, "call": a.call and (a.call.number or numbers[a.call])}
                for a in batch
                if a.row is not None
            ]
            chain.append(connection, rows)
        for call, number in numbers.items():  # not before it is committed
            call.number = number

    def _settle(self, batch: list[_Append], fault: OpsError | None) -> None:
        """Tell those who wait; keep, in their order, rows that may be written later."""
        kept = [append for append in batch if fault and not append.must]
        self._waiting.extendleft(reversed(kept))
        if fault and kept:
            log.error("%d rows wait to be recorded: %s", len(kept), fault.message)
            self._loop.call_soon_threadsafe(self._submit_later)
        for append in batch:
            if append.done.done():  # it was kept before
                continue
            if fault and append.must:
                sentence = f"not run, since it cannot be recorded: {fault.message}"
                append.done.set_exception(Unrecorded(sentence))
            else:
                append.done.set_result(None)


def _take_numbers(connection: Connection, count: int) -> range:
    """The next numbers for calls; they are taken when the transaction commits."""
    if not count:
        return range(0)
    mine = counters.c.name == "call"
    connection.execute(counters.update().where(mine).values(value=counters.c.value + count))
    last: int = connection.execute(counters.select().where(mine)).mappings().one()["value"]
    return range(last - count + 1, last + 1)


def _log_lost(append: _Append) -> None:
    """The log is the second best place."""
    if append.row is not None:
        log.critical("could not be recorded: %s", chain.canonical(append.row))


def _log_fault(flush: Future[None]) -> None:
    if error := flush.exception():
        log.error("the record's writer failed", exc_info=error)
