"""The values that travel: Call, Sender, User, Reply, Stop, Result."""

from __future__ import annotations

import asyncio
import concurrent.futures
import enum
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol
from weakref import WeakKeyDictionary

import click

from ircops.errors import OpsError, Stopped, sentence
from ircops.policy import Role

SERVICES_AWAY = "services are away"  # the evidence of an IRC sender whose account cannot be known


@dataclass(frozen=True)
class Sender:
    """Who spoke, as the door that heard it can prove."""

    door: str  # irc, console, schedule
    name: str  # nick, unix user or schedule: what people call them, never what rights hang on
    account: str = (
        ""  # the services account, unix user or schedule; "" = not logged in, or not known
    )
    mask: str = ""  # nick!user@host as the server said it
    network: str = ""  # the [network NAME], on IRC
    evidence: str = ""  # what proves the account: account-tag, extended-join, whox, SO_PEERCRED …
    in_channel: bool = False  # in a channel of ours at this moment (what `viewer = *` asks)
    person: int = field(
        default=0, compare=False
    )  # whose connection to the network it is, whatever their nick; 0 = not known


@dataclass(frozen=True)
class User:
    """Who that is to us."""

    name: str  # the account; else unix:NAME, schedule:NAME, or the mask that matched
    role: Role
    why: str = ""  # the line of [roles] that says so, for !whoami

    def __str__(self) -> str:
        return self.name


class Kind(enum.IntEnum):
    """What words are for; the lower leaves first when lines wait."""

    ERROR = 1
    QUESTION = 2
    ANSWER = 3
    REPORT = 4  # nobody asked: a schedule, an alert
    PROGRESS = 5  # a newer one replaces one that still waits


class Outlet(Protocol):
    """Where a door puts the words of one call. Used on the loop only."""

    def write(self, kind: Kind, text: str) -> None:
        """Take one line, which may hold ANSI colours and any length; never blocks."""

    def finish(self) -> None:
        """The call is over: send what waits, say how much is held back for !more."""

    def more(self) -> list[str]:
        """Give the lines held back from this caller's last long answer here, and forget them."""


class Paged:
    """An Outlet that holds lines back, and can say on which page all of them are."""

    page: Callable[[], str] = staticmethod(lambda: "")  # its link; "" = there is none

    def pass_on(self, outlet: Outlet) -> None:
        """Let another one say it, which speaks for this one."""
        if isinstance(outlet, Paged):
            outlet.page = self.page


LINES_KEPT = (
    2000  # a reply's lines beyond this are counted, not carried; the job's output has them all
)
ANSWER_TIME = 120.0  # seconds a question waits


