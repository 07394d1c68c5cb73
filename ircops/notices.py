"""What nobody asked for: the channels it goes to, at what hours, and who hears of trouble."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from ircops.call import Kind, Outlet, Paged
from ircops.config import Settings
from ircops.quiet import Quiet

log = logging.getLogger(__name__)

Places = tuple[str, ...]  # `#ops` on every network that has it, or `NETWORK/#ops`


class Reachable(Protocol):
    """A network, as far as it is of concern here."""

    def outlet(self, channel: str) -> Outlet: ...


class Notices:
    """The ways to our channels. On the loop."""

    def __init__(
        self, settings: Callable[[], Settings], networks: Mapping[str, Reachable], quiet: Quiet
    ) -> None:
        self._settings, self._networks, self._quiet = settings, networks, quiet

    def to(self, places: Places) -> Outlet:
        """Where reports for `places` go, at any hour."""
        outlets: list[Outlet] = []
        for place in places:
            wanted, _, name = place.rpartition("/")
            outlets += [
                network.outlet(name)
                for known, network in self._networks.items()
                if wanted in ("", known) and self._has(known, name)
            ]
        return _Everywhere(outlets)

    def unasked(self, places: Places) -> Outlet:
        """The same, but for their quiet hours."""
        return _Everywhere([self._quiet.hushed(name, self.to((name,))) for name in places])

    def warn(self, sentence: str) -> None:
        """Tell the channels that hear of trouble, if there are any."""
        if places := self._settings().bot.trouble:
            self.unasked(places).write(Kind.REPORT, sentence)

    def trouble(self, network: str, channel: str, sentence: str) -> None:
        """Tell them of trouble with a channel, but not that one: there it would come late, or not at all."""
        here = {channel.casefold(), f"{network}/{channel}".casefold()}
        places = tuple(p for p in self._settings().bot.trouble if p.casefold() not in here)
        if places:
            self.unasked(places).write(Kind.REPORT, f"trouble on {network}: {sentence}")

    def record_trouble(self, fault: str) -> None:
        """Tell them, or the first channel of each network, that nothing runs, or, "", that all does again."""
        settings = self._settings()
        first = (f"{name}/{each.channels[0].name}" for name, each in settings.networks.items())
        sentence = (
            f"nothing runs, since it cannot be recorded: {fault}"
            if fault
            else "the record can be written again, and commands run"
        )
        log.log(logging.ERROR if fault else logging.INFO, "%s", sentence)
        self.to(settings.bot.trouble or tuple(first)).write(Kind.REPORT, sentence)

    def _has(self, network: str, channel: str) -> bool:
        known = self._settings().networks.get(network)
        joins = known.channels if known else ()
        return any(join.name.casefold() == channel.casefold() for join in joins)


class _Everywhere(Paged):
    """An Outlet to several channels at once."""

    def __init__(self, outlets: Iterable[Outlet]) -> None:
        self._outlets = list(outlets)

    def write(self, kind: Kind, text: str) -> None:
        for outlet in self._outlets:
            outlet.write(kind, text)
        if not self._outlets:
            log.info("report for no channel: %s", text)

    def finish(self) -> None:
        for outlet in self._outlets:
            self.pass_on(outlet)
            outlet.finish()

    def more(self) -> list[str]:
        return []
