"""A resident POSIX shell on a host: short commands by its stdin, each answer between marks that only we know.

Of a command in it everything but its own output is kept away: stdin is empty, and both its streams are captured
by the shell until the last process that holds them has let go, then written in one piece. So nothing that an
earlier command left behind can write into a later one's answer; and where an answer begins and ends is told by a
word that is drawn for each command, sent with it, and in no variable, argument or environment. Not kept exactly:
newlines at the end become one, NUL bytes are dropped.
"""

from __future__ import annotations

import contextlib
import secrets
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ircops.ssh.keys import FAULTS
from ircops.ssh.kill import Mark, with_environment
from ircops.ssh.watch import Watch

KEPT = 1024 * 1024  # bytes of each stream; what comes after is counted
LONGEST = 65536  # bytes a command may have
MOUTHFUL = 4 * 1024 * 1024  # bytes at a time: more than a channel's window, so all that has come

# printf of a program would end at the longest argument that the kernel takes
READY = "ready-e9d1"
RESIDENT = f'exec 3>&1 4>&2; [ "$(command -v printf)" = printf ] && echo {READY} >&2 && exec sh'
# The command runs in the inner $( ), its stderr goes to the outer one; only printf ever has the channel.
ONE = """\
e=$({ o=$(eval %(line)s 3>&- 4>&-); c=$?; printf '%%s%%s\\n%%s%%s' %(word)s "$o" "$c" %(word)s >&3; } 2>&1 </dev/null)
printf '%%s%%s\\n0%%s' %(word)s "$e" %(word)s >&4
"""


class Unanswered(Exception):
    """The shell ended without an answer."""


@dataclass(frozen=True)
class Answer:
    """What a command in the shell came to; more than 128 is 128 + the signal that ended it."""

    stdout: bytes
    stderr: bytes
    exit_code: int


class Shell:
    """One shell on one channel, for one command at a time. `is_fit` says whether for one more."""

    def __init__(self, channel: Any, mark: Mark) -> None:
        self.channel = channel
        self.mark = mark
        self._is_clean = True  # it has answered all it was asked

    @classmethod
    def start(cls, channel: Any, patience: float) -> Shell | None:
        """Start a shell in a new session, within `patience` seconds; None where there is no such thing.

        A forced command, a restricted or a foreign shell does not say READY, and is given no input.
        """
        mark = Mark()
        deadline = time.monotonic() + patience
        said = b""
        try:
            channel.exec_command(mark.line(RESIDENT, {"SHELL": "sh"}))
            while READY.encode() + b"\n" not in said:
                channel.settimeout(max(deadline - time.monotonic(), 0.01))
                piece = mark.strip(channel.recv_stderr(MOUTHFUL))
                said += piece
                if (not piece and channel.eof_received) or len(said) > LONGEST:
                    channel.close()
                    return None
        except FAULTS:
            with contextlib.suppress(*FAULTS):
                channel.close()
            return None
        return cls(channel, mark)

    @property
    def is_fit(self) -> bool:
        return (
            self._is_clean
            and not (self.channel.closed or self.channel.eof_received)
            and bool(self.channel.transport.is_active())
        )

    def run(self, line: str, environment: Mapping[str, str], watch: Watch) -> Answer | None:
        """Run `line` and give its answer; None if it was stopped. Raises Unanswered, TimeoutError."""
        word = secrets.token_hex(16)
        quoted = shlex.quote(with_environment(line, environment))
        text = (ONE % {"line": quoted, "word": word}).encode()
        out, err = _Framed(word), _Framed(word)
        self._is_clean = False
        channel, news = self.channel, watch.news
        channel.in_buffer.set_event(news)
        channel.in_stderr_buffer.set_event(news)
        try:
            channel.settimeout(watch.left())
            channel.sendall(text)
            channel.settimeout(0.0)
            while not watch.stopped:
                news.reset()
                is_over = channel.eof_received or channel.closed  # asked first: nothing comes after
                if channel.recv_ready():
                    out.add(channel.recv(MOUTHFUL))
                if channel.recv_stderr_ready():
                    err.add(channel.recv_stderr(MOUTHFUL))
                if out.is_whole and err.is_whole:
                    self._is_clean = True
                    return Answer(out.body, err.body, out.code)
                if is_over:
                    raise Unanswered
                watch.pause()
        except TimeoutError:
            raise
        except FAULTS:
            raise Unanswered from None
        return None

    def close(self) -> None:
        """End it; at the end of its input the shell goes."""
        with contextlib.suppress(*FAULTS):
            self.channel.close()


class _Framed:
    """One stream: noise, the word, the output, a newline, a number, the word. Bounded, whatever comes."""

    def __init__(self, word: str) -> None:
        self._word = word.encode()
        self._has_begun = False
        self._head = bytearray()  # of the output
        self._tail = bytearray()  # searched for the word
        self._dropped = 0  # bytes between the two
        self.is_whole = False
        self.code = 0

    def add(self, piece: bytes) -> None:
        self._tail += piece
        if not self._has_begun:
            before, word, after = self._tail.partition(self._word)
            self._has_begun = bool(word)
            self._tail = bytearray(after if word else before[-len(self._word) :])
        if not self._has_begun:
            return
        end = self._tail.find(self._word)
        if end >= 0:
            body, _, code = self._tail[:end].rpartition(b"\n")
            self.code = int(code)
            self._keep(body)
            self.is_whole = True
            return
        ripe = max(len(self._tail) - len(self._word) - 16, 0)  # neither the word nor the number
        self._keep(self._tail[:ripe])
        del self._tail[:ripe]

    def _keep(self, piece: bytearray) -> None:
        room = KEPT - len(self._head)
        self._head += piece[:room]
        self._dropped += max(len(piece) - room, 0)

    @property
    def body(self) -> bytes:
        """The output; with a newline at its end unless it is empty."""
        kept = bytes(self._head) + b"\n" if self._head else b""
        if not self._dropped:
            return kept
        return kept + b"(\xe2\x80\xa6 %.1f MB more not kept)\n" % (self._dropped / 1e6)
