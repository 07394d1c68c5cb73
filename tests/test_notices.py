"""Where what nobody asked for goes: the right channels of the right networks, and trouble never into itself."""

from __future__ import annotations

import logging

import pytest

from ircops.call import Kind
from ircops.config import Bot, Join, Network, Settings
from ircops.notices import Notices
from ircops.quiet import Quiet
from tests.people import Heard


class Ours:
    """A network that notes what is said in which channel."""

    def __init__(self) -> None:
        self.said: dict[str, Heard] = {}

    def outlet(self, channel: str) -> Heard:
        return self.said.setdefault(channel, Heard())

    @property
    def lines(self) -> dict[str, list[str]]:
        return {channel: heard.lines for channel, heard in self.said.items() if heard.lines}


class Scene:
    """Two networks: #ops on both, #dev on the first."""

    def __init__(self, *trouble: str) -> None:
        names = {"one": ("#ops", "#dev"), "two": ("#Ops",)}
        networks = {
            name: Network(channels=tuple(map(Join, joins))) for name, joins in names.items()
        }
        settings = Settings(bot=Bot(trouble=trouble), networks=networks)
        self.one, self.two = Ours(), Ours()
        quiet = Quiet(settings.channel)
        self.notices = Notices(lambda: settings, {"one": self.one, "two": self.two}, quiet)


def test_a_bare_channel_is_meant_on_every_network_that_has_it_and_a_full_one_on_its_own() -> None:
    scene = Scene()
    scene.notices.to(("#ops",)).write(Kind.REPORT, "to both")
    scene.notices.to(("one/#OPS", "two/#dev")).write(Kind.REPORT, "to one")
    assert scene.one.lines == {"#ops": ["to both"], "#OPS": ["to one"]}
    assert scene.two.lines == {"#ops": ["to both"]}


def test_a_report_for_no_channel_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Scene().notices.to(("#gone",)).write(Kind.REPORT, "all good")
    assert "report for no channel: all good" in caplog.text


def test_trouble_with_a_channel_is_not_said_in_it() -> None:
    scene = Scene("#dev", "two/#ops")
    scene.notices.trouble("one", "#dev", "no longer in #dev")
    assert (scene.one.lines, scene.two.lines) == (
        {},
        {"#ops": ["trouble on one: no longer in #dev"]},
    )


def test_trouble_with_the_record_is_said_somewhere_in_any_case() -> None:
    scene = Scene()
    scene.notices.warn("the port is taken")  # nobody wants to know
    scene.notices.record_trouble("the disk is full")
    scene.notices.record_trouble("")
    told = [
        "nothing runs, since it cannot be recorded: the disk is full",
        "the record can be written again, and commands run",
    ]
    assert (scene.one.lines, scene.two.lines) == ({"#ops": told}, {"#Ops": told})
