"""Numbers of calls that run and ran."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ircops.errors import Denied, OpsError
from ircops.jobs import REMEMBERED, Jobs
from ircops.redact import redactor
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
        job.output.write_text("x")
        job.spool(1).open("web1.out").close()
        jobs.end(job, "done", "ok")
    assert len(jobs.recent) == REMEMBERED
    assert len(list(tmp_path.glob("*.out"))) == len(list(tmp_path.glob("*/web1.out"))) == REMEMBERED


def test_output_of_earlier_bots_stays_as_long_as_its_job_is_known(tmp_path: Path) -> None:
    jobs = jobs_with(tmp_path, 3, 5)
    for number in (1, 2, 3, 4):
        (tmp_path / f"{number}.out").write_text("x")
        (tmp_path / str(number)).mkdir()
    jobs.end(jobs.find(3), "done", "ok")
    jobs.tidy([4])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "3.out", "4", "4.out"]


def test_what_was_in_memory_only_is_there_for_the_next_bot(tmp_path: Path) -> None:
    jobs = jobs_with(tmp_path, 3)
    job = jobs.find(3)
    job.head += b"caf\xc3\xa9\nlast\n"
    assert job.tail(1) == ["last"]
    jobs.end(job, "done", "ok")
    jobs.close()
    assert jobs_with(tmp_path, 3).find(3).tail(3) == ["café", "last"]
    assert job.output.stat().st_mode & 0o777 == 0o600


def test_the_tail_of_a_host_is_read_from_its_end_whatever_the_size(tmp_path: Path) -> None:
    job = jobs_with(tmp_path, 3).find(3)
    with job.spool(100).open("web1.out") as file:
        file.write(b"\xff\n" * 1_000_000 + b"one\ntwo\n")
    assert job.tail(2, "web1") == ["one", "two"]
    assert job.tail(2) == job.tail(2, "web2") == []


def test_the_last_job_is_of_this_place_and_not_about_jobs(tmp_path: Path) -> None:
    jobs = jobs_with(tmp_path, 1, 2)

    async def more() -> None:
        for number, (user, command, where) in enumerate(
            [(BOB, "uptime", "#ops"), (ALICE, "tail", "#ops"), (ALICE, "disk", "#dev")], 3
        ):
            jobs.begin(number, user, call(command, where=where)[0], command)

    asyncio.run(more())
    for job in jobs.running:
        jobs.end(job, "done", "ok")
    assert [jobs.last("#ops").number, jobs.last("#ops", ALICE).number] == [3, 2]
    with pytest.raises(OpsError, match="nothing ended here"):
        jobs.last("#other")


def test_two_processes_see_each_other(tmp_path: Path) -> None:
    one, other = Jobs(tmp_path), Jobs(tmp_path)
    assert not one.is_alone() and not other.is_alone()
    other.close()
    assert one.is_alone()


def test_stop_all_reaches_every_job(tmp_path: Path) -> None:
    jobs = jobs_with(tmp_path, 1, 2)
    assert jobs.stop_all("the bot is stopping") == 2
    assert all(job.call.stop.is_asked for job in jobs.running)


def test_what_hosts_put_out_is_shown_without_the_secrets_in_it(tmp_path: Path) -> None:
    async def look() -> None:
        jobs = Jobs(tmp_path, clean=redactor(["hunter2"]))
        job = jobs.begin(1, ALICE, call("run web1 dump")[0], "run")
        raw = "user=ops hunter2\n-----BEGIN PRIVATE KEY-----\nMIIEvQ\nIBADAN\n-----END PRIVATE KEY-----\n"
        job.spooled.mkdir()
        (job.spooled / "web1.out").write_text(raw)
        # of a key nothing is shown, wherever the lines that are asked for begin
        assert job.tail(2, "web1") == ["***", "-----END PRIVATE KEY-----"]
        assert job.tail(9, "web1")[:2] == ["user=ops ***", "-----BEGIN PRIVATE KEY-----"]
        assert (job.spooled / "web1.out").read_text() == raw  # kept as it came
        (job.spooled / "web1.out").write_text("password=" + "x" * 70_000 + "\nlast\n")
        assert job.tail(3, "web1") == ["last"]  # a piece of a line may be a piece of a secret
        jobs.close()

    asyncio.run(look())
