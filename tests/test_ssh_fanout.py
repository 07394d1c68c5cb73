"""Results in order, folded and bounded in time; turns that are fair. The hosts are threads, not servers."""

from __future__ import annotations

import contextlib
import resource
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
from ircops.ssh.fanout import Fanout
from ircops.ssh.inventory import Inventory
from ircops.ssh.kill import with_environment
from ircops.ssh.limits import make_room
from ircops.ssh.pool import Pool
from ircops.ssh.remote import Command, Remote
from ircops.ssh.results import Results
from ircops.ssh.watch import News
from ircops.ssh.waves import Waves


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
        "web1:",
        "  half",
        "  broken",
        "  exit 3",
        "db2,web3: connection refused",
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


def test_the_next_wave_begins_when_the_one_before_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lock, running, seen = threading.Lock(), set(), []
    gate = threading.Barrier(4, timeout=10)  # only a whole wave of four passes

    def does(host: str) -> Result:
        with lock:
            running.add(host)
        gate.wait()
        with lock:
            seen.append(len(running))
        gate.wait()
        with lock:
            running.discard(host)
        gate.wait()
        return ok(host)

    with opened(monkeypatch, does) as fanout:
        assert fanout.run("true", "@web", batch="10%").ok
    assert seen == [4] * 40


def test_serial_is_one_after_the_other_by_node_set(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def does(host: str) -> Result:
        order.append(host)
        return ok(host)

    with opened(monkeypatch, does) as fanout:
        assert fanout.run("true", "web[3,10,1-2]", serial=True).ok
    assert order == ["web1", "web2", "web3", "web10"]


def test_after_too_many_failures_no_more_begin_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[str] = []

    def does(host: str) -> Result:
        begun.append(host)
        return Result(host, exit_code=int(host in ("web2", "web4")))

    with opened(monkeypatch, does) as fanout:
        results = fanout.run("true", "@web", serial=True, max_failures="5%")
        assert str(results) == (
            "web[1,3]: ok\n36 stopped: 2 of 40 failed; not started: web[5-40] · 2 exit 1: web[2,4]"
        )
        assert results.ending == "not started on 36 hosts"
        assert fanout.run("true", "db1").ok  # nothing of it is in the way
    assert begun == ["web1", "web2", "web3", "web4", "db1"]


@pytest.mark.parametrize("amount", [0, -1, "0%", "101%", "ten", "5 %", ""])
def test_what_is_no_amount_is_the_callers_mistake(amount: object) -> None:
    with pytest.raises(ValueError, match="neither a number of hosts"):
        Waves.over(40, batch=amount)  # type: ignore[arg-type]


def test_a_share_is_rounded_down_but_never_to_none() -> None:
    assert Waves.over(40, batch="10%") == Waves(4)
    assert Waves.over(15, batch="10%", max_failures="50%") == Waves(1, 7)
    assert Waves.over(3, batch="10%", max_failures=9) == Waves(1, 9)
    assert Waves.over(3, batch=8) == Waves.over(3) == Waves(3)


def test_how_far_it_is_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ircops.ssh.results.NEWS", 0.05)
    told: list[str] = []
    go_on = threading.Event()

    def does(host: str) -> Result:
        if host in ("web7", "web9"):
            assert go_on.wait(10)
        return Result(host, exit_code=int(host == "web1"))

    def tell(text: str) -> None:
        told.append(text)
        if text == "38/40 done, 1 failed, waiting for web[7,9]":
            go_on.set()

    with opened(monkeypatch, does) as fanout:
        assert len(fanout.run("true", "@web", tell=tell).failed) == 1
    assert told[-1] == "38/40 done, 1 failed, waiting for web[7,9]"


def test_failures_of_several_kinds_are_one_line_most_first() -> None:
    lost = "connection lost; it may still run there"
    results = answered(
        ok("web1", "up"),
        Result("db1", error="connection refused"),
        Result("web2", error=f"{lost} (pid 12)"),
        Result("web3", error=f"{lost} (pid 345)"),
        Result("db2", exit_code=1),
    )
    assert str(results).splitlines() == [
        "web1: up",
        f"2 {lost}: web[2-3] · 1 connection refused: db1 · 1 exit 1: db2",
    ]
    assert str(answered(Result("web2", error=f"{lost} (pid 12)"))) == f"web2: {lost} (pid 12)"


def test_numbers_are_summed_up_if_they_are_of_one_unit() -> None:
    results = answered(ok("web1", "93 %\n"), ok("web2", "7 %\n"), ok("web3", "20 %\n"))
    assert results.summary == "3 hosts: 7 (web2) to 93 % (web1), median 20, sum 120"
    results = answered(ok("web1", "1.5"), Result("web2", error="refused"))
    assert results.summary == "web1: 1.5 (web1) to 1.5 (web1), median 1.5, sum 1.5\nweb2: refused"
    for odd in ("1 GiB", "none", ""):
        results = answered(ok("web1", "93 %"), ok("web2", odd))
        assert results.summary == str(results)


def test_a_thousand_hosts_are_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(monkeypatch, ok) as fanout:
        hosts = [f"node{number}" for number in range(1, 1001)]
        assert str(fanout.run("true", hosts)) == "node[1-1000]: ok"


def test_the_limit_on_open_files_is_raised_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(1024, 4096)]
    monkeypatch.setattr("resource.getrlimit", lambda kind: limits[-1])
    monkeypatch.setattr("resource.setrlimit", lambda kind, values: limits.append(values))
    monkeypatch.setattr("ircops.ssh.limits._open_now", lambda: 50)
    make_room(800)
    assert limits == [(1024, 4096)]
    make_room(1000)
    assert limits[1:] == [(1178, 4096)]
    with pytest.raises(OpsError) as refusal:
        make_room(5000)
    assert refusal.value.message == (
        "5000 hosts at once need 5128 open files and 4096 are allowed; "
        "raise LimitNOFILE to 5128 (ulimit -n), or name fewer hosts"
    )

    def forbidden(kind: int, values: tuple[int, int]) -> None:
        raise PermissionError

    monkeypatch.setattr("resource.setrlimit", forbidden)
    limits[:] = [(1024, 4096)]
    make_room(870)  # it may just do
    with pytest.raises(OpsError, match="need 1028 open files and 1024 are allowed"):
        make_room(900)
    closed: list[int] = []
    make_room(500, 600, lambda count: closed.append(count) or count)  # idle ones go for it
    assert closed == [204]
    with pytest.raises(
        OpsError, match="500 hosts at once beside 590 that are open need 1218 open files"
    ):
        make_room(500, 600, lambda count: 10)
    limits[:] = [(resource.RLIM_INFINITY, resource.RLIM_INFINITY)]
    make_room(10_000)


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
