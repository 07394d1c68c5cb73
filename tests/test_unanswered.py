"""Consent through the whole path: bound to what would run, asked again after a restart, shown without a run."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ircops import ini
from ircops.bot import Bot
from ircops.call import Call, Kind
from ircops.errors import OK
from ircops.unanswered import Unanswered
from tests.bench import ROLES, Asked, Bench, with_bot
from tests.people import Heard, call, until

HOSTS = "\n[hosts]\nweb1 = 127.0.0.1:1\nweb2 = 127.0.0.1:1\n[groups]\nweb = web1\n"
DEPLOY = HOSTS + "[command deploy]\nrun = echo {name}\non = here\nrole = operator\napprovals = 1\n"
WIPE = HOSTS + "[command wipe]\nrun = true\nrole = operator\napprovals = 1\n"


def text(heard: Heard) -> str:
    return "\n".join(heard.lines)


async def shown(asked: Asked) -> str:
    """The hash of the plan that waits."""
    await until(lambda: "!approve" in text(asked.heard) or asked.task.done())
    return re.findall(r"!approve (\w+)", text(asked.heard))[-1]


def events(bench: Bench, line: str) -> list[str]:
    entries = bench.bot.parts.record.entries(last=100)
    return [entry.event for entry in entries if entry.line == line]


def tried(directory: Path, settings: str, scene: Callable[[Bench], Awaitable[None]]) -> None:
    with_bot(directory, settings, scene)


def test_the_record_has_the_plan_before_and_after_the_consent(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        asked = bench.begin("deploy shop")
        hash = await shown(asked)
        await bench.say(f"approve {hash}", "bob")
        assert (await asked.end()).lines[-1] == "shop"
        rows = [row for row in bench.bot.parts.record.entries() if row.command == "deploy"]
        assert [row.event for row in rows] == ["asked", "started", "ended"]
        assert len({row.plan for row in rows}) == 1 and rows[0].plan.startswith(hash)
        assert [row.approvers for row in rows] == [(), ("bob",), ("bob",)]

    tried(tmp_path, DEPLOY, scene)


def test_hosts_that_change_meanwhile_make_the_consent_void(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        asked = bench.begin("wipe @web")
        hash = await shown(asked)
        path = tmp_path / "ircops.ini"
        path.write_text(path.read_text().replace("web = web1", "web = web[1-2]"))
        await bench.bot.reload()
        await bench.say(f"approve {hash}", "bob")
        void = "the consent is void, for its hosts were web1 and are web[1-2] now; ask again"
        assert (await asked.end()).lines[-1] == f"wipe @web: {void}"
        assert "started" not in events(bench, "wipe @web")

    tried(tmp_path, WIPE, scene)


def test_a_program_that_is_edited_meanwhile_makes_the_consent_void(tmp_path: Path) -> None:
    program = tmp_path / "commands" / "backup"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho saved $1\n")
    program.chmod(0o755)
    policy = "\n[command backup]\nrole = operator\napprovals = 1\n"

    async def scene(bench: Bench) -> None:
        asked = bench.begin("backup shop")
        hash = await shown(asked)
        program.write_text("#!/bin/sh\necho wiped $1\n")
        await bench.say(f"approve {hash}", "bob")
        void = "the consent is void, for its script is another one now; ask again"
        assert (await asked.end()).lines[-1] == f"backup shop: {void}"

        asked = bench.begin("backup shop")
        assert await shown(asked) != hash
        await bench.say(f"approve {await shown(asked)}", "bob")
        assert (await asked.end()).lines[-1] == "wiped shop"

    tried(tmp_path, policy, scene)


def test_a_policy_that_falls_meanwhile_makes_the_consent_void_and_nothing_runs(
    tmp_path: Path,
) -> None:
    async def scene(bench: Bench) -> None:
        asked = bench.begin("deploy shop")
        hash = await shown(asked)
        path = tmp_path / "ircops.ini"
        path.write_text(path.read_text().replace("approvals = 1", "approvals = 0"))
        await bench.bot.reload()
        await bench.say(f"approve {hash}", "bob")
        assert "void, for what it asks for was changed" in (await asked.end()).lines[-1]
        assert "started" not in events(bench, "deploy shop")

    tried(tmp_path, DEPLOY, scene)


def test_consent_to_one_call_is_none_to_the_next_of_the_same_words(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        first, second = bench.begin("deploy shop"), bench.begin("deploy shop")
        hashes = [await shown(first), await shown(second)]
        assert hashes[0] != hashes[1]
        await bench.say(f"approve {hashes[0]}", "bob")
        await first.end()
        assert not second.task.done()
        await bench.say(f"deny {hashes[1]}")
        await second.end()

    tried(tmp_path, DEPLOY, scene)


def test_what_waits_is_listed(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        assert (await bench.say("plans")).text == "nothing waits for consent"
        asked = bench.begin("deploy shop")
        hash = await shown(asked)
        listed = (await bench.say("plans", "bob")).text
        assert listed == f"alice: deploy shop: needs one approval: !approve {hash}; 5 min left"
        await bench.say(f"deny {hash}")
        await asked.end()

    tried(tmp_path, DEPLOY, scene)


@pytest.mark.parametrize(
    "line, told",
    [
        (
            "deploy --dry-run shop",
            "would run deploy shop; it asks for role operator, one approval",
        ),
        ("wipe --dry-run @web", "would run wipe @web on web1; it asks for role operator"),
    ],
)
def test_a_dry_run_shows_the_plan_and_runs_nothing(tmp_path: Path, line: str, told: str) -> None:
    async def scene(bench: Bench) -> None:
        said = await bench.say(line)
        assert (said.code, said.text) == (OK, told)
        assert events(bench, line) == ["ended"]

    tried(tmp_path, DEPLOY + WIPE.removeprefix(HOSTS).replace("approvals = 1\n", ""), scene)


def test_a_dry_run_is_no_way_around_rights_and_viewers_commands_have_none(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        assert "needs role operator" in (await bench.say("deploy --dry-run shop", "dave")).text
        assert "--dry-run" in (await bench.say("version --dry-run")).text
        assert (await bench.say("version --dry-run")).code != OK

    tried(tmp_path, DEPLOY, scene)


def test_a_lock_may_be_one_for_each_host(tmp_path: Path) -> None:
    locked = HOSTS + "[command fix]\nrun = true\nrole = operator\nlock = fix:{hosts}\n"

    async def scene(bench: Bench) -> None:
        told = "would run fix web[1-2] on web[1-2]; it asks for role operator, lock fix:web1, lock fix:web2"
        assert (await bench.say("fix --dry-run web[1-2]")).text == told

    tried(tmp_path, locked, scene)


# -- over a restart --


class Ways:
    """Channels, which keep what was said in them."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.heard = Heard()

    def __call__(self, channels: tuple[str, ...]) -> Heard:
        self.asked += channels
        return self.heard


