"""What a command body takes for its terminal: stdout is the reply, stdin is the channel.

`sys.stdout` and `sys.stdin` are replaced once, while the bot runs, by streams that look up whose thread is
writing; threads that work for nobody get the real ones. So click.echo, print, click.style, click.confirm,
click.prompt and click.progressbar work unchanged.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO, TextIO

from ircops.call import Call
from ircops.errors import OpsError
from ircops.redact import ByLine

HEAD_LIMIT = 16 * 1024  # bytes of output kept in memory
SPOOL_LIMIT = 64 * 1024 * 1024  # bytes of output kept per job
LINE_LIMIT = 64 * 1024  # characters a line may have before it is taken as it is
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-LN-Za-ln-z]")  # CSI sequences other than SGR (colours, `m`)


class Terminal:
    """One call's terminal. Its worker thread writes; nobody else."""

    def __init__(
        self,
        call: Call,
        spool: Callable[[], Path] | None = None,
        head: bytearray | None = None,
        clean: Callable[[str], str] = str,
    ) -> None:
        """The file that `spool` names gets the output, all of it, once it is too much for `head`.

        `clean` takes what must not be said out of each line.
        """
        self._clean = ByLine(clean)
        self._call = call
        self._spool_path = spool
        self._head = head
        self._spool: BinaryIO | None = None
        self._spooled = 0
        self._open_line = ""
        self._digest = hashlib.sha256()
        self.lines = 0

    @property
    def digest(self) -> str:
        """SHA-256 of all output so far, hex."""
        return self._digest.hexdigest()

    def write(self, text: str) -> None:
        """Take output: whole lines are answers, a line that ends in CR is progress. Raises Stopped."""
        self._call.stop.check()
        *lines, self._open_line = (self._open_line + text).split("\n")
        for line in lines:
            self._line(line)
        if "\r" in self._open_line:
            self._show_progress()
        if len(self._open_line) > LINE_LIMIT:
            self.flush_line()

    def read(self) -> str:
        """Ask the caller what stands on the open line, and give the answer as a typed line."""
        question, self._open_line = self._open_line.strip(), ""
        question = self._clean(CONTROL.sub("", question))
        return self._call.reply.ask(question, self._call.stop) + "\n"

    def flush_line(self) -> None:
        """Take the open line as it is."""
        line, self._open_line = self._open_line, ""
        if line.strip():
            self._line(line)

    def close(self) -> None:
        """The body is done."""
        if not self._call.stop.is_asked:
            self.flush_line()
        if self._spool:
            self._spool.close()

    def _line(self, line: str) -> None:
        line = self._clean(CONTROL.sub("", line.rstrip("\r").rsplit("\r", 1)[-1]))
        self._keep(line)
        self.lines += 1
        self._call.reply.say(line)

    def _show_progress(self) -> None:
        self._open_line = self._open_line.rsplit("\r", 1)[-1]
        if text := CONTROL.sub("", self._open_line).strip():
            self._call.reply.progress(self._clean(text))

    def _keep(self, line: str) -> None:
        data = line.encode(errors="replace") + b"\n"
        self._digest.update(data)
        if self._spool_path is None or self._spooled > SPOOL_LIMIT:
            return
        if self._head is not None and self._spool is None:
            self._head += data
            if len(self._head) <= HEAD_LIMIT:  # making a file costs more than a quick command
                return
            data = bytes(self._head)
        if self._spool is None:
            # unbuffered, for !tail reads while we write; for the owner only
            self._spool = open(self._spool_path(), "wb", buffering=0, opener=_private)  # noqa: SIM115
        self._spooled += len(data)
        self._spool.write(data)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


_terminal: ContextVar[Terminal | None] = ContextVar("terminal", default=None)


class attached:
    """Within the block, this thread's stdout and stdin are `terminal`. A generator would cost three times as much."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def __enter__(self) -> None:
        self._token = _terminal.set(self._terminal)

    def __exit__(self, *error: object) -> None:
        self._terminal.close()
        _terminal.reset(self._token)


class _Stdout(io.TextIOBase):
    """Each thread's stdout."""

    def __init__(self, real: TextIO) -> None:
        self._real = real

    encoding = "utf-8"
    errors = "replace"

    def write(self, text: str) -> int:
        terminal = _terminal.get()
        if terminal is None:
            return self._real.write(text)
        terminal.write(text)
        return len(text)

    def flush(self) -> None:
        if _terminal.get() is None:
            self._real.flush()

    def isatty(self) -> bool:
        """A call's stdout is a terminal (colours, progress bars); else whatever the real one is."""
        return True if _terminal.get() else self._real.isatty()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if _terminal.get() is None:
            return self._real.fileno()
        raise io.UnsupportedOperation("a channel has no file descriptor")


class _Stdin(io.TextIOBase):
    """Each thread's stdin; not a terminal, so that nobody starts a pager or an editor."""

    def __init__(self, real: TextIO) -> None:
        self._real = real

    encoding = "utf-8"

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        terminal = _terminal.get()
        return terminal.read() if terminal else self._real.readline(size)

    def readable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False if _terminal.get() else self._real.isatty()

    def fileno(self) -> int:
        if _terminal.get() is None:
            return self._real.fileno()
        raise io.UnsupportedOperation("a channel has no file descriptor")


def _no_secrets(prompt: str) -> str:
    raise OpsError("this command asks for a hidden value, which must not be typed on IRC")


@contextmanager
def installed() -> Iterator[None]:
    """Within the block, stdout and stdin belong to whoever's thread uses them."""
    import click.termui

    real = sys.stdout, sys.stdin, click.termui.hidden_prompt_func
    sys.stdout, sys.stdin = _Stdout(real[0]), _Stdin(real[1])
    click.termui.hidden_prompt_func = _no_secrets
    try:
        yield
    finally:
        sys.stdout, sys.stdin, click.termui.hidden_prompt_func = real
