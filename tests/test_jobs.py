"""Numbers of calls that run and ran."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ircops.errors import Denied, OpsError
from ircops.jobs import REMEMBERED, Jobs
from tests.people import ALICE, BOB, DAVE, call


def jobs_with(path: Path, *numbers: int) -> Jobs:
    async def begun() -> Jobs:
        jobs = Jobs(path)
        for number in numbers:
            jobs.begin(number, ALICE, call("load @web")[0], "load", "web[1-2]")
        return jobs

    return asyncio.run(begun())


def test_a_job_moves_from_running_to_recent(tmp_path: Path) -> None:
    jobs = jobs_with(tmp_path, 4, 9)
    job = jobs.find(4)
    jobs.end(job, "done", "ok")
    assert [job.number for job in jobs.running] == [9]
    assert [job.number for job in jobs.recent] == [4]
    assert jobs.find(4).ended is not None


def test_owner_and_operators_kill_others_do_not(tmp_path: Path) -> None:
    jobs = jobs_with(tmp_path, 1, 2)
    with pytest.raises(Denied, match="job 1 is alice's; killing it needs role operator"):
        jobs.kill(1, DAVE)
    assert jobs.kill(1, ALICE).call.stop.reason == "killed by alice"
    assert jobs.kill(2, BOB).call.stop.reason == "killed by bob"


def test_an_ended_or_unknown_job_cannot_be_killed(tmp_path: Path) -> None:
    jobs = jobs_with(tmp_path, 1)
    jobs.end(jobs.find(1), "failed", "exit 2")
    with pytest.raises(OpsError, match="job 1 has already ended: exit 2"):
        jobs.kill(1, ALICE)
    with pytest.raises(OpsError, match="no job 7; .*record 7"):
        jobs.find(7)


def test_forgotten_jobs_take_their_output_along(tmp_path: Path) -> None:
    jobs = jobs_with(tmp_path, *range(REMEMBERED + 1))
    for job in jobs.running:
        assert job.output is not None
        job.output.write_text("x")
        jobs.end(job, "done", "ok")
    assert len(jobs.recent) == len(list(tmp_path.glob("*.out"))) == REMEMBERED


def test_output_of_an_earlier_run_is_cleared_at_start(tmp_path: Path) -> None:
    (tmp_path / "3.out").write_text("x")
    Jobs(tmp_path)
    assert not list(tmp_path.iterdir())


def test_stop_all_reaches_every_job(tmp_path: Path) -> None:
    jobs = jobs_with(tmp_path, 1, 2)
    assert jobs.stop_all("the bot is stopping") == 2
    assert all(job.call.stop.is_asked for job in jobs.running)
