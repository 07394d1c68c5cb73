"""Who the bot is, and who others are to it, with real services: each login, services that go and come, and STS."""

import asyncio
import base64
import contextlib
import dataclasses
import json

import pytest
from cryptography.hazmat.primitives import serialization

from ircops.config import Address, Bot
from ircops.errors import Refused
from ircops.irc import Network as IrcNetwork
from tests.certificates import Authority, fingerprint
from tests.real.ircds import (
    Ircd,
    fill,
    free_ports,
    inspircd_command,
    process,
    visit,
    wait_for,
)
from tests.real.test_irc_real import Bed, ask
from tests.scripted_ircd import eventually, running


async def tell_services(ircd, line, answer):
    """Have the bot's owner, logged in to its account, say `line` to NickServ."""
    async with ircd.person("opsbot", "s3cret") as owner:
        await owner.say(f"PRIVMSG NickServ :{line}")
        await owner.until("NickServ", answer)


async def account_of(person, nick):
    """What WHOIS says; "" for none."""
    await person.say(f"WHOIS {nick}")
    account = ""
    while " 318 " not in (line := await person.line()):
        if " 330 " in line:
            account = line.split()[4]
    return account


def by_tls(ircd, **network):
    return Bed(ircd.tls_address, tls=True, tls_ca_file=ircd.ca, **network)


def test_a_certificate_is_a_login(inspircd, tmp_path):
    certfile, keyfile = Authority(tmp_path).client()
    mine = {"tls_cert_file": certfile, "tls_key_file": keyfile}

    async def scene():
        bed = by_tls(inspircd, sasl_mechanism="EXTERNAL", **mine)
        with pytest.raises(Refused, match="NickServ CERT ADD"):
            await asyncio.wait_for(IrcNetwork("test", bed.settings, print).run(), 20)
        pin = fingerprint(certfile)
        await tell_services(inspircd, f"CERT ADD {pin}", "Added fingerprint")
        async with bed.bot(), inspircd.person("bob") as bob:
            assert await account_of(bob, "opsbot") == "opsbot"

    asyncio.run(scene())


def test_a_key_is_a_login(inspircd, tmp_path):
    _, keyfile = Authority(tmp_path).client()
    key = serialization.load_pem_private_key(keyfile.read_bytes(), None)
    form = serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    public = base64.b64encode(key.public_key().public_bytes(*form)).decode()
    mine = {"sasl_mechanism": "ECDSA-NIST256P-CHALLENGE", "sasl_key_file": keyfile}

    async def scene():
        bed = by_tls(inspircd, sasl_username="opsbot", **mine)
        with pytest.raises(Refused, match="NickServ SET PUBKEY"):
            await asyncio.wait_for(IrcNetwork("test", bed.settings, print).run(), 20)
        await tell_services(inspircd, f"SET PUBKEY {public}", "public key is now set")
        async with bed.bot(), inspircd.person("bob") as bob:
            assert await account_of(bob, "opsbot") == "opsbot"

    asyncio.run(scene())


def test_a_pinned_certificate_needs_no_authority(inspircd):
    pin = fingerprint(inspircd.ca.with_name("server.pem"))

    async def scene():
        async with Bed(inspircd.tls_address, tls=True, tls_fingerprint=(pin,)).bot() as network:
            assert network.status.startswith("connected")

    asyncio.run(scene())


def test_without_services_nobody_new_has_rights_and_the_bot_waits_for_them(inspircd):
    login = {"sasl_username": "opsbot", "sasl_password": "s3cret"}

    async def scene():
        bed = by_tls(inspircd, reconnect_max=0.2, **login)
        async with contextlib.AsyncExitStack() as stack:
            network = await stack.enter_async_context(bed.bot())
            oper = await stack.enter_async_context(inspircd.person("oper", oper=True))
            alice = await stack.enter_async_context(inspircd.person("alice", "alicepw"))
            await alice.join("#ops")
            await ask(alice, "one")
            inspircd.services.stop()
            await ask(alice, "two")  # the server still vouches for her
            await alice.say("NICK away")
            await alice.until("NICK")
            thief = await stack.enter_async_context(inspircd.person("alice"))
            await thief.join("#ops")
            await ask(thief, "three")
            await oper.say("KILL opsbot :come back")
            await eventually(lambda: "no login with SASL PLAIN" in network.status)
            assert not network.is_joined("#ops")
            inspircd.services.start()
            await asyncio.wait_for(joined(network), 20)
            assert await account_of(oper, "opsbot") == "opsbot"
            await ask(thief, "four")
        assert [call.sender.account for call in bed.calls] == ["alice", "alice", "", ""]
        assert [call.sender.evidence for call in bed.calls[2:]] == ["services are away", ""]

    try:
        asyncio.run(scene())
    finally:
        inspircd.services.start()  # if it failed half-way


