"""What becomes of machines by the clock, with a clock turned by hand and a provider that is a shell script."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ircops.call import Kind
from ircops.ops.lifetimes import SETTLED, Lifetimes
from ircops.ops.machines import Machine
from tests.bench import Bench, with_bot
from tests.people import Heard

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
# A machine is a file, named by its id, that holds its label and its name.
LAB = r"""#!/bin/sh
cd "$(dirname "$0")/there" || exit
case $1 in
list)
    [ -e ../broken ] && { echo "lab is on fire" >&2; exit 1; }
    for id in *; do [ -e "$id" ] && read -r label name <"$id" && echo "id=$id label=$label name=$name state=running"; done
    ;;
destroy) rm -f -- "$2"; echo "$2" >>../destroyed ;;
esac
exit 0
"""
SETTINGS = """
[provider lab]
kind = command
create = {lab} create
list = {lab} list
destroy = {lab} destroy {{id}}
"""


@dataclass
class Stage:
    """A bot, its machines, and the clock."""

    bench: Bench
    directory: Path
    heard: Heard
    places: list[tuple[str, ...]]
    lifetimes: Lifetimes
    now: datetime = NOW

    def machine(self, name: str, **values: object) -> Machine:
        """A row, and something there that bears its label."""
        rows = self.bench.bot._machines
        wanted = Machine(
            "", name, "lab", by="alice", network="test", channel="#ops", job=7, made_at=NOW
        )
        (made,) = rows.allocate(name, 1, 10, None, wanted, lambda name: False)
        (self.directory / "there" / f"id-{name}").write_text(f"{made.label} {name}\n")
        given = {"state": "ready", "id": f"id-{name}", "address": "127.0.0.1", **values}
        return rows.change(made, **given)

    async def at(self, **after: float) -> list[str]:
        """What is said when it is so much after NOW."""
        self.now = NOW + timedelta(**after)
        self.heard.said.clear()
        await self.lifetimes.look(self.bench.bot.parts)
        assert all(kind is Kind.REPORT for kind, _ in self.heard.said)
        return [text for _, text in self.heard.said]

    @property
    def there(self) -> list[str]:
        return sorted(path.name for path in (self.directory / "there").iterdir())


Scene = Callable[[Stage], Awaitable[None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Scene], None]:
    lab = tmp_path / "lab"
    lab.write_text(LAB)
    lab.chmod(0o755)
    (tmp_path / "there").mkdir()

    def play(scene: Scene) -> None:
        async def on_stage(bench: Bench) -> None:
            heard, places = Heard(), list[tuple[str, ...]]()

            def outlet(channels: tuple[str, ...]) -> Heard:
                places.append(channels)
                return heard

            bot = bench.bot
            stage: Stage
            made = Lifetimes(bot._machines, bot._record, outlet, lambda: stage.now)
            stage = Stage(bench, tmp_path, heard, places, made)
            await scene(stage)

        with_bot(tmp_path, SETTINGS.format(lab=lab), on_stage)

    return play


def test_its_channel_is_warned_twice_and_then_it_is_destroyed_and_recorded(
    play: Callable[[Scene], None],
) -> None:
    async def scene(stage: Stage) -> None:
        stage.machine("web1", expires_at=NOW + timedelta(hours=8))
        stage.machine("web2")
        assert await stage.at(hours=7) == []
        assert await stage.at(hours=7, minutes=30) == [
            "web1 is destroyed in 30 min (20:00 UTC); !server extend web1 4h keeps it"
        ]
        assert await stage.at(hours=7, minutes=45) == []
        assert await stage.at(hours=7, minutes=55, seconds=10) == [
            "web1 is destroyed in 5 min (20:00 UTC); !server extend web1 4h keeps it"
        ]
        assert await stage.at(hours=7, minutes=59) == []
        assert stage.there == ["id-web1", "id-web2"]
        assert await stage.at(hours=8) == ["web1: destroyed, as its time was up"]
        assert stage.there == ["id-web2"]
        assert await stage.at(hours=80) == []
        assert set(stage.places) == {("test/#ops",), ()}  # and the call's own, which says nothing
        record = await stage.bench.say("record --user expiry", "carol")
        assert " expiry server destroy web1: ok (" in record.text

    play(scene)


def test_who_extends_it_keeps_it_and_is_warned_anew(play: Callable[[Scene], None]) -> None:
    async def scene(stage: Stage) -> None:
        stage.machine("web1", expires_at=NOW + timedelta(minutes=40))
        assert len(await stage.at(minutes=20)) == 1
        servers = stage.bench.bot.parts.servers
        servers._now = lambda: stage.now
        longer = await asyncio.to_thread(servers.extend, "web1", 4 * 3600.0)
        assert longer.expires_at == NOW + timedelta(hours=4, minutes=40)
        assert await stage.at(hours=1) == []
        assert len(await stage.at(hours=4, minutes=15)) == 1
        assert stage.there == ["id-web1"]

    play(scene)


def test_a_provider_in_trouble_is_told_once_and_tried_again(
    play: Callable[[Scene], None], tmp_path: Path
) -> None:
    async def scene(stage: Stage) -> None:
        stage.machine("web1", expires_at=NOW + timedelta(hours=1))
        (tmp_path / "broken").touch()
        assert await stage.at(hours=1) == [
            "web1: its time is up, and it is still there: lab: lab is on fire; the bot tries again"
        ]
        assert await stage.at(hours=2) == []
        assert stage.there == ["id-web1"]
        (tmp_path / "broken").unlink()
        assert await stage.at(hours=3) == ["web1: destroyed, as its time was up"]

    play(scene)


def test_what_failed_is_cleaned_away_by_its_label(play: Callable[[Scene], None]) -> None:
    async def scene(stage: Stage) -> None:
        stage.machine("web1", state="failed", why="no answer", id="")
        stage.machine("web2")
        assert await stage.at(seconds=10) == [
            "web1 (job 7, no answer): what was left of it is removed"
        ]
        assert stage.there == ["id-web2"]
        assert [m.name for m in stage.bench.bot._machines.all] == ["web2"]

    play(scene)


def test_what_is_not_there_yet_may_still_come_until_the_dust_has_settled(
    play: Callable[[Scene], None],
) -> None:
    async def scene(stage: Stage) -> None:
        machine = stage.machine("web1", state="failed", why="cut off", id="")
        thing = stage.directory / "there" / "id-web1"
        thing.unlink()
        assert await stage.at(seconds=10) == []
        thing.write_text(f"{machine.label} web1\n")  # the provider was slow
        assert await stage.at(seconds=20) == [
            "web1 (job 7, cut off): what was left of it is removed"
        ]
        stage.machine("web3", state="failed", why="cut off", id="")
        (stage.directory / "there" / "id-web3").unlink()
        assert await stage.at(seconds=SETTLED.total_seconds()) == [
            "web3 (job 7, cut off): nothing of it is left on lab"
        ]

    play(scene)


def test_another_thing_of_the_same_name_is_left_alone(play: Callable[[Scene], None]) -> None:
    async def scene(stage: Stage) -> None:
        stage.machine("web1", state="failed", why="cut off", id="")
        thing = stage.directory / "there" / "id-web1"
        thing.write_text("somebody-elses web1\n")
        assert await stage.at(hours=1) == ["web1 (job 7, cut off): nothing of it is left on lab"]
        assert stage.there == ["id-web1"]

    play(scene)


def test_what_the_last_bot_was_making_is_taken_over(play: Callable[[Scene], None]) -> None:
    async def scene(stage: Stage) -> None:
        stage.machine("web1", state="creating", id="", address="")
        stage.machine("web2", state="setup")
        stage.machine("web3")
        assert await stage.at(hours=1) == []
        await asyncio.to_thread(stage.lifetimes.take_over)
        assert await stage.at(hours=1) == [
            f"web{n} (job 7, the bot ended while it was made): what was left of it is removed"
            for n in (1, 2)
        ]
        assert stage.there == ["id-web3"]

    play(scene)
