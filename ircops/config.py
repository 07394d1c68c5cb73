"""ircops.ini as typed, checked, frozen settings: a dataclass a section, a field a key, its default beside it.

`ini.py` reads the file; here stands what may be in it. The shipped ircops.ini documents every key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, NewType

from ircops.policy import Role

# How a value is written; ini.py has the reader of each.
Seconds = NewType("Seconds", float)  # 90, 90s, 5m, 2h, 1d
Words = tuple[str, ...]  # separated by spaces, commas or new lines
Percent = NewType("Percent", float)  # 80 or 80%

NONE: Mapping[str, object] = MappingProxyType({})


class Secret(str):
    """A value that is never shown: its repr is stars; `str.__str__` gives it to the one who needs it."""

    def __repr__(self) -> str:
        return "'***'" if self else "''"


@dataclass(frozen=True)
class Address:
    """`host:port` or `[::1]:port`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Join:
    """A channel to be in: `#ops`, or `#ops:KEY`."""

    name: str
    key: Secret = Secret()


@dataclass(frozen=True)
class Bot:
    """[bot]"""

    nick: str = "opsbot"
    username: str = "ircops"
    realname: str = "ircops, an ops bot"
    prefix: str = "!"
    state: Path = Path("~/.local/state/ircops")
    database: str = ""  # "" = ircops.sqlite in state
    console: Path = Path("console.sock")  # relative to state
    commands: Path = Path("commands")  # relative to ircops.ini


@dataclass(frozen=True)
class Network:
    """[network NAME]"""

    server: tuple[Address, ...] = ()
    tls: bool = True
    tls_ca_file: Path | None = None
    sasl_mechanism: Literal["PLAIN"] = "PLAIN"
    sasl_username: str = ""
    sasl_password: Secret = Secret()
    sasl_required: bool = True
    sasl_over_plaintext: bool = False
    server_password: Secret = Secret()
    channels: tuple[Join, ...] = ()
    reconnect_min: Seconds = Seconds(0.25)
    reconnect_max: Seconds = Seconds(60)
    connect_timeout: Seconds = Seconds(20)
    ping_interval: Seconds = Seconds(15)
    ping_timeout: Seconds = Seconds(10)


@dataclass(frozen=True)
class Channel:
    """[channel #NAME]"""

    reply: Literal["privmsg", "notice"] = "privmsg"
    commands: Words = ("all",)
    lines: int = 6  # of one answer; the rest waits for !more
    colour: bool = True


@dataclass(frozen=True)
class Roles:
    """[roles]: accounts, unix:NAME, mask:nick!user@host patterns, or `*` for anyone in our channels."""

    viewer: Words = ()
    operator: Words = ()
    admin: Words = ()


@dataclass(frozen=True)
class Ssh:
    """[ssh]"""

    user: str = ""  # "" = as ssh_config says, else the user the bot runs as
    key: tuple[Path, ...] = ()  # () = as ssh_config says, else the agent's and ~/.ssh/id_*
    config: Path = Path("~/.ssh/config")
    known_hosts: tuple[Path, ...] = (Path("~/.ssh/known_hosts"), Path("/etc/ssh/ssh_known_hosts"))
    host_keys: Literal["strict", "accept-new"] = "strict"
    agent: bool = True
    connect_timeout: Seconds = Seconds(10)
    command_timeout: Seconds = Seconds(60)
    fanout: int = 64
    keepalive: Seconds = Seconds(30)
    idle_close: Seconds = Seconds(300)


@dataclass(frozen=True)
class HostLine:
    """A line of [hosts]: `web1 = 10.0.0.1:22 user=ops`. Empty fields fall back to ssh_config, then [ssh]."""

    address: str = ""
    port: int = 0
    user: str = ""
    key: Path | None = None
    jump: str = ""
    host_key: str = ""  # a pin: `SHA256:…`, as ssh-keygen -l prints it


@dataclass(frozen=True)
class Command:
    """[command NAME]: a command of one's own (`run`, `script` or `click`), or the policy of one that exists."""

    help: str = ""
    run: str = ""
    script: Path | None = None
    click: str = ""  # module:group
    on: str = "HOSTS"  # HOSTS = asked for; a host set; `here` = on the bot's own machine
    role: Role | None = None  # None: as the author says, else admin
    approvals: int | None = None
    confirm: bool | None = None
    timeout: Seconds | None = None
    lock: str | None = None


@dataclass(frozen=True)
class Schedule:
    """[schedule NAME]"""

    at: str = ""  # a cron line: minute hour day month weekday
    timezone: str = "UTC"
    run: str = ""
    into: Annotated[Words, "in"] = ()  # channels; `in` is taken in Python
    missed: Literal["run", "skip"] = "run"
    grace: Seconds = Seconds(3600)  # later than this, a missed run is only reported
    role: Role = Role.VIEWER


@dataclass(frozen=True)
class Health:
    """[health]: when a host is no longer fine."""

    load: float = 2.0  # per core, 5 minutes
    memory: Percent = Percent(90)
    swap: Percent = Percent(50)
    disk: Percent = Percent(90)
    inodes: Percent = Percent(90)
    clock: Seconds = Seconds(2)  # offset to the bot's clock
    uptime: Seconds = Seconds(600)  # up for less: has it just rebooted?


@dataclass(frozen=True)
class Settings:
    """The whole file."""

    path: Path = Path("ircops.ini")
    bot: Bot = Bot()
    networks: Mapping[str, Network] = field(default_factory=dict)
    channels: Mapping[str, Channel] = field(default_factory=dict)
    roles: Roles = Roles()
    ssh: Ssh = Ssh()
    hosts: Mapping[str, HostLine] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, Command] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    health: Health = Health()

    def channel(self, name: str) -> Channel:
        """The [channel …] section for `name`, in any case of letters, or the defaults."""
        folded = name.casefold()
        for known, channel in self.channels.items():
            if known.casefold() == folded:
                return channel
        return Channel()
