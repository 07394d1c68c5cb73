from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ClusterShell.NodeSet import NodeSet
from hypothesis import given
from hypothesis import strategies as st

from ircops.call import Result
from ircops.config import Check, Limits, Percent, Seconds, Settings, Watch
from ircops.config import Health as Thresholds
from ircops.errors import OpsError
from ircops.ops.health import Condition, Health, Rates, unit
from ircops.ops.vitals import Vitals
from ircops.watched import unknown_hosts
from tests.probed import ALPINE, DEBIAN, FINE, FREEBSD, MACOS, MDSTAT

NOW = 1795380250.25


def look(
    answer: str | Result, now: float = NOW, raised: tuple[str, ...] = (), **thresholds: Any
) -> Condition:
    """What Health makes of this answer, 0.5 s after it was asked."""
    result = answer if isinstance(answer, Result) else Result("web1", answer, "", 0, 0.5)
    limits = Thresholds(**thresholds)
    return Health(Settings()).look(result, now, limits, frozenset(raised))


def texts(condition: Condition) -> list[str]:
    return [str(fault) for fault in condition.faults]


@given(st.lists(st.sampled_from(DEBIAN.splitlines()) | st.text("@0123456789.% /-kB:"), max_size=60))
def test_no_garbled_answer_breaks_the_detail(lines: list[str]) -> None:
    assert 1 <= len(look("\n".join([*lines, "@end"])).detail()) <= 3


def test_a_host_is_told_in_detail_within_three_lines() -> None:
    assert look(FINE).detail() == [
        "web1: ok",
        "load 0.42 0.31 0.20 on 4 cores · memory 41 % · swap 1 % · up 12 d · clock +0.0 s · no failed units",
        "disk /srv/with space 71 %, /mnt/nas 50 %, / 45 %, /tank 10 %, /tmp 1 %",
    ]
    assert look(DEBIAN).detail()[0] == (
        "web1: not fine: disk /tmp 95 %, failed nginx, failed backup.timer"
    )


def test_the_detail_has_sparks_and_what_a_full_look_found() -> None:
    whole = FINE.replace(
        "@end",
        "@processes\n50.9 0.4 python3\n@hungry\n1 30.7 java\n@updates\n9;4\n@reboot\nkernel\n@end",
    )
    detail = look(whole).detail({"load": "▁▂▅▇"})
    assert detail[1].startswith("load ▁▂▅▇ 0.42 0.31 0.20 on 4 cores · memory 41 %")
    assert detail[2].endswith(
        "cpu python3 51 % · most memory java 31 % · a reboot is due (kernel) · 9 updates, 4 for security"
    )


def test_every_threshold_can_be_crossed() -> None:
    assert texts(look(ALPINE)) == [
        "load 9.0 on 2 cores",
        "memory 96 %",
        "disk / 93 %",
        "inodes / 95 %",
        "up only 2 min",
    ]
    assert texts(look(FINE, swap=Percent(1))) == ["swap 1 %"]
    assert texts(look(FREEBSD, uptime=Seconds(0), temperature=47.0)) == [
        "raid tank degraded",
        "47 °C",
    ]
    assert look(MACOS).is_fine


def test_thresholds_are_the_settings() -> None:
    lax = {"load": 10.0, "memory": Percent(99), "disk": Percent(99), "inodes": Percent(99)}
    assert look(ALPINE, uptime=Seconds(60), **lax).is_fine


def test_a_fault_is_over_only_a_bit_below_its_limit() -> None:
    full = FINE.replace("45% /\n", "88% /\n")
    assert look(full).is_fine
    assert texts(look(full, raised=("disk:/",))) == ["disk / 88 %"]
    assert look(full.replace("88% /\n", "85% /\n"), raised=("disk:/",)).is_fine


def test_what_may_wake_people_is_severe() -> None:
    broken = look(DEBIAN.replace("95% /tmp", "99% /tmp").replace("@end", f"@raid\n{MDSTAT}@end"))
    assert [fault.key for fault in broken.faults if fault.is_severe] == [
        "disk:/tmp",
        "raid:md2",
        "raid:md1",
        "raid:md9",
    ]
    gone = look(Result("web1", error="no route to host"))
    assert [(str(fault), fault.is_severe) for fault in gone.wrong] == [("no route to host", True)]


