"""Dialling, keys, and the socket under a connection; what needs an sshd is in real/test_ssh_real.py."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from ircops.config import HostLine, Settings, Ssh
from ircops.errors import OpsError
from ircops.ssh import dial
from ircops.ssh.inventory import Inventory
from ircops.ssh.pool import Pool
from ircops.ssh.remote import Command, Remote
from tests.people import until_true as until
from tests.scripted_sshd import Script, scripted


@contextlib.contextmanager
def pool(address: str, port: int, **ssh: Any) -> Iterator[Pool]:
    """A pool with one host, web1."""
    given = Ssh(
        **{
            "config": Path("/nowhere"),
            "known_hosts": (),
            "agent": False,
            "connect_timeout": 0.5,
            **ssh,
        }
    )
    opened = Pool(given, Inventory(Settings(hosts={"web1": HostLine(address, port)}, ssh=given)))
    try:
        yield opened
    finally:
        opened.close()


def refusal(opened: Pool) -> str:
    with pytest.raises(OpsError) as caught, opened.session("web1"):
        pass
    return caught.value.message


@contextlib.contextmanager
def full() -> Iterator[int]:
    """The port of a socket whose queue is full: another connection is neither taken nor refused."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("address", "port", "told"), [("a..b", 22, "cannot be a name"), ("::1", 70000, "no port 70000")]
)
def test_an_address_that_cannot_be_is_a_sentence(address: str, port: int, told: str) -> None:
    with pool(address, port) as opened:
        assert told in refusal(opened)


def test_a_host_that_takes_no_connection_is_given_up_in_time() -> None:
    with full() as port, pool("127.0.0.1", port) as opened:
        began = time.monotonic()
        assert refusal(opened) == "timed out after 1 s" or refusal(opened) == "timed out after 0 s"
        assert time.monotonic() - began < 3


def test_those_who_want_the_same_dead_host_share_one_attempt_and_its_failure() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pool("127.0.0.1", silent.getsockname()[1]) as opened,
    ):
        errors: list[str] = []
        users = [threading.Thread(target=lambda: errors.append(refusal(opened))) for _ in range(8)]
        for user in users:
            user.start()
        for user in users:
            user.join()
        assert errors == ["timed out after 0.5 s: connected, but no SSH greeting came"] * 8
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


@pytest.mark.parametrize("is_full", [True, False])
def test_close_ends_an_attempt_that_is_under_way(is_full: bool) -> None:
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(full())
        if not is_full:
            port = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        opened = stack.enter_context(pool("127.0.0.1", port, connect_timeout=30.0))
        user = threading.Thread(target=lambda: refusal(opened))
        user.start()
        until(lambda: opened._dialler._half_open)
        began = time.monotonic()
        opened.close()
        user.join(10)
        assert not user.is_alive() and time.monotonic() - began < 2
        assert refusal(opened) == "not connected: the bot is stopping"


