from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from ircops.ops.health import Condition, Fault
from ircops.ops.reports import KEPT, Report, Reports
from ircops.ops.table import table
from ircops.ops.vitals import Disk, Vitals

NINE = datetime(2026, 11, 22, 9, tzinfo=UTC)
VITALS = Vitals(
    clock=1.5, load=(0.9, 0.8, 0.7), cores=4, uptime=1e6, memory=41.0, disks=(Disk("/", 45.0, 4.0),)
)
FULL = Fault("disk:/var", "disk /var 91 %", measure="disk:/var", limit=90)
BUSY = Fault("load", "load 9.0 on 4 cores", measure="load", limit=2)
BOOTED = Fault("uptime", "up only 2 min", is_news=True)


def host(name: str, *faults: Fault, error: str = "", **vitals: object) -> Condition:
    from dataclasses import replace

    seen = None if error else replace(VITALS, **vitals)  # type: ignore[arg-type]
    return Condition(name, seen, 0.0, faults, error)


class Clock:
    """Stands until it is turned."""

    at = NINE

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reports(database, clock) -> Reports:
    return Reports(database, clock)


def test_all_good_is_one_line():
    report = Report(tuple(host(f"web{n}") for n in (1, 2, 3)))
    assert report.lines == ["health: 3 hosts ok"]
    assert report.is_fine


def test_what_waits_stands_in_the_one_line_too():
    hosts = (host("web1", reboot="kernel", security=3), host("web2", security=0), host("web3"))
    assert Report(hosts).lines == [
        "health: 3 hosts ok · 1 due for a reboot · 1 without security updates"
    ]


def test_exceptions_are_folded_and_unreachable_hosts_come_last():
    report = Report(
        (host("db1", error="no route"), host("web1", FULL), host("web2", FULL), host("web10"))
    )
    assert report.lines == [
        "health: 3 of 4 hosts not fine",
        "web[1-2]: disk /var 91 %",
        "db1: no route",
    ]
    assert not report.is_fine


def test_the_first_report_compares_with_nothing(reports):
    report = reports.make("a", [host("web1", FULL), host("web2")])
    assert report.lines == ["health: 1 of 2 hosts not fine", "web1: disk /var 91 %"]
    assert report.has_changed


def test_what_changed_since_the_last_time_is_said(reports, clock):
    reports.make("a", [host("web1", FULL), host("web2"), host("db1", error="no route"), host("x")])
    clock.at += timedelta(days=1)
    worse = [host("web1"), host("web2", BUSY, FULL), host("db1"), host("x")]
    report = reports.make("a", worse)
    assert report.lines == [
        "health: 1 of 4 hosts not fine, 2 new",
        "web2: load 9.0 on 4 cores (new), disk /var 91 % (new)",
        "over since Sun 09:00 UTC: web1 disk /var 91 %, db1 reachable again",
    ]
    clock.at += timedelta(days=1)
    again = reports.make("a", worse)
    assert again.lines[:2] == [
        "health: 1 of 4 hosts not fine",
        "web2: load 9.0 on 4 cores, disk /var 91 %",
    ]
    assert not again.has_changed


def test_reports_of_another_subject_are_not_compared(reports):
    reports.make("#ops @all", [host("web1"), host("web2")])
    assert "new" not in str(reports.make("#dev @all", [host("web1", FULL), host("web2")]))


def test_a_host_that_was_not_there_is_no_news_and_one_out_of_reach_clears_nothing(reports):
    reports.make("a", [host("web1", FULL), host("web2")])
    report = reports.make("a", [host("web1", error="no route"), host("web2"), host("web3", FULL)])
    assert report.lines == [
        "health: 2 of 3 hosts not fine, 1 new",
        "web3: disk /var 91 %",
        "web1: no route (new)",
    ]


def test_a_reboot_that_was_noticed_is_not_over_later(reports):
    reports.make("a", [host("web1", BOOTED), host("web2")])
    assert reports.make("a", [host("web1"), host("web2")]).lines == ["health: 2 hosts ok"]


def test_hosts_in_maintenance_do_not_count_and_are_named(reports):
    silenced = (("web1", "until Sun 14:00 UTC, alice: racks"),)
    report = reports.make("a", [host("web1", FULL), host("web2")], silenced)
    assert report.lines == [
        "health: 1 host ok",
        "in maintenance: web1: until Sun 14:00 UTC, alice: racks",
    ]
    assert report.is_fine


def test_what_will_be_wrong_soon_is_said(reports):
    soon = (("web1", "disk /var full in about 3 days"), ("web2", "disk /var full in about 3 days"))
    report = reports.make("a", [host("web1"), host("web2")], soon=soon)
    assert report.lines == ["health: 2 hosts ok", "soon: web[1-2]: disk /var full in about 3 days"]


def test_a_report_is_found_by_its_number_with_all_it_had(database, clock, reports):
    made = reports.make(
        "a", [host("web1", FULL), host("db1", error="no route")], (("db1", "until"),), (("w", "x"),)
    )
    found = Reports(database, clock).find(made.number)
    assert found is not None
    assert (found.conditions, found.silenced, found.soon) == (
        made.conditions,
        made.silenced,
        made.soon,
    )
    assert (found.at, found.number, found.lines) == (NINE, 1, made.lines)
    assert reports.find(99) is None


def test_only_the_newest_are_kept(reports):
    for _ in range(KEPT + 2):
        last = reports.make("a", [host("web1")])
    assert last.number == KEPT + 2
    assert reports.find(2) is None
    assert reports.find(3) is not None


def test_a_terminal_gets_a_table_with_colours():
    report = Report(
        (host("web1"), host("web12", FULL), host("db1", error="no route"), host("db2", FULL)),
        silenced=(("db2", "until 14:00, alice"),),
        soon=(("web1", "disk / full in about 3 days"),),
    )
    lines = table(report)
    assert [click.unstyle(line) for line in lines] == [
        "HOST   LOAD    MEM   SWAP  DISK    UP    STATE",
        "web1   0.90/4  41 %  -     / 45 %  11 d  ok",
        "web12  0.90/4  41 %  -     / 45 %  11 d  disk /var 91 %",
        "db1    -       -     -     -       -     no route",
        "db2    0.90/4  41 %  -     / 45 %  11 d  maintenance: until 14:00, alice",
        "health: 2 of 3 hosts not fine",
        "soon: web1: disk / full in about 3 days",
    ]
    red = click.style("x", fg="red").partition("x")[0]
    assert [line.count(red) for line in lines[1:5]] == [0, 2, 1, 0]
