"""What the bot says, against real servers with the flood control they come with: all of it arrives, what matters first.

python -m tests.real.test_irc_delivery ngircd 200 425     # measures: lines, bytes of each
"""

import asyncio
import contextlib
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ircops.config import Bot, Channel, Join, Network, Settings
from ircops.irc import Network as IrcNetwork
from tests.real.ircds import run_inspircd, run_ngircd
from tests.scripted_ircd import eventually, running

pytest_plugins = ["tests.real.ircds"]

OVERTAKEN = 14  # lines at most that were under way already, or are no bulk yet


@contextlib.asynccontextmanager
async def bot(ircd, **network):
    """A bot in #ops where `!bulk 40 65` answers forty lines of 65 bytes, and anything else its own words."""

    async def handle(call):
        word, *numbers = call.line.split()
        if word == "bulk":
            lines, size = map(int, numbers)
            call.reply.say("\n".join(f"{number:03} ".ljust(size, "x") for number in range(lines)))
        else:
            call.reply.say(call.line)
        call.reply.finish()

    joined = Network(
        server=(ircd.address,), tls=False, channels=(Join("#ops"),), reconnect_min=0.1, **network
    )
    channels = {"#ops": Channel(lines=1000)}
    settings = Settings(bot=Bot(), networks={"test": joined}, channels=channels)
    network = IrcNetwork("test", settings, handle)
    async with running(network):
        await eventually(lambda: network.is_joined("#ops"))
        yield network


async def ask_for_bulk(alice, bob, lines, size):
    """alice asks for much, bob then for little; gives the seconds it all took, and what alice heard of it."""
    began = time.monotonic()
    await alice.say(f"PRIVMSG #ops :!bulk {lines} {size}")
    await alice.until("PRIVMSG #ops", "000 ")
    await bob.say("PRIVMSG #ops :!short")
    heard = ["000 "]
    while len(heard) < lines + 1:
        line = await alice.until("opsbot", "PRIVMSG #ops :")
        heard.append(line.partition("PRIVMSG #ops :")[2])
    return time.monotonic() - began, heard


def check(heard, lines, size, overtaken):
    place = heard.index("bob: short")
    assert place <= overtaken
    del heard[place]
    assert [line[:4] for line in heard] == [f"{number:03} " for number in range(lines)]
    assert {len(line) for line in heard[1:]} == {size}


async def scene(ircd, lines, size, overtaken=OVERTAKEN, rest=0):
    async with ircd.person("alice") as alice, ircd.person("bob") as bob:
        await alice.join("#ops")
        await bob.join("#ops")
        async with bot(ircd) as network:
            await asyncio.sleep(rest)
            seconds, heard = await ask_for_bulk(alice, bob, lines, size)
            assert network.status.startswith("connected")
    check(heard, lines, size, overtaken)
    return seconds


@pytest.mark.slow
def test_an_answer_of_many_lines_passes_the_penalties_of_ngircd(tmp_path):
    with run_ngircd(tmp_path, penalty=-1) as ircd:
        assert asyncio.run(scene(ircd, 40, 400)) < 20


@pytest.mark.slow
def test_an_answer_of_many_lines_passes_the_fakelag_of_inspircd(tmp_path):
    with run_inspircd(tmp_path, threshold=10, commandrate=1000, recvq=8192) as ircd:
        assert asyncio.run(scene(ircd, 18, 400)) < 24


@pytest.mark.parametrize("name", ["ngircd", "inspircd"])
def test_a_server_without_penalties_gets_two_hundred_lines_at_once(request, name):
    ircd = request.getfixturevalue(name)
    assert asyncio.run(scene(ircd, 200, 65, overtaken=200)) < 3  # on a busy machine


def measure(name, lines, size):
    """Say how long it takes a bot that was quiet for ten seconds: registering is charged for as well."""
    servers = {
        "ngircd": lambda path: run_ngircd(path, penalty=-1),
        "inspircd": lambda path: run_inspircd(path, threshold=10, commandrate=1000, recvq=8192),
        "ngircd-free": run_ngircd,
        "inspircd-free": run_inspircd,
    }
    with tempfile.TemporaryDirectory() as directory, servers[name](Path(directory)) as ircd:
        seconds = asyncio.run(scene(ircd, lines, size, overtaken=lines, rest=10))
        print(f"{name}: {lines} lines of {size} bytes in {seconds:.2f} s")


if __name__ == "__main__":
    measure(sys.argv[1], *map(int, sys.argv[2:]))