def test_a_proxy_command_that_ends_is_no_ssh_server_and_leaves_no_process(tmp_path: Path) -> None:
    config = tmp_path / "config"
    for command in ("false", f"echo $$ > {tmp_path}/pid; sleep 60"):
        config.write_text(f"Host web1\n  ProxyCommand {command}\n")
        with pool("", 0, config=config) as opened:
            refusal(opened)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"SSH-2.0-mute\r\n", "timed out after 0.5 s: connected, but its sshd is stuck"),
        (b"SSH-2.0-mad\r\n" + b"\0garbage" * 99, "it hung up during the key exchange"),
        (b"SSH-1.5-old\r\n", "its sshd is too old"),
        (b"220 mail.example.org\r\n" * 999, "no SSH server there"),
        (b"\xff" * 99999, "no SSH greeting came"),
    ],
)
def test_what_speaks_no_ssh_is_a_sentence(said: bytes, told: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as tcp, contextlib.suppress(OSError):
                tcp.sendall(said)
                while tcp.recv(4096):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        with pool("127.0.0.1", server.getsockname()[1]) as opened:
            assert told in refusal(opened)
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def login(tmp_path: Path) -> dict[str, Any]:
    """What opens a scripted server."""
    paramiko.ECDSAKey.generate().write_private_key_file(str(tmp_path / "key"))
    known = tmp_path / "known"
    return {
        "user": "ops",
        "key": (tmp_path / "key",),
        "known_hosts": (known,),
        "host_keys": "accept-new",
    }


def test_a_key_that_is_not_enough_is_called_right(login: dict[str, Any]) -> None:
    class WantsMore(Script):
        def check_auth_publickey(self, username: str, key: Any) -> int:
            return int(paramiko.AUTH_PARTIALLY_SUCCESSFUL)

        def get_allowed_auths(self, username: str) -> str:
            return "password"

    with scripted(WantsMore()) as port, pool("127.0.0.1", port, **login) as opened:
        assert refusal(opened).endswith("the key is right, but it wants password as well")


def test_a_login_that_hangs_is_given_up_in_time(login: dict[str, Any]) -> None:
    class Hangs(Script):
        def check_auth_publickey(self, username: str, key: Any) -> int:
            self.is_over.wait()
            return int(paramiko.AUTH_FAILED)

    with scripted(Hangs()) as port, pool("127.0.0.1", port, **login) as opened:
        assert refusal(opened) == "timed out after 0.5 s logging in"


def test_a_host_that_opens_no_session_says_so(login: dict[str, Any]) -> None:
    class Closed(Script):
        def check_channel_request(self, kind: str, chanid: int) -> int:
            return int(paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED)

    with scripted(Closed()) as port, pool("127.0.0.1", port, **login) as opened:
        assert refusal(opened).startswith("it refuses one more session (MaxSessions?)")


def test_a_host_that_never_answers_is_tried_once_more_and_called_lost(
    login: dict[str, Any],
) -> None:
    class Hangs(Script):
        asked = 0

        def check_channel_request(self, kind: str, chanid: int) -> int:
            self.asked += 1
            self.is_over.wait()
            return int(paramiko.OPEN_SUCCEEDED)

    script = Hangs()
    with scripted(script) as port, pool("127.0.0.1", port, **login) as opened:
        assert refusal(opened) == "connection lost"
        assert script.asked == 2


@pytest.mark.parametrize("fast", [False, True])
def test_a_host_that_runs_no_commands_says_so(login: dict[str, Any], fast: bool) -> None:
    with scripted(Script()) as port, pool("127.0.0.1", port, **login) as opened:
        result = Remote("web1", Command("true", fast=fast)).run(opened)
        assert result.error == "it refuses to run commands"


def test_idle_connections_are_kept_alive(login: dict[str, Any]) -> None:
    script = Script()
    with scripted(script) as port, pool("127.0.0.1", port, keepalive=0.1, **login) as opened:
        with opened.session("web1"):
            pass
        until(lambda: len(script.heard) >= 2)
        assert set(script.heard) == {"keepalive@lag.net"}


def test_no_more_handshakes_go_on_at_once_than_are_good(
    login: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, going_on, most = threading.Lock(), 0, 0
    pair = threading.Barrier(2, timeout=10)  # two at once there are
    agree = dial.Dialler._agree

    def count(self: dial.Dialler, transport: Any) -> None:
        nonlocal going_on, most
        with lock:
            going_on += 1
            most = max(most, going_on)
        pair.wait()
        agree(self, transport)
        with lock:
            going_on -= 1

    monkeypatch.setattr(dial, "HANDSHAKES", 2)
    monkeypatch.setattr(dial.Dialler, "_agree", count)
    with scripted(Script()) as port:
        lines = {f"web{number}": HostLine("127.0.0.1", port) for number in range(8)}
        given = Ssh(**{"config": Path("/nowhere"), "agent": False, **login})
        opened = Pool(given, Inventory(Settings(hosts=lines, ssh=given)))

        def use(host: str) -> None:
            with opened.session(host):
                pass

        users = [threading.Thread(target=use, args=[host]) for host in lines]
        for user in users:
            user.start()
        for user in users:
            user.join()
        opened.close()
    assert most == 2
