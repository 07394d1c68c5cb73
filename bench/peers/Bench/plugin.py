"""`!echo` and `!nap` for Limnoria; the slow one in a thread, as its documentation says."""

import subprocess

from supybot import callbacks
from supybot.commands import thread, wrap


class Bench(callbacks.Plugin):
    def echo(self, irc, msg, args, text):
        """<text>

        Says <text>.
        """
        irc.reply(text, prefixNick=False)

    echo = wrap(echo, ["text"])

    def nap(self, irc, msg, args, seconds, word):
        """<seconds> <word>

        Sleeps, then says <word>.
        """
        subprocess.call(["sleep", str(seconds)])
        irc.reply(word, prefixNick=False)

    nap = thread(wrap(nap, ["int", "somethingWithoutSpaces"]))


Class = Bench
