"""Every other fault a host can have, against a real OpenSSH: a clear line for it, the rest unharmed, nothing leaked."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ircops.call import Stop
from ircops.config import HostLine
from ircops.errors import OpsError
from ircops.ssh.limits import SPARE
from tests.people import until_true as until
from tests.real.sshd import serve
from tests.real.test_ssh_kill import sleeping, stuck
from tests.real.test_ssh_real import one, opened, run

if TYPE_CHECKING:
    from ircops.ssh.fanout import Fanout
    from tests.real.sshd import Sshd

pytest_plugins = ["tests.real.sshd"]

SO_ATTACH_FILTER = 26  # asm-generic/socket.h


def freeze(tcp: socket.socket) -> None:
    """Nothing that the network brings reaches it any more, as if a cable had been pulled: a filter that drops all."""
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: return 0
    program = struct.pack("HP", 1, ctypes.addressof(drop_all))
    tcp.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def wires(fanout: Fanout) -> list[Any]:
    return [connection.transport.sock.under for connection in fanout._pool._opened()]


def test_a_name_that_dns_does_not_know_is_its_own_fault_only(sshd: Sshd) -> None:
    hosts = {"web1": sshd.line("web1"), "web2": HostLine("nowhere.invalid", 22)}
    lines = str(run(sshd.settings(hosts), "echo here", "*")).splitlines()
    assert lines[0] == "web1: here"
    assert lines[1:] in (["web2: name not found"], ["web2: no name server answers"])


def test_a_network_that_freezes_under_a_command_is_noticed(sshd: Sshd) -> None:
    with opened(sshd.settings(keepalive=0.3)) as fanout:
        results = fanout.run("echo begun >&2; exec sleep 3620", "web1")
        until(lambda: "begun" in str(results.so_far) and sleeping("3620"))
        (pid,) = sleeping("3620")
        (wire,) = wires(fanout)
        freeze(wire)
        assert str(fanout.run("echo here", "web2")) == "web2: here"
        (result,) = results
        assert result.error == f"connection lost; it may still run there (pid {pid})"
        assert str(fanout.run("echo again", "web1")) == "web1: again"
    os.kill(pid, signal.SIGKILL)


def test_a_frozen_sshd_under_a_command_is_not_called_dead_and_harms_no_other(sshd: Sshd) -> None:
    with opened(sshd.settings(connect_timeout=1.0)) as fanout:
        slow = fanout.run("echo begun >&2; exec sleep 3621", "web1", timeout=1.0)
        until(lambda: "begun" in str(slow.so_far) and sleeping("3621"))
        (pid,) = sleeping("3621")
        with stuck(sshd):
            assert str(fanout.run("echo here", "web2")) == "web2: here"
            (result,) = slow
        assert result.error == (
            f"timed out after 1 s; unreachable, may still run there (pid {pid})"
        )
    os.kill(pid, signal.SIGKILL)


def test_a_host_with_one_session_says_so_while_it_is_taken(tmp_path: Path) -> None:
    stop = Stop()
    with (
        serve(tmp_path, MaxSessions=1) as small,
        opened(small.settings(connect_timeout=1.0)) as fanout,
    ):
        first = fanout.run("sleep 3622", "web1", stop=stop)
        until(lambda: sleeping("3622"))
        assert str(fanout.run("true", "web1")) == (
            "web1: it refuses one more session (MaxSessions?); try again when a command there has ended"
        )
        stop.ask("enough")
        assert first.ending == "killed on web1"
        assert str(fanout.run("echo free", "web1")) == "web1: free"
        many = [fanout.run("sleep 0.05; echo in turn", "web1", fast=fast) for fast in (0, 1, 0, 1)]
        assert {str(results) for results in many} == {"web1: in turn"}


def test_a_shell_that_waits_leaves_the_only_session_to_a_command(tmp_path: Path) -> None:
    with serve(tmp_path, MaxSessions=1) as small, opened(small.settings()) as fanout:
        for _ in range(2):
            assert str(fanout.run("echo fast", "web1", fast=True)) == "web1: fast"
            assert str(fanout.run("echo exec", "web1")) == "web1: exec"


def test_a_full_disk_is_told_in_the_words_of_the_host(sshd: Sshd) -> None:
    for fast in (False, True):
        result = one(sshd.settings(), "cat /etc/passwd > /dev/full", fast=fast)
        assert result.exit_code == 1
        assert "No space left on device" in result.text


def test_a_command_that_is_not_there_is_told_and_harms_no_other(sshd: Sshd) -> None:
    with opened(sshd.settings()) as fanout:
        for fast in (False, True):
            (result,) = fanout.run("no-such-command", "web1", fast=fast)
            assert result.exit_code == 127
            assert re.search(r"no-such-command: (command )?not found.* \(exit 127\)", result.text)
        assert str(fanout.run("echo here", "@web")) == "web[1-3]: here"


@pytest.mark.parametrize(
    "options",
    [
        {"Ciphers": "aes256-ctr", "MACs": "hmac-sha2-256"},
        {"HostKeyAlgorithms": "ecdsa-sha2-nistp256"},
        {"KexAlgorithms": "curve25519-sha256@libssh.org"},
        {"KexAlgorithms": "diffie-hellman-group-exchange-sha256", "Ciphers": "aes128-ctr"},
    ],
)
def test_an_old_sshd_is_met_with_what_it_has(tmp_path: Path, options: dict[str, str]) -> None:
    with serve(tmp_path, **options) as old:
        known = tmp_path / "known"
        settings = old.settings(known_hosts=(known,), host_keys="accept-new")
        assert str(run(settings, "echo here", "web1")) == "web1: here"


@pytest.mark.parametrize(
    "options",
    [{"Ciphers": "chacha20-poly1305@openssh.com"}, {"KexAlgorithms": "ecdh-sha2-nistp521"}],
)
def test_an_sshd_that_allows_too_little_is_told(tmp_path: Path, options: dict[str, str]) -> None:
    with serve(tmp_path, **options) as narrow:
        result = one(narrow.settings(), "echo here")
        assert result.ok or result.error.startswith("no algorithm in common: its sshd is too old")
        assert result.ok is ("KexAlgorithms" in options)


def test_keys_are_exchanged_in_the_way_that_costs_the_host_least(tmp_path: Path) -> None:
    with serve(tmp_path, LogLevel="DEBUG") as talkative:
        assert one(talkative.settings(), "true").ok
    (way,) = re.findall(r"kex: algorithm: (\S+)", (tmp_path / "sshd.log").read_text())
    # the first where the host has it, as it holds against tomorrow's computers, too
    assert way in ("mlkem768x25519-sha256", "ecdh-sha2-nistp256")


def test_idle_connections_make_room_for_other_hosts_where_files_are_few(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(sshd.settings()) as fanout:
        assert str(fanout.run("echo here", "web[1-4]")) == "web[1-4]: here"
        monkeypatch.setattr("resource.getrlimit", lambda kind: (SPARE + 5, SPARE + 5))
        monkeypatch.setattr("resource.setrlimit", lambda kind, limits: None)
        stays = fanout.run("echo begun; exec sleep 3624", "web1")
        until(lambda: sleeping("3624"))
        assert str(fanout.run("echo here", "web[5-7]")) == "web[5-7]: here"
        left = {connection.host.name for connection in fanout._pool._opened()}
        assert {"web1", "web5", "web6", "web7"} <= left and len(left) == 5
        with pytest.raises(OpsError, match="^4 hosts at once beside 5 that are open need 137 open"):
            fanout.run("true", "web[1-9]")
        stays.stop("enough")
        assert stays.ending == "killed on web1"


def threads_and_files() -> tuple[int, int]:
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


@contextlib.contextmanager
def refused() -> Iterator[int]:
    """A port where nobody listens."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


