"""The values that travel."""

from __future__ import annotations

import asyncio
import threading

import click
import pytest

from ircops.call import LINES_KEPT, Kind, Reply, Result, Stop
from ircops.errors import OpsError, Stopped, sentence
from tests.people import Heard, until


def test_words_from_a_thread_leave_on_the_loop_in_order() -> None:
    async def scene() -> Heard:
        heard = Heard()
        reply = Reply(heard)
        await asyncio.to_thread(lambda: [reply.say(str(n)) for n in range(100)])
        await until(lambda: len(heard.said) == 100)
        return heard

    assert asyncio.run(scene()).lines == [str(n) for n in range(100)]


def test_what_is_called_on_the_loop_comes_after_what_was_said_though_that_failed() -> None:
    class Broken(Heard):
        def write(self, kind: Kind, text: str) -> None:
            super().write(kind, text)
            raise ZeroDivisionError

    async def scene() -> list[object]:
        faults: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: faults.append(context["exception"]))
        heard, ended = Broken(), loop.create_future()
        reply = Reply(heard)

        def body() -> None:
            reply.say("one\ntwo")
            reply.on_loop(lambda: ended.set_result(list(heard.lines)))

        await asyncio.to_thread(body)
        assert await asyncio.wait_for(ended, 10) == ["one", "two"]
        return faults

    assert len(asyncio.run(scene())) == 2


def test_endless_output_is_counted_not_carried() -> None:
    async def scene() -> Heard:
        heard = Heard()
        reply = Reply(heard)
        reply.say("x\n" * (LINES_KEPT + 5))
        reply.finish()
        return heard

    heard = asyncio.run(scene())
    assert len(heard.lines) == LINES_KEPT + 1
    assert heard.lines[-1] == "… 5 more lines not kept here"


def test_a_question_is_answered_or_times_out_or_is_stopped() -> None:
    async def scene() -> None:
        heard, stop = Heard(), Stop()
        reply = Reply(heard)
        asked = asyncio.create_task(asyncio.to_thread(reply.ask, "sure?", stop))
        await until(lambda: heard.said)
        assert reply.is_asking
        reply.answer("yes")
        assert await asked == "yes"
        assert not reply.is_asking
        with pytest.raises(OpsError, match="no answer within"):
            await asyncio.to_thread(reply.ask, "sure?", stop, 0.01)
        asked = asyncio.create_task(asyncio.to_thread(reply.ask, "sure?", stop))
        await until(lambda: reply.is_asking)
        stop.ask("killed by bob")
        with pytest.raises(Stopped, match="killed by bob"):
            await asked

    asyncio.run(scene())


def test_stop_tells_everybody_once_and_the_first_reason_counts() -> None:
    stop, told = Stop(), []
    stop.on_ask(told.append)
    threading.Thread(target=stop.ask, args=("first",)).start()
    assert stop.wait(5)
    stop.ask("second")
    stop.on_ask(told.append)
    assert told == ["first", "first"] and stop.reason == "first"
    with pytest.raises(Stopped, match="first"):
        stop.check()


@pytest.mark.parametrize(
    "result, text",
    [
        (Result("web1", "up\n", exit_code=0), "up"),
        (Result("web1", "", "no such file\n", 2), "no such file (exit 2)"),
        (Result("web1", "half\n", "broken\n", 2), "half\nbroken\nexit 2"),
        (Result("web1", error="no route to host"), "no route to host"),
        (Result("web1", "half\n", error="timed out"), "half\ntimed out"),
    ],
)
def test_a_result_reads_as_what_happened(result: Result, text: str) -> None:
    assert result.text == text
    assert result.ok == (result.exit_code == 0)


def test_a_click_error_becomes_a_house_sentence() -> None:
    @click.command("load")
    @click.argument("hosts")
    @click.help_option("--help", hidden=True)
    def load(hosts: str) -> None:
        pass

    with pytest.raises(click.UsageError) as caught:
        load.make_context("load", [])
    assert sentence(caught.value) == "missing argument 'HOSTS' · usage: load HOSTS"


def test_kinds_are_in_the_order_they_leave() -> None:
    assert sorted(Kind) == [Kind.ERROR, Kind.QUESTION, Kind.ANSWER, Kind.REPORT, Kind.PROGRESS]
