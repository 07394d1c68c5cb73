"""A watch over a real sshd: what it says, what it does not, and what it leaves on the record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from ircops.call import Outlet
from ircops.ops.watch import Watches
from tests.bench import Bench, with_bot
from tests.people import Heard, until
from tests.real.sshd import HOSTS, Sshd
from tests.real.test_checks_real import LAX
from tests.real.test_commands_real import SETTINGS

WATCH = """
[check flag]
run = [ ! -e {flag} ] || {{ cat {flag}; exit 2; }}
on = @web
[watch fleet]
hosts = @web
every = 1s
checks = health flag
in = #ops #boss
[channel #boss]
verbosity = problems
[network test]
server = 127.0.0.1:1
tls = no
channels = #ops #boss
"""


class Scene:
    """A bot, its watches, and what its channels hear."""

    def __init__(self, bench: Bench, flag: Path) -> None:
        self.bot, self.flag = bench.bot, flag
        self.heard: dict[str, Heard] = {"#ops": Heard(), "#boss": Heard()}
        self.quiet: set[str] = set()
        self.watches = Watches(lambda: self.bot.parts, self._outlet, self.quiet.__contains__)

    def _outlet(self, places: tuple[str, ...]) -> Outlet:
        [place] = places
        return self.heard[place]

    def lines(self, place: str = "#ops") -> list[str]:
        return [click.unstyle(line) for line in self.heard[place].lines]

    async def rounds(self, number: int = 2) -> None:
        """Wait until so many more rounds are over, told and all."""
        beats = self.watches._beats
        for _ in range(number):
            before = beats["fleet"]
            await until(lambda before=before: beats.get("fleet") != before)  # type: ignore[misc]


def watch(
    sshd: Sshd,
    tmp_path: Path,
    scene: Callable[[Scene], Awaitable[None]],
    hosts: str = "",
    text: str = WATCH,
) -> None:
    flag = tmp_path / "flag"
    named = hosts or "\n".join(f"{name} = {HOSTS[name]}:{sshd.port}" for name in ("web1", "web2"))
    there = SETTINGS.replace("gone = 127.0.0.1:1\n", "").replace("web[1-3]", "web[1-2]")
    settings = there.format(user=sshd.user, directory=sshd.directory, hosts=named)

    async def run(bench: Bench) -> None:
        made = Scene(bench, flag)
        made.watches.start()
        try:
            await scene(made)
        finally:
            await made.watches.stop()

    with_bot(tmp_path, settings + LAX + text.format(flag=flag), run)


def test_only_changes_are_said_and_are_on_the_record_as_news(sshd: Sshd, tmp_path: Path) -> None:
    async def scene(world: Scene) -> None:
        await world.rounds()
        assert world.lines() == []
        world.flag.write_text("CRITICAL - the queue is long\n")
        await until(lambda: world.lines())
        await world.rounds()
        said = "web[1-2]: flag critical: the queue is long"
        assert world.lines() == world.lines("#boss") == [said]
        world.flag.unlink()
        await until(lambda: len(world.lines()) > 1)
        await world.rounds()
        assert len(world.lines()) == 2
        assert world.lines()[1].startswith("web[1-2]: ok again: flag (after ")
        assert world.lines("#boss") == [said]  # which wants problems only
        entries = world.bot.parts.record.entries(last=50)
        assert {entry.event for entry in entries} == {"alert"}  # rounds leave no rows
        assert [entry.line for entry in entries] == world.lines()
        assert {entry.hosts for entry in entries} == {"web[1-2]"}
        assert len(world.bot.parts.record.entries(host="web2")) == 2

    watch(sshd, tmp_path, scene)


def test_what_is_measured_is_kept(sshd: Sshd, tmp_path: Path) -> None:
    async def scene(world: Scene) -> None:
        samples = world.bot.parts.samples
        await until(lambda: samples.measures("web2"))
        assert {"load", "memory", "up", "disk:/"} <= set(samples.measures("web1"))
        now = datetime.now(UTC)
        [up] = samples.series("web1", "up", now - timedelta(hours=1), now + timedelta(hours=1))
        assert up.mean == 1
        await world.rounds(3)
        again = samples.series("web1", "up", now - timedelta(hours=1), now + timedelta(hours=1))
        assert len(again) <= 2  # once a minute, however often it looks

    watch(sshd, tmp_path, scene)


def test_a_reload_repeats_nothing_and_forgets_nothing(sshd: Sshd, tmp_path: Path) -> None:
    async def scene(world: Scene) -> None:
        world.flag.write_text("CRITICAL - still\n")
        await until(lambda: world.lines())
        await world.watches.reload()
        await world.rounds()
        assert len(world.lines()) == 1
        world.flag.unlink()
        await until(lambda: len(world.lines()) > 1)
        assert world.lines()[1].startswith("web[1-2]: ok again: flag")

    watch(sshd, tmp_path, scene)


def test_a_restart_repeats_nothing_either(sshd: Sshd, tmp_path: Path) -> None:
    async def first(world: Scene) -> None:
        world.flag.write_text("CRITICAL - still\n")
        await until(lambda: world.lines())
        await world.rounds(1)

    async def second(world: Scene) -> None:
        await world.rounds()
        assert world.lines() == []
        world.flag.unlink()
        await until(lambda: world.lines())
        assert world.lines()[0].startswith("web[1-2]: ok again: flag")

    watch(sshd, tmp_path, first)
    watch(sshd, tmp_path, second)


def test_a_round_that_is_cut_short_is_no_outage(sshd: Sshd, tmp_path: Path) -> None:
    """Stopped while its hosts are asked: they are not said to be out of reach, then or later."""

    async def scene(world: Scene) -> None:
        program = sshd.directory / "bin" / "nproc"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n: >{sshd.directory}/asked; exec sleep 30\n")
        program.chmod(0o755)
        try:
            await until(lambda: (sshd.directory / "asked").exists())
            await world.watches.stop()
        finally:
            program.unlink()
            (sshd.directory / "asked").unlink()
        assert world.lines() == []
        world.watches.start()
        await world.rounds()
        assert world.lines() == []

    watch(sshd, tmp_path, scene)


def test_maintenance_silences_a_watch(sshd: Sshd, tmp_path: Path) -> None:
    async def scene(world: Scene) -> None:
        maintenance = world.bot.parts.maintenance
        await asyncio.to_thread(maintenance.begin, ["web1"], 600, "alice")
        world.flag.write_text("CRITICAL - broken\n")
        await until(lambda: world.lines())
        await world.rounds()
        assert world.lines() == ["web2: flag critical: broken"]
        await asyncio.to_thread(maintenance.end, ["web1"])
        await until(lambda: len(world.lines()) > 1)
        assert world.lines()[1] == "web1: flag critical: broken"

    watch(sshd, tmp_path, scene)


def test_quiet_hours_hold_back_what_is_not_severe(sshd: Sshd, tmp_path: Path) -> None:
    async def scene(world: Scene) -> None:
        world.quiet.add("#ops")
        world.flag.write_text("CRITICAL - severe\n")
        await until(lambda: world.lines())
        world.quiet.discard("#ops")
        assert world.lines() == ["web[1-2]: flag critical: severe"]

    watch(sshd, tmp_path, scene)


def test_a_check_may_be_run_less_often_than_the_watch_looks(sshd: Sshd, tmp_path: Path) -> None:
    counted = tmp_path / "counted"

    async def scene(world: Scene) -> None:
        await until(lambda: world.lines())
        await world.rounds(3)
        assert counted.read_text().count("x") == 2  # on two hosts, in one of four rounds
        assert len(world.lines()) == 1  # and what it came to then still holds

    check = f"echo x >>{counted}; echo 'CRITICAL - slow'; exit 2\nevery = 1h"
    text = WATCH.replace("[ ! -e {flag} ] || {{ cat {flag}; exit 2; }}", check)
    watch(sshd, tmp_path, scene, text=text)


def test_a_host_that_is_out_of_reach_is_said_once(sshd: Sshd, tmp_path: Path) -> None:
    async def scene(world: Scene) -> None:
        await until(lambda: world.lines())
        await world.rounds()
        [line] = world.lines()
        assert line.startswith("web2: ") and "refused" in line

    hosts = f"web1 = {HOSTS['web1']}:{sshd.port}\nweb2 = 127.0.0.1:1"
    watch(sshd, tmp_path, scene, hosts)


def test_watches_are_alive_until_they_are_not(sshd: Sshd, tmp_path: Path) -> None:
    async def scene(world: Scene) -> None:
        await world.rounds(1)
        assert world.watches.why_not_alive == []
        [task] = world.watches._tasks
        task.cancel()
        await until(lambda: world.watches.why_not_alive)
        assert world.watches.why_not_alive == ["watch fleet does not look any more"]

    watch(sshd, tmp_path, scene)
