"""Calls of one person in one place begin in order; slow ones, and other people's, wait for nobody."""

from __future__ import annotations

import asyncio

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


def test_while_the_loop_is_late_no_head_start_runs_out() -> None:
    async def scene() -> None:
        turn = lanes._Turn()
        turn.begin()
        waiting = asyncio.create_task(turn.over())
        await asyncio.sleep(0)
        for _ in range(lanes.TICKS * 2):
            turn._due -= 10
            turn._tick()
        await asyncio.sleep(0)
        assert not waiting.done()
        await asyncio.wait_for(waiting, 10)

    asyncio.run(scene())


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
