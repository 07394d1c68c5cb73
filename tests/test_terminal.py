"""A command body's terminal is the channel."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from ircops.call import Kind
from ircops.errors import OpsError, Stopped
from ircops.terminal import HEAD_LIMIT, Terminal, attached, installed
from tests.people import Heard, call, until


def ran(
    body: Callable[[], object], *answers: str, spool: Path | None = None
) -> tuple[Heard, Terminal]:
    """Run `body` in a thread with a terminal; answer its questions."""

    async def scene() -> tuple[Heard, Terminal]:
        made, heard = call("x")
        terminal = Terminal(made, (lambda: spool) if spool else None)

        def attached_body() -> None:
            with attached(terminal):
                body()

        with installed():
            done = asyncio.create_task(asyncio.to_thread(attached_body))
            for answer in answers:
                await until(lambda: made.reply.is_asking or done.done())
                made.reply.answer(answer)
            await done
        await asyncio.sleep(0)
        return heard, terminal

    return asyncio.run(scene())


def test_what_is_echoed_is_the_reply() -> None:
    heard, terminal = ran(
        lambda: (click.echo("one\ntwo"), print("three"), click.echo("end", nl=False))
    )
    assert heard.lines == ["one", "two", "three", "end"]
    assert terminal.lines == 4
    assert terminal.digest == hashlib.sha256(b"one\ntwo\nthree\nend\n").hexdigest()


def test_colours_survive() -> None:
    heard, _ = ran(lambda: click.secho("red", fg="red"))
    assert heard.lines == ["\x1b[31mred\x1b[0m"]


def test_a_confirmation_is_asked_in_the_channel() -> None:
    answers: list[bool] = []
    heard, _ = ran(lambda: answers.append(click.confirm("really?")), "yes")
    assert heard.said[0] == (Kind.QUESTION, "really? [y/N]:")
    assert answers == [True]


def test_a_prompt_asks_again_after_a_bad_answer() -> None:
    answers: list[int] = []
    heard, _ = ran(lambda: answers.append(click.prompt("how many", type=int)), "many", "3")
    assert answers == [3]
    assert [text for kind, text in heard.said if kind is Kind.ANSWER] == [
        "Error: 'many' is not a valid integer."
    ]


def test_a_secret_is_never_asked_in_a_channel() -> None:
    with pytest.raises(OpsError, match="must not be typed on IRC"):
        ran(lambda: click.prompt("password", hide_input=True))


def test_a_progress_bar_is_progress_not_answers() -> None:
    def body() -> None:
        with click.progressbar(range(4), label="copying", update_min_steps=1) as bar:
            for _ in bar:
                pass

    heard, _ = ran(body)
    progress = [text for kind, text in heard.said if kind is Kind.PROGRESS]
    assert progress[-1].startswith("copying") and "100%" in progress[-1]
    assert len(heard.lines) <= 1


def test_output_is_kept_for_tail(tmp_path: Path) -> None:
    ran(lambda: click.echo("kept"), spool=tmp_path / "1.out")
    assert (tmp_path / "1.out").read_text() == "kept\n"


def test_little_output_needs_no_file_and_much_is_all_in_it(tmp_path: Path) -> None:
    async def scene() -> None:
        head, path = bytearray(), tmp_path / "1.out"
        terminal = Terminal(call("x")[0], lambda: path, head)
        terminal.write("first\n")
        assert (bytes(head), path.exists()) == (b"first\n", False)
        terminal.write("x" * HEAD_LIMIT + "\nlast\n")
        terminal.close()
        assert path.read_text() == f"first\n{'x' * HEAD_LIMIT}\nlast\n"

    asyncio.run(scene())


def test_a_stopped_call_cannot_go_on_printing() -> None:
    async def scene() -> None:
        made, heard = call("x")
        made.stop.ask("killed by bob")
        terminal = Terminal(made)
        with pytest.raises(Stopped, match="killed by bob"):
            terminal.write("more\n")
        terminal.close()
        assert not heard.said

    asyncio.run(scene())


def test_threads_that_work_for_nobody_keep_the_real_streams(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with installed():
        print("to the log")
        assert not sys.stdin.isatty()
    assert capsys.readouterr().out == "to the log\n"
