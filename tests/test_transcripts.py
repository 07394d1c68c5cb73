"""The logs in transcripts/ are run: what people say is said to a bot on IRC, and it must say what stands there.

    <alice> !load @web        alice, logged in as alice, says this in #ops
    <alice?> !load @web       somebody with the nick alice who is not logged in
    [alice] whoami            in private
    <ops> alice: web[1-2]: …  the bot must say this; `…` stands for anything
    -ops- …                   the same as a NOTICE
    # a remark

HASH in what people say is the hash of the plan that the bot showed last.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path

import pytest

from ircops import ini
from ircops.bot import Bot
from ircops.demo.ssh_hosts import DemoHost, new_key
from ircops.irc.protocol import parse
from ircops.irc.render import JOINER
from tests.scripted_ircd import Connection, ScriptedIrcd

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
CAPS = "account-tag extended-join account-notify message-tags"
SETTINGS = """
[bot]
nick = ops
state = {directory}/state

[network test]
server = {server}
tls = no
channels = #ops

[roles]
viewer = *
operator = alice bob
admin = carol

[ssh]
user = ops
key = {directory}/key
config = {directory}/no_ssh_config
known_hosts = {directory}/known_hosts
agent = no

[hosts]
{hosts}

[groups]
web = web[1-2]

[health]
load = 1000
memory = 100
swap = 100
disk = 100
inodes = 100
uptime = 0
clock = 1h

[command restart]
help = Restart SERVICE on HOSTS.
run = echo restarted {{service}}
role = operator
approvals = 1

[command wipe]
help = Wipe the cache of HOSTS.
run = echo wiped
role = operator
confirm = yes

[command deploy]
help = Deploy, which takes SECONDS.
run = echo deploying; sleep {{seconds}}
on = here
role = operator
lock = deploy

[command count]
help = Count to NUMBER.
run = seq {{number}}
on = here
role = viewer

[command wait]
help = Wait for SECONDS.
run = sleep {{seconds}}
on = web1
role = operator

[command release]
help = Release SERVICE to ENV.
run = echo released {{service}} to {{env}}
on = here
role = operator

[access release-prod]
command = release
when = env=prod
role = admin
in = #ops

[command cut]
help = Cut the power of HOSTS.
run = echo cut
role = operator
totp = yes

[schedule morning]
at = 0 9 1 1 *
run = health @all
in = #ops
"""


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path, tmp_path: Path) -> None:
    asyncio.run(played(path.read_text().splitlines(), tmp_path))


async def played(lines: list[str], directory: Path) -> None:
    key = new_key(directory / "key")
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(DemoHost(name, key)) for name in ("web1", "web2", "db1")]
        (directory / "known_hosts").write_text("".join(f"{h.known_hosts_line}\n" for h in hosts))
        async with ScriptedIrcd() as ircd:
            named = "\n".join(f"{host.name} = 127.0.0.1:{host.port}" for host in hosts)
            config = directory / "ircops.ini"
            config.write_text(
                SETTINGS.format(directory=directory, server=ircd.address, hosts=named)
            )
            bot = Bot(ini.load(config))
            await bot.start()
            serving = asyncio.create_task(bot.serve())
            try:
                server = await ircd.accept()
                await server.welcome("ops", CAPS)
                await play(server, lines)
                await nothing_more(server)
            finally:
                bot.end()
                await serving
                await bot.stop()


async def play(server: Connection, lines: list[str]) -> None:
    """Say what people say; wait for what the bot says."""
    hash = ""
    expected: list[tuple[int, str]] = []
    for number, line in enumerate([*lines, ""], 1):
        if line.startswith(("<ops> ", "-ops- ")):
            expected.append((number, line))
            continue
        for heard in await hear(server, expected):
            if shown := re.search(r"!(?:approve|confirm) (\w+)", heard):
                hash = shown[1]
        expected = []
        if SAID.fullmatch(line):
            say(server, line.replace("HASH", hash))
        else:
            assert line.startswith("#") or not line.strip(), (
                f"line {number} is neither said nor a remark"
            )


SAID = re.compile(r"(<(?P<nick>\w+)(?P<anonymous>\??)>|\[(?P<private>\w+)\]) (?P<text>.*)")


def say(server: Connection, line: str) -> None:
    said = SAID.fullmatch(line)
    assert said is not None
    nick = said["nick"] or said["private"]
    tag = "" if said["anonymous"] else f"@account={nick} "
    account = "*" if said["anonymous"] else nick
    server.send(f":{nick}!{nick}@host JOIN #ops {account} :{nick}")
    where = "#ops" if said["nick"] else "ops"
    server.send(f"{tag}:{nick}!{nick}@host PRIVMSG {where} :{said['text']}")


async def hear(server: Connection, expected: list[tuple[int, str]]) -> list[str]:
    """Hear as many lines as are expected; two answers that come at one time may be mixed."""
    heard = []
    while expected:
        raw = await server.line()
        assert raw is not None, f"line {expected[0][0]}: the bot hung up"
        line = parse(raw)
        assert line is not None
        text = re.sub(rf"\x03\d\d|[\x02\x0f\x1d\x1f{JOINER}]", "", line.param(1))
        text = f"{'<ops>' if line.command == 'PRIVMSG' else '-ops-'} {text}"
        match = next((one for one in expected if like(one[1], text)), None)
        assert match, f"line {expected[0][0]}: expected {expected[0][1]!r}, heard {text!r}"
        expected.remove(match)
        heard.append(text)
    return heard


def like(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace("…", ".*"), text) is not None


async def nothing_more(server: Connection) -> None:
    """The bot has answered all before it answers this."""
    server.send("PING :end")
    _, before = await server.until("PONG end")
    assert not before, f"said more: {before}"
