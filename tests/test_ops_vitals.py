from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ircops.ops.vitals import Disk, Vitals, parse
from tests.probed import ALPINE, DEBIAN, FREEBSD, MACOS, MDSTAT


def read(text: str) -> Vitals:
    vitals = parse(text)
    assert vitals is not None
    return vitals


def section(name: str, text: str) -> Vitals:
    return read(f"@{name}\n{text}\n@end\n")


def test_debian() -> None:
    vitals = read(DEBIAN)
    assert (vitals.clock, vitals.precision) == (1795380250.0, 0.0)
    assert (vitals.load, vitals.cores, vitals.uptime) == ((0.42, 0.31, 0.20), 4, 1044000.51)
    assert (vitals.memory, vitals.swap) == (pytest.approx(41), pytest.approx(1))
    assert vitals.failed_units == ("nginx", "backup.timer")
    assert vitals.load_per_core == pytest.approx(0.105)


def test_storage_is_found_once_and_nothing_else() -> None:
    assert read(DEBIAN).disks == (
        Disk("/", 45, 4),
        Disk("/srv/with space", 71),
        Disk("/mnt/nas", 50),
        Disk("/tank", 10, 1),
        Disk("/tmp", 95),
    )


def test_busybox() -> None:
    vitals = read(ALPINE)
    assert (vitals.clock, vitals.precision) == (1795380250.5, 1.0)
    assert vitals.disks == (Disk("/", 93, 95),)
    assert (vitals.swap, vitals.failed_units) == (None, None)


def test_freebsd() -> None:
    vitals = read(FREEBSD)
    assert (vitals.load, vitals.cores, vitals.uptime) == ((0.52, 0.58, 0.59), 4, 120)
    assert (vitals.memory, vitals.swap) == (pytest.approx(75, abs=0.1), pytest.approx(25))
    assert vitals.disks == (Disk("/", 10, 7), Disk("/var/log", 1))
    assert vitals.boot.startswith("{ sec = 1795380130")
    assert (vitals.errors, vitals.temperature) == (7, 47.0)
    assert vitals.raid == ("tank degraded",)


def test_macos() -> None:
    vitals = read(MACOS)
    assert (vitals.load, vitals.cores, vitals.uptime) == ((2.10, 1.95, 1.80), 8, 1_000_000)
    assert (vitals.memory, vitals.swap) == (pytest.approx(69.9, abs=0.1), pytest.approx(25))
    assert vitals.disks == (Disk("/", 3), Disk("/System/Volumes/Data", 60))
    assert vitals.errors == 7


def test_a_kernel_that_does_not_say_what_is_available() -> None:
    old = "MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 250 kB"
    assert section("memory", old).memory == pytest.approx(60)


def test_arrays_that_are_not_whole() -> None:
    assert section("raid", MDSTAT).raid == ("md2 3 of 4 disks", "md1 1 of 2 disks", "md9 inactive")
    assert section("raid", "Personalities : \nunused devices: <none>").raid == ()


def test_errors_of_cards() -> None:
    cards = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 517047396 1796889    0    0    0     0          0         0 517047396 1796889    0    0    0     0       0          0
  eth0:828914145   23730    5   99    0     0          0         0  1689964   15900    2    0    0     0       0          0"""
    assert section("network", cards).errors == 7
    assert section("network", "").errors is None


def test_the_hottest_sensor_counts_and_nonsense_does_not() -> None:
    assert section("temperatures", "48000\n71500\n-128000\n255000\nx").temperature == 71.5
    assert section("temperatures", "").temperature is None


@pytest.mark.parametrize(
    ("said", "due"),
    [
        ("@reboot", ""),
        ("@reboot\nneeded", "updates"),
        ("@reboot\nneeded\nlinux-image-6.1.0-40\nlinux-base", "linux-image-6.1.0-40, linux-base"),
        ("@reboot\nkernel", "kernel"),
        ("@reboot\n@restart\n1", "newer libraries"),
        ("@reboot\n@restart\n0", ""),
        ("", None),
    ],
)
def test_what_waits_for_a_reboot(said: str, due: str | None) -> None:
    assert read(f"{said}\n@end").reboot == due


UBUNTU = """\
Expanded Security Maintenance for Applications is not enabled.

12 updates can be applied immediately.
5 of these updates are standard security updates.
To see these additional updates run: apt list --upgradable"""


@pytest.mark.parametrize(
    ("name", "said", "found"),
    [
        ("updates", "12;5", (12, 5)),
        ("updates", "0 security\n     40 other\n     82 security", (122, 82)),
        ("updates", "0 security", (0, 0)),
        ("updates", "3 other", (3, None)),
        ("updates", "E: Could not get lock", (0, None)),
        ("updates", "", (None, None)),
        ("notified", UBUNTU, (12, 5)),
        ("notified", "0 updates can be applied immediately.", (0, 0)),
    ],
)
def test_updates(name: str, said: str, found: tuple[int | None, int | None]) -> None:
    vitals = section(name, said) if said else read("@end")
    assert (vitals.updates, vitals.security) == found


def test_programs_with_most_of_it() -> None:
    vitals = section(
        "processes", "50.9  0.4 python3\n 2.3  0.7 /usr/bin/postgres\n%CPU %MEM COMMAND"
    )
    assert vitals.busy == ("python3 51 %", "postgres 2 %")
    assert section("hungry", " 2.3 30.7 java\n").hungry == ("java 31 %",)


@given(st.text())
def test_no_garbage_raises_or_is_an_answer(text: str) -> None:
    assert parse(text) is None or "@end" in text


SAID = [line for text in (DEBIAN, FREEBSD, MACOS, f"@raid\n{MDSTAT}") for line in text.splitlines()]


@given(st.lists(st.sampled_from(SAID) | st.text("@0123456789.%| /-kB:;="), max_size=80))
def test_no_garbled_answer_raises(lines: list[str]) -> None:
    assert parse("\n".join([*lines, "@end"])) is not None
