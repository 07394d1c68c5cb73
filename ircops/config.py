"""ircops.ini as typed, checked, frozen settings: a dataclass a section, a field a key, its default beside it.

Here stands what may be in the file; what must hold between keys is said by `faults`. `shapes.py` has
what a value must look like, `values.py` how it is written, and `ini.py` reads the file. The shipped
ircops.ini documents every key.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from ircops import shapes
from ircops.kinds import Faults as Faults
from ircops.kinds import Hours as Hours
from ircops.kinds import Megabytes as Megabytes
from ircops.kinds import Names as Names
from ircops.kinds import Percent as Percent
from ircops.kinds import Seconds as Seconds
from ircops.kinds import Secret as Secret
from ircops.kinds import Wait as Wait
from ircops.kinds import Where as Where
from ircops.kinds import Words as Words
from ircops.policy import Role
from ircops.provided import Provider as Provider
from ircops.shapes import Count, Nodes, Word, did_you_mean
from ircops.watched import Check as Check
from ircops.watched import Health as Health
from ircops.watched import Limits as Limits
from ircops.watched import Watch as Watch

Fingerprint = Annotated[
    str,
    shapes.like(
        r"(?:[0-9A-Fa-f]{2}:?){31}(?:(?:[0-9A-Fa-f]{2}:?){32})?[0-9A-Fa-f]{2}",
        "it is a SHA-256 or SHA-512 in hex, with colons or without",
    ),
]


@dataclass(frozen=True)
class Address:
    """`host:port` or `[::1]:port`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Nobody else's wire lies between us."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True)
class Join:
    """A channel to be in: `#ops`, or `#ops:KEY`."""

    name: str
    key: Secret = Secret()


@dataclass(frozen=True)
class Bot:
    """[bot]"""

    nick: shapes.Nick = "opsbot"
    username: shapes.Login = "ircops"
    realname: shapes.Text = "ircops, an ops bot"
    prefix: shapes.Prefix = "!"
    state: Path = Path("~/.local/state/ircops")
    database: Where = Where("")  # "" = ircops.sqlite in state
    console: Path = Path("console.sock")  # relative to state
    commands: Path = Path("commands")  # relative to ircops.ini
    scripts: Path = Path("scripts")  # relative to ircops.ini
    transcript: Seconds = Seconds(90 * 86400)  # how long lines are kept; 0 = none are
    trouble: tuple[shapes.Place, ...] = ()  # channels that hear of trouble with others
    syslog: bool = False  # copy the record there
    copy: Annotated[Secret, shapes.webhook] = Secret()  # and there, by POST; "" = nowhere
    totp_time: Wait = Seconds(900)  # how long a one-time code is good for
    jobs_per_user: Count = 16  # of those that reach hosts or hold a lock; more are queued
    jobs_per_channel: Count = 64


