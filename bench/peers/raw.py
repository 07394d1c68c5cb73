"""The floor: a bare asyncio socket that answers `!echo` and `!nap`. It does nothing else a bot must do.

python raw.py PORT NICK CHANNEL
"""

import asyncio
import socket
import sys

_, PORT, NICK, CHANNEL = sys.argv


class Bot(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.socket = transport.get_extra_info("socket")
        self.rest = b""
        self.naps = set()
        self.say(f"NICK {NICK}", f"USER {NICK} 0 * :{NICK}")

    def say(self, *lines):
        self.transport.write("".join(f"{line}\r\n" for line in lines).encode())

    def data_received(self, data):
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        *lines, self.rest = (self.rest + data).split(b"\r\n")
        for line in lines:
            words = line.decode(errors="replace").split(" ", 4)
            if words[0] == "PING":
                self.say(f"PONG {words[1]}")
            elif words[1] == "001":
                self.say(f"JOIN {CHANNEL}")
            elif words[1] == "PRIVMSG" and words[3] == ":!echo":
                self.say(f"PRIVMSG {CHANNEL} :{words[4]}")
            elif words[1] == "PRIVMSG" and words[3] == ":!nap":
                task = asyncio.ensure_future(self.nap(words[4]))
                self.naps.add(task)
                task.add_done_callback(self.naps.discard)

    async def nap(self, words):
        seconds, word = words.split()
        await (await asyncio.create_subprocess_exec("sleep", seconds)).wait()
        self.say(f"PRIVMSG {CHANNEL} :{word}")

    def connection_lost(self, error):
        asyncio.get_running_loop().create_task(connect())


async def connect():
    while True:
        try:
            await asyncio.get_running_loop().create_connection(Bot, "127.0.0.1", int(PORT))
            return
        except OSError:
            await asyncio.sleep(0.1)


async def main():
    await connect()
    await asyncio.Event().wait()


asyncio.run(main())
