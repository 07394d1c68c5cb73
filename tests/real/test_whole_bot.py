"""`ircops run` itself, with a real IRC server, a real sshd, and people at real clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ircops.config import Address
from tests.people import until_true
from tests.real.ircds import Ircd, need
from tests.real.sshd import HOSTS, Sshd

IRCOPS = Path(sys.executable).parent / "ircops"
SETTINGS = """
[bot]
state = {directory}/state

[network real]
server = {server}
{network}
channels = {channel}

[roles]
viewer = *
operator = alice mask:ann!*@*

[ssh]
user = {sshd.user}
key = {sshd.key}
config = {sshd.directory}/no_ssh_config
known_hosts = {sshd.known_hosts}
agent = no

[hosts]
{hosts}

[groups]
web = web[1-3]

[command run]
role = operator

[command wait]
run = sleep {{seconds}}
on = HOSTS
role = operator
"""
GARBAGE = [
    b":",
    b"PRIVMSG",
    b":x PRIVMSG #c",
    b"@a=b",
    b"@=;; :\xff\xfe 005 PREFIX=ov@+",
    b"PING",
    b"NICK",
    b":a!b@c QUIT",
    b"433",
    b":irc 353 x",
    b"\x00\x01\x02",
    b"MODE",
    b":irc.test 005 opsbot CHANMODES PREFIX=(((",
    b" ",
    b"JOIN",
    b"KICK #ops",
    b":\xe4\xf6!u@h PRIVMSG \xfc :\xdf",
    b"CAP * ACK",
    b"AUTHENTICATE",
    b"BATCH +",
]


@contextlib.contextmanager
def running(
    directory: Path,
    server: Address,
    sshd: Sshd,
    channel: str,
    network: str = "tls = no",
    code: int = 0,
) -> Iterator[subprocess.Popen[str]]:
    """The bot as a process of its own, until the end of the block; it must end well."""
    hosts = "\n".join(f"{name} = {HOSTS[name]}:{sshd.port}" for name in ("web1", "web2", "web3"))
    config = directory / "ircops.ini"
    config.write_text(
        SETTINGS.format(
            directory=directory,
            server=server,
            sshd=sshd,
            channel=channel,
            network=network,
            hosts=hosts,
        )
    )
    with (directory / "log").open("w") as log:
        bot = subprocess.Popen([IRCOPS, "run", "--config", config], stderr=log, text=True)
        try:
            yield bot
            bot.terminate()
            assert bot.wait(30) == code, (directory / "log").read_text()
        finally:
            bot.kill()
            bot.wait()
    assert "Traceback" not in (directory / "log").read_text()


class Proxy:
    """Between the bot and its server, to say things the server never would. In threads of its own."""

    def __init__(self, server: Address) -> None:
        self._target = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._serve)]

    def __enter__(self) -> Proxy:
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        for thread in self._threads:
            thread.join()

    def inject(self, *lines: bytes) -> None:
        """Say these lines to the bot."""
        self._bot.sendall(b"".join(line + b"\r\n" for line in lines))

    def _serve(self) -> None:
        """One connection, until either side ends it."""
        with self._listener:
            self._bot, _ = self._listener.accept()
        server = socket.create_connection((self._target.host, self._target.port))
        with self._bot, server:
            back = threading.Thread(target=_pump, args=(server, self._bot))
            back.start()
            _pump(self._bot, server)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError), source.makefile("rb") as lines:
        for line in lines:  # whole ones, so that injected lines stand between
            target.sendall(line)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def test_a_person_at_a_client_is_answered_by_real_hosts(
    ngircd: Ircd, sshd: Sshd, tmp_path: Path
) -> None:
    ii = need("ii")
    with running(tmp_path, ngircd.address, sshd, "#ii"):
        place = tmp_path / "irc" / ngircd.address.host
        person = subprocess.Popen(
            [
                ii,
                "-i",
                tmp_path / "irc",
                "-s",
                ngircd.address.host,
                "-p",
                str(ngircd.address.port),
                "-n",
                "ann",
            ]
        )
        try:
            until_true(lambda: "End of MOTD" in _text(place / "out"))
            (place / "in").write_text("/j #ii\n")
            channel = place / "#ii"
            until_true(lambda: "opsbot" in _text(place / "out") + _text(channel / "out"))
            (channel / "in").write_text("!load @web\n")
            until_true(lambda: "ann: web[1-3]: load " in _text(channel / "out"))
        finally:
            person.terminate()
            person.wait()


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def test_garbage_from_people_and_server_changes_nothing(
    ngircd: Ircd, sshd: Sshd, tmp_path: Path
) -> None:
    async def scene() -> None:
        async with ngircd.person("ann") as ann:
            await ann.join("#garbage")
            with (
                Proxy(ngircd.address) as proxy,
                running(tmp_path, proxy.address, sshd, "#garbage"),
            ):
                await ann.until("opsbot", "JOIN")
                await ann.say("PRIVMSG #garbage :!load @web")
                await ann.hears("ann: web[1-3]: load ")
                await ann.say(b"PRIVMSG #garbage :caf\xe9 !load")
                long = ":ann!~ann@host PRIVMSG #garbage :" + "ä" * 300  # ngIRCd itself refuses it
                proxy.inject(long.encode(), long.encode()[:511], *GARBAGE * 50)
                await ann.say("PRIVMSG #garbage :!load web1")
                await ann.hears("ann: web1: load ")

    asyncio.run(scene())


def test_five_slow_commands_delay_nobody(ngircd: Ircd, sshd: Sshd, tmp_path: Path) -> None:
    async def scene() -> None:
        async with ngircd.person("ann") as ann:
            await ann.join("#slow")
            with running(tmp_path, ngircd.address, sshd, "#slow"):
                await ann.until("opsbot", "JOIN")
                began = time.monotonic()
                await ann.say(*["PRIVMSG #slow :!wait web1 5"] * 5, "PRIVMSG #slow :!ping")
                await ann.hears("ann: pong")
                pong = time.monotonic() - began
                for _ in range(5):
                    await ann.hears("ann: web1: ok")
                assert pong < time.monotonic() - began < 5 * 5  # first, and not one after the other

    asyncio.run(scene())


def test_over_tls_with_an_account_rights_are_by_account(
    inspircd: Ircd, sshd: Sshd, tmp_path: Path
) -> None:
    network = f"tls_ca_file = {inspircd.ca}\nsasl_username = opsbot\nsasl_password = s3cret"
    assert inspircd.tls_address is not None

    async def scene() -> None:
        async with (
            inspircd.person("alice", "alicepw") as alice,
            inspircd.person("mallory") as mallory,
        ):
            await alice.join("#tls")
            await mallory.join("#tls")
            with running(tmp_path, inspircd.tls_address, sshd, "#tls", network):
                await alice.until("opsbot", "JOIN")
                await alice.say("PRIVMSG #tls :!wait @web 0")
                await alice.hears("alice: web[1-3]: ok")
                await mallory.say("PRIVMSG #tls :!wait @web 0")
                await mallory.hears(
                    "mallory: wait needs role operator; yours is viewer (not logged in"
                )

    asyncio.run(scene())


def test_a_wrong_password_ends_the_bot_for_good(inspircd: Ircd, sshd: Sshd, tmp_path: Path) -> None:
    network = f"tls_ca_file = {inspircd.ca}\nsasl_username = opsbot\nsasl_password = hunter2"
    assert inspircd.tls_address is not None
    with running(tmp_path, inspircd.tls_address, sshd, "#tls", network, code=77) as bot:
        bot.wait(30)
    log = (tmp_path / "log").read_text()
    assert "check sasl_username and sasl_password" in log
    assert "hunter2" not in log


@pytest.fixture(autouse=True)
def no_leftovers(sshd: Sshd) -> Iterator[None]:
    """Nothing of ours is left on the hosts."""
    yield
    until_true(lambda: not sshd.commands())