@dataclass(frozen=True)
class Network:
    """[network NAME]"""

    server: tuple[Address, ...] = ()
    tls: bool = True
    tls_ca_file: Path | None = None
    tls_fingerprint: tuple[Fingerprint, ...] = ()  # () = certificates are verified instead
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None  # None = the key is in tls_cert_file
    sasl_mechanism: Literal["PLAIN", "EXTERNAL", "SCRAM-SHA-256", "ECDSA-NIST256P-CHALLENGE"] = (
        "PLAIN"
    )
    sasl_username: Word = ""
    sasl_password: Secret = Secret()
    sasl_key_file: Path | None = None
    sasl_required: bool = True
    sasl_over_plaintext: bool = False
    server_password: Secret = Secret()
    channels: tuple[Join, ...] = ()
    reconnect_min: Wait = Seconds(0.25)
    reconnect_max: Wait = Seconds(60)
    connect_timeout: Wait = Seconds(20)
    ping_interval: Wait = Seconds(15)
    ping_timeout: Wait = Seconds(10)
    burst: int = 0  # lines at once; 0 = as many as the server confirms
    rate: Annotated[float, shapes.above_zero] = 1.0  # lines a second after the burst

    def faults(self) -> Faults:
        """What the section lacks or contradicts."""
        if not self.server:
            yield "server", "needs a server: server = irc.example.org:6697"
        if not self.channels:
            yield "channels", "needs channels: channels = #ops"
        yield from self._login_faults()
        on_a_wire = not self.tls and not all(server.is_loopback for server in self.server)
        is_sent = bool(self.sasl_password) and self.sasl_mechanism == "PLAIN"
        if is_sent and on_a_wire and not self.sasl_over_plaintext:
            yield "tls", "would send sasl_password for all to read; set tls = yes"
        if self.tls_key_file and not self.tls_cert_file:
            yield "tls_cert_file", "has tls_key_file but no tls_cert_file"
        for key in ("tls_ca_file", "tls_cert_file", "tls_key_file", "sasl_key_file"):
            path = getattr(self, key)
            if path and not path.is_file():
                yield key, f"names {path}, which is no file we can see"
        if self.burst < 0:
            yield "burst", "has burst below 0"
        if self.reconnect_min > self.reconnect_max:
            yield "reconnect_min", "has reconnect_min above reconnect_max"

    def _login_faults(self) -> Faults:
        """What the mechanism needs and does not have."""
        how = self.sasl_mechanism
        if how == "EXTERNAL":
            if not self.tls_cert_file or not self.tls:
                yield "sasl_mechanism", "has EXTERNAL, which needs tls = yes and a tls_cert_file"
        elif how == "ECDSA-NIST256P-CHALLENGE":
            if not self.sasl_key_file or not self.sasl_username:
                yield "sasl_mechanism", f"has {how}, which needs sasl_key_file and sasl_username"
        elif self.sasl_username and not self.sasl_password:
            yield "sasl_password", "has sasl_username but no sasl_password"
        elif self.sasl_password and not self.sasl_username:
            yield "sasl_username", "has sasl_password but no sasl_username"
        elif how != "PLAIN" and not self.sasl_username:
            yield "sasl_mechanism", f"has {how}, which needs sasl_username and sasl_password"


@dataclass(frozen=True)
class Channel:
    """[channel #NAME]"""

    reply: Literal["privmsg", "notice"] = "privmsg"
    commands: Words = ("all",)
    lines: Count = 6  # of one answer; the rest waits for !more
    colour: bool = True
    highlight: Literal["caller", "all"] = "caller"
    verbosity: Literal["all", "changes", "problems"] = "all"  # of what nobody asked for
    quiet: Hours | None = None  # then it is held back
    timezone: shapes.Zone = "UTC"  # of `quiet`


AS_USUAL = Channel()


@dataclass(frozen=True)
class Roles:
    """[roles]: accounts, unix:NAME, mask:nick!user@host patterns, or `*` for anyone in our channels."""

    viewer: tuple[shapes.Who, ...] = ()
    operator: tuple[shapes.Who, ...] = ()
    admin: tuple[shapes.Who, ...] = ()


@dataclass(frozen=True)
class Access:
    """[access NAME]: what is asked (command, when, hosts), and what that takes; the first that fits decides."""

    command: Names = Names(())  # `*` stands for any run of characters
    when: tuple[shapes.Argument, ...] = ()  # of one argument any value, of several arguments all
    hosts: Nodes = ""  # any of them
    role: Role | None = None  # None, as all that follow: as the command says
    accounts: tuple[shapes.Who, ...] = ()  # nobody else
    into: Annotated[tuple[shapes.Spot, ...], "in"] = ()  # nowhere else
    network: Words = ()  # on no other
    totp: bool | None = None
    deny: bool = False  # to everybody

    def faults(self) -> Faults:
        """What the section lacks or contradicts."""
        if not self.command:
            yield "command", "needs a command: command = deploy"
        asks: dict[str, object] = {"role": self.role, "accounts": self.accounts, "in": self.into}
        asks |= {"network": self.network, "totp": self.totp}
        stated = [key for key, value in asks.items() if value not in (None, ())]
        if self.deny and stated:
            yield stated[0], f"has deny and {' and '.join(stated)}; deny is for everybody: keep one"
        elif not self.deny and not stated:
            yield "*", "says nothing: give it role, accounts, in, network, totp or deny"