@pytest.mark.parametrize(
    ("now", "fault"),
    [
        (NOW + 34, "clock 34 s behind"),
        (NOW - 34, "clock 34 s ahead"),
        (NOW + 2.2, ""),  # within 2 s and half the 0.5 s it took to answer
        (NOW + 2.3, "clock 2 s behind"),
    ],
)
def test_clock_is_wrong_only_beyond_what_the_round_trip_explains(now: float, fault: str) -> None:
    assert ", ".join(texts(look(FINE, now))) == fault


def test_a_clock_of_whole_seconds_is_given_the_doubt() -> None:
    text = FINE.replace("1795380250.000000000", "1795380250.%N")
    assert look(text, NOW + 3.2).is_fine
    assert not look(text, NOW + 3.3).is_fine


def test_a_probe_that_takes_long_knows_the_clock_as_well() -> None:
    """It took 6 s of the 6.5 there: half a second is all the doubt there is."""
    slow = Result("web1", FINE.replace("@end", "@ended\n1795380256.0\n@end"), "", 0, 6.5)
    condition = look(slow, 1795380250.0 + 6.25)
    assert condition.offset == pytest.approx(0)
    assert look(slow, 1795380250.0 + 6.25 + 2.2).is_fine
    assert texts(look(slow, 1795380250.0 + 6.25 + 2.3)) == ["clock 2 s behind"]


def test_what_could_not_be_read_is_not_fine() -> None:
    assert texts(look("@end\n")) == ["could not read load, memory, uptime, clock, disks"]


def test_a_host_that_runs_no_shell_is_quoted() -> None:
    condition = look(Result("gw1", "", "% Invalid input\n", 1, 0.1))
    assert condition.detail() == ["gw1: no shell there to ask, it said: % Invalid input"]
    assert not condition.is_fine


def test_many_failed_units_stay_short() -> None:
    units = "".join(f"unit{number}.service loaded failed failed x\n" for number in range(9))
    text = FINE.replace("@units\n", f"@units\n{units}")
    assert texts(look(text)) == ["failed unit0, unit1, unit2 and 6 more"]


def test_what_was_measured_has_names_and_units() -> None:
    values = dict(look(DEBIAN).values)
    assert values["load"] == pytest.approx(0.105)
    assert (values["up"], values["disk:/srv/with space"], values["inodes:/"]) == (1, 71, 4)
    assert "inodes:/mnt/nas" not in values
    assert dict(look(Result("web1", error="gone")).values) == {"up": 0.0}
    names = ["load", "memory", "disk:/var", "clock", "web:time", "disk_check:/var", "errors"]
    assert [unit(name) for name in names] == ["", "%", "%", "s", "s", "", "/min"]


def test_network_errors_are_counted_from_look_to_look() -> None:
    rates = Rates()
    vitals = Vitals(errors=100, boot="a")
    assert rates.errors("web1", vitals, 0) is None
    assert rates.errors("web1", replace(vitals, errors=130), 60) == 30
    assert rates.errors("web1", replace(vitals, errors=131), 62) is None  # too soon to tell
    assert rates.errors("web1", replace(vitals, errors=230), 120) == 100
    assert rates.errors("web1", Vitals(errors=0, boot="b"), 180) is None
    assert rates.errors("web1", Vitals(boot="b"), 240) is None


def resolve(text: str) -> Any:
    groups = {"@db": NodeSet("db[1-2]"), "@all": NodeSet("db[1-2],web1")}
    if text.startswith("@") and text not in groups:
        raise OpsError(f"no group {text}")
    return groups.get(text, NodeSet(text))


def test_limits_of_a_host_stand_above_those_of_its_group_and_of_all() -> None:
    settings = Settings(
        health=Thresholds(disk=Percent(90), load=3.0),
        limits={
            "db1": Limits(disk=Percent(90)),
            "@db": Limits(disk=Percent(95), memory=Percent(99)),
            "@gone": Limits(load=1.0),
        },
    )
    limits = Health(settings, resolve).limits(NodeSet("db[1-2],web1"))
    assert {host: (one.disk, one.memory, one.load) for host, one in limits.items()} == {
        "db1": (90, 99, 3.0),
        "db2": (95, 99, 3.0),
        "web1": (90, 90, 3.0),
    }


def test_sections_about_hosts_that_there_are_not_are_faults() -> None:
    settings = Settings(
        limits={"@dbs": Limits(), "@db": Limits()},
        checks={"a": Check(run="true", on="@wev"), "b": Check(run="true")},
        watches={"w": Watch(hosts="@x"), "v": Watch()},
    )
    told = unknown_hosts(settings, resolve)
    assert told == [f"ircops.ini: no group {name}" for name in ("@dbs", "@wev", "@x")]
