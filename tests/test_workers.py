"""Threads for what blocks: as few as keep up, and as many as are needed."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from ircops.workers import AHEAD, Workers
from tests.people import until


def test_what_is_submitted_is_done_beside_each_other_by_at_most_so_many() -> None:
    async def scene() -> None:
        workers, go, names = Workers("desk", 2), threading.Event(), list[str]()

        def work() -> None:
            names.append(threading.current_thread().name)
            go.wait(30)

        for _ in range(3):
            workers.submit(work)
        await until(lambda: len(names) == 2)
        go.set()
        await until(lambda: len(names) == 3)
        assert set(names) == {"desk_1", "desk_2"}

    asyncio.run(scene())


def test_a_thread_that_has_nothing_to_do_is_used_again() -> None:
    async def scene() -> list[str]:
        workers, names = Workers("desk", 9), list[str]()
        for count in range(1, 4):
            workers.submit(lambda: names.append(threading.current_thread().name))
            await until(lambda count=count: len(names) == count and workers._idle)  # type: ignore[misc]
        return names

    assert asyncio.run(scene()) == ["desk_1"] * 3


@pytest.mark.parametrize(("patience", "threads"), [(60, 1), (0, 5)])
def test_another_thread_comes_only_when_one_is_held_up(patience: float, threads: int) -> None:
    async def scene() -> set[str]:
        workers, names = Workers("desk", 9, patience), list[str]()
        everybody = threading.Barrier(threads)

        def work() -> None:
            names.append(threading.current_thread().name)
            everybody.wait(30)

        for _ in range(5):
            workers.submit(work)
        await until(lambda: len(names) == 5)
        return set(names)

    assert len(asyncio.run(scene())) == threads


def test_what_is_left_of_it_is_done_after_what_is_new_but_not_for_ever() -> None:
    async def scene() -> list[str]:
        workers, go, done = Workers("desk", 1), threading.Event(), list[str]()

        def begin(number: int):  # type: ignore[no-untyped-def]
            done.append(f"begin {number}")
            return partial(done.append, f"end {number}")

        workers.submit(lambda: go.wait(30) and None)
        for number in range(AHEAD + 2):
            workers.submit(partial(begin, number))
        go.set()
        await until(lambda: len(done) == 2 * (AHEAD + 2))
        return done

    done = asyncio.run(scene())
    assert done[:AHEAD] == [f"begin {number}" for number in range(AHEAD)]
    assert done[AHEAD] == "end 0"
    assert [each for each in done if "end" in each] == [f"end {n}" for n in range(AHEAD + 2)]


def test_what_is_left_is_not_left_with_a_thread_that_is_held_up() -> None:
    async def scene() -> None:
        workers, go, done = Workers("desk", 2), threading.Event(), list[str]()

        def begin(end: str):  # type: ignore[no-untyped-def]
            return lambda: go.wait(30) and None if end == "slow" else done.append(end)

        workers.submit(partial(begin, "slow"))
        workers.submit(partial(begin, "quick"))
        await until(lambda: done)
        go.set()

    asyncio.run(scene())
