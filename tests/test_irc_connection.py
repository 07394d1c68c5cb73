"""One connection: TLS, the life of a socket, and the question whether anybody is there."""

import asyncio
import contextlib
import math
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from ircops.config import Address, Network
from ircops.errors import Refused
from ircops.irc.connection import Liveness, Reactor, options, reason
from ircops.irc.ends import Unavailable
from ircops.irc.protocol import parse
from tests.certificates import PRIVATE, Authority
from tests.scripted_ircd import ScriptedIrcd, eventually, running


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def status_with(context, claim, **network):
    """Wait until `claim` is in the status of a network on a TLS server; the bot is welcomed if it gets so far."""

    async def stage():
        async with ScriptedIrcd(context) as ircd:
            found = ircd.network(tls=True, reconnect_min=60, **network)
            async with running(found):
                if "connected" in claim:
                    await (await ircd.accept()).welcome()
                await eventually(lambda: claim in found.status)

    asyncio.run(stage())


def test_a_server_with_a_certificate_of_our_ca_is_trusted(authority):
    status_with(authority.context(), "connected to", tls_ca_file=authority.ca)


def test_a_server_of_another_ca_is_not(authority):
    status_with(authority.context(), "certificate not trusted: unable to get local issuer")


def test_nor_one_with_another_name(authority):
    context = authority.context(name="other", names=[x509.DNSName("other.test")])
    status_with(context, "certificate not trusted: IP address mismatch", tls_ca_file=authority.ca)


def test_a_port_without_tls_is_named():
    async def stage():
        async with (
            ScriptedIrcd() as ircd,
            running(ircd.network(tls=True, reconnect_min=60)) as found,
        ):
            for _ in range(2):
                (await ircd.accept()).send("NOTICE * :*** Looking up your hostname")
            await eventually(lambda: "s: no TLS: wrong version number" in found.status)

    asyncio.run(stage())


def test_a_ca_file_that_is_not_there_is_named(authority):
    missing = authority.ca.with_name("missing.pem")
    status_with(authority.context(), "no such file or directory", tls_ca_file=missing)


def colons(text):
    return ":".join(text[i : i + 2] for i in range(0, len(text), 2)).upper()


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA512()])
@pytest.mark.parametrize("written", [str, str.upper, colons])
def test_a_pinned_certificate_is_trusted_whoever_signed_it_whatever_its_name(
    authority, algorithm, written
):
    context = authority.context(name="pinned", names=[x509.DNSName("other.test")])
    pin = written(authority.fingerprint("pinned", algorithm))
    status_with(context, "connected to", tls_fingerprint=("00" * 32, pin))


def test_any_other_certificate_is_not_even_one_of_our_ca(authority):
    async def stage():
        async with ScriptedIrcd(authority.context()) as ircd:
            pins = {"tls_fingerprint": ("00" * 32, "11" * 64), "tls_ca_file": authority.ca}
            found = ircd.network(tls=True, reconnect_min=60, **pins)
            async with running(found):
                await eventually(lambda: authority.fingerprint() in found.status)
                assert "is not the one of tls_fingerprint" in found.status
                while ircd.has_arrivals:
                    assert await (await ircd.accept()).ended() == []

    asyncio.run(stage())


@pytest.mark.parametrize("in_one_file", [True, False])
def test_it_shows_its_own_certificate(authority, in_one_file):
    certfile, keyfile = authority.client()
    if in_one_file:
        certfile = certfile.with_name("both.pem")
        certfile.write_bytes(keyfile.read_bytes() + keyfile.with_suffix(".pem").read_bytes())
    context = authority.context()
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    mine = {"tls_cert_file": certfile, "tls_key_file": None if in_one_file else keyfile}
    status_with(context, "connected to", tls_ca_file=authority.ca, **mine)


def test_a_certificate_that_is_of_no_use_is_named(authority):
    certfile, keyfile = authority.client("mine")
    _, other = authority.client("other")
    address = Address("irc.example", 6697)
    for files in ((certfile, other), (keyfile, keyfile), (authority.ca, None)):
        with pytest.raises(Refused, match="are no certificate and its key"):
            options(Network(tls_cert_file=files[0], tls_key_file=files[1]), address)
    key = serialization.load_pem_private_key(keyfile.read_bytes(), None)
    lock = serialization.BestAvailableEncryption(b"x")
    keyfile.write_bytes(key.private_bytes(*PRIVATE[:2], lock))
    with pytest.raises(Refused, match="has a passphrase"):
        options(Network(tls_cert_file=certfile, tls_key_file=keyfile), address)


def test_a_server_that_never_shakes_hands_is_left_in_time():
    async def stage():
        async with (
            ScriptedIrcd() as ircd,
            running(ircd.network(tls=True, connect_timeout=0.2)) as found,
        ):
            await ircd.accept()
            await ircd.accept()
            assert found.is_alive

    asyncio.run(stage())


