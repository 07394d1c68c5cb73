"""Real IRC servers on loopback ports of their own: ngIRCd, and InspIRCd with Atheme services.

    pytest_plugins = ["tests.real.ircds"]    # in the test file; then `ngircd` and `inspircd` are fixtures

They run as long as the session and are stopped whatever happens. A server that is not installed is a skip, and
with CI in the environment a failure.
"""

import asyncio
import base64
import contextlib
import os
import random
import resource
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ircops.config import Address
from tests.certificates import Authority

HERE = Path(__file__).parent
STARTING = 30.0  # seconds; Atheme takes 5 to 12 on a busy machine
DEADLINE = 10.0  # seconds


@dataclass
class Ircd:
    """A server that runs; on InspIRCd `accounts` are registered with services."""

    address: Address
    tls_address: Address | None = None
    ca: Path | None = None  # of the certificate of `tls_address`
    accounts: dict[str, str] = field(default_factory=dict)  # name -> password
    services: "Services | None" = None

    @contextlib.asynccontextmanager
    async def person(self, nick, password="", oper=False):
        """Somebody with a client; with a password, logged in to services before they are there."""
        person = await Person.connect(self.address, nick, password)
        try:
            if oper:
                await person.say("OPER oper operpass")
                await person.until(" 381 ")
            yield person
        finally:
            await person.close()


class Person:
    """A person's client. Everything it waits for has a deadline."""

    @classmethod
    async def connect(cls, address, nick, password=""):
        self = cls()
        self.nick = nick
        self._reader, self._writer = await asyncio.open_connection(address.host, address.port)
        try:
            if password:
                await self.say("CAP REQ :sasl")
                await self.until(" ACK ")
                await self.say("AUTHENTICATE PLAIN")
                await self.until("AUTHENTICATE")
                token = base64.b64encode(f"{nick}\0{nick}\0{password}".encode()).decode()
                await self.say(f"AUTHENTICATE {token}")
                await self.until(" 903 ")
            await self.say(f"NICK {nick}", f"USER {nick} 0 * :{nick}", "CAP END")
            await self.until(" 001 ")
        except BaseException:
            await self.close()
            raise
        return self

    async def say(self, *lines):
        """Send lines, as text or as bytes."""
        for line in lines:
            self._writer.write((line.encode() if isinstance(line, str) else line) + b"\r\n")
        await self._writer.drain()

    async def line(self):
        """The next line that is no PING."""
        async with asyncio.timeout(DEADLINE):
            while raw := await self._reader.readline():
                line = raw.decode(errors="replace").removesuffix("\r\n")
                if not line.startswith("PING"):
                    return line
                await self.say("PONG" + line[4:])
        raise ConnectionError("the server hung up")

    async def until(self, *pieces):
        """Read on to a line that holds all `pieces`, and give it."""
        while True:
            line = await self.line()
            if all(piece in line for piece in pieces):
                return line

    async def join(self, channel):
        await self.say(f"JOIN {channel}")
        await self.until(" 366 ", channel)

    async def hears(self, text):
        """Wait for `text` to be said by anybody; gives the whole line."""
        return await self.until("PRIVMSG", f":{text}")

    async def close(self):
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


def free_ports(number):
    """Ports of 127.0.0.1 that nobody has, below those that the system gives to clients: they would take one back."""
    ports = []
    while len(ports) < number:
        port = random.randrange(10_000, 30_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            ports.append(port)
    return ports


def need(program):
    """The path of a server's binary; skips the test, or fails it with CI set, where there is none."""
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
    if path is None and os.environ.get("CI"):
        pytest.fail(f"{program} is not installed; see tests/real/packages.txt")
    return path or pytest.skip(f"{program} is not installed")


def fill(name, directory, **values):
    """Write the template `name`, with its @VALUES@ filled in, to `directory`."""
    text = (HERE / name).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key.upper()}@", str(value))
    (directory / name).write_text(text)
    return directory / name


