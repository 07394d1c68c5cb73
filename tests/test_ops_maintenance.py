from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ircops.errors import OpsError
from ircops.ops.maintenance import Maintenance

NINE = datetime(2026, 11, 22, 9, tzinfo=UTC)  # a Sunday
HOUR = 3600.0


class Clock:
    """Stands until it is turned."""

    at = NINE

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def maintenance(database, clock) -> Maintenance:
    return Maintenance(database, clock)


def test_a_host_is_silent_until_the_end(maintenance, clock):
    maintenance.begin(["web7", "web8"], 2 * HOUR, "alice", "new disk")
    assert maintenance.silenced("web7") == "until Sun 11:00 UTC, alice: new disk"
    assert maintenance.silenced("web1") == ""
    clock.at = NINE + timedelta(hours=2)
    assert maintenance.silenced("web7") == ""
    assert maintenance.open() == []


def test_it_outlives_the_bot(maintenance, database, clock):
    maintenance.begin(["web7"], HOUR, "alice")
    assert Maintenance(database, clock).silenced("web7") == "until Sun 10:00 UTC, alice"
    maintenance.end(["web7"])
    assert Maintenance(database, clock).silenced("web7") == ""


def test_what_is_said_later_counts(maintenance):
    maintenance.begin(["web7", "web8"], HOUR, "alice")
    maintenance.begin(["web7"], 3 * HOUR, "bob", "longer")
    assert [(window.host, window.by) for window in maintenance.open()] == [
        ("web8", "alice"),
        ("web7", "bob"),
    ]


def test_only_what_is_silent_can_be_ended(maintenance):
    maintenance.begin(["web7"], HOUR, "alice")
    assert maintenance.end(["web7", "web8"]) == ["web7"]
    with pytest.raises(OpsError, match="none of them is in maintenance"):
        maintenance.end(["web7"])


@pytest.mark.parametrize("seconds", [0, -5, 91 * 86400])
def test_it_is_not_for_ever(seconds, maintenance):
    with pytest.raises(OpsError, match="up to 90 days"):
        maintenance.begin(["web7"], seconds, "alice")