class Inbox:
    """What threads want done on a loop, in their order. To wake it costs more than a quick command, so once is enough."""

    _all: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Inbox]] = WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._wake = loop.call_soon_threadsafe
        self.thread = threading.get_ident()  # the loop's
        self._waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._is_woken = False  # the loop is about to look at what waits

    @classmethod
    def here(cls) -> Inbox:
        """Of the running loop."""
        loop = asyncio.get_running_loop()
        found = cls._all.get(loop)
        if found is None:
            found = cls._all[loop] = cls(loop)
        return found

    def put(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have `function(*arguments)` called on the loop, after all that was put before. Any thread."""
        self._waiting.append((function, arguments))
        if not self._is_woken:
            self._is_woken = True
            with suppress(RuntimeError):  # a body that was left behind may outlive the loop
                self._wake(self._empty)

    def _empty(self) -> None:
        self._is_woken = False
        try:
            while self._waiting:
                function, arguments = self._waiting.popleft()
                function(*arguments)
        finally:
            if self._waiting:  # one of them has failed
                self._is_woken = True
                self._wake(self._empty)


class Reply:
    """A call's one way back. Words may come from any thread; they leave in order, on the loop."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._inbox = Inbox.here()
        self._question: concurrent.futures.Future[str] | None = None
        self.lines = 0
        self.is_working = False  # a body runs for it; people may be shown that
        self.spoke_at = time.monotonic()

    def say(self, text: str) -> None:
        """Answer with `text`, a line for each of its lines."""
        self._send(Kind.ANSWER, text)

    def report(self, text: str) -> None:
        """Say what nobody asked for."""
        self._send(Kind.REPORT, text)

    def error(self, error: click.ClickException | str) -> None:
        """Refuse or fail in one sentence."""
        self._send(Kind.ERROR, sentence(error))

    def progress(self, text: str) -> None:
        """Say how far it is; only the newest matters."""
        self._send(Kind.PROGRESS, text)

    def ask(self, question: str, stop: Stop, timeout: float = ANSWER_TIME) -> str:
        """Ask the caller and wait, in a worker thread, for the answer (seconds, then OpsError)."""
        future: concurrent.futures.Future[str] = concurrent.futures.Future()
        stop.on_ask(lambda reason: future.cancel())
        self._question = future
        self._send(Kind.QUESTION, question)
        try:
            return future.result(timeout)
        except TimeoutError:
            raise OpsError(f"no answer within {timeout:.0f} s; call it again") from None
        except concurrent.futures.CancelledError:
            raise Stopped(stop.reason) from None
        finally:
            self._question = None

    @property
    def is_asking(self) -> bool:
        """A question of this call waits for its answer."""
        return self._question is not None and not self._question.done()

    def answer(self, text: str) -> None:
        """Give the open question its answer."""
        if self._question is not None and self.is_asking:
            self._question.set_result(text)

    def point_to(self, page: Callable[[], str]) -> None:
        """All of it can be read at the link that `page` gives, asked for when lines are held back. On the loop."""
        if isinstance(self._outlet, Paged):
            self._outlet.page = page

    def more(self) -> list[str]:
        """The lines held back from the caller's last long answer here. On the loop."""
        return self._outlet.more()

    def on_loop(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have `function(*arguments)` called on the loop, after all that was said so far. Any thread."""
        self._inbox.put(function, *arguments)

    def finish(self) -> None:
        """No more words will come. On the loop."""
        if self.lines > LINES_KEPT:
            self._outlet.write(Kind.ANSWER, f"… {self.lines - LINES_KEPT} more lines not kept here")
        self._outlet.finish()

    def _send(self, kind: Kind, text: str) -> None:
        self.spoke_at = time.monotonic()
        is_on_loop = threading.get_ident() == self._inbox.thread
        for line in text.splitlines() or [""]:
            if kind is Kind.ANSWER:
                self.lines += 1
                if self.lines > LINES_KEPT:
                    continue
            if is_on_loop:
                self._outlet.write(kind, line)
            else:
                self._inbox.put(self._outlet.write, kind, line)


class Stop:
    """A request to end, made once, seen by every thread that works for a call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event: threading.Event | None = None  # made for the first who waits
        self._callbacks: list[Callable[[str], object]] = []
        self.is_asked = False
        self.reason = ""

    def ask(self, reason: str) -> None:
        """Ask for the end; the first reason counts. Any thread."""
        with self._lock:
            if self.is_asked:
                return
            self.reason, self.is_asked = reason, True
            if self._event is not None:
                self._event.set()
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback(reason)

    def on_ask(self, callback: Callable[[str], object]) -> None:
        """Call `callback(reason)` when the end is asked for, at once if it was; in the asker's thread."""
        with self._lock:
            if not self.is_asked:
                self._callbacks.append(callback)
                return
        callback(self.reason)

    def wait(self, seconds: float) -> bool:
        """Sleep that ends early, True, when the end is asked for."""
        with self._lock:
            if self.is_asked:
                return True
            event = self._event = self._event or threading.Event()
        return event.wait(seconds)

    def check(self) -> None:
        """Raise Stopped if the end was asked for."""
        if self.is_asked:
            raise Stopped(self.reason)


@dataclass(frozen=True)
class Call:
    """One use of a command."""

    sender: Sender
    line: str  # what was said after the prefix: `load @web`
    reply: Reply
    where: str = ""  # the channel; "" = in private, or at the console
    message_id: str = ""  # the server's msgid of the line
    stop: Stop = field(default_factory=Stop)
    patience: float | None = None  # seconds that consent may be waited for; None: as usual


class Said(NamedTuple):
    """What was said, or happened, in a channel: one line of the transcript. There are many, so it is a cheap one."""

    at: datetime  # aware; the server's time where it says one
    network: str
    channel: str  # as the settings write it
    nick: str
    kind: str  # message, notice, action, join, part, quit, kick, nick, topic, mode
    text: str = ""
    account: str = ""
    message_id: str = ""  # the server's msgid
    is_ours: bool = False  # the bot said it

    def __str__(self) -> str:
        """As people know it from their clients: `<alice> hello`, `* alice joined`."""
        if self.kind in FORMS:
            return FORMS[self.kind].format(self.nick, self.text)
        return (
            f"* {self.nick} {self.kind}: {self.text}" if self.text else f"* {self.nick} {self.kind}"
        )


FORMS = {"message": "<{}> {}", "notice": "-{}- {}", "action": "* {} {}"}


@dataclass(frozen=True)
class Result:
    """What one command did on one host."""

    host: str
    stdout: str = ""
    stderr: str = ""
    exit_code: int | None = None  # None: it never ended there that we saw
    seconds: float = 0.0
    error: str = ""  # why there is no exit code, or what stopped it: one sentence
    spooled: Path | None = None  # has stdout as it came, where that was more than is kept here

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and not self.error

    @property
    def text(self) -> str:
        """What a person is shown: the output; else what went wrong."""
        output = (self.stdout if self.ok else self.stdout + self.stderr).strip("\n")
        if self.error:
            return f"{output}\n{self.error}" if output else self.error
        if self.exit_code and "\n" not in output:
            return f"{output} (exit {self.exit_code})" if output else f"exit {self.exit_code}"
        return f"{output}\nexit {self.exit_code}" if self.exit_code else output
