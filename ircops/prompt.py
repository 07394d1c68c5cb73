"""The other end of the console's socket: lines for the running bot, one from `ircops do`, many from `ircops console`.

Blocking, and in the main thread: Ctrl-C asks the call that runs to stop, and what became of it is still shown.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import click

from ircops.call import Kind
from ircops.errors import OK, OpsError
from ircops.redact import redactor

Show = Callable[[Kind, str], None]
Question = Callable[[str], str | None]  # gives the answer; None: there is nobody who could

HISTORY = Path("ircops/console_history")  # in $XDG_STATE_HOME
REMEMBERED = 1000  # lines
PATIENCE = 1.0  # seconds for the bot to say how a line may go on
LEAVE = ("exit", "quit")


def ask(path: Path, line: str, show: Show, question: Question) -> int | None:
    """Have the bot that listens at `path` take `line`; None if none does, else the call's exit code.

    `show` gets each line of the reply, `question` is asked for an answer. Raises OpsError.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        if not _connected(connection, path):
            return None
        _send(connection, line=line)
        with _interrupts_stop_it(connection):
            for received in _lines(connection):
                message = json.loads(received)
                if "exit" in message:
                    return int(message["exit"])
                kind = Kind[message["kind"]]
                if kind is Kind.QUESTION:
                    _answer(connection, message["text"], question)
                else:
                    show(kind, message["text"])
    raise OpsError("the bot closed the console before the call ended; see its log")


def following(path: Path, begun: str) -> list[str]:
    """The words that may follow `begun` for the bot at `path`; none if it does not say so at once."""
    with socket.socket(socket.AF_UNIX) as connection, suppress(OSError, OpsError, ValueError):
        connection.settimeout(PATIENCE)
        if _connected(connection, path):
            _send(connection, begun=begun)
            for received in _lines(connection):
                return str(json.loads(received).get("next", "")).split()
    return []


def listens(path: Path) -> bool:
    """Whether a bot does, at `path`. Raises OpsError if it may not be reached."""
    with socket.socket(socket.AF_UNIX) as connection:
        return _connected(connection, path)


def _connected(connection: socket.socket, path: Path) -> bool:
    try:
        connection.connect(str(path))
    except PermissionError:
        raise OpsError(f"{path} is for the bot's user and group; be one of them") from None
    except OSError:
        return False
    return True


def _send(connection: socket.socket, **values: str) -> None:
    with suppress(ConnectionError):  # then there is nothing to read either, and that is said
        connection.sendall(json.dumps(values).encode() + b"\n")


def _lines(connection: socket.socket) -> Iterator[bytes]:
    rest = b""
    with suppress(ConnectionError):
        while piece := connection.recv(65536):
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines


def _answer(connection: socket.socket, text: str, question: Question) -> None:
    try:
        with _handled(signal.default_int_handler):
            answer = question(text)
    except KeyboardInterrupt:
        answer = None
    if answer is None:
        _send(connection, stop="")
    else:
        _send(connection, answer=answer)


@contextmanager
def _interrupts_stop_it(connection: socket.socket) -> Iterator[None]:
    """Within the block the first Ctrl-C asks the call to stop; the second does not wait for that."""
    is_asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal is_asked
        if is_asked:
            raise KeyboardInterrupt
        is_asked = True
        _send(connection, stop="")

    with _handled(stop):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Within the block Ctrl-C is for `handler`, where we are in the thread that gets it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Typist:
    """Who types, or the file that is read instead."""

    def __init__(
        self, prefix: str = "!", following: Callable[[str], list[str]] = lambda begun: []
    ) -> None:
        """`prefix` is what people say before a command on IRC; here they need not. Tab asks `following`."""
        self._prefix, self._following = prefix, following
        self._fitting: list[str] = []
        self.is_there = sys.stdin.isatty()
        if self.is_there:
            _remember()
            self._complete_by_tab()

    def _complete_by_tab(self) -> None:
        import readline

        readline.set_completer_delims(" ")
        readline.set_completer(self._completion)
        readline.parse_and_bind("tab: complete")

    def _completion(self, text: str, number: int) -> str | None:
        """What readline asks for: the words that `text` may become, one after the other, then None."""
        import readline

        if number == 0:
            begun = readline.get_line_buffer()[: readline.get_begidx()].strip()
            before = self._prefix if not begun and text.startswith(self._prefix) else ""
            words = self._following(begun.removeprefix(self._prefix))
            self._fitting = [
                f"{before}{word} " for word in words if word.startswith(text.removeprefix(before))
            ]
        return self._fitting[number] if number < len(self._fitting) else None

    def lines(self) -> Iterator[str]:
        """What is to be done, until the end; nothing that is empty or a remark."""
        while (said := self._line("ircops> ")) is not None:
            line = said.strip().removeprefix(self._prefix).strip()
            if not line or line.startswith("#"):
                continue
            if said.strip() in LEAVE:
                return
            if self.is_there:
                _keep(line)
            yield line

    def answer(self, question: str) -> str | None:
        """The next line, to a question that is shown; None at the end."""
        if self.is_there:
            try:
                return input(f"{question} ")
            except EOFError:
                click.echo()
                return None
        click.echo(question, err=True)
        return self._next()

    def _line(self, prompt: str) -> str | None:
        if not self.is_there:
            return self._next()
        while True:
            try:
                return input(prompt)
            except KeyboardInterrupt:  # as in a shell: this line is not meant
                click.echo()
            except EOFError:
                click.echo()
                return None

    def _next(self) -> str | None:
        line = sys.stdin.readline()
        return line.rstrip("\n") if line else None


def console(path: Path, show: Show, typist: Typist) -> int:
    """Take line by line to the bot at `path`; gives the exit code of the first that failed, 0 for who was there to see.

    Raises OpsError if no bot is there at the start.
    """
    if not listens(path):
        raise OpsError(
            f"no bot listens at {path}; start it (ircops run), or do a line without one: ircops do LINE"
        )
    if typist.is_there:
        click.echo(f"the bot at {path} · help · Ctrl-C stops what runs, Ctrl-D leaves", err=True)
    failure = OK
    for line in typist.lines():
        try:
            code = ask(path, line, show, typist.answer)
            if code is None:
                raise OpsError(f"no bot listens at {path} any more; it may come back")
        except OpsError as error:
            show(Kind.ERROR, error.message)
            code = error.exit_code
        except KeyboardInterrupt:
            show(Kind.ERROR, "left it while it was being stopped; see jobs")
            code = 1
        failure = failure or code
    return OK if typist.is_there else failure


def _history() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / HISTORY


def _remember() -> None:
    """Have the lines of earlier times at hand; for their owner only."""
    import readline

    path = _history()
    readline.set_auto_history(False)  # answers are none
    readline.set_history_length(REMEMBERED)
    with suppress(OSError):  # a home that cannot be written: then there is no history
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        readline.read_history_file(path)


def _keep(line: str) -> None:
    """Remember a line, unless there is a secret in it."""
    import readline

    if redactor()(line) == line:
        readline.add_history(line)
        with suppress(OSError):
            readline.write_history_file(_history())
