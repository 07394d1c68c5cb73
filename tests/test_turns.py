"""Whose turn it is: locks and shares, in order, without a deadlock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ircops.call import User
from ircops.errors import Stopped
from ircops.jobs import Job, Jobs
from ircops.ops.locks import Locks
from ircops.redact import redactor
from ircops.store.database import Database
from ircops.turns import SHARE, Turns
from tests.people import ALICE, BOB, CAROL, Heard, call, until


class Scene:
    """Jobs that take turns, and who is at work."""

    def __init__(self, directory: Path) -> None:
        self.locks = Locks(Database("", directory / "state"), outlet=lambda places: Heard())
        self.turns, self.jobs = Turns(self.locks), Jobs(directory, clean=redactor())
        self.at_work: list[int] = []
        self.heard: dict[int, Heard] = {}
        self._ends: dict[int, asyncio.Event] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._jobs: dict[int, Job] = {}

    async def begin(self, number: int, user: User = ALICE, **wants: int) -> None:
        """Have a job that wants all that; it works, or waits, when this returns."""
        made, self.heard[number] = call(f"deploy {number}")
        job = self._jobs[number] = self.jobs.begin(number, user, made, "deploy")
        self._ends[number] = asyncio.Event()
        self._tasks[number] = asyncio.create_task(self._work(job, wants))
        await asyncio.sleep(0)

    async def _work(self, job: Job, wants: dict[str, int]) -> None:
        async with self.turns.taken(job, wants):
            self.at_work.append(job.number)
            await self._ends[job.number].wait()
            self.at_work.remove(job.number)

    async def end(self, number: int) -> None:
        self._ends[number].set()
        await self._tasks[number]
        await asyncio.sleep(0)

    async def kill(self, number: int) -> None:
        self._jobs[number].call.stop.ask("killed by bob")
        await asyncio.wait([self._tasks[number]])
        with pytest.raises(Stopped, match="killed by bob; it had not begun"):
            self._tasks[number].result()
        await asyncio.sleep(0)


def played(directory: Path, play: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        scene = Scene(directory)
        scene.locks._database.open()
        await play(scene)
        scene.locks._database.close()
        assert scene.at_work == []
        assert not scene.turns._holders and not scene.turns._waiting
        assert not any(scene.turns._taken.values())

    asyncio.run(run())


def test_who_comes_first_is_first_and_the_next_hear_who_holds_it(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        for number in (1, 2, 3):
            await scene.begin(number, db=1)
        assert scene.at_work == [1]
        assert scene.heard[1].lines == []
        taken = "db is taken by job 1 (alice: deploy 1)"
        assert scene.heard[2].lines == [f"job 2 is queued: {taken}; !kill 2 leaves the queue"]
        assert scene.heard[3].lines[0].startswith(f"job 3 is queued, 1 before it: {taken}")
        assert scene._jobs[2].state == "queued"
        await scene.end(1)
        assert scene.at_work == [2]
        await scene.end(2)
        await scene.end(3)

    played(tmp_path, play)


def test_a_share_is_for_so_many_at_once(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        for number in (1, 2, 3):
            await scene.begin(number, alice=2)
        assert scene.at_work == [1, 2]
        assert "alice is taken by 2 jobs" in scene.heard[3].lines[0]
        await scene.end(2)
        assert scene.at_work == [1, 3]
        await scene.end(1)
        await scene.end(3)

    played(tmp_path, play)


def test_who_waits_for_something_else_is_not_waited_for(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        await scene.begin(1, db=1)
        await scene.begin(2, db=1)
        await scene.begin(3, web=1)
        assert scene.at_work == [1, 3]
        for number in (1, 2, 3):
            await scene.end(number)

    played(tmp_path, play)


def test_who_wants_two_things_waits_for_both_holds_neither_and_is_not_overtaken(
    tmp_path: Path,
) -> None:
    async def play(scene: Scene) -> None:
        await scene.begin(1, db=1)
        await scene.begin(2, web=1, db=1)
        await scene.begin(3, web=1)  # free, but somebody came before
        assert scene.at_work == [1]
        await scene.end(1)
        assert scene.at_work == [2]
        await scene.end(2)
        assert scene.at_work == [3]
        await scene.end(3)

    played(tmp_path, play)


def test_two_who_want_the_same_two_things_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        await scene.begin(1, db=1, web=1)
        await scene.begin(2, web=1, db=1)
        await scene.end(1)
        await scene.end(2)

    played(tmp_path, play)


def test_a_kill_takes_a_job_out_of_the_queue_and_lets_the_next_on(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        await scene.begin(1, db=1)
        await scene.begin(2, db=1, web=1)
        await scene.begin(3, web=1)
        await scene.kill(2)
        await until(lambda: scene.at_work == [1, 3])
        await scene.end(1)
        await scene.end(3)

    played(tmp_path, play)


def test_who_waits_for_a_lock_holds_nobody_up_by_their_share(tmp_path: Path) -> None:
    channel = f"{SHARE}#ops"

    async def play(scene: Scene) -> None:
        await scene.begin(1, **{"db": 1, channel: 3})
        await scene.begin(2, **{"db": 1, channel: 3})
        await scene.begin(3, **{channel: 3})
        await scene.begin(4, **{channel: 3})
        assert scene.at_work == [1, 3, 4]
        await scene.begin(5, **{channel: 3})  # none is left, and now it waits before the others
        await scene.end(1)
        assert scene.at_work == [3, 4, 2]
        for number in (3, 4, 2, 5):
            await scene.end(number)

    played(tmp_path, play)


def test_a_share_of_one_is_no_lock(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        await scene.begin(1, BOB, db=1)
        await scene.begin(2, **{"db": 1, f"{SHARE}alice": 1})
        await scene.begin(3, **{f"{SHARE}alice": 1})
        assert scene.at_work == [1, 3]
        assert set(scene.turns.locked) == {"db"}
        for number in (1, 3, 2):
            await scene.end(number)

    played(tmp_path, play)


def test_what_is_held_by_hand_is_for_its_holders_jobs_and_keeps_nothing_else(
    tmp_path: Path,
) -> None:
    async def play(scene: Scene) -> None:
        await scene.locks.hold("db", "alice", reason="migrating")
        await scene.begin(1, BOB, db=1, web=1)
        (said,) = scene.heard[1].lines
        assert said.startswith("job 1 is queued: db is locked by alice since ")
        assert said.endswith(": migrating · unlock db lets it go on, !kill 1 leaves the queue")
        await scene.begin(2, CAROL, web=1)
        await scene.begin(3, ALICE, db=1)
        await scene.begin(4, ALICE, db=1)  # one at a time, as ever
        assert scene.at_work == [2, 3]
        await scene.locks.release("db", "alice")
        await scene.end(2)
        await scene.end(3)
        assert scene.at_work == [1]
        await scene.end(1)
        await scene.end(4)

    played(tmp_path, play)


def test_a_lock_by_hand_holds_all_that_is_in_it(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        await scene.locks.hold("deploy", "alice")
        for number, name in enumerate(["deploy", "deploy:prod", "deploy:prod:web1"], 1):
            await scene.begin(number, BOB, **{name: 1})
        await scene.begin(4, BOB, **{"deployment:prod": 1})
        assert scene.at_work == [4]
        assert [job.number for job in scene.turns.queued("deploy")] == [1, 2, 3]
        await scene.locks.release("deploy", "alice")
        for number in (4, 1, 2, 3):
            await scene.end(number)

    played(tmp_path, play)


def test_a_job_waiting_for_a_lock_by_hand_can_be_killed(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        await scene.locks.hold("db", "alice")
        await scene.begin(1, BOB, db=1)
        await scene.kill(1)

    played(tmp_path, play)


def test_a_line_with_a_secret_in_it_is_not_shown_to_who_waits_for_it(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        made, _ = call("deploy --token abc123", where="")
        job = scene.jobs.begin(1, BOB, made, "deploy")
        async with scene.turns.taken(job, {"db": 1}):
            await scene.begin(2, db=1)
            assert "deploy --token ***" in scene.heard[2].lines[0]
        await scene.end(2)

    played(tmp_path, play)
