from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ClusterShell.NodeSet import NodeSet
from hypothesis import given
from hypothesis import strategies as st

from ircops.call import Result
from ircops.config import Health as Thresholds
from ircops.config import Percent, Seconds
from ircops.ops.health import PROBE, Disk, Health, Report, parse

NOW = 1795380250.25
DEBIAN = """\
Welcome to web1, maintained by ops.
@clock
1795380250.000000000
@load
0.42 0.31 0.20 2/310 4711
@cores
4
@uptime
1044000.51 4100000.02
@memory
MemTotal:        8000000 kB
MemFree:          200000 kB
MemAvailable:    4720000 kB
HugePages_Total:       0
SwapTotal:       2000000 kB
SwapFree:        1980000 kB
@disks
Filesystem     1024-blocks      Used Available Capacity Mounted on
udev               4000000         0   4000000       0% /dev
tmpfs               800000      1200    798800       1% /run
/dev/vda1         40000000  18000000  22000000      45% /
/dev/vdb1         90000000  63000000  27000000      71% /srv/with space
/dev/vda1         40000000  18000000  22000000      45% /var/lib/docker/volumes/x
overlay           40000000  18000000  22000000      45% /var/lib/docker/overlay2/1/merged
/dev/loop3           60000     60000         0     100% /snap/core/1
//nas/my share   900000000 450000000 450000000      50% /mnt/nas
tank             100000000  10000000  90000000      10% /tank
tmpfs              4000000   3800000    200000      95% /tmp
@inodes
Filesystem      Inodes  IUsed   IFree IUse% Mounted on
/dev/vda1      2500000 100000 2400000    4% /
/dev/vdb1            0      0       0     - /srv/with space
tank         200000000   1000 1999999    1% /tank
@units
nginx.service loaded failed failed A high performance web server
backup.timer  loaded failed failed Nightly
@end
"""
ALPINE = """\
@clock
1795380250.%N
@load
5.00 9.00 1.00 1/80 99
@cores
2
@uptime
120.00 100.00
@memory
MemTotal:         500000 kB
MemFree:           10000 kB
MemAvailable:      20000 kB
SwapTotal:             0 kB
SwapFree:              0 kB
@disks
Filesystem           1024-blocks    Used Available Capacity Mounted on
devtmpfs                   10240         0     10240   0% /dev
/dev/vda3               30000000  27900000   2100000  93% /
@inodes
Filesystem              Inodes      Used Available Capacity Mounted on
/dev/vda3              2000000   1900000    100000  95% /
@end
"""
FINE = DEBIAN.replace("@units\n", "@units\n@rest\n").replace("95% /tmp", "1% /tmp")


def check(answers: dict[str, str | Result], now: float = NOW, **thresholds: Any) -> Report:
    """What Health makes of these answers, each 0.5 s after it was asked."""

    def run(command: object, hosts: NodeSet, fast: bool) -> Iterator[Result]:
        for host in reversed(list(hosts)):  # as they complete: in any order
            answer = answers[host]
            yield answer if isinstance(answer, Result) else Result(host, answer, "", 0, 0.5)

    hosts = NodeSet.fromlist(list(answers))
    return Health(Thresholds(**thresholds)).check(run, hosts, lambda: now)


def test_parse_reads_debian() -> None:
    vitals = parse(DEBIAN)
    assert vitals is not None
    assert (vitals.clock, vitals.precision) == (1795380250.0, 0.0)
    assert (vitals.load, vitals.cores, vitals.uptime) == ((0.42, 0.31, 0.20), 4, 1044000.51)
    assert (vitals.memory, vitals.swap) == (pytest.approx(41), pytest.approx(1))
    assert vitals.failed_units == ("nginx", "backup.timer")


def test_parse_finds_storage_once_and_nothing_else() -> None:
    vitals = parse(DEBIAN)
    assert vitals is not None
    assert vitals.disks == (
        Disk("/", 45, 4),
        Disk("/srv/with space", 71),
        Disk("/mnt/nas", 50),
        Disk("/tank", 10, 1),
        Disk("/tmp", 95),
    )


def test_parse_reads_busybox() -> None:
    vitals = parse(ALPINE)
    assert vitals is not None
    assert (vitals.clock, vitals.precision) == (1795380250.5, 1.0)
    assert vitals.disks == (Disk("/", 93, 95),)
    assert (vitals.swap, vitals.failed_units) == (None, None)


@given(st.text())
def test_parse_never_raises_and_takes_no_garbage_for_an_answer(text: str) -> None:
    assert parse(text) is None or "@end" in text


@given(st.lists(st.sampled_from(DEBIAN.splitlines()) | st.text("@0123456789.% /-kB:"), max_size=60))
def test_no_garbled_answer_breaks_the_report(lines: list[str]) -> None:
    report = check({"web1": "\n".join([*lines, "@end"])})
    assert 1 <= len(report.lines) <= 3