@contextlib.contextmanager
def process(command, directory):
    """Run a server in the foreground until the end of the block."""
    with (directory / f"{Path(command[0]).name}.out").open("wb") as output:
        running = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=_no_core,
        )
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(5)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def _no_core():
    """InspIRCd 3.15 crashes while it stops."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def wait_for(attempt, what):
    """Run the coroutine function `attempt` until it raises nothing."""
    end = time.monotonic() + STARTING
    while True:
        try:
            return asyncio.run(attempt())
        except (OSError, TimeoutError) as error:
            if time.monotonic() > end:
                pytest.fail(f"{what} did not come up: {error!r}")
            time.sleep(0.1)


class Services:
    """Atheme, which a test may stop and start; it keeps the accounts in a file meanwhile."""

    def __init__(self, command, directory):
        self._command, self._directory = command, directory
        self._running = contextlib.ExitStack()
        self._is_running = False

    def start(self):
        """Begin, unless it has begun; does not wait for the link."""
        if not self._is_running:
            self._is_running = True
            self._running.enter_context(process(self._command, self._directory))

    def stop(self):
        self._is_running = False
        self._running.close()


@contextlib.contextmanager
def run_ngircd(directory, penalty=0):
    """An ngIRCd; `penalty=-1` has its flood control."""
    (port,) = free_ports(1)
    config = fill("ngircd.conf", directory, port=port, penalty=penalty)
    address = Address("127.0.0.1", port)
    with process([need("ngircd"), "--nodaemon", "--config", str(config)], directory):
        wait_for(lambda: visit(address), "ngircd")
        yield Ircd(address)


@contextlib.contextmanager
def run_inspircd(directory, threshold=1000, commandrate=1_000_000, recvq=40960):
    """An InspIRCd with Atheme; `threshold=10, commandrate=1000, recvq=8192` has the flood control of networks."""
    port, tls_port, link_port = free_ports(3)
    authority = Authority(directory)
    authority.server()
    ports = {"port": port, "tlsport": tls_port, "linkport": link_port}
    limits = {"threshold": threshold, "commandrate": commandrate, "recvq": recvq}
    config = fill("inspircd.conf", directory, dir=directory, **ports, **limits)
    services = fill("atheme.conf", directory, linkport=link_port)
    (directory / "services.db").touch()
    # absolute, since it goes to /usr, where all that run at a time would meet
    files = ["-l", str(directory / "atheme.log"), "-p", str(directory / "atheme.pid")]
    atheme = [need("atheme-services"), "-n", "-c", str(services), *files, "-D", str(directory)]
    ircd = Ircd(
        Address("127.0.0.1", port),
        Address("localhost", tls_port),
        authority.ca,
        {"opsbot": "s3cret", "alice": "alicepw", "bob": "bobpw"},
        Services(atheme, directory),
    )
    with process(inspircd_command(config), directory):
        wait_for(lambda: visit(ircd.address), "inspircd")
        ircd.services.start()
        try:
            for account, password in ircd.accounts.items():
                wait_for(lambda: _register(ircd.address, account, password), "atheme")  # noqa: B023
            yield ircd
        finally:
            ircd.services.stop()


def inspircd_command(config):
    """How to start it in the foreground."""
    as_root = ["--runasroot"] if os.geteuid() == 0 else []
    return [need("inspircd"), "--nofork", *as_root, "--config", str(config)]


async def visit(address):
    """Come and go."""
    await (await Person.connect(address, "visitor")).close()


async def _register(address, account, password):
    person = await Person.connect(address, account)
    try:
        await person.say(f"PRIVMSG NickServ :REGISTER {password} {account}@irc.test")
        line = await person.until(account, "NickServ")
        while "registered" not in line and "No such nick" not in line:
            line = await person.line()
        if "No such nick" in line:
            raise ConnectionError("no services yet")
    finally:
        await person.close()


@pytest.fixture(scope="session")
def ngircd(tmp_path_factory):
    """ngIRCd without flood control."""
    with run_ngircd(tmp_path_factory.mktemp("ngircd")) as ircd:
        yield ircd


@pytest.fixture(scope="session")
def inspircd(tmp_path_factory):
    """InspIRCd with Atheme, without flood control."""
    with run_inspircd(tmp_path_factory.mktemp("inspircd")) as ircd:
        yield ircd
