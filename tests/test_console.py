"""The local door: a real unix socket, the kernel's word for who is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ircops.call import Call, Kind
from ircops.console import Console, own_user
from ircops.errors import OpsError, Stopped
from ircops.prompt import Question, Show, following
from ircops.prompt import ask as ask_here
from tests.people import until

Handle = Callable[[Call], Awaitable[int]]


async def ask(path: Path, line: str, show: Show, question: Question) -> int | None:
    return await asyncio.to_thread(ask_here, path, line, show, question)


def silent(kind: Kind, text: str) -> None:
    pass


def nobody(question: str) -> None:
    return None


def with_console(path: Path, handle: Handle, scene: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        console = Console(path, handle)
        await console.start()
        try:
            await scene()
        finally:
            await console.stop()
        assert not path.exists()

    asyncio.run(run())


def test_the_words_that_may_follow_are_told_and_nothing_is_run(tmp_path: Path) -> None:
    socket, begun = tmp_path / "s", []

    async def handle(call: Call) -> int:
        raise AssertionError("it was not to be run")

    def words(call: Call) -> list[str]:
        begun.append((call.sender.account, call.line))
        return ["pause", "resume"]

    async def run() -> None:
        console = Console(socket, handle, words)
        await console.start()
        try:
            found = await asyncio.to_thread(following, socket, "schedule ")
        finally:
            await console.stop()
        assert found == ["pause", "resume"]
        assert await asyncio.to_thread(following, socket, "schedule ") == []  # nobody listens

    asyncio.run(run())
    assert begun == [(own_user(), "schedule ")]


def test_a_line_is_answered_with_its_exit_code(tmp_path: Path) -> None:
    socket, calls, shown = tmp_path / "s", [], []

    async def handle(call: Call) -> int:
        calls.append(call)
        call.reply.say("one\ntwo")
        call.reply.error("three")
        return 7

    async def scene() -> None:
        code = await ask(socket, "load @web", lambda kind, text: shown.append((kind, text)), nobody)
        assert code == 7

    with_console(socket, handle, scene)
    assert shown == [(Kind.ANSWER, "one"), (Kind.ANSWER, "two"), (Kind.ERROR, "three")]
    sender = calls[0].sender
    assert (sender.door, sender.account, sender.evidence) == ("console", own_user(), "SO_PEERCRED")
    assert (calls[0].line, calls[0].where) == ("load @web", "")


def test_a_question_is_put_to_the_caller(tmp_path: Path) -> None:
    answers = []

    async def handle(call: Call) -> int:
        answers.append(await asyncio.to_thread(call.reply.ask, "sure?", call.stop))
        return 0

    async def scene() -> None:
        assert await ask(tmp_path / "s", "x", silent, lambda question: "yes") == 0

    with_console(tmp_path / "s", handle, scene)
    assert answers == ["yes"]


def test_closing_the_console_stops_the_call(tmp_path: Path) -> None:
    reasons = []

    async def handle(call: Call) -> int:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        call.stop.on_ask(lambda reason: loop.call_soon_threadsafe(stopped.set))
        await stopped.wait()
        reasons.append(call.stop.reason)
        return 1

    async def scene() -> None:
        _, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b'{"line": "slow"}\n')
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await until(lambda: reasons)

    with_console(tmp_path / "s", handle, scene)
    assert reasons == ["its console was closed"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"not json\n",
        b'"text"\n',
        b"\xff\xfe\n",
        b"{" * 100_000 + b"\n",
        b"\n",
        b'{"line": "a\\u0000"}\n',
        b'{"line": "\\ud800"}\n',
    ],
)
def test_garbage_ends_its_own_connection_only(tmp_path: Path, garbage: bytes) -> None:
    async def handle(call: Call) -> int:
        return 0

    async def scene() -> None:
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(garbage)
        answer = await reader.read()
        assert answer == b"" or json.loads(answer) == {"exit": 0}
        writer.close()
        await writer.wait_closed()
        assert await ask(tmp_path / "s", "x", silent, nobody) == 0

    with_console(tmp_path / "s", handle, scene)


def test_no_bot_is_no_answer(tmp_path: Path) -> None:
    assert asyncio.run(ask(tmp_path / "none", "x", silent, nobody)) is None


def test_a_second_bot_is_refused_and_a_dead_ones_socket_is_taken_over(tmp_path: Path) -> None:
    async def handle(call: Call) -> int:
        return 0

    async def scene() -> None:
        with pytest.raises(OpsError, match="another ircops answers at"):
            await Console(tmp_path / "s", handle).start()

    with_console(tmp_path / "s", handle, scene)
    (tmp_path / "s").touch()
    with_console(tmp_path / "s", handle, lambda: asyncio.sleep(0))


def test_only_the_bots_user_and_group_may_knock(tmp_path: Path) -> None:
    async def handle(call: Call) -> int:
        return 0

    async def scene() -> None:
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o660

    with_console(tmp_path / "s", handle, scene)


def test_a_question_nobody_can_answer_stops_the_call(tmp_path: Path) -> None:
    reasons = []

    async def handle(call: Call) -> int:
        with pytest.raises(Stopped):
            await asyncio.to_thread(call.reply.ask, "sure?", call.stop)
        reasons.append(call.stop.reason)
        return 1

    async def scene() -> None:
        assert await ask(tmp_path / "s", "x", silent, nobody) == 1

    with_console(tmp_path / "s", handle, scene)
    assert reasons == ["stopped at its console"]


def test_a_bot_that_goes_in_the_middle_is_a_sentence(tmp_path: Path) -> None:
    async def handle(call: Call) -> int:
        raise ConnectionError

    async def scene() -> None:
        with pytest.raises(OpsError, match="closed the console before the call ended"):
            await ask(tmp_path / "s", "x", silent, nobody)

    with_console(tmp_path / "s", handle, scene)