def test_logged_out_by_services_it_logs_in_again_on_the_same_connection(inspircd, caplog):
    login = {"sasl_username": "opsbot", "sasl_password": "s3cret"}

    async def scene():
        async with by_tls(inspircd, **login).bot(), inspircd.person("alice", "alicepw") as alice:
            await alice.say("PRIVMSG NickServ :LOGOUT opsbot s3cret")
            await eventually(lambda: "services logged us out" in caplog.text)
            while await account_of(alice, "opsbot") != "opsbot":
                await asyncio.sleep(0.05)

    with caplog.at_level("INFO"):
        asyncio.run(asyncio.wait_for(scene(), 20))
    assert caplog.text.count("connected to") == 1


def test_banned_in_the_middle_of_its_work_it_is_patient(inspircd):
    async def scene():
        async with by_tls(inspircd).bot() as network, inspircd.person("oper", oper=True) as oper:
            await oper.say("KLINE ircops@* 60s :flooding")
            await eventually(lambda: "banned by the server" in network.status)
            await oper.say("KLINE ircops@*")
            assert network.is_alive
            assert float(network.status.split()[2]) > 290

    asyncio.run(scene())


async def joined(network):
    while not network.is_joined("#ops"):
        await asyncio.sleep(0.05)


@pytest.fixture
def strict_inspircd(tmp_path):
    """An InspIRCd that wants TLS of everybody, without services."""
    port, tls_port, link_port = free_ports(3)
    authority = Authority(tmp_path)
    authority.server()
    limits = {"threshold": 1000, "commandrate": 1_000_000, "recvq": 40960}
    ports = {"port": port, "tlsport": tls_port, "linkport": link_port}
    config = fill("inspircd.conf", tmp_path, dir=tmp_path, **ports, **limits)
    with config.open("a") as file:
        file.write(f'<module name="ircv3_sts"><sts host="*" port="{tls_port}" duration="300">\n')
    ircd = Ircd(Address("localhost", port), Address("localhost", tls_port), authority.ca)
    with process(inspircd_command(config), tmp_path):
        wait_for(lambda: visit(ircd.address), "inspircd")
        yield ircd


def test_it_goes_over_to_tls_and_remembers(strict_inspircd, tmp_path, caplog):
    bed = Bed(strict_inspircd.address, tls_ca_file=strict_inspircd.ca)
    bed.settings = dataclasses.replace(bed.settings, bot=Bot(state=tmp_path))

    async def scene():
        async with bed.bot() as network:
            assert network.status.startswith(f"connected to {strict_inspircd.tls_address}")
        assert (f"wants TLS on port {strict_inspircd.tls_address.port}") in caplog.text
        caplog.clear()
        async with bed.bot() as network:
            assert network.status.startswith(f"connected to {strict_inspircd.tls_address}")
        assert "wants TLS" not in caplog.text  # it did not even ask

    with caplog.at_level("INFO"):
        asyncio.run(scene())
    kept = json.loads((tmp_path / "sts.json").read_text())["localhost"]
    assert (kept["port"], kept["duration"]) == (strict_inspircd.tls_address.port, 300)


def test_a_policy_is_not_given_up_for_a_certificate_that_is_not_trusted(strict_inspircd, tmp_path):
    bed = Bed(strict_inspircd.address)  # without its authority
    bed.settings = dataclasses.replace(bed.settings, bot=Bot(state=tmp_path))

    async def scene():
        network = IrcNetwork("test", bed.settings, print)
        async with running(network):
            await eventually(lambda: "certificate not trusted" in network.status)
            assert not network.is_joined("#ops")

    asyncio.run(scene())
