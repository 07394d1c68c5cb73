"""Several steps on one host: their time, their stop, what is said of them. The host is a function, not a server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, ClassVar, cast

import pytest

from ircops.call import Result
from ircops.errors import OpsError
from ircops.ssh.pool import Pool
from ircops.ssh.remote import Command, Remote
from ircops.ssh.steps import Body, Steps

POOL = cast(Pool, None)


class Scripted(Remote):
    """A remote whose host answers with the command, until it is stopped if that is `wait`."""

    seen: ClassVar[list[Command]] = []

    def __init__(self, host: str, command: Command) -> None:
        super().__init__(host, command)
        self.is_stopped = threading.Event()

    def run(self, pool: Pool) -> Result:
        self.seen.append(self._command)
        if self._command.line == "wait":
            assert self.is_stopped.wait(10)
            self.ending = "killed"
            return Result(self.host, error="stopped; killed")
        return Result(self.host, self._command.line, exit_code=0)

    def stop(self, reason: str) -> Result | None:
        self.is_stopped.set()
        return None


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    Scripted.seen.clear()
    monkeypatch.setattr("ircops.ssh.steps.Remote", Scripted)


def steps(body: Body, **command: Any) -> Steps:
    return Steps("web1", body, Command("", **{"timeout": 60, **command}))


def run(body: Body, **command: Any) -> Result:
    return steps(body, **command).run(POOL)


def test_each_step_is_quoted_has_what_is_left_of_the_time_and_one_is_noted() -> None:
    def body(on: Steps) -> Result:
        on("true", fast=True)
        on(["echo", "a b"], timeout=7)
        return on("id")

    assert run(body, note="by alice", environment={"A": "1"}).stdout == "id"
    first, second, third = Scripted.seen
    assert [first.line, second.line, third.line] == ["true", "echo 'a b'", "id"]
    assert [first.note, second.note, third.note] == ["", "by alice", ""]
    assert second.timeout == 7 and 50 < third.timeout <= 60 and third.environment == {"A": "1"}
    assert run(lambda on: on("id"), timeout=0).ok and Scripted.seen[-1].timeout == 0


def test_no_step_begins_when_the_time_is_up() -> None:
    def body(on: Steps) -> Result:
        while True:
            on.wait(0.01)

    assert run(body, timeout=0.05).error == "not done after 0.05 s"


def test_what_a_body_returns_or_raises_is_the_result() -> None:
    def fails(on: Steps) -> Result:
        raise OpsError("no such file")

    assert run(lambda on: on.done("fine")).text == "fine"
    assert run(fails).error == "no such file"


@pytest.mark.parametrize("line", ["wait", ""])
def test_a_stop_ends_the_step_that_goes_on_and_begins_no_other(line: str) -> None:
    begun = threading.Event()

    def body(on: Steps) -> Result:
        begun.set()
        if line:
            on(line)
        on.wait(10)
        return on("never")

    work, results = steps(body), []
    thread = threading.Thread(target=lambda: results.append(work.run(POOL)))
    thread.start()
    assert begun.wait(10)
    assert work.stop("killed by carol") is None
    thread.join(10)
    assert results[0].error == "stopped: killed by carol"
    assert work.ending in ("killed", "")
    assert "never" not in [command.line for command in Scripted.seen]


def test_what_had_not_begun_never_does() -> None:
    body: Callable[[Steps], Result] = lambda on: on("never")  # noqa: E731
    work = steps(body)
    stopped = work.stop("killed by carol")
    assert stopped is not None
    assert stopped.error == "stopped: killed by carol; not started" == work.run(POOL).error
    assert not Scripted.seen
