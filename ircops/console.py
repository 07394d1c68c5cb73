"""The local door: lines from a unix socket, each caller known by the kernel's word (SO_PEERCRED).

The client (`prompt.py`) sends one JSON object a line, `{"line": "load @web"}`, and gets
`{"kind": "ANSWER", "text": …}` for each line of the reply and `{"exit": 0}` at the end; `{"answer": "yes"}`
answers a question, `{"stop": ""}` asks the call to stop. Closing the socket does so, too. `{"begun": "service "}` is
answered by `{"next": "logs restart …"}`: the words that may follow, of commands that the caller may run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import pwd
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

from ircops.call import Call, Kind, Reply, Sender
from ircops.errors import OpsError

log = logging.getLogger(__name__)

LINE_LIMIT = 64 * 1024  # bytes of one request
SURROGATE = re.compile("[\ud800-\udfff]")


class Console:
    """Listens on `path`; the bot's own user and group can connect, what they may do is for [roles] to say."""

    def __init__(
        self,
        path: Path,
        handle: Callable[[Call], Awaitable[int]],
        following: Callable[[Call], list[str]] = lambda call: [],
    ) -> None:
        """`following` gives the words that may come after the line of a call; it is not run."""
        self._path = path
        self._handle, self._following = handle, following
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; raises OpsError if another bot answers there already."""
        if _answers(self._path):
            raise OpsError(
                f"another ircops answers at {self._path}; stop it first, or set [bot] state"
            )
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, self._path, limit=LINE_LIMIT)
        self._path.chmod(0o660)

    async def stop(self) -> None:
        """Close the door; calls under way are stopped."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        self._path.unlink(missing_ok=True)
        self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError, ValueError) as error:
            log.info("console: %s", error or type(error).__name__)
        finally:
            self._serving.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One caller, one call."""
        request = _message(await reader.readline())
        if not request.keys() & {"line", "begun"}:
            return
        name = _peer(writer.get_extra_info("socket"))
        sender = Sender(door="console", name=name, account=name, evidence="SO_PEERCRED")
        reply = Reply(_Lines(writer))
        if "begun" in request:
            words = self._following(Call(sender, request["begun"], reply))
            _write(writer, next=" ".join(words))
            await writer.drain()
            return
        call = Call(sender, request["line"], reply)
        answers = asyncio.create_task(_read_answers(reader, call))
        try:
            code = await self._handle(call)
        finally:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
        _write(writer, exit=code)
        await writer.drain()


class _Lines:
    """An Outlet that writes JSON lines to a console client."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def write(self, kind: Kind, text: str) -> None:
        _write(self._writer, kind=kind.name, text=text)

    def finish(self) -> None:
        pass

    def more(self) -> list[str]:
        return []  # a terminal gets every line at once


def _write(writer: asyncio.StreamWriter, **values: object) -> None:
    if not writer.is_closing():
        writer.write(json.dumps(values, ensure_ascii=False).encode(errors="replace") + b"\n")


async def _read_answers(reader: asyncio.StreamReader, call: Call) -> None:
    """Give answers to the call's questions; a word, or the end of the stream, stops it."""
    while line := await reader.readline():
        message = _message(line)
        if "stop" in message:
            call.stop.ask("stopped at its console")
        else:
            call.reply.answer(message.get("answer", ""))
    call.stop.ask("its console was closed")


def _message(line: bytes) -> dict[str, str]:
    """A client's JSON object of strings; ValueError for anything else, {} at the end of the stream."""
    message = json.loads(line or b"{}")
    if not isinstance(message, dict) or not all(isinstance(text, str) for text in message.values()):
        raise ValueError("a client sent something that is no request")
    if any("\0" in text or SURROGATE.search(text) for text in message.values()):
        raise ValueError("a client sent what no program can be given")
    return message


def _peer(connection: socket.socket) -> str:
    """The unix user at the other end (unix(7), SO_PEERCRED)."""
    credentials = connection.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
    )
    return user_name(struct.unpack("3i", credentials)[1])


def user_name(uid: int) -> str:
    """The login name of `uid`, or `#1000` if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def own_user() -> str:
    """The login name this process runs as."""
    return user_name(os.geteuid())


def _answers(path: Path) -> bool:
    """Somebody listens there."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
