"""The transcript, and a channel that mutes the bot, with real servers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from ircops.config import Bot, Join, Network, Settings
from ircops.irc import Network as IrcNetwork
from tests.scripted_ircd import echo, eventually, running

pytest_plugins = ["tests.real.ircds"]


@pytest.fixture(params=["inspircd", "ngircd"])
def ircd(request):
    return request.getfixturevalue(request.param)


def test_what_is_said_is_written_down_and_a_line_that_a_muted_channel_refuses_is_told(ircd):
    kept, trouble = [], []
    test = Network(server=(ircd.address,), tls=False, channels=(Join("#ops"),))
    settings = Settings(bot=Bot(), networks={"test": test})

    async def scene():
        told = {"write": kept.append, "trouble": lambda *event: trouble.append(event)}
        network = IrcNetwork("test", settings, echo, **told)
        async with ircd.person("alice") as alice:
            await alice.join("#ops")
            async with running(network):
                await eventually(lambda: network.is_joined("#ops"))
                await alice.say("PRIVMSG #ops :!hello")
                await alice.hears("alice: hello")
                await alice.say("MODE #ops +m", "TOPIC #ops :quiet", "PRIVMSG #ops :!more")
                await eventually(lambda: trouble)
            assert network.shared_with("alice!x@y") == []

    asyncio.run(scene())
    story = [(said.nick, said.kind, said.text) for said in kept]
    expected = [
        ("opsbot", "join", ""),
        ("alice", "message", "!hello"),
        ("opsbot", "message", "alice: hello"),
        ("alice", "mode", "+m"),
        ("alice", "topic", "quiet"),
        ("alice", "message", "!more"),
    ]
    assert [line for line in story if line in expected] == expected
    assert all(abs(said.at - datetime.now(UTC)) < timedelta(minutes=1) for said in kept)
    ((channel, sentence),) = trouble
    assert channel == "#ops" and sentence.startswith("#ops did not let a line of ours in: ")
