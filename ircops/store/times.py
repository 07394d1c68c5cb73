"""Times as they are stored: text in UTC, which sorts as the moments do."""

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
