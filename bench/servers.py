"""The servers of the measurement, on loopback ports of their own: InspIRCd, a fake one, a link that falls silent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import socket
import subprocess
from pathlib import Path

INSPIRCD = """
<path configdir="{0}" datadir="{0}" logdir="{0}" runtimedir="{0}">
<pid file="{0}/inspircd.pid">
<log method="file" type="*" level="default" target="{0}/inspircd.log">
<server name="irc.bench" description="bench" id="1AA" network="Bench">
<admin name="bench" nick="bench" email="bench@irc.bench">
<bind address="127.0.0.1" port="{1}" type="clients">
<connect name="bench" allow="*" resolvehostnames="no" useident="no" useconnectban="no" useconnflood="no"
         timeout="20" pingfreq="120" localmax="1000" globalmax="1000" threshold="100000" commandrate="100000000"
         fakelag="no" recvq="10485760" hardsendq="104857600" softsendq="10485760">
<performance nouserdns="yes" quietbursts="yes" softlimit="2000" somaxconn="128">
<security maxtargets="20">
<options casemapping="rfc1459" defaultmodes="nt">
<limits maxnick="30" maxchan="64">
<module name="cap"><module name="ircv3"><module name="ircv3_servertime"><module name="ircv3_echomessage">
<module name="ircv3_labeledresponse"><module name="ircv3_batch"><module name="ircv3_ctctags"><module name="ircv3_msgid">
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class InspIRCd:
    """An InspIRCd without flood control. It can be killed and started again on the same port."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._config = directory / "inspircd.conf"
        self._config.write_text(INSPIRCD.format(directory, self.port))
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, and return when it takes connections."""
        program = shutil.which("inspircd", path=os.environ["PATH"] + ":/usr/sbin")
        if program is None:
            raise SystemExit("the bench needs InspIRCd: apt-get install inspircd")
        as_root = ["--runasroot"] if os.geteuid() == 0 else []
        command = [program, "--nofork", *as_root, "--config", str(self._config)]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        self._process = subprocess.Popen(
            command,
            cwd=self._config.parent,
            stderr=subprocess.DEVNULL,
            preexec_fn=_no_core,
            **quiet,
        )
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                await asyncio.sleep(0.01)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _no_core() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Fake:
    """Welcomes whoever comes at once, and notes when a JOIN arrives: a bot's own starting time, no server's."""

    async def __aenter__(self) -> Fake:
        self.joined: asyncio.Queue[float] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        nick, said = "", set()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while line := (await reader.readline()).decode(errors="replace").split():
                line = [word.removeprefix(":") for word in line]
                verb = " ".join(line[:2]) if line[0] == "CAP" else line[0]
                said.add(verb)
                if verb == "NICK":
                    nick = line[1]
                elif verb == "CAP LS":
                    writer.write(b":irc.bench CAP * LS :\r\n")
                elif verb == "PING":
                    writer.write(f":irc.bench PONG irc.bench {line[1]}\r\n".encode())
                elif verb == "JOIN":
                    self.joined.put_nowait(asyncio.get_running_loop().time())
                    writer.write(f":{nick}!b@h JOIN {line[1]}\r\n".encode())
                if verb in ("USER", "CAP END", "NICK") and {"USER", "NICK"} <= said:
                    if ("CAP LS" in said) <= ("CAP END" in said) and "001" not in said:
                        said.add("001")
                        writer.write(WELCOME.format(nick).encode())
        writer.close()


WELCOME = "".join(
    f":irc.bench {line}\r\n"
    for line in (
        "001 {0} :Welcome {0}!b@h",
        "004 {0} irc.bench fake i nt",
        "005 {0} CHANTYPES=# NETWORK=Bench :are supported by this server",
        "251 {0} :There are 2 users",
        "375 {0} :-",
        "376 {0} :End of MOTD",
    )
)


class Relay:
    """Hands bytes on between bots and a server until `freeze`: then it neither reads nor closes what is open."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self.arrived = 0  # connections
        self.arrived_at = 0.0

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._tasks | self._pumps:
            task.cancel()

    def freeze(self) -> None:
        """The link goes silent for those who are on it; whoever comes anew gets through."""
        for pump in self._pumps:
            pump.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.arrived += 1
        self.arrived_at = asyncio.get_running_loop().time()
        there, away = await asyncio.open_connection("127.0.0.1", self._to)
        for source, sink in ((reader, away), (there, writer)):
            self._pumps.add(asyncio.create_task(_pump(source, sink)))
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()  # keeps both sockets open, whatever happens to the pumps
        writer.transport.abort()
        away.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
        sink.close()
