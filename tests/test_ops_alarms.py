from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ircops.ops.alarms import FLAPS, SETTLED, Alarms, State, lines
from ircops.ops.health import Condition, Fault

NINE = datetime(2026, 11, 22, 9, tzinfo=UTC)
STEP = timedelta(seconds=30)
FULL = Fault("disk:/var", "disk /var 91 %")
BUSY = Fault("load", "load 9.0 on 4 cores")
RAID = Fault("raid:md0", "raid md0 1 of 2 disks", is_severe=True)
BOOTED = Fault("uptime", "up only 2 min", is_news=True)


class World:
    """A watch by a clock that is turned by hand; each round is half a minute."""

    def __init__(self, lasts: float = 0) -> None:
        self.alarms, self.now, self.lasts = Alarms(), NINE, lasts

    def round(self, *conditions: Condition, **options: object) -> list[str]:
        """One round, and what #ops hears of it."""
        self.take(*conditions)
        return self.hear(**options)

    def take(self, *conditions: Condition) -> None:
        self.alarms.take(conditions, self.now, lambda host, fault: self.lasts)
        self.now += STEP

    def hear(self, place: str = "#ops", **options: object) -> list[str]:
        return [line for line, _ in lines(self.alarms.news(place, **options))]  # type: ignore[arg-type]


def host(name: str = "web1", *faults: Fault, error: str = "") -> Condition:
    return Condition(name, None, 0.0, faults, error)


def test_only_changes_are_said():
    world = World()
    assert world.round(host()) == []
    assert world.round(host("web1", FULL)) == ["web1: disk /var 91 %"]
    assert world.round(host("web1", FULL)) == []
    assert world.round(host("web1", FULL, BUSY)) == ["web1: load 9.0 on 4 cores"]
    assert world.round(host()) == [
        "web1: ok again: disk /var (after 90 s)",
        "web1: ok again: load (after 30 s)",
    ]
    assert world.round(host()) == []


def test_another_value_of_the_same_fault_is_no_change():
    world = World()
    world.round(host("web1", FULL))
    assert world.round(host("web1", Fault("disk:/var", "disk /var 92 %"))) == []


def test_equal_news_are_folded_and_what_is_wrong_comes_first():
    world = World()
    world.round(host("db1", FULL))
    assert world.round(host("db1"), host("web1", FULL), host("web2", FULL)) == [
        "web[1-2]: disk /var 91 %",
        "db1: ok again: disk /var (after 30 s)",
    ]


def test_a_fault_counts_only_when_it_has_lasted():
    world = World(lasts=60)
    assert world.round(host("web1", BUSY)) == []
    assert world.round(host("web1", BUSY)) == []
    assert world.round(host("web1", BUSY)) == ["web1: load 9.0 on 4 cores"]


def test_a_fault_that_did_not_last_was_none_and_begins_anew():
    world = World(lasts=60)
    for _ in range(5):
        assert world.round(host("web1", BUSY)) == []
        assert world.round(host("web1", BUSY)) == []
        assert world.round(host()) == []


def test_a_reboot_is_said_at_once_and_not_that_it_is_over():
    world = World(lasts=300)
    assert world.round(host("web1", BOOTED)) == ["web1: up only 2 min"]
    assert world.round(host()) == []
    assert world.round(host("web1", BOOTED)) == ["web1: up only 2 min"]


def test_of_a_host_that_is_out_of_reach_nothing_else_is_known():
    world = World()
    world.round(host("web1", FULL))
    assert world.round(host("web1", error="no route")) == ["web1: no route"]
    assert world.round(host("web1", FULL)) == ["web1: reachable again (after 30 s)"]
    assert world.round(host()) == ["web1: ok again: disk /var (after 90 s)"]


def test_what_is_raised_is_known_for_the_limits():
    world = World()
    world.round(host("web1", FULL), host("web2"))
    assert world.alarms.raised("web1") == {"disk:/var"}
    assert world.alarms.raised("web2") == world.alarms.raised("web3") == frozenset()


