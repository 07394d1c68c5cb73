"""Locks held by hand: who, since when, why; taken from another only in so many words; known after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ircops.errors import Denied, OpsError
from ircops.ops.locks import Locks
from ircops.store.database import Database
from tests.bench import Bench, with_bot
from tests.people import Heard, until

NINE = datetime(2026, 11, 22, 9, tzinfo=UTC)
DEPLOY = """
[network test]
server = 127.0.0.1:1
tls = no
channels = #ops #deploys

[command deploy]
run = echo deployed {env}
on = here
role = operator
lock = deploy:{env}
"""


def on(database: Database, work: Callable[[Locks], Awaitable[None]]) -> Heard:
    """Do the work with the locks of a bot whose clock goes a minute at each look; gives what channels hear."""
    heard = Heard()
    ticks = iter(NINE + timedelta(minutes=n) for n in range(100))

    async def go() -> None:
        locks = Locks(database, lambda places: heard, lambda: next(ticks))
        await locks.load()
        await work(locks)

    asyncio.run(go())
    return heard


def test_a_lock_is_known_to_the_next_bot(database: Database) -> None:
    async def take(locks: Locks) -> None:
        assert await locks.hold("deploy:prod", "alice", "test/#ops", "migrating") is None

    async def look(locks: Locks) -> None:
        (held,) = locks.held
        assert (held.name, held.holder, held.since) == ("deploy:prod", "alice", NINE)
        assert (held.place, held.reason) == ("test/#ops", "migrating")
        await locks.release("deploy:prod", "alice")

    async def look_again(locks: Locks) -> None:
        assert locks.held == []

    for work in (take, look, look_again):
        on(database, work)


def test_who_holds_it_may_say_another_reason_and_holds_it_since_then(database: Database) -> None:
    async def work(locks: Locks) -> None:
        await locks.hold("db", "alice", reason="one")
        await locks.hold("db", "alice", reason="two")
        (held,) = locks.held
        assert (held.since, held.reason) == (NINE, "two")

    on(database, work)


def test_anothers_lock_is_taken_in_so_many_words_only_and_said_where_it_was_taken(
    database: Database,
) -> None:
    async def work(locks: Locks) -> None:
        await locks.hold("db", "alice", "test/#ops")
        with pytest.raises(Denied, match=r"db is locked by alice since .* --steal takes it"):
            await locks.hold("db", "bob", "test/#dev")
        with pytest.raises(Denied, match="db is alice's"):
            await locks.release("db", "bob", "test/#dev")
        before = await locks.hold("db", "bob", "test/#dev", steal=True)
        assert before and before.holder == "alice"
        assert [held.holder for held in locks.held] == ["bob"]
        await locks.release("db", "carol", "test/#dev", steal=True)  # said there already
        with pytest.raises(OpsError, match="db is not locked by hand; held: none"):
            await locks.release("db", "alice")

    heard = on(database, work)
    assert len(heard.lines) == 1 and heard.lines[0].startswith("bob took alice's lock db (since ")


def test_of_two_who_take_it_at_once_one_has_it(database: Database) -> None:
    async def work(locks: Locks) -> None:
        both = [locks.hold("db", who) for who in ("alice", "bob")]
        took = await asyncio.gather(*both, return_exceptions=True)
        assert [type(one) for one in took] == [type(None), Denied]
        assert [held.holder for held in locks.held] == ["alice"]

    on(database, work)


def test_a_lock_that_cannot_be_written_down_is_not_held(tmp_path: Path) -> None:
    database = Database("", tmp_path)
    database.open()

    async def work(locks: Locks) -> None:
        with database.append() as connection:
            connection.execute("DROP TABLE locks")
        with pytest.raises(OpsError, match="no such table"):
            await locks.hold("db", "alice")
        assert locks.held == []

    on(database, work)
    database.close()


def test_after_a_restart_others_still_wait_and_the_holder_deploys(tmp_path: Path) -> None:
    async def take(bench: Bench) -> None:
        await bench.say("lock deploy:prod")

    async def deploy(bench: Bench) -> None:
        asked = bench.begin("deploy prod", "bob")
        await until(lambda: asked.heard.lines)
        assert "deploy:prod is locked by alice since" in asked.heard.lines[0]
        assert (await bench.say("deploy prod")).lines == ["deployed prod"]
        assert (await bench.say("deploy staging", "bob")).lines == ["deployed staging"]
        said = await bench.say("unlock deploy:prod")
        assert said.lines == ["deploy:prod is unlocked; 1 waited for it"]
        assert (await asked.end()).lines[-1] == "deployed prod"

    with_bot(tmp_path, DEPLOY, take)
    with_bot(tmp_path, DEPLOY, deploy)


def test_a_lock_of_all_of_them_and_one_with_a_strange_name(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        assert (await bench.say("lock deploy")).lines == [
            "deploy is locked by you · unlock deploy ends it"
        ]
        asked = bench.begin("deploy staging", "bob")
        await until(lambda: asked.heard.lines)
        assert (await bench.say("lock", "dave")).lines[0].endswith(" · 1 waiting")
        asked.call.stop.ask("enough")
        await asked.end()
        said = await bench.say("lock deployment:a")
        assert said.lines[1].startswith("but no command takes a lock of that name; known: deploy:{")
        assert "a lock's name has no spaces" in (await bench.say("lock 'a b'")).text

    with_bot(tmp_path, DEPLOY, scene)


def test_a_lock_may_be_taken_while_anothers_job_has_it(tmp_path: Path) -> None:
    slow = DEPLOY.replace("run = ", "run = sleep 600; ")

    async def scene(bench: Bench) -> None:
        asked = bench.begin("deploy prod", "bob")
        await until(lambda: bench.bot.parts.turns.locked)
        said = await bench.say("lock deploy:prod")
        assert said.lines[1] == "job 1 (bob: deploy prod) has it until it ends"
        by_hand, by_job = (await bench.say("lock")).lines
        assert by_hand.startswith("deploy:prod: alice since")
        assert by_job.startswith("deploy:prod: job 1 since")
        asked.call.stop.ask("enough")
        await asked.end()

    with_bot(tmp_path, slow, scene)


def test_a_silent_command_that_was_queued_still_says_how_it_ended(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.say("lock deploy")
        asked = bench.begin("deploy prod", "bob")
        await until(lambda: asked.heard.lines)
        await bench.say("unlock deploy")
        assert (await asked.end()).lines[1:] == ["ok"]

    with_bot(tmp_path, DEPLOY.replace("echo deployed {env}", "test {env}"), scene)
