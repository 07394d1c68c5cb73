"""How the bot is at this moment, for /healthz and /metrics. On the loop, when somebody asks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ircops
from ircops.store.database import Database

if TYPE_CHECKING:
    from ircops.irc import Network
    from ircops.irc.network import Figures
    from ircops.ops import Parts


@dataclass(frozen=True)
class State:
    """What is now."""

    version: str
    started: float  # seconds since 1970
    is_alive: bool
    networks: Mapping[str, Figures]
    jobs: Mapping[str, int]  # by state
    schedules: int
    ssh: int  # open connections


class Sources:
    """Where all that is known from."""

    def __init__(
        self,
        database: Database,
        networks: Mapping[str, Network],
        parts: Callable[[], Parts],
        why_not_alive: Callable[[], str],
    ) -> None:
        """`why_not_alive` is the watchdog's judgement; "" = all is well."""
        self.database = database
        self.why_not_alive = why_not_alive
        self._networks, self._parts = networks, parts
        self._started = time.time()

    def lines(self) -> list[str]:
        """Each part in words."""
        schedule = self._parts().schedule
        ticks = "ticks" if schedule.is_alive else "does not tick"
        known = [f"network {name}: {network.status}" for name, network in self._networks.items()]
        return [*known, f"scheduler: {ticks}, {len(schedule.list())} schedules"]

    def state(self) -> State:
        """All in numbers."""
        parts = self._parts()
        return State(
            version=ircops.__version__,
            started=self._started,
            is_alive=not self.why_not_alive(),
            networks={name: network.figures for name, network in self._networks.items()},
            jobs=Counter(job.state for job in parts.jobs.running),
            schedules=len(parts.schedule.list()),
            ssh=parts.fanout.connections if "fanout" in vars(parts) else 0,
        )
