"""[health], [check NAME] and [watch NAME]: what is looked at, and when it is no longer fine."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated

from ircops import shapes
from ircops.errors import OpsError, sentence
from ircops.kinds import Faults, Percent, Seconds, Wait, Words

if TYPE_CHECKING:
    from ircops.config import Settings

KEPT = 180 * 86400  # seconds


@dataclass(frozen=True)
class Limits:
    """[health @db], [health web1]: what is different there; None = as [health] says."""

    load: float | None = None
    memory: Percent | None = None
    swap: Percent | None = None
    disk: Percent | None = None
    inodes: Percent | None = None
    clock: Seconds | None = None
    uptime: Seconds | None = None
    temperature: float | None = None
    errors: float | None = None
    lasts: Annotated[Seconds | None, "for"] = None
    clear: Percent | None = None


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
    temperature: float = 90.0  # °C
    errors: float = 60.0  # of its network, a minute
    lasts: Annotated[Seconds, "for"] = Seconds(0)  # sooner it is no fault; `for` is Python's
    clear: Percent = Percent(5)  # so much of the limit below it, a fault is over
    soon: Seconds = Seconds(7 * 86400)  # a disk that will be full by then is told of
    keep: Wait = Seconds(KEPT)  # how long samples are kept

    def with_limits(self, *limits: Limits) -> Health:
        """What holds for a host that these are about, the last stands above all."""
        health = self
        for one in limits:
            stated = {field.name: getattr(one, field.name) for field in fields(one)}
            health = replace(health, **{k: v for k, v in stated.items() if v is not None})
        return health


@dataclass(frozen=True)
class Check:
    """[check NAME]: a program with the exit codes of Nagios plugins, or one of the checks that are built in."""

    run: str = ""
    http: str = ""
    tcp: shapes.Word = ""
    tls: shapes.Word = ""
    days: float = 14.0  # a certificate must be good for so long
    on: shapes.Nodes = "here"  # hosts, or the bot's own machine
    every: Seconds = Seconds(0)  # in a watch not more often; 0 = in each round
    timeout: Wait = Seconds(10)
    lasts: Annotated[Seconds, "for"] = Seconds(0)

    def faults(self) -> Faults:
        """What the section lacks or contradicts."""
        ways = [key for key in ("run", "http", "tcp", "tls") if getattr(self, key)]
        if not ways:
            yield "*", "says nothing: give it run, http, tcp or tls"
        elif len(ways) > 1:
            yield ways[1], f"has {' and '.join(ways)}; keep one"
        elif self.http and not re.match(r"https?://[^\s/]", self.http):
            yield "http", "needs a URL: http = https://www.example.org/"
        elif (address := self.tcp or self.tls) and not re.fullmatch(r"\S+:\d+", address):
            yield ways[0], f"needs host:port: {ways[0]} = www.example.org:443"
        elif self.on != "here" and not self.run and "{host}" not in getattr(self, ways[0]):
            yield "on", f"has hosts, but {ways[0]} is the same for all: write {{host}} in it"


@dataclass(frozen=True)
class Watch:
    """[watch NAME]: what is looked at all the time, and where a change is said."""

    hosts: shapes.Nodes = "@all"
    every: Wait = Seconds(30)
    checks: Words = ("health",)  # or names of [check …]
    into: Annotated[tuple[shapes.Place, ...], "in"] = ()  # channels; `in` is taken in Python

    def faults(self) -> Faults:
        """What the section lacks."""
        if not self.into:
            yield "in", "needs channels: in = #ops"
        if self.every < 1:
            yield "every", "has less than a second"


def unknown_hosts(settings: Settings, resolve: Callable[[str], object]) -> list[str]:
    """A sentence for each of these sections that is about hosts that there are not; `resolve` is the inventory's."""
    places = [(f"health {name}", "", name) for name in settings.limits]
    places += [(f"check {n}", "on", check.on) for n, check in settings.checks.items()]
    places += [(f"watch {n}", "hosts", watch.hosts) for n, watch in settings.watches.items()]
    told = []
    for section, key, hosts in places:
        try:
            if hosts not in ("here", "@all"):
                resolve(hosts)
        except OpsError as error:
            told.append(f"{settings.place(section, key)}: {sentence(error)}")
    return told
