"""The times of a crontab line in a time zone, as cron means them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger

from ircops import shapes

WEEKDAYS = "sun mon tue wed thu fri sat sun".split()  # 7 is 0
INSTANT = timedelta(microseconds=1)
SHIFT = timedelta(hours=3)  # no clock is put forward or back by more


class Cron(BaseTrigger):  # type: ignore[misc]
    """Something for apscheduler to wait for.

    Its own CronTrigger does the search, but is asked only what it cannot read differently from cron: it
    counts weekdays from Monday = 0, where cron counts from Sunday, and wants day and weekday to match,
    where crontab(5) wants either if neither begins with *. When clocks go back, a line with fixed hours
    counts once in the hour that comes twice, as in cron(8); when they go forward, what falls into the
    hour left out comes in the next.
    """

    def __init__(self, at: str, timezone: str = "UTC") -> None:
        """`at` is minute hour day month weekday. Raises ValueError with what is allowed."""
        shapes.zone(timezone)
        self.zone = ZoneInfo(timezone)
        minute, hour, day, month, weekday = shapes.cron(at)
        _, hours, days, _, weekdays = at.split()
        self._hour_is_fixed = len(hour) < 24 and not hours.startswith("*")
        time = {
            "minute": _listed(minute, 60),
            "hour": _listed(hour, 24),
            "month": _listed(month, 12),
            "timezone": self.zone,
        }
        on_day = {"day": _listed(day, 31)}
        on_weekday = {"day_of_week": ",".join({WEEKDAYS[number] for number in weekday})}
        if days.startswith("*") or weekdays.startswith("*"):
            self._search = CronTrigger(**time, **on_day, **on_weekday)
        else:
            self._search = OrTrigger(
                [CronTrigger(**time, **on_day), CronTrigger(**time, **on_weekday)]
            )

    def after(self, moment: datetime) -> datetime:
        """The first time later than `moment`; both aware, it in UTC."""
        before = moment - SHIFT
        offsets = {time.astimezone(self.zone).utcoffset() for time in (before, moment)}
        # Seen from within the hour left out, what falls into it would be lost.
        at = self._next(moment if len(offsets) == 1 else before)
        while at <= moment:
            at = self._next(at)
        return at

    def last(self, since: datetime, until: datetime) -> datetime | None:
        """The last time later than `since` and not later than `until`; None if there is none.

        By halving, for a bot may have been down for months and a line may mean every minute.
        """
        low = self.after(since)
        if low > until:
            return None
        high = until
        while high - low > timedelta(seconds=1):
            middle = low + (high - low) / 2
            if (at := self.after(middle)) <= until:
                low = at
            else:
                high = middle
        return low

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """What apscheduler asks: the next time, whatever was missed."""
        return self.after(max(previous, now) if previous else now)

    def _next(self, moment: datetime) -> datetime:
        """What the search finds, in UTC: adding to a local time would forget which of two it was."""
        while True:
            at = self._search.get_next_fire_time(None, moment.astimezone(UTC) + INSTANT)
            if not (at.fold and self._hour_is_fixed):
                found: datetime = at.astimezone(UTC)
                return found
            moment = at


def _listed(numbers: list[int], all_of_them: int) -> str:
    return "*" if len(numbers) == all_of_them else ",".join(map(str, numbers))
