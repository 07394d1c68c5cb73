"""One network: connected to one of its servers, and connected again whenever that ends, until stopped."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from ircops import config
from ircops.call import Call, Kind, Said
from ircops.errors import Refused
from ircops.irc.channels import Joins, Listener
from ircops.irc.connection import Liveness, Reactor, Wire, reason
from ircops.irc.ends import Backoff, Banned, Unavailable, growth, patience
from ircops.irc.history import Gaps
from ircops.irc.multiline import Incoming
from ircops.irc.outlet import Outlet
from ircops.irc.pacing import Pacer
from ircops.irc.protocol import Line, build
from ircops.irc.queue import Priority
from ircops.irc.registration import Regain, Registration
from ircops.irc.roster import Roster
from ircops.irc.scribe import Scribe
from ircops.irc.sts import Policies, Upgrade, Watch, upgraded
from ircops.irc.voice import Voice

log = logging.getLogger(__name__)

FAREWELL = 2.0  # seconds for what waits, and the QUIT behind it, to leave when we stop
GRACE = 2.0  # seconds that something planned may be late before we count as stuck
# The server has said what it says of itself: end of MOTD, or no MOTD.
ALL_SAID = frozenset({"376", "422", "PONG"})

SAID = frozenset({"PRIVMSG", "NOTICE", "TAGMSG"})

SECONDS_LEFT = "\0"  # stands for them in the words of a status


class Figures(NamedTuple):
    """How a network stands, in numbers; lines since the bot was started."""

    is_connected: bool
    lag: float | None  # seconds, where a PONG has come
    queued: int
    sent: int
    lost: int


class Network:
    """A [network NAME] of the settings. Built, and used, on the loop.

    `handle` gets the calls, `write` the transcript, `trouble` the channel and what is wrong there; `jitter` gives
    numbers from 0 to 1.
    """

    def __init__(
        self,
        name: str,
        settings: config.Settings,
        handle: Callable[[Call], Awaitable[object]],
        *,
        jitter: Callable[[], float] = random.random,
        write: Callable[[Said], None] = lambda said: None,
        trouble: Callable[[str, str], None] = lambda channel, sentence: None,
    ) -> None:
        self.name, self._settings = name, settings
        loop = self._loop = asyncio.get_running_loop()
        self._wire: Wire = Reactor(loop=loop).server()
        self._policies = Policies(settings.bot.state / "sts.json", time.time)
        self._roster = Roster()
        self._roster.reset(settings.bot.nick, frozenset())
        self._pacer = Pacer(self._put, loop.time, loop.call_later)
        self._leaving = bytearray()  # in this turn of the loop
        self._joins = Joins(self._roster, settings.networks[name].channels, trouble)
        self._scribe = Scribe(name, self._roster, self._joins, write)
        self._multiline = Incoming()
        self._voice = Voice(settings, self._roster, self._pacer, loop.time, loop.call_later)
        self._listener = Listener(name, settings, self._roster, self._joins, self._voice, handle)
        self._gaps = Gaps(self._roster, self._joins, self._listener.is_command, self._report)
        self._backoff = Backoff(jitter)
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopping = self._said_goodbye = False
        self._was_welcome = False  # once, in any connection
        self._ready_at: float | None = None  # in this connection
        self._address = ""
        self._plan(math.inf, "not started")

    # -- asked --

    @property
    def status(self) -> str:
        """How it stands, in a few words."""
        if self._ready_at is None:
            left = max(self._planned - self._loop.time(), 0)
            return self._state.replace(SECONDS_LEFT, f"{left:.0f}")
        lag = self._liveness.lag
        return f"connected to {self._address}" + (f", lag {lag * 1000:.0f} ms" if lag else "")

    @property
    def figures(self) -> Figures:
        """The same in numbers."""
        lag = None if self._ready_at is None else self._liveness.lag
        lost = self._voice.lost + self._joins.lost
        return Figures(self._ready_at is not None, lag, self._pacer.waiting, self._pacer.left, lost)

    @property
    def is_alive(self) -> bool:
        """Not stuck: the server was heard of lately, or what is planned is not overdue, or all is over."""
        is_over = self._task is None or self._task.done()
        return is_over or self._loop.time() <= self._planned + GRACE

    def is_joined(self, channel: str) -> bool:
        return self._roster.is_joined(channel)

    def shared_with(self, mask: str) -> list[str]:
        """Our channels that whoever has this nick!user@host is in at this moment."""
        return self._joins.shared_with(mask)

    def account_of(self, person: int) -> str | None:
        """The account that the person of this number has now; None if we do not see them any more."""
        return self._roster.account_of(person)

    def outlet(self, channel: str) -> Outlet:
        """Where to say in `channel` what nobody asked for."""
        return Outlet(self._voice, self._joins.name(channel) or channel, None)

    # -- told --

    async def run(self) -> None:
        """Connect, serve and connect again until stopped. Raises Refused when trying again is no use."""
        if self._is_stopping:
            return
        self._task = asyncio.create_task(self._serve_for_ever())
        try:
            await asyncio.wait([self._task])
        finally:
            self._task.cancel()
        if not self._task.cancelled():
            self._task.result()

    async def stop(self, farewell: str) -> None:
        """Say what waits, then `farewell`, in at most 2 s, and end `run`."""
        self._is_stopping = True
        if self._ready_at is not None:
            goodbye = build("QUIT", " ".join(farewell.split()))
            self._send(Priority.PROGRESS, [goodbye])  # behind all that waits
            self._said_goodbye = True
            await asyncio.wait([self._ended], timeout=FAREWELL)
            self._said_goodbye = False
            self._send(Priority.URGENT, [goodbye])
            self._leave()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._voice.give_up()

    def reload(self, settings: config.Settings) -> None:
        """Take new settings: channels are joined and left now; what is for connecting counts the next time."""
        self._settings = self._voice.settings = self._listener.settings = settings
        now = self._loop.time()
        is_ready = self._ready_at is not None
        joins = settings.networks[self.name].channels
        self._send(Priority.ERROR, self._joins.reload(joins, now if is_ready else math.inf))
        self._send(Priority.ERROR, self._joins.tick(now))

    # -- from connection to connection --

    async def _serve_for_ever(self) -> None:
        server = 0
        while True:
            network = self._settings.networks[self.name]
            address = network.server[server % len(network.server)]
            error = await self._try(*self._policies.enforced(address, network))
            if isinstance(error, Upgrade):
                log.info("network %s: %s: %s", self.name, address, error)
                error = await self._try(*upgraded(address, network, error.port))
            if isinstance(error, Refused | Banned) and not self._was_welcome:
                self._plan(math.inf, f"refused: {error}")
                raise Refused(f"network {self.name}: {error}")
            if self._is_stopping:
                return
            server += 1
            if self._was_good:
                server = 0
                self._backoff.reset()
            why = reason(error)
            limits = (network.reconnect_min, network.reconnect_max)
            wait = self._backoff.next(*limits, patience(error), growth(error))
            log.warning("network %s: %s: %s; again in %.1f s", self.name, address, why, wait)
            self._plan(wait, f"reconnecting in {SECONDS_LEFT} s: {why}")
            await asyncio.sleep(wait)

    async def _try(self, address: config.Address, network: config.Network) -> Exception:
        """One connection from its beginning to its end; gives the reason: OSError, Unavailable or Refused."""
        try:
            return await self._serve(address, network)
        except (OSError, Unavailable, Refused) as error:
            return error

    async def _serve(self, address: config.Address, network: config.Network) -> Exception:
        self._network, self._address, self._was_good = network, str(address), False
        self._sts = Watch(self._policies, address, network.tls)
        self._ended: asyncio.Future[Exception] = self._loop.create_future()
        self._plan(network.connect_timeout, f"connecting to {address}")
        try:
            await self._wire.dial(address, network, self._opened, self._heard, self._lost)
            await asyncio.wait([self._ended])
        finally:
            self._wire.disconnect(Unavailable("hung up"))
        return self._ended.result()

    def _opened(self, transport: asyncio.Transport) -> None:
        now, network, bot = self._loop.time(), self._network, self._settings.bot
        self._plan(network.connect_timeout, f"registering with {self._address}")
        peer = transport.get_extra_info("peername")
        is_secret = network.tls or ipaddress.ip_address(peer[0]).is_loopback
        self._registration = Registration(bot, network, is_secret, now)
        self._liveness = Liveness(network.ping_interval, network.ping_timeout)
        self._roster.reset(bot.nick, self._registration.caps)
        self._regain = Regain(bot.nick, self._roster)
        self._send(Priority.URGENT, self._registration.start())
        self._set_timer()

    def _lost(self, why: Exception) -> None:
        """The connection ended; from here on, what is said is kept for the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ready_at is not None:  # one that ended at once is no reason to hurry back
            self._was_good = self._loop.time() - self._ready_at > self._network.ping_interval
        self._ready_at = None
        self._leaving.clear()
        self._sts.end()
        self._joins.end()
        self._gaps.end(reason(why))
        self._voice.keep(self._pacer.reset(has_taken_all=self._said_goodbye))
        self._multiline.clear()
        self._roster.reset(self._settings.bot.nick, frozenset())
        self._ended.set_result(why)

    # -- in a connection --

    def _heard(self, line: Line) -> None:
        """Take a line of the server. What it raises but Refused and Unavailable concerns this line only."""
        now = self._loop.time()
        self._liveness.heard(line, now)
        if self._ready_at is not None:
            self._planned = now + self._network.ping_interval + self._network.ping_timeout
        if line.command == "PING":
            self._send(Priority.URGENT, [build("PONG", *line.params[:1])])
            return
        if line.command == "PONG":
            self._pacer.pong(line.params[-1] if line.params else "")
        for whole in self._multiline.feed(line):
            self._take(whole, now)

    def _take(self, line: Line, now: float) -> None:
        self._scribe.feed(line)
        if line.command in SAID:  # most lines by far, and of concern to few
            self._voice.feed(line)
            self._gaps.feed(line, now)
            self._listener.feed(line)
            return
        self._sts.feed(line)
        self._roster.feed(line)
        self._send(Priority.URGENT, self._registration.feed(line, now))
        self._voice.feed(line)
        self._send(Priority.ERROR, self._regain.feed(line, now))
        self._send(Priority.ERROR, self._joins.feed(line, now))
        self._send(Priority.ERROR, self._gaps.feed(line, now))
        if line.command == "001":
            self._send(Priority.URGENT, [self._liveness.ping(now)])
        elif line.command in ALL_SAID and self._ready_at is None and self._registration.is_welcome:
            self._ready(now)
        elif line.command in ("JOIN", "366", "315"):  # we are in; all names are known; all accounts
            self._voice.deliver()
        self._listener.feed(line)
        self._set_timer()

    def _ready(self, now: float) -> None:
        self._ready_at = now
        self._was_welcome = True
        has_echo = "echo-message" in self._roster.caps
        self._pacer.begin(has_echo, self._network.burst, self._network.rate)
        log.info("network %s: connected to %s as %s", self.name, self._address, self._roster.me)
        bot_mode = self._roster.isupport.bot
        if bot_mode:
            self._send(Priority.ERROR, [build("MODE", self._roster.me, f"+{bot_mode}")])
        self._send(Priority.ERROR, self._joins.begin(now))

    def _send(self, priority: Priority, lines: Iterable[bytes]) -> None:
        for line in lines:
            self._pacer.send(priority, line)

    def _put(self, data: bytes) -> None:
        """Have `data` leave with what else leaves in this turn: each packet costs as much as a line."""
        if not self._leaving:
            self._loop.call_soon(self._leave)
        self._leaving += data

    def _leave(self) -> None:
        data, self._leaving = bytes(self._leaving), bytearray()
        if data:
            self._wire.send_raw(data)
        for line in data.splitlines():
            self._scribe.said(line)

    def _report(self, channel: str, text: str) -> None:
        outlet = self.outlet(channel)
        outlet.write(Kind.REPORT, text)
        outlet.finish()

    def _plan(self, seconds: float, state: str) -> None:
        self._planned, self._state = self._loop.time() + seconds, state

    def _set_timer(self) -> None:
        """See to it that `_tick` comes when the first of the parts is due; it may come too early."""
        parts = (self._regain, self._joins, self._gaps, self._voice)
        due = min(part.due for part in (self._registration, self._liveness, *parts))
        if due < math.inf and (self._timer is None or due < self._timer.when()):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        try:
            self._send(Priority.URGENT, self._registration.tick(now))
            self._send(Priority.URGENT, self._liveness.tick(now))
        except Unavailable as error:
            self._wire.disconnect(error)
            return
        for part in (self._regain, self._joins, self._gaps, self._voice):
            self._send(Priority.ERROR, part.tick(now))
        self._set_timer()