def test_what_waited_is_asked_again_by_the_next_bot_and_runs_only_then(tmp_path: Path) -> None:
    async def first(bench: Bench) -> None:
        await shown(bench.begin("deploy shop"))  # and the bot goes

    tried(tmp_path, DEPLOY, first)

    async def second() -> None:
        bot = Bot(ini.load(tmp_path / "ircops.ini"))
        ways = Ways()
        await bot.start()
        try:
            again = Unanswered(bot.database, lambda text: text, ways)
            await again.ask_again(bot._handle)
            heard = ways.heard
            await until(lambda: "!approve" in text(heard))
            assert ways.asked == ["test/#ops"]
            assert heard.lines[0] == "alice asked before a restart: deploy shop"
            hash = re.findall(r"!approve (\w+)", text(heard))[-1]
            assert "shop" not in heard.lines
            await Bench(bot).say(f"approve {hash}", "bob")
            await until(lambda: heard.lines[-1:] == ["shop"])
            await again.ask_again(bot._handle)  # nobody is asked a third time
            assert text(heard).count("before a restart") == 1
        finally:
            await bot.stop()

    asyncio.run(second())


def test_who_lost_the_role_meanwhile_is_refused_after_the_restart(tmp_path: Path) -> None:
    async def first(bench: Bench) -> None:
        await shown(bench.begin("deploy shop"))

    async def second(bench: Bench) -> None:
        ways = Ways()
        await Unanswered(bench.bot.database, lambda text: text, ways).ask_again(bench.bot._handle)
        await until(lambda: len(ways.heard.said) == 2)
        assert ways.heard.said[1][0] is Kind.ERROR
        assert "needs role operator" in ways.heard.lines[1]

    tried(tmp_path, DEPLOY, first)
    with_bot(tmp_path, DEPLOY, second, roles=ROLES.replace("alice bob", "bob"))


def test_what_expired_while_the_bot_was_away_is_said_and_forgotten(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        ways, now = Ways(), datetime.now(UTC)
        clock = [now]
        kept = Unanswered(bench.bot.database, lambda text: text, ways, now=lambda: clock[0])
        made, _ = call("deploy shop")
        async with kept.kept(7, made, 300):
            clock[0] = now + timedelta(seconds=301)

            async def handle(again: Call) -> int:
                raise AssertionError("nobody is asked")

            await kept.ask_again(handle)
        told = "alice asked before a restart: deploy shop; its time for consent is up, ask again"
        assert ways.heard.lines == [told]

    tried(tmp_path, DEPLOY, scene)


def test_a_secret_in_the_words_is_not_kept(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        ways = Ways()
        kept = Unanswered(bench.bot.database, bench.bot.parts.record.redact, ways)
        made, _ = call("deploy shop password=hunter2")
        async with kept.kept(7, made, 300):
            await kept.ask_again(bench.bot._handle)
        assert ways.heard.lines == []

    tried(tmp_path, DEPLOY, scene)