@dataclass(frozen=True)
class Ssh:
    """[ssh]"""

    user: Word = ""  # "" = as ssh_config says, else the user the bot runs as
    key: tuple[Path, ...] = ()  # () = as ssh_config says, else the agent's and ~/.ssh/id_*
    config: Path = Path("~/.ssh/config")
    known_hosts: tuple[Path, ...] = (Path("~/.ssh/known_hosts"), Path("/etc/ssh/ssh_known_hosts"))
    host_keys: Literal["strict", "accept-new"] = "strict"
    agent: bool = True
    connect_timeout: Wait = Seconds(10)
    command_timeout: Seconds = Seconds(60)
    fanout: Count = 64
    keepalive: Seconds = Seconds(30)
    idle_close: Seconds = Seconds(300)
    spool: Megabytes = Megabytes(64)  # of what the hosts of a job put out, kept on disk


@dataclass(frozen=True)
class HostLine:
    """A line of [hosts]: `web1 = 10.0.0.1:22 user=ops`. Empty fields fall back to ssh_config, then [ssh]."""

    address: Word = ""
    port: int = 0
    user: Word = ""
    key: Path | None = None
    jump: Word = ""
    host_key: shapes.Pin = ""  # `SHA256:…`, as ssh-keygen -l prints it
    variables: tuple[tuple[str, str], ...] = ()  # `env=prod`: any others, for @env:prod


@dataclass(frozen=True)
class Command:
    """[command NAME]: a command of one's own (`run`, `script` or `click`), or the policy of one that exists."""

    help: str = ""
    run: str = ""
    script: Path | None = None
    click: shapes.Importable = ""  # module:group
    on: Nodes = "HOSTS"  # HOSTS = asked for; a host set; `here` = on the bot's own machine
    role: Role | None = None  # None: as the author says, else admin
    approvals: int | None = None
    confirm: bool | None = None
    timeout: Seconds | None = None
    lock: Word | None = None
    totp: bool | None = None

    def faults(self) -> Faults:
        """What the section lacks or contradicts."""
        ways = [key for key in ("run", "script", "click") if getattr(self, key)]
        if len(ways) > 1:
            yield ways[1], f"has {' and '.join(ways)}; keep one"
        if self == Command(on=self.on):
            yield (
                "*",
                "says nothing: give it run, script or click, or a role for a command there is",
            )


@dataclass(frozen=True)
class Schedule:
    """[schedule NAME]"""

    at: shapes.Cron = ""  # a cron line: minute hour day month weekday
    timezone: shapes.Zone = "UTC"
    run: str = ""
    into: Annotated[tuple[shapes.Place, ...], "in"] = ()  # channels; `in` is taken in Python
    missed: Literal["run", "skip"] = "run"
    grace: Seconds = Seconds(3600)  # later than this, a missed run is only reported
    role: Role = Role.VIEWER

    def faults(self) -> Faults:
        """What the section lacks."""
        if not self.at:
            yield "at", "needs a time: at = 0 9 * * mon-fri"
        if not self.run:
            yield "run", "needs a command: run = health @all"


@dataclass(frozen=True)
class Web:
    """[web]: pages for what is too long, or too much of a picture, for a channel."""

    listen: tuple[Address, ...] = ()  # () = off
    base_url: shapes.Base = ""  # what links begin with; "" = http:// and the first of `listen`
    link_time: Wait = Seconds(86400)
    metrics: tuple[Address, ...] = ()  # of /metrics and /healthz; () = see web/scrape.py

    def faults(self) -> Faults:
        """What the section lacks or contradicts."""
        if self.base_url and not self.listen:
            yield "base_url", "has base_url but no listen: listen = 127.0.0.1:8642"
        if self.listen and not self.base_url and self.listen[0].host in ("0.0.0.0", "::"):
            yield "listen", "listens everywhere, so links need base_url = https://ops.example.org/"

    @property
    def base(self) -> str:
        """What links begin with, a slash at its end."""
        return self.base_url.rstrip("/") + "/" if self.base_url else f"http://{self.listen[0]}/"


