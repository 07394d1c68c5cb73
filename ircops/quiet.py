"""Quiet hours: what nobody asked for is held back for a channel that has them, and summed up at their end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from ircops.call import Kind, Outlet, Paged
from ircops.config import Channel

log = logging.getLogger(__name__)

LOOK = 15.0  # seconds between looks whether the hours are over
MOST = 500  # lines held for a channel; of more only the number is known


@dataclass
class _Held:
    """What waits for one channel."""

    outlet: Outlet
    lines: dict[str, tuple[datetime, int]] = field(default_factory=dict)  # when last, how often
    lost: int = 0


class Quiet:
    """Knows which channel has its quiet hours, and keeps what it would have been told. On the loop."""

    def __init__(
        self,
        channel: Callable[[str], Channel],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`channel` gives the settings of one by its name."""
        self._channel, self._now = channel, now
        self._held: dict[str, _Held] = {}

    def is_quiet(self, place: str) -> bool:
        """Whether `#ops` or `network/#ops` has its quiet hours now."""
        channel = self._channel(place.rpartition("/")[2])
        return channel.quiet is not None and self._local(place).time() in channel.quiet

    def hushed(self, place: str, outlet: Outlet) -> Outlet:
        """The way to `place` for what nobody asked for."""
        return _Hushed(self, place, outlet)

    def hold(self, place: str, outlet: Outlet, text: str) -> None:
        """Keep a line for later; the same line again only counts."""
        held = self._held.setdefault(place, _Held(outlet))
        _, times = held.lines.pop(text, (None, 0))
        if len(held.lines) >= MOST:
            held.lost += 1
        else:
            held.lines[text] = (self._now(), times + 1)

    def release(self) -> None:
        """Say what was held for channels whose hours are over."""
        for place in [place for place in self._held if not self.is_quiet(place)]:
            held = self._held.pop(place)
            number = len(held.lines) + held.lost
            lines = "1 line" if number == 1 else f"{number} lines"
            held.outlet.write(Kind.REPORT, f"held back in the quiet hours: {lines}")
            zone = self._zone(place)
            for text, (at, times) in held.lines.items():
                often = f" ({times} times)" if times > 1 else ""
                held.outlet.write(Kind.REPORT, f"{at.astimezone(zone):%H:%M} {text}{often}")
            held.outlet.finish()

    async def run(self) -> None:
        """Release what is held as the hours end, until cancelled; what is held then is in the log."""
        try:
            while True:
                await asyncio.sleep(LOOK)
                self.release()
        finally:
            for place, held in self._held.items():
                for text, (at, _) in held.lines.items():
                    log.warning("not said in %s, for its quiet hours (%s): %s", place, at, text)

    def _zone(self, place: str) -> ZoneInfo:
        return ZoneInfo(self._channel(place.rpartition("/")[2]).timezone)

    def _local(self, place: str) -> datetime:
        return self._now().astimezone(self._zone(place))


class _Hushed(Paged):
    """An Outlet that holds what comes in quiet hours."""

    def __init__(self, quiet: Quiet, place: str, outlet: Outlet) -> None:
        self._quiet, self._place, self._outlet = quiet, place, outlet

    def write(self, kind: Kind, text: str) -> None:
        if not self._quiet.is_quiet(self._place):
            self._outlet.write(kind, text)
        elif kind is not Kind.PROGRESS:
            self._quiet.hold(self._place, self._outlet, text)

    def finish(self) -> None:
        if not self._quiet.is_quiet(self._place):  # else its lines come with those of others
            self.pass_on(self._outlet)
        self._outlet.finish()

    def more(self) -> list[str]:
        return self._outlet.more()
