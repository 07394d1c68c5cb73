"""!service, !logs and !reboot on a machine with a real systemd, journal and boot; see tests/real/systemd.py."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from ircops.errors import FAILED, OK
from tests.bench import Bench, with_bot
from tests.people import until
from tests.real.sshd import Sshd
from tests.real.systemd import booted
from tests.real.test_commands_real import confirmed, settings_for

Scene = Callable[[Callable[[Bench], Awaitable[None]]], None]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Sshd]:
    """One for each test, and one at a time: they would share their control groups."""
    (tmp_path / "machine").mkdir()
    with booted(tmp_path / "machine") as host:
        yield host


@pytest.fixture
def scene(machine: Sshd, tmp_path: Path) -> Scene:
    return lambda play: with_bot(tmp_path, settings_for(machine), play)


def test_a_real_unit_is_started_looked_at_restarted_and_stopped(scene: Scene) -> None:
    async def play(bench: Bench) -> None:
        said = await bench.say("service start good web1")
        assert (said.code, said.lines[1]) == (OK, "web1: good is active (running)")
        first = await bench.say("run web1 'systemctl show -P MainPID good'", "carol")
        said = await bench.say("service status good web1", "dave")
        assert re.fullmatch(r"web1: good is active \(running\) for \d+ min, static", said.text)
        said = await confirmed(bench, "service restart good web1")
        assert (said.code, said.lines[1]) == (OK, "web1: good is active (running)")
        second = await bench.say("run web1 'systemctl show -P MainPID good'", "carol")
        assert first.text != second.text
        said = await confirmed(bench, "service stop good web1")
        assert (said.code, said.lines[1]) == (OK, "web1: good is inactive (dead)")
        said = await bench.say("service status good web1")
        assert said.text == "web1: good is inactive (dead), static"

    scene(play)


def test_a_real_unit_that_breaks_a_moment_later_has_failed_with_its_last_words(
    scene: Scene,
) -> None:
    async def play(bench: Bench) -> None:
        said = await bench.say("service start late web1")
        assert said.code == FAILED
        assert "  late is failed (failed)" in said.lines
        assert "late.service: Failed with result 'exit-code'." in said.text
        said = await bench.say("service start once web1")
        assert (said.code, said.lines[1]) == (OK, "web1: once is inactive (dead)")

    scene(play)


def test_a_unit_that_systemd_does_not_know_is_said(scene: Scene) -> None:
    async def play(bench: Bench) -> None:
        said = await bench.say("service start ngnix web1")
        assert said.lines[1] == (
            "web1: Failed to start ngnix.service: Unit ngnix.service not found. (exit 5)"
        )
        said = await bench.say("service status ngnix web1")
        assert (said.code, said.lines) == (FAILED, ["web1: no unit ngnix (exit 1)"])

    scene(play)


def test_the_real_journal_is_read_searched_and_followed(
    scene: Scene, machine: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ircops.commands.logs.OFTEN", 0.1)
    log = "run web1 'echo {} | systemd-cat -t tests'"

    async def play(bench: Bench) -> None:
        assert (await bench.say("service start once web1")).code == OK
        said = await bench.say("service logs once web1 -n 20")
        assert re.search(r"\S+ \S+ echo\[\d+\]: once is done$", said.text, re.MULTILINE)
        assert (await bench.say(log.format("first of all"), "carol")).code == OK
        said = await bench.say("logs web1 -g 'tests.*first.of'")
        assert re.fullmatch(r"web1: \S+ \S+ tests\[\d+\]: first of all", said.text)

        following = bench.begin("logs web1 -n 1 -g 'tests.*of all' --follow 60", "carol")
        await until(lambda: [line for line in following.heard.lines if "first of all" in line])
        assert (await bench.say(log.format("next of all"), "carol")).code == OK
        assert (await bench.say(log.format("none of these"), "carol")).code == OK
        await until(lambda: [line for line in following.heard.lines if "next of all" in line])
        (number,) = re.findall(r"#(\d+)[^#\n]*--follow", (await bench.say("jobs")).text)
        assert (await bench.say(f"kill {number}", "carol")).code == OK
        said = await following.end()
        assert [line.rpartition(": ")[2] for line in said.lines[:2]] == [
            "first of all",
            "next of all",
        ]
        assert "none of these" not in said.text

    scene(play)


def test_a_machine_is_rebooted_and_tells_a_new_boot_id(scene: Scene, machine: Sshd) -> None:
    """systemd goes down and comes up; its boot id is the container's own, which nspawn draws for each boot."""

    async def play(bench: Bench) -> None:
        look = "run web1 'cat /proc/sys/kernel/random/boot_id; systemctl show -P UserspaceTimestampMonotonic'"
        before = (await bench.say(look, "carol")).text
        assert Path("/proc/sys/kernel/random/boot_id").read_text().strip() not in before
        said = await confirmed(bench, "reboot web1")
        assert (said.code, said.lines[0]) == (OK, "rebooting on web1")
        assert re.fullmatch(r"web1: back after \d+ s", said.lines[1])
        after = (await bench.say(look, "carol")).text
        assert set(before.splitlines()) & set(after.splitlines()) == {"web1:"}  # all is another

    scene(play)


def test_a_machine_that_does_not_come_back_is_said_to_be_away(scene: Scene, machine: Sshd) -> None:
    program = machine.directory / "bin/reboot"
    program.unlink()
    program.write_text("#!/bin/sh\nexec systemctl poweroff\n")
    program.chmod(0o755)

    async def play(bench: Bench) -> None:
        said = await confirmed(bench, "reboot --timeout 6 web1")
        assert said.code == FAILED
        assert re.fullmatch(
            r"web1: not back: connection refused, \d s after it was told to", said.lines[1]
        )

    scene(play)