@dataclass(frozen=True)
class Settings:
    """The whole file."""

    path: Path = Path("ircops.ini")
    bot: Bot = Bot()
    networks: Mapping[str, Network] = field(default_factory=dict)
    channels: Mapping[str, Channel] = field(default_factory=dict)
    roles: Roles = Roles()
    access: Mapping[str, Access] = field(default_factory=dict)  # in the order of the file
    ssh: Ssh = Ssh()
    hosts: Mapping[str, HostLine] = field(default_factory=dict)
    inventory: Annotated[tuple[Path, ...], "hosts"] = ()  # a key of [hosts], no host: ansible's
    groups: Mapping[str, Nodes] = field(default_factory=dict)
    commands: Mapping[str, Command] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    health: Health = Health()
    web: Web = Web()
    limits: Annotated[Mapping[str, Limits], "health"] = field(default_factory=dict)  # of some hosts
    checks: Mapping[str, Check] = field(default_factory=dict)
    watches: Mapping[str, Watch] = field(default_factory=dict)
    providers: Mapping[str, Provider] = field(default_factory=dict)
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict, compare=False, repr=False)

    def channel(self, name: str) -> Channel:
        """The [channel …] section for `name`, in any case of letters, or the defaults."""
        if self.channels:
            folded = name.casefold()
            for known, channel in self.channels.items():
                if known.casefold() == folded:
                    return channel
        return AS_USUAL

    def place(self, section: str, key: str = "") -> str:
        """Where a section or its key stands: `ircops.ini:12`; no line if it is not in the file."""
        line = self.lines.get((section, key)) or self.lines.get((section, ""))
        return f"{self.path}:{line}" if line else str(self.path)

    def faults(self) -> Iterator[tuple[str, str, str]]:
        """What does not fit between sections: the section, its key, and what is wrong with it."""
        for name in self.networks:
            if " " in name or "/" in name:
                yield f"network {name}", "", "needs a name of one word without a slash"
        for name in self.providers:  # it is a group, too
            if not re.fullmatch(r"[\w.-]+", name):
                yield f"provider {name}", "", "needs a name of one word: letters, digits, . _ -"
        if all(network.channels for network in self.networks.values()):  # else a fault already
            yield from self._unjoined()
        people = [("roles", role, entries) for role, entries in vars(self.roles).items()]
        for name, rule in self.access.items():
            people.append((f"access {name}", "accounts", rule.accounts))
            for network in set(rule.network) - set(self.networks):
                near = did_you_mean(network, self.networks)
                yield f"access {name}", "network", f"names a network that there is not{near}"
        for section, key, entries in people:
            for entry in entries:
                if unclear := self.unclear(entry):
                    yield section, key, unclear
        for name, watch in self.watches.items():
            for check in set(watch.checks) - {"health", *self.checks}:
                near = did_you_mean(check, self.checks)
                there = ", ".join(["health", *self.checks])
                yield (
                    f"watch {name}",
                    "checks",
                    f"names a check that there is not{near or f'; there are {there}'}",
                )

    def _unjoined(self) -> Iterator[tuple[str, str, str]]:
        """Each mention of a channel that no network joins."""
        joined = {
            f"{name}/{join.name}": join.name
            for name, network in self.networks.items()
            for join in network.channels
        }
        mentions = [(f"channel {name}", "", name) for name in self.channels]
        for name, schedule in self.schedules.items():
            mentions += [(f"schedule {name}", "in", place) for place in schedule.into]
        for name, rule in self.access.items():
            places = [place for place in rule.into if place not in ("private", "console")]
            mentions += [(f"access {name}", "in", place) for place in places]
        for name, watch in self.watches.items():
            mentions += [(f"watch {name}", "in", place) for place in watch.into]
        mentions += [("bot", "trouble", place) for place in self.bot.trouble]
        for section, key, name in mentions:
            known = [*joined.values(), *joined] if key else [*joined.values()]
            if name.casefold() not in map(str.casefold, known):
                near = did_you_mean(name, known)
                yield section, key, f"names {name}, which no network joins{near}"

    def unclear(self, entry: str) -> str:
        """Why we cannot know whom an account means, "has alice, but …": it belongs to one network; "" = we can."""
        network, slash, _ = entry.partition("/")
        if slash and not entry.startswith(("mask:", "unix:")):
            near = did_you_mean(network, self.networks)
            return "" if network in self.networks else f"has {entry}, but no such network{near}"
        if len(self.networks) < 2 or entry == "*" or entry.startswith("unix:"):
            return ""
        return f"has {entry}, but of which network? write {next(iter(self.networks))}/{entry}"
