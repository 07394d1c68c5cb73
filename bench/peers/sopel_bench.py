"""`!echo` and `!nap` for Sopel, which runs each command in a thread of its own."""

import subprocess

from sopel import plugin


@plugin.command("echo")
def echo(bot, trigger):
    bot.say(trigger.group(2))


@plugin.command("nap")
def nap(bot, trigger):
    seconds, word = trigger.group(2).split()
    subprocess.call(["sleep", seconds])
    bot.say(word)