def test_what_flaps_is_said_once_and_again_when_it_has_settled():
    world = World()
    said = []
    for _ in range(20):
        said += world.round(host("web1", BUSY)) + world.round(host())
    assert said[-1] == (
        f"web1: load comes and goes ({FLAPS} changes in 30 min); silent until it settles"
    )
    assert len(said) == FLAPS
    quiet = int(SETTLED / STEP)
    heard = [line for _ in range(quiet + 2) for line in world.round(host())]
    assert heard == ["web1: settled: ok again: load"]
    assert world.round(host("web1", BUSY)) == ["web1: load 9.0 on 4 cores"]


def test_what_flaps_and_settles_badly_is_said_so():
    world = World()
    for _ in range(4):
        world.round(host("web1", BUSY))
        world.round(host())
    heard = [line for _ in range(40) for line in world.round(host("web1", BUSY))]
    assert heard == ["web1: settled: load 9.0 on 4 cores"]


def test_in_maintenance_nothing_is_said_and_afterwards_what_is_still_so():
    world = World()

    def silent(name: str) -> bool:
        return name == "web1"

    assert world.round(host("web1", FULL, BUSY), is_silent=silent) == []
    assert world.round(host("web1", FULL), is_silent=silent) == []
    assert world.round(host("web1", FULL)) == ["web1: disk /var 91 %"]


def test_in_quiet_hours_only_what_is_severe_is_said_and_the_rest_summed_up_after():
    world = World()
    assert world.round(host("web1", FULL, BUSY), is_quiet=True) == []
    assert world.round(host("web1", FULL, RAID), is_quiet=True) == ["web1: raid md0 1 of 2 disks"]
    assert world.round(host("web1", FULL)) == [
        "web1: disk /var 91 %",
        "web1: ok again: raid md0 (after 30 s)",
    ]
    assert (world.alarms.passed("#ops"), world.alarms.passed("#ops")) == (1, 0)


def test_each_place_is_told_by_itself():
    world = World()
    world.take(host("web1", FULL))
    assert world.hear("#ops") == ["web1: disk /var 91 %"]
    world.take(host())
    assert world.hear("#boss") == []
    assert world.hear("#ops") == ["web1: ok again: disk /var (after 30 s)"]


def test_who_wants_only_problems_hears_no_end_of_them():
    world = World()
    assert world.round(host("web1", FULL), only_problems=True) == ["web1: disk /var 91 %"]
    assert world.round(host(), only_problems=True) == []
    assert world.round(host("web1", FULL), only_problems=True) == ["web1: disk /var 91 %"]


def test_a_host_that_is_watched_no_more_is_forgotten():
    world = World()
    world.round(host("web1", FULL), host("web2"))
    assert world.round(host("web2")) == []
    assert world.round(host("web1"), host("web2")) == []


def test_nothing_is_kept_of_what_is_over():
    world = World()
    world.round(host("web1", FULL))
    for _ in range(int(timedelta(minutes=31) / STEP)):
        world.round(host())
    assert not world.alarms._alarms


def test_a_state_goes_with_each_line():
    world = World()
    world.take(host("web1", FULL))
    assert list(lines(world.alarms.news("#ops"))) == [("web1: disk /var 91 %", State.RAISED)]


def test_the_next_bot_goes_on_from_what_was_told():
    world = World()
    world.round(host("web1", FULL), host("web2", BUSY), is_quiet=True)
    world.round(host("web1", FULL), host("web2", BUSY), host("web3", RAID), is_silent="web2".__eq__)
    after = World()
    after.now = world.now
    after.alarms.recall(world.alarms.kept())
    assert after.alarms._alarms == world.alarms._alarms
    assert after.round(host("web1", FULL), host("web2", BUSY), host("web3")) == [
        "web2: load 9.0 on 4 cores",
        "web3: ok again: raid md0 (after 30 s)",
    ]


def test_very_many_news_are_summed_up_by_kind():
    world = World()
    hosts = [host(f"web{n}", Fault("disk:/var", f"disk /var {90 + n} %")) for n in range(1, 9)]
    assert world.round(*hosts, host("db1", RAID)) == [
        "web[1-8]: disk /var, as in web1: disk /var 91 %",
        "db1: raid md0 1 of 2 disks",
    ]
    assert world.round(*(host(f"web{n}") for n in range(1, 9)), host("db1", RAID)) == [
        "web[1-8]: ok again: disk /var (after 30 s)"
    ]
