"""The measuring client: says lines, and notes when which answer of the bot came."""

from __future__ import annotations

import asyncio
import socket


class Client(asyncio.Protocol):
    """Somebody in a channel who listens to one bot. Acknowledges at once, so no delayed ACK of ours is measured."""

    def __init__(self, nick: str, channel: str, bot: str) -> None:
        self._nick, self.channel, self._bot = nick, channel, f":{bot}".encode()
        self._marker = f" PRIVMSG {channel} :".encode()
        loop = self._loop = asyncio.get_running_loop()
        self.is_in: asyncio.Future[float] = loop.create_future()
        self.is_gone: asyncio.Future[None] = loop.create_future()
        self._waiting: dict[bytes, asyncio.Future[float]] = {}
        self.answers: list[bytes] = []  # the last word of each, in the order they came
        self.bot_in: asyncio.Future[float] = (
            loop.create_future()
        )  # in the channel, as far as we saw
        self._rest = b""

    @classmethod
    async def connect(cls, port: int, nick: str, channel: str, bot: str) -> Client:
        """Come in and join `channel`; `bot` is how the nick of the bot begins."""
        loop = asyncio.get_running_loop()
        _, self = await loop.create_connection(lambda: cls(nick, channel, bot), "127.0.0.1", port)
        async with asyncio.timeout(20):
            await self.is_in
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._socket = transport.get_extra_info("socket")
        self.say(f"NICK {self._nick}", f"USER {self._nick} 0 * :{self._nick}")

    def connection_lost(self, error: Exception | None) -> None:
        self.is_gone.set_result(None)

    def close(self) -> None:
        self.transport.abort()

    def say(self, *lines: str) -> None:
        self.transport.write("".join(f"{line}\r\n" for line in lines).encode())

    def ask(self, command: str, word: str, last: str = "") -> asyncio.Future[float]:
        """Say `command word` in the channel; gives the seconds until the bot says what ends in `word`, or `last`."""
        answer: asyncio.Future[float] = self._loop.create_future()
        self._waiting[(last or word).encode()] = answer
        began = self._loop.time()
        self.say(f"PRIVMSG {self.channel} :{command} {word}")
        seconds: asyncio.Future[float] = self._loop.create_future()
        answer.add_done_callback(
            lambda done: seconds.done() or seconds.set_result(done.result() - began)
        )
        return seconds

    def data_received(self, data: bytes) -> None:
        now = self._loop.time()
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        for line in lines:
            if line.startswith(self._bot):
                self._heard_bot(line, now)
            elif line.startswith(b"PING"):
                self.transport.write(b"PONG" + line[4:] + b"\r\n")
            elif b" 001 " in line[:40]:
                self.say(f"JOIN {self.channel}")
            elif b" 353 " in line[:40]:
                names = line.rpartition(b":")[2].split()
                if any(name.lstrip(b"@").startswith(self._bot[1:]) for name in names):
                    self._see(now)
            elif b" 366 " in line[:40] and not self.is_in.done():
                self.is_in.set_result(now)

    def _heard_bot(self, line: bytes, now: float) -> None:
        before, marker, text = line.partition(self._marker)
        if marker:
            word = text.rpartition(b" ")[2]
            self.answers.append(word)
            if (answer := self._waiting.pop(word, None)) is not None:
                answer.set_result(now)
        elif b" JOIN " in before:
            self._see(now)

    def _see(self, now: float) -> None:
        if not self.bot_in.done():
            self.bot_in.set_result(now)
