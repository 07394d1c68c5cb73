"""Calls of one person in one place begin in order; slow ones, and other people's, wait for nobody."""

from __future__ import annotations

import asyncio

import pytest

from ircops import lanes
from ircops.lanes import Lanes
from tests.people import call, on_irc, until


def test_one_persons_quick_calls_end_in_the_order_they_came() -> None:
    async def scene() -> list[int]:
        turns, ended = Lanes(), []

        async def take(number: int) -> None:
            async with turns.turn(call("x")[0]):
                await asyncio.sleep(0.002 if number % 2 else 0)
                ended.append(number)

        await asyncio.gather(*map(take, range(20)))
        return ended

    assert asyncio.run(scene()) == list(range(20))


def test_a_slow_call_holds_up_the_next_one_of_the_same_person_for_a_moment_only(
    monkeypatch,
) -> None:
    monkeypatch.setattr(lanes, "HEAD_START", 0.01)

    async def scene() -> None:
        turns, running, enough = Lanes(), [], asyncio.Event()

        async def take(name: str) -> None:
            async with turns.turn(call("x", on_irc(name))[0]):
                running.append(name)
                await enough.wait()

        tasks = [asyncio.create_task(take(name)) for name in ("alice", "alice", "bob")]
        await until(lambda: len(running) == 2)
        assert running == ["alice", "bob"]
        await until(lambda: len(running) == 3)
        enough.set()
        await asyncio.gather(*tasks)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("is_working", "share", "ticks"), [(True, 1, lanes.TICKS), (True, 0.1, 40), (False, 1, 80)]
)
def test_a_head_start_is_of_the_calls_own_time(is_working: bool, share: float, ticks: int) -> None:
    """Neither a late loop nor a wait for a thread or the disk makes a quick command a slow one."""

    async def scene() -> int:
        made, _ = call("x")
        made.reply.is_working = is_working
        turn = Lanes().turn(made)
        await turn.__aenter__()
        waiting = asyncio.create_task(turn.over())
        count = 0
        while not waiting.done():
            turn.tick(share)
            count += 1
            await asyncio.sleep(0)
        return count

    assert asyncio.run(scene()) == pytest.approx(ticks, abs=2)


def test_a_call_that_is_cancelled_while_it_waits_lets_the_next_one_go_on() -> None:
    async def scene() -> list[int]:
        turns, ended = Lanes(), []

        async def take(number: int) -> None:
            async with turns.turn(call("x")[0]):
                await asyncio.sleep(0)
                ended.append(number)

        tasks = [asyncio.create_task(take(number)) for number in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.wait(tasks)
        return ended

    assert asyncio.run(scene()) == [0, 2]
