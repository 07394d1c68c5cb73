"""!again, !last and !tail: jobs of before, with the rights of now."""

from __future__ import annotations

from pathlib import Path

from tests.bench import Bench, with_bot

SHOUT = """
[command shout]
run = echo {word}; exit 3
on = here
role = operator
"""


def test_again_runs_the_line_once_more_with_the_rights_of_who_asks(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        first = await bench.say("shout hello")
        assert first.code and "hello" in first.text
        (job,) = [job for job in bench.bot.parts.jobs.recent if job.command == "shout"]
        for line in ("again", f"again {job.number}"):
            said = await bench.say(line)
            assert said.lines[0] == "again: shout hello" and "hello" in said.lines[1:]
            assert said.code == first.code
        refused = await bench.say(f"again {job.number}", "dave")
        assert "shout needs role operator" in refused.text and refused.code
        assert "nothing ended here" in (await bench.say("again", "bob")).text
        commands = [entry.line for entry in bench.bot.parts.record.entries(command="shout", last=9)]
        assert len(commands) == 2 * 3 + 1  # begun and ended, and one refused

    with_bot(tmp_path, SHOUT, scene)


def test_again_does_not_run_a_line_without_its_secret(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.say("shout ***")
        assert "held a secret" in (await bench.say("again")).text

    with_bot(tmp_path, SHOUT, scene)


def test_last_says_how_it_ended_and_its_last_lines(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.say("shout hello")
        await bench.say("shout secretly", where="")
        await bench.say("jobs")
        said = await bench.say("last", "dave")
        assert said.lines[0].endswith(" alice shout hello: exit 1") and "hello" in said.lines[1:]
        assert "nothing ended here" in (await bench.say("last", "dave", where="")).text
        assert "shout secretly" in (await bench.say("last", where="")).text

    with_bot(tmp_path, SHOUT, scene)


def test_the_next_bot_knows_the_jobs_of_the_one_before(tmp_path: Path) -> None:
    async def before(bench: Bench) -> int:
        await bench.say("shout hello")
        return (await bench.say("last")).code

    async def after(bench: Bench) -> None:
        aftermath, jobs = bench.bot.parts.aftermath, bench.bot.parts.jobs
        left = aftermath.read()
        assert left is not None and not left.unfinished
        aftermath.recall(left)
        said = await bench.say("last")
        assert said.lines[0].endswith(" alice shout hello: exit 1") and "hello" in said.lines[1:]
        assert [job.state for job in jobs.recent if job.command == "shout"] == ["failed"]

    with_bot(tmp_path, SHOUT, before)
    with_bot(tmp_path, SHOUT, after)
