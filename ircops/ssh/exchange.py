"""A line run by a channel: stdin in, stdout and stderr out, taken no faster than they are put away."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ircops.ssh.kill import Mark
from ircops.ssh.shell import MOUTHFUL
from ircops.ssh.watch import Watch

FEED = 0.05  # seconds between looks whether the command takes more of its stdin; nothing tells us
MARK = 0.5  # seconds

Take = Callable[[bytes], object]  # what puts a stream away, piece by piece


def exchange(
    channel: Any,
    line: str,
    stdin: bytes,
    watch: Watch,
    mark: Mark,
    stdout: Take,
    stderr: Take,
    pty: bool = False,
) -> int:
    """Run `line`, feed and read until it ends; gives the exit code, -1 without one. Raises TimeoutError, FAULTS.

    The host sends no more than a channel's window ahead of what was read, so that is all that waits in memory.
    """
    channel.in_buffer.set_event(watch.news)
    channel.in_stderr_buffer.set_event(watch.news)
    if pty:
        channel.get_pty()
    channel.exec_command(line)
    channel.settimeout(0.0)
    left = memoryview(stdin)
    is_fed = pty and not stdin  # a terminal has no end
    while not watch.stopped:
        watch.news.reset()
        # asked first: nothing comes after that
        is_over = channel.eof_received or channel.closed
        if channel.recv_ready():
            said = channel.recv(MOUTHFUL)
            stdout(mark.strip(said) if pty else said)  # a terminal has but one stream
        if channel.recv_stderr_ready():
            stderr(mark.strip(channel.recv_stderr(MOUTHFUL)))
        if is_over:
            break
        if not is_fed:
            left, is_fed = _feed(channel, left, pty)
        watch.pause(None if is_fed else FEED)
    if not channel.status_event.wait(watch.left()):
        raise TimeoutError
    return int(channel.exit_status)


def hear(channel: Any, watch: Watch, mark: Mark) -> bytes:
    """Wait a moment for the mark of a command that has only just begun; gives what else is on stderr."""
    said, deadline = b"", time.monotonic() + MARK
    while not mark.pid and (left := deadline - time.monotonic()) > 0:
        watch.news.reset()
        is_over = channel.eof_received or channel.closed
        if channel.recv_stderr_ready():
            said += mark.strip(channel.recv_stderr(MOUTHFUL))
        elif is_over:
            break
        else:
            watch.news.wait(left)
    return said


def _feed(channel: Any, stdin: memoryview, pty: bool) -> tuple[memoryview, bool]:
    """Give what the command takes now; then what is left, and whether all of it is sent and said to be."""
    while stdin:
        try:
            sent = channel.send(bytes(stdin[:32768]))
        except TimeoutError:  # its window is full
            return stdin, False
        except OSError:
            sent = 0
        if not sent:  # it takes no more
            return stdin, True
        stdin = stdin[sent:]
    if not pty:
        channel.shutdown_write()
    return stdin, True
