"""Commands on hosts over a real OpenSSH: what is answered, and every way in which it goes wrong."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ircops.call import Result, Stop
from ircops.config import HostLine, Settings
from ircops.ssh.fanout import Fanout
from ircops.ssh.inventory import Inventory
from ircops.ssh.kill import Mark
from ircops.ssh.pool import Pool
from ircops.ssh.results import Results

if TYPE_CHECKING:
    from tests.real.sshd import Sshd

pytest_plugins = ["tests.real.sshd"]


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Fanout]:
    fanout = Fanout(Pool(settings.ssh, Inventory(settings)), settings.ssh)
    try:
        yield fanout
    finally:
        fanout.close()


def run(settings: Settings, command: str | list[str], hosts: str, **options: Any) -> Results:
    with opened(settings) as fanout:
        return fanout.run(command, hosts, **options).wait()


def one(settings: Settings, command: str | list[str], host: str = "web1", **options: Any) -> Result:
    (result,) = run(settings, command, host, **options)
    return result


def until(claim: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def ssh_keygen(*words: str | Path) -> None:
    subprocess.run(["ssh-keygen", "-q", *words], check=True)


def test_every_host_gives_its_load_average(sshd: Sshd) -> None:
    loads = {
        result.host: float(result.stdout.split()[0])
        for result in run(sshd.settings(), "cat /proc/loadavg", "@web")
    }
    assert set(loads) == {"web1", "web2", "web3"}


def test_equal_answers_of_three_hosts_are_folded(sshd: Sshd) -> None:
    assert (
        str(run(sshd.settings(), ["echo", "up 3 weeks;", "$HOME"], "@web"))
        == "web[1-3]: up 3 weeks; $HOME"
    )


def test_stdout_stderr_and_exit_code_are_kept_apart(sshd: Sshd) -> None:
    result = one(sshd.settings(), "echo out; echo err >&2; exit 3")
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 3)
    assert not result.error and not result.ok


def test_the_command_gets_its_environment_and_its_stdin(sshd: Sshd) -> None:
    result = one(
        sshd.settings(),
        'echo "$IRCOPS_USER"; cat',
        environment={"IRCOPS_USER": "o'neill; id"},
        stdin=b"in\n",
    )
    assert result.stdout == "o'neill; id\nin\n"


def test_three_megabytes_of_stdin_do_not_block_their_own_echo(sshd: Sshd) -> None:
    assert (
        one(sshd.settings(), "cat | wc -c", stdin=b"x" * 3_000_000, timeout=20).stdout.strip()
        == "3000000"
    )
    echoed = one(sshd.settings(), "cat", stdin=b"x" * 6_000_000, timeout=20).stdout
    assert "5.0 MB left out here" in echoed


def test_stdin_that_nobody_reads_does_no_harm(sshd: Sshd) -> None:
    assert (
        one(
            sshd.settings(), "exec <&-; sleep 0.2; echo done", stdin=b"x" * 6_000_000, timeout=20
        ).stdout
        == "done\n"
    )


def test_of_five_megabytes_one_is_kept_and_the_rest_is_counted(sshd: Sshd) -> None:
    result = one(sshd.settings(), "head -c 5000000 /dev/zero | tr '\\0' x; echo end >&2")
    first, told, last = result.stdout.split("\n")
    assert told == "(… 4.0 MB left out here, and not kept)"
    assert len(first) + len(last) == 1048576
    assert result.stderr == "end\n"
    assert result.ok


def test_bytes_that_are_not_utf8_are_shown_as_such(sshd: Sshd) -> None:
    assert one(sshd.settings(), "printf 'caf\\351 \\303\\251'").stdout == "caf\ufffd é"


def test_a_command_ended_by_a_signal_says_so(sshd: Sshd) -> None:
    result = one(sshd.settings(), "kill -9 $$")
    assert (result.exit_code, result.error) == (None, "ended by a signal")


def test_unreachable_hosts_are_named_with_the_reason_and_the_others_go_on(sshd: Sshd) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        socket.create_server(("127.0.0.1", 0)) as closed,
    ):
        refused = closed.getsockname()[1]
        closed.close()
        hosts = {
            "bad1": HostLine("127.0.0.1", refused),
            "bad2": HostLine("127.0.0.1", refused),
            "dumb": HostLine("127.0.0.1", silent.getsockname()[1]),
            "web1": sshd.line("web1"),
            "web2": sshd.line("web2"),
        }
        results = run(sshd.settings(hosts, connect_timeout=1.0), "echo here", "*")
    assert {result.host: result.text for result in results} == {
        **dict.fromkeys(("web1", "web2"), "here"),
        **dict.fromkeys(("bad1", "bad2"), "connection refused"),
        "dumb": "timed out after 1 s: connected, but no SSH greeting came",
    }


def test_what_does_not_speak_ssh_is_told_apart(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as web:
        settings = sshd.settings(
            {"web1": HostLine("127.0.0.1", web.getsockname()[1])}, connect_timeout=5.0
        )

        def answer() -> None:
            with web.accept()[0] as tcp:
                tcp.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        server = threading.Thread(target=answer)
        server.start()
        assert one(settings, "true").error.startswith("no SSH server there")
        server.join()


def test_an_unknown_host_key_is_refused_with_the_way_to_add_it(sshd: Sshd, tmp_path: Path) -> None:
    error = one(sshd.settings(known_hosts=(tmp_path / "known",)), "true").error
    assert error.startswith("unknown host key ED25519 SHA256:")
    assert error.endswith(f"ssh-keyscan -p {sshd.port} 127.0.1.1 >> {tmp_path}/known")


def test_a_changed_host_key_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    ssh_keygen("-t", "ed25519", "-N", "", "-f", tmp_path / "other")
    known = tmp_path / "known"
    known.write_text(f"[127.0.1.1]:{sshd.port} {(tmp_path / 'other.pub').read_text()}")
    for mode in ("strict", "accept-new"):
        error = one(sshd.settings(known_hosts=(known,), host_keys=mode), "true").error
        assert error.startswith("host key CHANGED") and f"({known}:1); refusing" in error


def test_a_revoked_host_key_is_refused_although_it_is_known(sshd: Sshd, tmp_path: Path) -> None:
    revoked = tmp_path / "revoked"
    revoked.write_text(f"@revoked * {sshd.host_key()}\n")
    error = one(sshd.settings(known_hosts=(sshd.known_hosts, revoked)), "true").error
    assert error.startswith(f"host key REVOKED ({revoked}:1)")


def test_a_host_known_by_its_second_key_only_is_asked_for_that(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(f"[127.0.1.1]:{sshd.port} {sshd.host_key('ecdsa')}\n")
    assert one(sshd.settings(known_hosts=(known,)), "true").ok


def test_a_hashed_known_hosts_is_understood(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(sshd.known_hosts.read_text())
    subprocess.run(["ssh-keygen", "-H", "-f", known], check=True, capture_output=True)
    assert "127.0.1.1" not in known.read_text()
    assert one(sshd.settings(known_hosts=(known,)), "true").ok


def test_a_pinned_key_is_trusted_and_no_other(sshd: Sshd, tmp_path: Path) -> None:
    listed = subprocess.run(
        ["ssh-keygen", "-l", "-f", sshd.directory / "host_ed25519.pub"],
        capture_output=True,
        text=True,
    ).stdout.split()[1]
    nothing_known = {"known_hosts": (tmp_path / "known",)}
    right = sshd.settings({"web1": sshd.line("web1", host_key=listed)}, **nothing_known)
    wrong = sshd.settings(
        {"web1": sshd.line("web1", host_key="SHA256:wrong")}, known_hosts=(sshd.known_hosts,)
    )
    assert one(right, "true").ok
    assert one(wrong, "true").error.endswith("expected SHA256:wrong (pinned); refusing")


def test_accept_new_adds_a_new_key_once_and_strict_knows_it_then(
    sshd: Sshd, tmp_path: Path
) -> None:
    known = tmp_path / "new" / "known"
    for _ in range(2):
        assert run(sshd.settings(known_hosts=(known,), host_keys="accept-new"), "true", "@web").ok
    assert sorted(known.read_text().splitlines()) == [
        f"[127.0.1.{number}]:{sshd.port} {sshd.host_key()}" for number in (1, 2, 3)
    ]
    assert known.stat().st_mode & 0o777 == 0o600
    assert run(sshd.settings(known_hosts=(known,)), "true", "@web").ok


def test_a_wrong_key_is_denied_with_what_was_tried(sshd: Sshd) -> None:
    settings = sshd.settings(key=(sshd.wrong_key, sshd.directory / "missing"))
    assert one(settings, "true").error == (
        f"permission denied for {sshd.user}@127.0.1.1: tried 1 key (stranger); "
        f"{sshd.directory}/missing: no such file or directory"
    )


def test_the_second_of_two_keys_opens(sshd: Sshd) -> None:
    assert one(sshd.settings(key=(sshd.wrong_key, sshd.key)), "true").ok


def test_a_key_with_a_passphrase_opens_through_the_agent_only(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "locked"
    for name in ("client", "client.pub"):
        (tmp_path / name.replace("client", "locked")).write_text(
            (sshd.directory / name).read_text()
        )
    key.chmod(0o600)
    agent = subprocess.Popen(
        ["ssh-agent", "-D", "-a", tmp_path / "agent"], stdout=subprocess.DEVNULL
    )
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        until((tmp_path / "agent").is_socket)
        subprocess.run(["ssh-add", "-q", key], check=True)
        ssh_keygen("-p", "-P", "", "-N", "secret", "-f", key)
        assert one(sshd.settings(key=(key,), agent=True), "true").ok
        assert one(sshd.settings(key=(), agent=True), "true").ok
        assert one(sshd.settings(key=(key,), agent=False), "true").error == (
            f"permission denied for {sshd.user}@127.0.1.1: no key to try; set key in [ssh]; "
            "locked has a passphrase: ssh-add it to the agent"
        )
    finally:
        agent.terminate()
        agent.wait()


def test_a_command_that_overruns_its_time_is_killed(sshd: Sshd) -> None:
    began = time.monotonic()
    result = one(sshd.settings(), "echo begun; sleep 30", timeout=0.5)
    assert time.monotonic() - began < 5
    assert result.error == "timed out after 0.5 s; killed"
    assert (result.stdout, result.exit_code) == ("begun\n", None)


def test_a_stop_ends_all_at_once_and_says_what_had_not_started(sshd: Sshd, tmp_path: Path) -> None:
    stop = Stop()
    with opened(sshd.settings(fanout=2)) as fanout:
        results = fanout.run(f"echo $$ >> {tmp_path}/begun; sleep 30", "@web", stop=stop)
        until(
            lambda: (
                (tmp_path / "begun").exists() and len((tmp_path / "begun").read_text().split()) == 2
            )
        )
        began = time.monotonic()
        stop.ask("killed by carol")
        errors = {result.host: result.error for result in results}
        assert time.monotonic() - began < 2
    assert sorted(errors.values()) == [
        "stopped: killed by carol; killed",
        "stopped: killed by carol; killed",
        "stopped: killed by carol; not started",
    ]


def test_after_a_stop_nothing_is_started(sshd: Sshd, tmp_path: Path) -> None:
    stop = Stop()
    stop.ask("too late")
    assert (
        str(run(sshd.settings(), f"touch {tmp_path}/began", "@web", stop=stop))
        == "web[1-3]: stopped: too late; not started"
    )
    assert not (tmp_path / "began").exists()


def test_a_stop_while_it_connects_lets_nothing_start(sshd: Sshd, tmp_path: Path) -> None:
    pin = subprocess.run(
        ["ssh-keygen", "-l", "-f", sshd.directory / "host_ed25519.pub"],
        capture_output=True,
        text=True,
    ).stdout.split()[1]
    stop, met, go_on = Stop(), threading.Event(), threading.Event()

    def relay(listener: socket.socket) -> None:
        """A slow way to the sshd."""
        ours, _ = listener.accept()
        met.set()
        go_on.wait(10)
        with ours, socket.create_connection(("127.0.0.1", sshd.port)) as theirs:
            while ready := select.select([ours, theirs], [], [], 10)[0]:
                for end in ready:
                    data = end.recv(65536)
                    if not data:
                        return
                    (theirs if end is ours else ours).sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        way = threading.Thread(target=relay, args=(listener,))
        way.start()
        hosts = {"web1": HostLine("127.0.0.1", listener.getsockname()[1], host_key=pin)}
        with opened(sshd.settings(hosts)) as fanout:
            results = fanout.run(f"touch {tmp_path}/begun", "web1", stop=stop)
            assert met.wait(10)
            stop.ask("killed by carol")
            assert str(results) == "web1: stopped: killed by carol; not started"
            go_on.set()
            assert fanout.run("echo later", "web1").ok  # through the connection that was on its way
        way.join()
    assert not (tmp_path / "begun").exists()


def test_waiting_for_a_slow_command_costs_no_cpu(sshd: Sshd) -> None:
    with opened(sshd.settings()) as fanout:
        fanout.run("true", "@web").wait()
        before = time.process_time()
        assert fanout.run("sleep 1", "@web").wait().ok
        assert time.process_time() - before < 0.2


def test_a_host_is_reached_through_a_jump_host(sshd: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host web2\n  ProxyJump web1\nHost web3\n  ProxyJump web2\n")
    with opened(sshd.settings(config=config)) as fanout:
        came_from = {
            result.host: result.stdout.split()[0]
            for result in fanout.run("echo $SSH_CLIENT", "@web")
        }
        assert set(came_from) == {"web1", "web2", "web3"}
        assert str(fanout.run("echo again", "@web")) == "web[1-3]: again"
        connections = [result.stdout for result in fanout.run("echo $SSH_CONNECTION", "web[1,3]")]
    assert len(set(connections)) == 2


def test_a_chain_of_jump_hosts_is_gone_through_in_order(sshd: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host web3\n  ProxyJump web1,web2\n")
    with opened(sshd.settings(config=config)) as fanout:
        assert str(fanout.run("echo far", "web3")) == "web3: far"
        ways = {each.host.name: each.via for each in fanout._pool._opened()}
    assert set(ways) == {"web1", "web2", "web3"}
    assert ways["web3"] and ways["web3"].via and ways["web3"].via.host.name == "web1"


def test_match_and_several_identity_files_of_ssh_config_hold(sshd: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"Match host web1\n  User {sshd.user}\n  HostName 127.0.1.1\n  Port {sshd.port}\n"
        f"Match user {sshd.user}\n  IdentityFile {sshd.wrong_key}\n  IdentityFile {sshd.key}\n"
    )
    settings = sshd.settings({"web1": HostLine()}, config=config, user="nobody", key=())
    with opened(settings) as fanout:
        assert str(fanout.run("echo matched", "web1")) == "web1: matched"
        (connection,) = fanout._pool._opened()
        assert connection.host.keys == (sshd.wrong_key, sshd.key)
        wire = connection.transport.sock.under
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)  # no 40 ms of Nagle's


def test_a_jump_host_that_fails_is_named(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    hosts = {
        "gate": HostLine("127.0.0.1", port),
        "web1": sshd.line("web1", jump="gate"),
        "web2": sshd.line("web2"),
        "web3": HostLine("127.0.0.1", port, jump="web2"),
        "web4": sshd.line("web4", jump="web2", host_key="SHA256:wrong"),
    }
    results = run(sshd.settings(hosts), "true", "web[1,3-4]")
    told = {result.host: result.error for result in results}
    assert told["web1"] == "through gate: connection refused"
    assert told["web3"] == "through web2: cannot be reached from there"
    assert told["web4"].startswith("host key CHANGED")


def test_a_host_is_reached_through_a_proxy_command(sshd: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"Host web1\n  HostName 127.0.1.1\n  ProxyCommand ssh -F none -q -i {sshd.key} "
        f"-o UserKnownHostsFile={sshd.known_hosts} -p {sshd.port} -W %h:{sshd.port} 127.0.0.1\n"
    )
    hosts = {"web1": HostLine(port=sshd.port)}
    assert one(sshd.settings(hosts, config=config), "echo through").stdout == "through\n"


def test_ten_commands_at_once_share_one_connection_and_more_wait(sshd: Sshd) -> None:
    with opened(sshd.settings()) as fanout:
        together = [fanout.run("sleep 0.3; echo $SSH_CONNECTION", "web1") for _ in range(12)]
        connections = {result.stdout for results in together for result in results}
    assert len(connections) == 1 and "127.0.1.1" in connections.pop()


def test_a_connection_that_died_while_idle_is_replaced(sshd: Sshd) -> None:
    with opened(sshd.settings()) as fanout:
        assert fanout.run("true", "web1").ok
        for pid in sshd.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert str(fanout.run("echo back", "web1")) == "web1: back"


def test_a_connection_whose_sshd_is_stuck_is_left_for_a_new_one(sshd: Sshd) -> None:
    with opened(sshd.settings(connect_timeout=1.0)) as fanout:
        assert fanout.run("true", "web1").ok
        stuck = sshd.sessions()
        try:
            for pid in stuck:
                os.kill(pid, signal.SIGSTOP)
            assert str(fanout.run("echo new", "web1")) == "web1: new"
        finally:
            for pid in stuck:
                os.kill(pid, signal.SIGCONT)


def test_a_connection_lost_under_a_command_leaves_it_in_doubt(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag, hear = tmp_path / "heard", Mark._hear

    def heard(mark: Mark, pid: int, told: str) -> None:
        hear(mark, pid, told)
        flag.touch()

    monkeypatch.setattr(Mark, "_hear", heard)  # sshd has passed on what the command is known by
    result = one(
        sshd.settings(), f"until [ -e {flag} ]; do sleep 0.02; done; kill -9 $PPID; sleep 1"
    )
    assert re.fullmatch(r"connection lost; it may still run there \(pid \d+\)", result.error)


def test_idle_connections_are_closed_and_those_in_use_are_not(sshd: Sshd) -> None:
    with opened(sshd.settings(idle_close=0.3)) as fanout:
        slow = fanout.run("sleep 1; echo $SSH_CONNECTION", "web1")
        assert fanout.run("true", "web2").ok
        until(lambda: not sessions_to(sshd, "127.0.1.2"))
        assert slow.wait().ok
        until(lambda: not sessions_to(sshd, "127.0.1.1"))


def sessions_to(sshd: Sshd, address: str) -> list[str]:
    wanted = f"{int.from_bytes(socket.inet_aton(address), 'little'):08X}:{sshd.port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()
    return [
        line for line in lines if line.split()[1] == wanted and line.split()[3] == "01"
    ]  # established


def test_many_slow_hosts_do_not_hold_up_a_small_run(sshd: Sshd) -> None:
    stop = Stop()
    with opened(sshd.settings(fanout=2)) as fanout:
        slow = fanout.run("sleep 30", "web[1-9]", stop=stop)
        began = time.monotonic()
        assert str(fanout.run("echo quick", "web9")) == "web9: quick"
        assert time.monotonic() - began < 5
        stop.ask("enough")
        assert len(slow.failed) == 9


def test_results_come_as_they_complete(sshd: Sshd) -> None:
    with opened(sshd.settings()) as fanout:
        fanout.run("true", "@web").wait()
        results = fanout.run("case $SSH_CONNECTION in *127.0.1.1*) sleep 0.5;; esac", "@web")
        assert [result.host for result in results][-1] == "web1"
        assert [result.host for result in results][-1] == "web1"  # and a second time, at once


def test_closing_wakes_all_and_leaves_no_thread_or_session(sshd: Sshd) -> None:
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hosts = {"web1": sshd.line("web1"), "dumb": HostLine("127.0.0.1", silent.getsockname()[1])}
        with opened(sshd.settings(hosts)) as fanout:
            results = fanout.run("sleep 30", "*")
            until(lambda: sessions_to(sshd, "127.0.1.1"))
        assert {result.host for result in results} == {"web1", "dumb"}
        until(lambda: set(threading.enumerate()) <= before, 20)
        until(lambda: not sessions_to(sshd, "127.0.1.1"))