@pytest.mark.slow
def test_a_thousand_commands_leave_no_thread_and_no_descriptor(sshd: Sshd) -> None:
    """Good, bad, slow, killed, lost; by exec and by shell."""
    before = threads_and_files()
    with refused() as port:
        hosts = {f"web{number}": sshd.line(f"web{number}") for number in range(1, 9)}
        hosts["web9"] = HostLine("127.0.0.1", port)
        with opened(sshd.settings(hosts, fanout=9)) as fanout:
            fanout.run("echo here", "*").wait()
            fanout.run("echo here", "*", fast=True).wait()
            after_first = threads_and_files()
            for _ in range(11):
                for fast in (False, True, True, True, True):
                    results = fanout.run("echo here; echo there >&2", "*", fast=fast)
                    assert [result.host for result in results.failed] == ["web9"]
                (late,) = fanout.run("sleep 3623", "web1", timeout=0.01)
                assert late.error == "timed out after 0.01 s; killed"
                (lost,) = fanout.run("kill -9 $PPID", "web2")
                assert lost.error.startswith("connection lost")
            done = 2 * 9 + 11 * (5 * 9 + 2)
            while done < 1000:
                fanout.run("true", "*", fast=True).wait()
                done += 9
            until(lambda: threads_and_files() <= after_first)
        assert not sleeping("3623")
    until(lambda: threads_and_files() <= before)


def test_an_address_without_a_way_to_it_is_told_apart_from_one_that_is_refused(
    tmp_path: Path,
) -> None:
    """In a network of its own, where a router says no; its only other address is loopback."""
    enter = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    if subprocess.run([*enter, "true"], capture_output=True).returncode:
        is_given = os.environ.get("CI") and os.geteuid() == 0
        (pytest.fail if is_given else pytest.skip)("may not make a network of its own")
    network = "ip link set lo up && ip route add unreachable 192.0.2.0/24"
    code = f"""
from pathlib import Path
from tests.real.test_ssh_faults import no_way
no_way(Path({str(tmp_path)!r}))
"""
    script = f"{network} && exec {shlex.join([sys.executable, '-c', code])}"
    done = subprocess.run([*enter, "sh", "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "web1: here",
            "1 no route to host (after 0 s): web2 · 1 network is unreachable: web3"
            " · 1 connection refused: web4",
        ],
    ), done.stderr


def no_way(directory: Path) -> None:
    """Print what a run comes to on hosts that cannot be reached, each for a reason of its own."""
    with serve(directory) as sshd, refused() as port:
        hosts = {
            "web1": sshd.line("web1"),
            "web2": HostLine("192.0.2.1", 22),
            "web3": HostLine("198.51.100.1", 22),
            "web4": HostLine("127.0.0.1", port),
        }
        print(run(sshd.settings(hosts), "echo here", "*"))
