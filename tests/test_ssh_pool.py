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

import pytest

from ircops.config import HostLine, Settings, Ssh
from ircops.errors import OpsError
from ircops.ssh.inventory import Inventory
from ircops.ssh.pool import Pool
from tests.people import until_true as until


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
