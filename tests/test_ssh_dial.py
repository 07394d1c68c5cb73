"""Opening one connection: its socket, and why it cannot be had."""

from __future__ import annotations

import errno
import socket
import threading

import pytest

from ircops.ssh.dial import _why, _Wire
from tests.people import until_true as until


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (socket.gaierror(socket.EAI_NONAME, "?"), "name not found"),
        (socket.gaierror(socket.EAI_AGAIN, "?"), "no name server answers"),
        (TimeoutError(), "timed out after 10 s"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "no route to host (after 10 s)"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "network is unreachable"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "connection refused"),
        (
            OSError(errno.EMFILE, "Too many open files"),
            "too many open files in the bot; raise LimitNOFILE",
        ),
    ],
)
def test_a_failure_to_dial_is_a_sentence(error: OSError, sentence: str) -> None:
    assert _why(error, 10.2) == sentence


def test_the_socket_reads_in_bursts_and_gives_what_is_asked_for() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        wire = _Wire(ours, 60.0)
        theirs.sendall(b"abcdef")
        assert wire.recv(2) == b"ab"
        ours.setblocking(False)  # the rest has been read already
        assert (wire.recv(3), wire.recv(9)) == (b"cde", b"f")
        wire.settimeout(0.1)
        wire.close()
        wire.close()
        assert theirs.recv(1) == b""


def test_closing_the_socket_wakes_its_reader_who_closes_it() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        wire = _Wire(ours, 60.0)

        def read() -> None:
            while wire.recv(1):
                pass
            assert ours.fileno() >= 0
            wire.close()

        reader = threading.Thread(target=read)
        reader.start()
        theirs.sendall(b"x")
        until(lambda: wire._reader is reader)
        wire.close()
        reader.join(5)
        assert not reader.is_alive() and ours.fileno() == -1