class Open:
    """A wire to a scripted server, and what came of it."""

    def __init__(self):
        self.wire = Reactor(loop=asyncio.get_running_loop()).server()
        self.lines, self.ends, self.transport = [], [], None

    def _opened(self, transport):
        self.transport = transport

    async def connect(self, address, **chosen):
        on = (self._opened, self.lines.append, self.ends.append)
        await self.wire.connect(address, *on, **chosen)


@contextlib.asynccontextmanager
async def opened():
    async with ScriptedIrcd() as ircd:
        client = Open()
        await client.connect(ircd.address)
        yield client, await ircd.accept()
        client.wire.disconnect(Unavailable("over"))
        await asyncio.sleep(0)


def test_nothing_is_said_by_itself_and_small_lines_are_not_held_back():
    async def stage():
        async with opened() as (client, server):
            sock = client.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            client.wire.send_raw(b"PING 1\r\n")
            server.send(":a PRIVMSG b c")
            await eventually(lambda: client.lines)
            assert server.raw in (b"", b"PING 1\r\n")
            assert client.lines[0].params == ("b", "c")

    asyncio.run(stage())


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux only")
def test_what_is_read_is_confirmed_at_once():
    async def stage():
        async with opened() as (client, server):
            sock = client.transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            server.send("PING 1")
            await eventually(lambda: client.lines)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK)

    asyncio.run(stage())


def test_after_the_end_nothing_is_heard_and_nothing_said():
    async def stage():
        async with opened() as (client, server):
            hear = client.wire._on_line

            def hang_up(line):
                hear(line)
                raise Unavailable("enough")

            client.wire._on_line = hang_up
            server.send("PING 1", "PING 2")
            await eventually(lambda: client.ends)
            client.wire.send_raw(b"too late\r\n")
            client.wire.disconnect(Unavailable("another reason"))
            assert await server.ended() == []
            assert [str(error) for error in client.ends] == ["enough"]
            assert len(client.lines) == 1

    asyncio.run(stage())


def test_the_end_of_an_old_connection_is_not_the_end_of_the_new_one():
    async def stage():
        async with ScriptedIrcd() as ircd:
            client = Open()
            await client.connect(ircd.address)
            old = client.wire.protocol
            client.wire.disconnect(Unavailable("first"))
            await client.connect(ircd.address)
            old.connection_lost(None)
            assert client.wire.connected and len(client.ends) == 1
            client.wire.disconnect(Unavailable("second"))
            await asyncio.sleep(0)

    asyncio.run(stage())


@pytest.mark.parametrize(
    ("end", "why"), [("close", "closed by the server"), ("reset", "connection reset by peer")]
)
def test_the_reason_of_an_end_is_kept(end, why):
    async def stage():
        async with opened() as (client, server):
            getattr(server, end)()
            await eventually(lambda: client.ends)
            assert [reason(error) for error in client.ends] == [why]

    asyncio.run(stage())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "connection refused"),
        (
            OSError("Multiple exceptions: [Errno 111] x, [Errno 101] y, [Errno 111] z"),
            "connection refused, network is unreachable",
        ),
        (socket.gaierror(-2, "Name or service not known"), "name or service not known"),
        (TimeoutError(), "no answer in time"),
        (Unavailable("services are away"), "services are away"),
    ],
)
def test_reasons_are_words_for_an_operator(error, words):
    assert reason(error).startswith(words)


def test_both_address_families_are_raced_for_names_only():
    plain = Network(tls=False)
    assert options(plain, Address("irc.example", 6667)) == {"happy_eyeballs_delay": 0.25}
    assert options(plain, Address("::1", 6667)) == options(plain, Address("127.0.0.1", 6667)) == {}
    context = options(Network(), Address("irc.example", 6697))["ssl"]
    assert context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED


class TestLiveness:
    def test_a_silent_server_is_asked_after_the_interval_and_dead_after_the_timeout(self):
        liveness = Liveness(15, 10)
        assert liveness.due == math.inf  # before the welcome, the registration has its own patience
        liveness.ping(0)
        liveness.heard(parse(":s PONG s ircops-lag-1"), 0.5)
        assert liveness.tick(15.4) == []
        assert liveness.tick(15.5) == [b"PING ircops-lag-2"]
        assert liveness.tick(25.4) == []
        with pytest.raises(Unavailable, match="no word for 25 s"):
            liveness.tick(25.5)

    def test_any_line_is_a_sign_of_life(self):
        liveness = Liveness(15, 10)
        liveness.ping(0)
        liveness.heard(parse(":alice!a@b PRIVMSG #ops :hm"), 9)
        assert liveness.tick(23) == []
        assert liveness.due == 24

    def test_the_lag_is_that_of_the_newest_ping(self):
        liveness = Liveness(15, 10)
        liveness.ping(0)
        liveness.ping(5)
        liveness.heard(parse("PONG s ircops-lag-1"), 6)
        assert liveness.lag is None
        liveness.heard(parse("PONG s ircops-lag-2"), 7)
        assert liveness.lag == 2
