"""`!echo`, `!nap` and `!load` for Sopel, which runs each command in a thread of its own."""

import json
import subprocess
from pathlib import Path

from sopel import plugin


@plugin.command("echo")
def echo(bot, trigger):
    bot.say(trigger.group(2))


@plugin.command("nap")
def nap(bot, trigger):
    seconds, word = trigger.group(2).split()
    subprocess.call(["sleep", seconds])
    bot.say(word)


@plugin.command("load")
def load(bot, trigger):
    """As one writes it first: a connection for each call."""
    import paramiko

    site = json.loads((Path.home() / "site.json").read_text())
    client = paramiko.SSHClient()
    client.load_host_keys(site["known_hosts"])
    client.connect(
        site["hosts"][0],
        site["port"],
        site["user"],
        key_filename=site["key"],
        allow_agent=False,
        look_for_keys=False,
    )
    said = client.exec_command(site["command"])[1].read().decode().strip()
    client.close()
    bot.say(f"{trigger.group(2)}: {said}")
