"""Results in order, folded and bounded in time; turns that are fair. The hosts are threads, not servers."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ClusterShell.NodeSet import NodeSet
from paramiko.buffered_pipe import BufferedPipe

from ircops.call import Result, Stop
from ircops.config import HostLine, Settings, Ssh
from ircops.errors import OpsError
from ircops.ssh.fanout import Fanout, Results
from ircops.ssh.inventory import Inventory
from ircops.ssh.kill import with_environment
from ircops.ssh.pool import Pool
from ircops.ssh.remote import Command, Remote
from ircops.ssh.watch import News


class Scripted(Remote):
    """A remote whose host does what a function says."""

    def __init__(self, host: str, does: Callable[[str], Result]) -> None:
        super().__init__(host, Command("true"))
        self._does = does

    def run(self, pool: Pool) -> Result:
        return self._does(self.host)


def answered(*results: Result) -> Results:
    """Results that are all there."""
    hosts = NodeSet.fromlist([result.host for result in results])
    whole = Results(hosts, [Remote(result.host, Command("true")) for result in results], None)
    for result in results:
        whole._put(result)
    return whole


@contextlib.contextmanager
def opened(
    monkeypatch: pytest.MonkeyPatch, does: Callable[[str], Result], **ssh: Any
) -> Iterator[Fanout]:
    monkeypatch.setattr("ircops.ssh.fanout.Remote", lambda host, command: Scripted(host, does))
    given = Ssh(**{"config": Path("/nowhere"), **ssh})
    hosts = {f"{kind}{number}": HostLine() for kind in ("web", "db") for number in range(1, 41)}
    fanout = Fanout(
        Pool(given, Inventory(Settings(hosts=hosts, groups={"web": "web[1-40]"}, ssh=given))), given
    )
    try:
        yield fanout
    finally:
        fanout.close()


def ok(host: str, text: str = "") -> Result:
    return Result(host, stdout=text, exit_code=0)


def test_equal_answers_are_folded_in_the_order_of_the_node_set_and_failures_come_last() -> None:
    results = answered(
        Result("web3", error="connection refused"),
        ok("web10", "up 3 weeks\n"),
        ok("web2", "up 3 weeks\n"),
        ok("db1", "up 2 hours\n"),
        Result("db2", error="connection refused"),
        Result("web1", "half\n", "broken\n", 3),
        ok("web4"),
    )
    assert str(results).splitlines() == [
        "db1: up 2 hours",
        "web[2,10]: up 3 weeks",
        "web4: ok",
        "db2,web3: connection refused",
        "web1:",
        "  half",
        "  broken",
        "  exit 3",
    ]
    assert [result.host for result in results.failed] == ["db2", "web1", "web3"]
    assert not results.ok


def test_several_lines_stand_under_their_hosts() -> None:
    assert (
        str(answered(ok("web1", "a\n\n b\n"), ok("web2", "a\n\n b\n")))
        == "web[1-2]:\n  a\n  \n   b"
    )


def test_the_ending_counts_the_killed_and_names_the_rest() -> None:
    names = [f"web{number}" for number in range(1, 41)]
    remotes = [Remote(name, Command("true")) for name in names]
    whole = Results(NodeSet("web[1-40]"), remotes, None)
    for remote in remotes:
        remote.ending = "killed"
        whole._put(Result(remote.host, error="stopped: killed by carol; killed"))
    assert whole.ending == "killed on 40 hosts"
    remotes[6].ending = "unreachable, may still run there (pid 12)"
    assert whole.ending == "killed on 39 hosts, web7 unreachable: may still run"
    remotes[6].ending = "may still run there (pid 12 13)"
    remotes[7].ending = "may still run there (pid 99)"
    remotes[8].ending = "not started"
    assert whole.ending == ("killed on 37 hosts, web[7-8] may still run there, not started on web9")
    for remote in remotes:
        remote.ending = ""
    assert whole.ending == ""


def test_an_answer_and_an_error_that_read_alike_are_not_folded() -> None:
    assert str(answered(ok("web1", "timed out"), Result("web2", error="timed out"))) == (
        "web1: timed out\nweb2: timed out"
    )


def test_each_loop_sees_every_result_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(monkeypatch, ok) as fanout:
        results = fanout.run("true", "@web")
        assert len({result.host for result in results}) == len(list(results)) == len(results) == 40
        assert results.ok


def test_results_come_before_the_slowest_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def does(host: str) -> Result:
        assert host != "web2" or go_on.wait(10)
        return ok(host)

    with opened(monkeypatch, does) as fanout:
        results = iter(fanout.run("true", ["web1", "web2"]))
        assert next(results).host == "web1"
        go_on.set()
        assert next(results).host == "web2"


def test_at_most_fanout_hosts_are_worked_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def does(host: str) -> Result:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        return ok(host)

    with opened(monkeypatch, does, fanout=3) as fanout:
        assert fanout.run("true", "@web").ok
    assert most == 3


def test_a_big_run_leaves_threads_to_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def does(host: str) -> Result:
        assert not host.startswith("web") or go_on.wait(10)
        return ok(host)

    with opened(monkeypatch, does, fanout=2) as fanout:
        big = fanout.run("true", "@web")
        assert fanout.run("true", ["db1", "db2", "db3"]).ok
        go_on.set()
        assert big.ok


def test_runs_take_turns_host_by_host(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    go_on = threading.Event()

    def does(host: str) -> Result:
        assert go_on.wait(10)
        order.append(host)
        return ok(host)

    with opened(monkeypatch, does, fanout=1) as fanout:  # two threads
        runs = [fanout.run("true", names) for names in ("@web", "db[1-10]", "db[11-12]")]
        go_on.set()
        for results in runs:
            results.wait()
    assert max(order.index("db11"), order.index("db12")) < 15


def test_a_run_is_over_in_time_though_a_host_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def does(host: str) -> Result:
        assert host != "web2" or go_on.wait(10)
        return ok(host, "fine")

    with opened(monkeypatch, does, connect_timeout=0.05) as fanout:
        text = str(fanout.run("true", "web[1-2]", timeout=0.1))
        go_on.set()
    assert text == "web1: fine\nweb2: stopped: not done after 0 s in all; not started"


def test_a_stop_ends_what_waits_and_the_first_result_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on, begun = threading.Event(), threading.Event()

    def does(host: str) -> Result:
        begun.set()
        assert go_on.wait(10)
        return ok(host)

    stop = Stop()
    with opened(monkeypatch, does, fanout=1) as fanout:
        results = fanout.run("true", "@web", stop=stop)
        assert begun.wait(10)
        stop.ask("killed by carol")
        go_on.set()
        assert str(results) == "web[1-40]: stopped: killed by carol; not started"


def test_a_bug_in_a_thread_is_a_result_and_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def does(host: str) -> Result:
        raise KeyError(host)

    with opened(monkeypatch, does) as fanout:
        assert (
            str(fanout.run("true", "web[1-2]")) == "web[1-2]: internal error; the bot's log has it"
        )
    deadline = time.monotonic() + 5
    while not caplog.records and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "KeyError" in caplog.text


def test_no_hosts_unknown_hosts_and_a_closed_fanout_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with opened(monkeypatch, ok) as fanout:
        with pytest.raises(OpsError, match="^0 hosts, where 1 to 10000 will do"):
            fanout.run("true", [])
        with pytest.raises(OpsError, match="^unknown host wbe1; known: web"):
            fanout.run("true", "wbe1")
    with pytest.raises(OpsError, match="the bot is stopping"):
        fanout.run("true", "web1")


def test_the_environment_stands_quoted_in_front_of_the_line() -> None:
    environment = {"IRCOPS_USER": "o'neill; id", "IRCOPS_JOB": "42"}
    assert with_environment("uptime -p", environment) == (
        """export IRCOPS_USER='o'"'"'neill; id' IRCOPS_JOB=42; uptime -p"""
    )
    assert with_environment("uptime -p", {}) == "uptime -p"
    with pytest.raises(ValueError, match="no name"):
        with_environment("true", {"A=1; id #": "x"})


def test_news_of_one_stream_is_not_lost_when_paramiko_has_emptied_the_other() -> None:
    news = News()
    stdout, stderr = BufferedPipe(), BufferedPipe()
    stdout.set_event(news)
    stderr.set_event(news)
    stdout.feed(b"out")
    stderr.feed(b"err")
    assert stdout.read(10) == b"out"
    assert news.is_set()
    news.reset()
    assert not news.is_set()
