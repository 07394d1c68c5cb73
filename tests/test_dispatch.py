"""The path of a call, end to end but for the door and the hosts."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from ircops.errors import FAILED, OK, USAGE
from ircops.record import Entry
from tests.bench import Bench, with_bot
from tests.people import on_irc, until

ASK = """
import click
from ircops import requires

@requires("operator")
@click.command()
def ask():
    "Ask a few things."
    if click.confirm("really?"):
        click.echo("host " + click.prompt("which host"))
"""
BROKEN = """
import click
from ircops import requires

@requires("viewer")
@click.command()
def broken():
    "A bug."
    raise KeyError("secret detail")
"""
SLOW = """
import click
from ircops import requires

@requires("viewer", timeout=0.2)
@click.command()
@click.pass_obj
def slow(ops):
    "Wait to be stopped."
    ops.call.stop.wait(60)
    ops.call.stop.check()
"""


def own(directory: Path, **files: str) -> None:
    (directory / "commands").mkdir(exist_ok=True)
    for name, text in files.items():
        (directory / "commands" / f"{name}.py").write_text(text)


def events(bench: Bench) -> list[tuple[int | None, str, str]]:
    return [(e.call, e.event, e.outcome) for e in entries(bench)]


def entries(bench: Bench) -> list[Entry]:
    return bench.bot.parts.record.entries(last=100)


def test_a_call_is_on_the_record_before_and_after(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        said = await bench.say("coffee")
        assert said.code == OK
        assert said.text.startswith("418")
        assert said.heard.is_finished
        assert events(bench) == [(1, "started", ""), (1, "ended", "ok")]
        ended = entries(bench)[-1]
        assert (ended.user, ended.role, ended.channel, ended.line) == (
            "alice",
            "operator",
            "#ops",
            "coffee",
        )
        assert (ended.evidence, ended.mask, ended.lines) == (
            "account-tag",
            "alice!alice@host.example",
            1,
        )
        assert bench.bot.parts.record.verify() == []

    with_bot(tmp_path, "", scene)


@pytest.mark.parametrize(
    ("line", "who", "code", "sentence"),
    [
        ("laod", "alice", USAGE, "unknown command laod; did you mean load?"),
        ("run web1 id", "alice", FAILED, "run needs role admin; yours is operator"),
        ("load @nowhere", "alice", USAGE, "unknown group @nowhere"),
        ("kill x", "alice", USAGE, "'x' is not a valid integer range"),
        ("load 'web", "alice", USAGE, "no closing quotation"),
    ],
)
def test_a_refusal_is_one_sentence_and_one_row(
    tmp_path: Path, line: str, who: str, code: int, sentence: str
) -> None:
    async def scene(bench: Bench) -> None:
        said = await bench.say(line, who)
        assert said.code == code
        assert len(said.lines) == 1
        assert sentence in said.lines[0]
        assert [event for _, event, _ in events(bench)] == ["refused"]

    with_bot(tmp_path, "", scene)


def test_the_role_comes_before_the_usage(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        assert "needs role admin" in (await bench.say("run", "dave")).text

    with_bot(tmp_path, "", scene)


def test_a_bug_is_a_number_in_the_channel_and_a_traceback_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own(tmp_path, broken=BROKEN)

    async def scene(bench: Bench) -> None:
        said = await bench.say("broken")
        assert said.text == "internal error; the bot's log has it under call 1"
        assert events(bench)[-1] == (1, "ended", "internal error")

    with_bot(tmp_path, "", scene)
    assert "KeyError: 'secret detail'" in caplog.text


def test_questions_are_answered_by_the_one_who_called(tmp_path: Path) -> None:
    own(tmp_path, ask=ASK)

    async def scene(bench: Bench) -> None:
        asked = bench.begin("ask")
        assert await asked.question() == "really? [y/N]:"
        assert "unknown command yes" in (await bench.say("yes", "bob")).text
        assert "unknown command yes" in (await bench.say("yes", where="#other")).text
        assert (await bench.say("yes")).lines == []
        await until(lambda: asked.call.reply.is_asking)
        assert "418" in (await bench.say("coffee")).text  # a command is still a command
        assert (await bench.say("web1")).lines == []
        assert (await asked.end()).lines[-1] == "host web1"

    with_bot(tmp_path, "", scene)


def test_a_timeout_ends_the_job_and_says_so(tmp_path: Path) -> None:
    own(tmp_path, slow=SLOW)

    async def scene(bench: Bench) -> None:
        said = await bench.say("slow")
        assert (said.code, said.text) == (FAILED, "timed out after 0.2 s")
        assert bench.bot.parts.jobs.find(1).state == "killed"
        assert events(bench)[-1] == (1, "ended", "timed out after 0.2 s")

    with_bot(tmp_path, "", scene)


def test_help_asked_of_a_command_is_no_failure(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        said = await bench.say("load --help")
        assert said.code == OK
        assert said.text.startswith("usage: load HOSTS · ")
        assert said.lines == (await bench.say("help load")).lines[:1]

    with_bot(tmp_path, "", scene)


def test_rights_are_looked_at_again_after_waiting(tmp_path: Path) -> None:
    settings = "[command coffee]\napprovals = 1\n"

    async def scene(bench: Bench) -> None:
        asked = bench.begin("coffee")
        await until(lambda: asked.heard.lines)
        hash = asked.heard.lines[0].split()[-1]
        path = tmp_path / "ircops.ini"
        path.write_text(
            path.read_text()
            .replace("operator = alice bob", "operator = bob")
            .replace("viewer = *", "viewer = bob")
        )
        await bench.bot.reload()
        assert (await bench.say(f"approve {hash}", "bob")).text == f"{hash}: go"
        assert (await asked.end()).lines[-1] == "coffee needs role viewer; you have none"
        assert "started" not in [event for _, event, _ in events(bench)][-1:]

    with_bot(tmp_path, settings, scene)


def test_an_approved_call_has_its_approvers_on_the_record(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        asked = bench.begin("coffee")
        await until(lambda: asked.heard.lines)
        await bench.say("approve " + asked.heard.lines[0].split()[-1], "bob")
        assert (await asked.end()).code == OK
        started = [e for e in entries(bench) if e.event == "started" and e.command == "coffee"]
        assert started[0].approvers == ("bob",)

    with_bot(tmp_path, "[command coffee]\napprovals = 1\n", scene)


def test_nothing_runs_when_the_record_cannot_be_written(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    settings = f"[command touch]\nrun = touch {touched}\non = here\nrole = viewer\n"

    async def scene(bench: Bench) -> None:
        database = bench.bot.database
        with database.write() as connection:
            connection.exec_driver_sql("DROP TRIGGER IF EXISTS test_full")
            connection.exec_driver_sql(
                "CREATE TRIGGER test_full BEFORE INSERT ON record BEGIN SELECT RAISE(ABORT, 'disk full'); END"
            )
        said = await bench.say("touch")
        assert said.text.startswith("not run, since it cannot be recorded")
        assert not touched.exists()
        with database.write() as connection:
            connection.exec_driver_sql("DROP TRIGGER test_full")
        assert (await bench.say("touch")).code == OK
        assert touched.exists()

    with_bot(tmp_path, settings, scene)


def test_slow_jobs_delay_nobody(tmp_path: Path) -> None:
    own(tmp_path, slow=SLOW.replace("timeout=0.2", "timeout=0"))

    async def scene(bench: Bench) -> None:
        slow = [bench.begin("slow") for _ in range(5)]
        jobs = bench.bot.parts.jobs
        await until(lambda: [job.state for job in jobs.running] == ["running"] * 5)
        assert (await bench.say("coffee", "bob")).code == OK
        assert len(jobs.running) == 5
        for asked in slow:
            asked.call.stop.ask("enough")
        assert {(await asked.end()).text for asked in slow} == {"enough"}

    with_bot(tmp_path, "", scene)


def test_a_stranger_may_do_nothing(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        stranger = on_irc("eve", account="", in_channel=False)
        said = await bench.say("coffee", stranger, where="")
        assert "coffee needs role viewer; you have none" in said.text

    with_bot(tmp_path, "", scene)


def test_many_calls_at_once_are_numbered_and_chained(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await asyncio.gather(*(bench.say("coffee") for _ in range(50)))
        numbers = [e.call for e in entries(bench) if e.event == "ended"]
        assert sorted(n for n in numbers if n) == list(range(1, 51))
        assert bench.bot.parts.record.verify() == []

    with_bot(tmp_path, "", scene)


def test_state_is_for_the_owner_only(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.say("coffee")
        for path in (tmp_path / "state").rglob("*"):
            assert not os.stat(path).st_mode & 0o077, path

    with_bot(tmp_path, "", scene)
