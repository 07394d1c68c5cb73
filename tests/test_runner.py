"""Worker threads: silence is broken, deaf bodies are left, groups run before their subcommands."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from ircops.call import Kind
from ircops.errors import Stopped
from ircops.jobs import Job, Jobs
from ircops.policy import Policy
from ircops.runner import Outcome, Prepared, Runner
from ircops.terminal import installed
from tests.people import ALICE, Heard, call, until


def ran(
    tmp_path: Path,
    body: Callable[..., object],
    watch: Callable[[Job, Heard], object] = lambda job, heard: None,
    timeout: float = 0,
    **runner: float,
) -> tuple[Outcome, Heard]:
    async def scene() -> tuple[Outcome, Heard]:
        worker = Runner(**runner)
        made, heard = call("x")
        job = Jobs(tmp_path).begin(1, ALICE, made, "x")
        context = click.Context(click.Command("x", callback=body))
        try:
            with installed():
                prepared = Prepared(context, Policy(timeout=timeout), None)
                task = asyncio.create_task(worker.run(prepared, job, False, lambda: None))
                if (awaited := watch(job, heard)) is not None:
                    await awaited  # type: ignore[misc]
                return await task, heard
        finally:
            worker.close()

    return asyncio.run(scene())


def test_an_outcome_says_how_it_ended(tmp_path: Path) -> None:
    outcome, _ = ran(tmp_path, lambda: (print("one"), click.get_current_context().exit(3)))
    assert (outcome.exit_code, outcome.text, outcome.lines) == (3, "exit 3", 1)


def test_silence_is_broken_by_progress(tmp_path: Path) -> None:
    enough = threading.Event()

    async def watch(job: Job, heard: Heard) -> None:
        await until(lambda: heard.said)
        enough.set()

    _, heard = ran(tmp_path, lambda: enough.wait(30), watch, quiet=0.01)
    kind, text = heard.said[0]
    assert kind is Kind.PROGRESS
    assert text.startswith("job 1 is still working (0 s); !kill 1 stops it")


def test_a_deaf_body_is_left_and_can_say_nothing_more(tmp_path: Path) -> None:
    enough, tried = threading.Event(), threading.Event()

    def body() -> None:
        try:
            enough.wait(30)
            print("too late")
        finally:
            tried.set()

    with pytest.raises(Stopped, match="timed out after 0.01 s; its thread has not ended yet"):
        ran(tmp_path, body, timeout=0.01, patience=0.01)
    enough.set()
    assert tried.wait(10)


def test_a_call_that_was_stopped_while_its_words_were_parsed_does_not_begin(tmp_path: Path) -> None:
    enough, began = threading.Event(), []

    def parse() -> Prepared:
        enough.wait(30)
        context = click.Context(click.Command("x", callback=lambda: began.append("body")))
        return Prepared(context, Policy(), None)

    def record() -> None:
        began.append("record")

    async def scene() -> None:
        worker, made = Runner(patience=0.01), call("x")[0]
        job = Jobs(tmp_path).begin(1, ALICE, made, "x")
        task = asyncio.create_task(worker.prepare(job, parse, lambda: None, record))
        made.stop.ask("killed by bob")
        with pytest.raises(Stopped, match="killed by bob; its thread has not ended yet"):
            await task
        enough.set()
        await until(lambda: worker._desk._idle)

    asyncio.run(scene())
    assert began == []


@pytest.mark.parametrize(
    ("status", "code", "lines"), [(3, 3, []), (None, 0, []), ("no such site", 1, ["no such site"])]
)
def test_a_body_may_leave_as_any_program_does(
    tmp_path: Path, status: object, code: int, lines: list[str]
) -> None:
    outcome, heard = ran(tmp_path, lambda: sys.exit(status))  # type: ignore[arg-type]
    assert (outcome.exit_code, heard.lines) == (code, lines)


def test_a_bug_that_no_future_takes_is_a_bug_like_others(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="StopIteration in the command"):
        ran(tmp_path, lambda: next(iter([])))


def test_an_abort_is_a_stop(tmp_path: Path) -> None:
    def body() -> None:
        raise click.Abort

    with pytest.raises(Stopped, match="aborted"):
        ran(tmp_path, body)


def test_a_group_runs_before_its_subcommand_and_closes_after_it(tmp_path: Path) -> None:
    order: list[str] = []

    @click.group()
    @click.pass_context
    def outer(context: click.Context) -> None:
        order.append("outer")
        context.call_on_close(lambda: order.append("closed"))

    @outer.command()
    def inner() -> None:
        order.append("inner")

    async def scene() -> None:
        worker = Runner()
        job = Jobs(tmp_path).begin(1, ALICE, call("x")[0], "outer inner")
        parent = outer.make_context("outer", ["inner"])
        context = inner.make_context("inner", [], parent=parent)
        await worker.run(Prepared(context, Policy(), None), job, False, lambda: None)
        worker.close()

    asyncio.run(scene())
    assert order == ["outer", "inner", "closed"]
