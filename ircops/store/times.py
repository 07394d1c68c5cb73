"""Times as they are stored, text in UTC, which sorts as the moments do; and as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def stamp(moment: datetime) -> str:
    """The aware `moment` as it is stored."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    text = moment.isoformat(timespec="microseconds")  # ends in +00:00
    return f"{text[:-6]}Z"


def moment(stamp: str) -> datetime:
    """The aware time that was stored, in UTC."""
    return datetime.fromisoformat(stamp)


def clock_time(at: datetime, now: datetime | None = None) -> str:
    """The aware time `at` on the clock of the bot's machine: `09:12`, with its day if that is not `now`'s."""
    local, today = at.astimezone(), (now or datetime.now(UTC)).astimezone()
    return f"{local:%H:%M}" if local.date() == today.date() else f"{local:%Y-%m-%d %H:%M}"
