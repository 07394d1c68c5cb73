"""One look for who asked; what a host answers is made up, all behind it is real."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ClusterShell.NodeSet import NodeSet

from ircops.call import Result
from ircops.config import Health as Thresholds
from ircops.config import Seconds, Settings
from ircops.ops.checks import Checks
from ircops.ops.health import Condition, Health
from ircops.ops.inspection import Inspection, joined
from ircops.ops.maintenance import Maintenance
from ircops.ops.plugins import Outcome, State
from ircops.ops.probe import PROBE, WATCHED
from ircops.ops.reports import Report, Reports
from ircops.ssh.inventory import Inventory
from ircops.store.samples import Samples
from tests.probed import FINE

CLOCK = datetime.fromtimestamp(
    1795380250.25, UTC
)  # of the answers, half a second after the question
FULL = FINE.replace("45% /\n", "91% /\n")


class World:
    """A fleet whose answers are set, and a clock that is turned by hand."""

    def __init__(self, database: Any, settings: Settings) -> None:
        self.at, self.answers = CLOCK, dict.fromkeys(("web1", "web2"), FINE)
        self.asked: list[Any] = []
        now: Callable[[], datetime] = lambda: self.at  # noqa: E731
        self.samples = Samples(database, now)
        self.maintenance = Maintenance(database, now)
        self.inspection = Inspection(
            Health(settings),
            Checks(settings.checks, Inventory(settings)),
            self.samples,
            Reports(database, now),
            self.maintenance,
            now,
        )

    def look(self, hosts: str = "web[1-2]", subject: str = "a", **options: Any) -> Report:
        def run(command: Any, nodes: Any, fast: bool) -> list[Result]:
            self.asked.append(command)
            shift = self.at.timestamp() - CLOCK.timestamp()
            right = f"{1795380250 + shift:.9f}"
            answers = {
                host: self.answers[host].replace("1795380250.000000000", right) for host in nodes
            }
            return [Result(host, answers[host], "", 0, 0.5) for host in reversed(list(nodes))]

        return self.inspection.report(NodeSet(hosts), run, subject, soon=7 * 86400, **options)

    def turn(self, **time: float) -> None:
        self.at += timedelta(**time)


@pytest.fixture
def world(database) -> World:
    return World(database, Settings())


def test_one_command_goes_to_all_hosts_and_the_report_is_in_their_order(world):
    report = world.look()
    assert world.asked == [["sh", "-c", WATCHED]]
    assert [one.host for one in report.conditions] == ["web1", "web2"]
    assert report.lines == ["health: 2 hosts ok"]
    world.look(is_full=True)
    assert world.asked[1] == ["sh", "-c", PROBE]


def test_what_was_measured_is_kept(world):
    world.look()
    assert {"load", "memory", "up", "disk:/"} <= set(world.samples.measures("web2"))


def test_a_look_knows_the_one_before(world):
    world.look()
    world.turn(days=1)
    world.answers["web1"] = FULL
    assert world.look().lines[1] == "web1: disk / 91 % (new)"
    world.turn(days=1)
    world.answers["web1"] = FINE.replace("45% /\n", "87% /\n")  # below, but not by enough
    assert world.look().lines[1] == "web1: disk / 87 %"
    world.answers["web1"] = FINE
    assert world.look().lines[1].startswith("over since Tue ")


def test_a_host_alone_has_sparks_once_enough_is_known(world):
    for _ in range(5):
        report = world.look("web1")
        world.turn(hours=5)
    assert report.lines[1].startswith("load █████ 0.42 ")


def test_a_disk_that_grows_is_told_of_in_time(world):
    for hours in range(0, 48, 2):
        world.answers["web1"] = FINE.replace("45% /\n", f"{20 + hours}% /\n")
        report = world.look()
        world.turn(hours=2)
    assert report.lines == ["health: 2 hosts ok", "soon: web1: disk / full in about 34 hours"]


def test_what_is_in_maintenance_is_named(world):
    world.answers["web1"] = FULL
    world.maintenance.begin(["web1"], 3600, "alice")
    assert world.look().lines[0] == "health: 1 host ok"


def test_a_fault_that_was_none_a_short_while_ago_does_not_count_yet(database):
    world = World(database, Settings(health=Thresholds(lasts=Seconds(300))))
    world.look()
    world.turn(minutes=2)
    world.answers["web1"] = FULL
    assert world.look().is_fine
    world.turn(minutes=6)
    assert not world.look().is_fine


def test_a_fault_counts_at_once_where_nobody_has_looked_before(database):
    world = World(database, Settings(health=Thresholds(lasts=Seconds(300))))
    world.answers["web1"] = FULL
    assert not world.look().is_fine


def test_checks_join_the_conditions_of_their_hosts():
    gone = Condition("web2", error="no route")
    outcomes = [
        Outcome("a", "web1", State.OK, "fine", (("x", 1.0),)),
        Outcome("b", "web1", State.WARNING, "odd"),
        Outcome("a", "web2", State.UNKNOWN, "no route"),
        Outcome("c", "here", State.CRITICAL, "broken"),
    ]
    one, two, here = joined([Condition("web1"), gone], outcomes)
    assert ([str(fault) for fault in one.faults], one.values) == (
        ["b warning: odd"],
        (("a:x", 1.0),),
    )
    assert [str(fault) for fault in two.wrong] == ["no route"]
    assert (here.host, here.faults[0].is_severe) == ("here", True)
