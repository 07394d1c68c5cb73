"""An IRC server that does what a test tells it to, line by line, and can fail in every way a server can.

    async with ScriptedIrcd() as ircd, running(ircd.network()) as network:
        bot = await ircd.accept()
        await bot.welcome()
        bot.send(":alice!a@b PRIVMSG #ops :!load")
        await bot.expect("PRIVMSG #ops :alice: ...")

Every wait has a deadline. PING is answered, and QUIT, unless `bot.is_silent`; nothing else is.
"""

import asyncio
import contextlib
import random
import re
import socket
import struct

from ircops.config import Address, Bot, Join, Network, Settings
from ircops.irc import Network as IrcNetwork

DEADLINE = 5.0  # seconds


class Connection:
    """One client of the server, mostly the bot."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self._lines = asyncio.Queue()
        self.is_silent = False
        self.raw = b""  # all that came
        self._pump = asyncio.create_task(self._read())

    async def _read(self):
        with contextlib.suppress(ConnectionError):
            while data := await self._reader.readline():
                self.raw += data
                line = data.decode().removesuffix("\r\n")
                if line.startswith("PING ") and not self.is_silent:
                    self.send(f":irc.test PONG irc.test {line[5:]}")
                else:
                    self._lines.put_nowait(line)
                if line.startswith("QUIT") and not self.is_silent:
                    self.send("ERROR :Closing link")
                    self.close()
        self._lines.put_nowait(None)

    def send(self, *lines):
        """Send lines, as text or as bytes, each with CRLF."""
        for line in lines:
            self.send_bytes((line.encode() if isinstance(line, str) else line) + b"\r\n")

    def send_bytes(self, data):
        """Send exactly these bytes."""
        self._writer.write(data)

    async def line(self):
        """The next line; None when the connection has ended."""
        async with asyncio.timeout(DEADLINE):
            return await self._lines.get()

    async def expect(self, *patterns):
        """The next lines, which must be like these (whole, `...` stands for anything); gives the last."""
        for pattern in patterns:
            line = await self.line()
            assert line is not None, f"the connection ended before {pattern!r}"
            assert re.fullmatch(re.escape(pattern).replace(r"\.\.\.", ".*"), line), (pattern, line)
        return line

    async def until(self, beginning):
        """Read on to the line that begins so; gives it and what came before it."""
        before = []
        while (line := await self.line()) is not None:
            if line.startswith(beginning):
                return line, before
            before.append(line)
        raise AssertionError(f"the connection ended before {beginning!r}, after {before}")

    async def ended(self):
        """Wait for the client to hang up; gives what it said before."""
        before = []
        while (line := await self.line()) is not None:
            before.append(line)
        return before

    async def welcome(self, nick="opsbot", caps="", joins=("#ops",), isupport="CHANTYPES=#"):
        """Answer a registration without SASL and let the bot into `joins`, with alice and nobody else in."""
        await self.expect("CAP LS 302")
        await self.until("USER ")
        self.send(f":irc.test CAP * LS :{caps}")
        if caps:
            request = await self.expect("CAP REQ ...")
            self.send(f":irc.test CAP * ACK {request.removeprefix('CAP REQ ')}")
        await self.expect("CAP END")
        self.send(
            f":irc.test 001 {nick} :Welcome {nick}!ircops@bot.host",
            f":irc.test 005 {nick} {isupport} :are supported by this server",
            f":irc.test 376 {nick} :End of MOTD",
        )
        for join in joins:
            await self.until(f"JOIN {join}")
            channel = join.split()[0]
            self.let_in(channel, nick)
            await self.until(f"MODE {channel}")

    def let_in(self, channel, nick="opsbot"):
        self.send(
            f":{nick}!ircops@bot.host JOIN {channel}",
            f":irc.test 353 {nick} = {channel} :{nick} @alice!al@home",
            f":irc.test 366 {nick} {channel} :End of NAMES",
        )

    def close(self):
        """End the connection in order (FIN)."""
        self._writer.close()

    def reset(self):
        """End it with RST: what was under way is lost."""
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
        self._writer.transport.abort()

    def freeze(self):
        """Neither read nor answer from here on, with the connection open."""
        self.is_silent = True
        self._writer.transport.pause_reading()

    async def _stop(self):
        self._pump.cancel()
        self._writer.transport.abort()
        await asyncio.wait([self._pump])


class ScriptedIrcd:
    """Listens on a free port of 127.0.0.1; `context` is an SSLContext for TLS."""

    def __init__(self, context=None):
        self._context = context
        self._arrived = asyncio.Queue()
        self._connections = []

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *error):
        await self.stop()
        for connection in self._connections:
            await connection._stop()

    async def start(self, port=0):
        """Listen, after a `stop` on the same port again."""
        self._server = await asyncio.start_server(
            self._accepted, "127.0.0.1", port, ssl=self._context, limit=1 << 20
        )
        self.address = Address("127.0.0.1", self._server.sockets[0].getsockname()[1])

    async def stop(self):
        """Take no more connections; those that are stay."""
        self._server.close()

    async def _accepted(self, reader, writer):
        connection = Connection(reader, writer)
        self._connections.append(connection)
        self._arrived.put_nowait(connection)

    async def accept(self):
        """The next connection."""
        async with asyncio.timeout(DEADLINE):
            return await self._arrived.get()

    @property
    def has_arrivals(self):
        """Somebody connected whom no `accept` has taken yet."""
        return not self._arrived.empty()

    def settings(self, channels=("#ops",), bot=None, **network):
        """Settings of a bot on this server, quick to come back."""
        network.setdefault("server", (self.address,))
        network.setdefault("tls", False)
        network.setdefault("reconnect_min", 0.01)
        network["channels"] = tuple(
            join if isinstance(join, Join) else Join(join) for join in channels
        )
        return Settings(bot=bot or Bot(), networks={"test": Network(**network)})

    def network(
        self, handle=None, write=lambda said: None, trouble=lambda *event: None, **settings
    ):
        """A network on this server; `handle` is given the calls, or they are echoed."""
        told = {"jitter": random.random, "write": write, "trouble": trouble}
        return IrcNetwork("test", self.settings(**settings), handle or echo, **told)


async def echo(call):
    """Answer a call with its own words."""
    call.reply.say(call.line)
    call.reply.finish()


@contextlib.asynccontextmanager
async def running(network):
    """Run a network, and stop it at the end."""
    task = asyncio.create_task(network.run())
    try:
        yield network
    finally:
        await network.stop("bye")
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # who expects one has asked for it


async def eventually(claim):
    """Wait until `claim()` is true."""
    async with asyncio.timeout(DEADLINE):
        while not claim():
            await asyncio.sleep(0.005)
