"""What becomes of machines by the clock: warned of and destroyed when their time is up; failed ones cleaned away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from ircops.call import Call, Kind, Outlet, Reply, Sender, User
from ircops.errors import OpsError, sentence
from ircops.ops.machines import Machine, Machines, needless
from ircops.policy import Role

if TYPE_CHECKING:
    from ircops.ops import Parts
    from ircops.record import Record

log = logging.getLogger(__name__)

OFTEN = 15.0  # seconds between looks
SETTLED = timedelta(minutes=2)  # what a provider was told before that, it has done or never will
EXPIRY = User("expiry", Role.ADMIN, "[provider] expire, or --for")


class Lifetimes:
    """On the loop, beside everything else; what blocks goes to threads."""

    def __init__(
        self,
        machines: Machines,
        record: Record,
        outlet: Callable[[tuple[str, ...]], Outlet],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`outlet` gives the way to channels, each as `network/#channel`."""
        self._machines, self._record, self._outlet, self._now = machines, record, outlet, now
        self._otherwise: tuple[str, ...] = ()  # channels that hear of what was made in none
        self._told: dict[str, str] = {}  # label -> the last trouble with it that was said

    def take_over(self) -> None:
        """What another bot was making when it ended is not being made any more. Before any door opens; blocks."""
        for machine in self._machines.all:
            if machine.state in ("creating", "setup"):
                why = "the bot ended while it was made"
                self._machines.change(machine, state="failed", why=why)

    async def run(self, parts: Callable[[], Parts]) -> None:
        """Look again and again."""
        while True:
            with suppress(OpsError):  # the database: whoever writes next says so
                await self.look(parts())
            await asyncio.sleep(OFTEN)

    async def look(self, parts: Parts) -> None:
        """Do what is due."""
        self._otherwise = parts.settings.bot.trouble
        now = self._now()
        for machine in self._machines.all:
            if machine.state == "failed":
                await self._clean(machine, now, parts)
            elif machine.expires_at is not None and machine.is_whole:
                if machine.expires_at <= now:
                    await self._expire(machine, parts)
                else:
                    await self._warn(machine, machine.expires_at - now, parts)

    async def _warn(self, machine: Machine, left: timedelta, parts: Parts) -> None:
        """Say, 30 and 5 minutes before, that its time is nearly up."""
        assert machine.expires_at is not None
        due = needless(left)
        if due <= machine.warned:
            return
        await asyncio.to_thread(self._machines.change, machine, warned=due)
        at, prefix = f"{machine.expires_at:%H:%M} UTC", parts.settings.bot.prefix
        minutes = max(round(left.total_seconds() / 60), 1)
        self._say(
            machine,
            f"{machine.name} is destroyed in {minutes} min ({at}); "
            f"{prefix}server extend {machine.name} 4h keeps it",
        )

    async def _expire(self, machine: Machine, parts: Parts) -> None:
        """Its time is up: an entry on the record, as for whatever anybody does."""
        sender = Sender("expiry", "expiry", network=machine.network)
        reply = Reply(self._outlet(()))  # what is said of it is no answer to anybody
        call = Call(sender, f"server destroy {machine.name}", reply, machine.channel)
        async with self._record.entry(call) as entry:
            entry.user, entry.command, entry.hosts = EXPIRY, "server destroy", machine.name
            try:
                said = await asyncio.to_thread(self._destroy, machine, parts, entry.start)
            except OpsError as error:
                entry.failed(error)
                self._trouble(machine, f"its time is up, and it is still there: {sentence(error)}")
                return
            entry.finished()
        self._told.pop(machine.label, None)
        self._say(machine, f"{said}, as its time was up")

    async def _clean(self, machine: Machine, now: datetime, parts: Parts) -> None:
        """Take away what is left of it, and say so; nothing there is believed once the dust has settled."""
        from ircops.ops.creation import remove

        run = partial(parts.fanout.run, note=f"cleaning up after {machine.name}")
        try:
            provider = parts.servers.provider(machine.provider, run)
            was_there = await asyncio.to_thread(remove, provider, machine)
        except OpsError as error:
            self._trouble(machine, f"may be left on {machine.provider}: {sentence(error)}")
            return
        if not was_there and now - machine.made_at < SETTLED:
            return
        await asyncio.to_thread(self._machines.remove, machine)
        self._told.pop(machine.label, None)
        left = (
            "what was left of it is removed"
            if was_there
            else f"nothing of it is left on {machine.provider}"
        )
        said = f"{machine.name} (job {machine.job}, {machine.why}): {left}"
        await self._record.note("server", hosts=machine.name, outcome=said)
        self._say(machine, said)

    def _destroy(self, machine: Machine, parts: Parts, start: Callable[[], None]) -> str:
        start()
        run = partial(parts.fanout.run, note=f"destroying {machine.name}: its time is up")
        return parts.servers.destroy(run, machine)

    def _trouble(self, machine: Machine, text: str) -> None:
        """Say it once, until it is another trouble; it is tried again at each look."""
        if self._told.get(machine.label) != text:
            self._told[machine.label] = text
            self._say(machine, f"{machine.name}: {text}; the bot tries again")

    def _say(self, machine: Machine, text: str) -> None:
        log.info("%s", text)
        outlet = self._outlet((machine.place,) if machine.place else self._otherwise)
        outlet.write(Kind.REPORT, text)
        outlet.finish()
