"""apscheduler, made to look at the clock every few seconds even if nothing is due for hours.

So it notices a clock that was set and a machine that slept, and its looks show that it lives.
"""

from __future__ import annotations

import time

from apscheduler.schedulers.asyncio import AsyncIOScheduler

TICK = 5.0  # seconds between two looks, at most


class Clock(AsyncIOScheduler):  # type: ignore[misc]
    """On the loop."""

    looked_at = float("-inf")  # on the monotonic clock

    def _process_jobs(self) -> float:
        self.looked_at = time.monotonic()
        wait = super()._process_jobs()
        return TICK if wait is None else min(wait, TICK)
