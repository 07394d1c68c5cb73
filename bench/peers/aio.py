"""What the irc library's own asyncio client does with `!echo` and `!nap`, written as its examples are.

python aio.py PORT NICK CHANNEL
"""

import subprocess
import sys

import irc.client_aio

_, PORT, NICK, CHANNEL = sys.argv


class Bot(irc.client_aio.AioSimpleIRCClient):
    def on_welcome(self, connection, event):
        connection.join(CHANNEL)

    def on_pubmsg(self, connection, event):
        word, _, rest = event.arguments[0].partition(" ")
        if word == "!echo":
            connection.privmsg(CHANNEL, rest)
        elif word == "!nap":
            loop = self.reactor.loop
            done = loop.run_in_executor(None, subprocess.call, ["sleep", rest.split()[0]])
            done.add_done_callback(lambda _: connection.privmsg(CHANNEL, rest.split()[1]))

    def on_disconnect(self, connection, event):
        sys.exit(0)


bot = Bot()
bot.connect("127.0.0.1", int(PORT), NICK)
bot.start()