def test_hosts_that_are_fine_are_only_counted() -> None:
    report = check({f"web{number}": FINE for number in (1, 2, 3)})
    assert report.lines == ["health: 3 hosts ok"]
    assert report.is_fine


def test_exceptions_are_folded_and_unreachable_hosts_come_last() -> None:
    full = FINE.replace("45% /\n", "93% /\n")
    gone = Result("db1", error="no route to host (after 10 s)")
    report = check({"db1": gone, "web1": full, "web2": full, "web10": FINE})
    assert report.lines == [
        "health: 3 of 4 hosts not fine",
        "web[1-2]: disk / 93 %",
        "db1: no route to host (after 10 s)",
    ]
    assert not report.is_fine


def test_one_host_is_told_in_detail_within_three_lines() -> None:
    assert check({"web1": FINE}).lines == [
        "web1: ok",
        "load 0.42 0.31 0.20 on 4 cores · memory 41 % · swap 1 % · up 12 d · clock +0.0 s · no failed units",
        "disk / 45 %, /srv/with space 71 %, /mnt/nas 50 %, /tank 10 %, /tmp 1 %",
    ]
    assert check({"web1": DEBIAN}).lines[0] == (
        "web1: not fine: disk /tmp 95 %, failed nginx, backup.timer"
    )


def test_every_threshold_can_be_crossed() -> None:
    assert check({"web1": ALPINE}).conditions[0].faults == (
        "load 9.0 on 2 cores",
        "memory 96 %",
        "disk / 93 %",
        "inodes / 95 %",
        "up only 2 min",
    )
    assert check({"web1": FINE}, swap=Percent(1)).conditions[0].faults == ("swap 1 %",)


def test_thresholds_are_the_settings() -> None:
    lax = {"load": 10.0, "memory": Percent(99), "disk": Percent(99), "inodes": Percent(99)}
    assert check({"web1": ALPINE}, uptime=Seconds(60), **lax).is_fine


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
    assert ", ".join(check({"web1": FINE}, now=now).conditions[0].faults) == fault


def test_a_clock_of_whole_seconds_is_given_the_doubt() -> None:
    text = FINE.replace("1795380250.000000000", "1795380250.%N")
    assert check({"web1": text}, now=NOW + 3.2).is_fine
    assert not check({"web1": text}, now=NOW + 3.3).is_fine


def test_what_could_not_be_read_is_not_fine() -> None:
    assert check({"web1": "@end\n"}).conditions[0].faults == (
        "could not read load, memory, uptime, clock, disks",
    )


def test_a_host_that_runs_no_shell_is_quoted() -> None:
    report = check({"gw1": Result("gw1", "", "% Invalid input\n", 1, 0.1)})
    assert report.lines == ["gw1: no shell there to ask, it said: % Invalid input"]
    assert not report.is_fine


def test_many_failed_units_stay_short() -> None:
    units = "".join(f"unit{number}.service loaded failed failed x\n" for number in range(9))
    text = FINE.replace("@units\n", f"@units\n{units}")
    assert check({"web1": text}).conditions[0].faults == ("failed unit0, unit1, unit2 and 6 more",)


def shells(directory: Path) -> Iterator[tuple[list[str], str]]:
    """Each kind of sh there is here, with the PATH of its world."""
    path = "/usr/bin:/bin"
    yield ["sh"], path
    yield ["bash", "--posix"], path
    if busybox := shutil.which("busybox"):
        subprocess.run([busybox, "--install", "-s", str(directory)], check=True)
        yield ["sh"], str(directory)


def test_the_probe_works_in_every_shell_here(tmp_path: Path) -> None:
    for shell, path in shells(tmp_path):
        vitals = parse(_run_probe(shell, path).stdout)
        assert vitals is not None and vitals.clock is not None
        assert abs(vitals.clock - time.time()) < 5
        assert len(vitals.load) == 3 and vitals.cores >= 1 and vitals.uptime
        assert vitals.memory is not None and 0 < vitals.memory < 100
        assert "/" in [disk.mount for disk in vitals.disks]


def test_the_probe_survives_a_host_with_nothing_but_a_shell(tmp_path: Path) -> None:
    done = _run_probe([shutil.which("sh") or "sh"], str(tmp_path))
    assert parse(done.stdout) is not None
    assert (done.returncode, done.stderr) == (0, "")


def _run_probe(shell: list[str], path: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which(shell[0], path=path) or shell[0]
    return subprocess.run(
        [program, *shell[1:], "-c", PROBE], capture_output=True, text=True, env={"PATH": path}
    )


def test_a_check_is_one_command_for_all_hosts() -> None:
    asked: list[object] = []

    def run(command: object, hosts: Any, fast: bool) -> list[Result]:
        asked.append(command)
        return [Result(host, FINE, "", 0, 0.5) for host in hosts]

    Health(Thresholds()).check(run, NodeSet("web[1-40]"), lambda: NOW)
    assert asked == [["sh", "-c", PROBE]]
