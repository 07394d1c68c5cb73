"""What changed things: the right entries, folded, with the times of people; and `!changes` on a whole bot."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ircops.call import Sender
from ircops.console import own_user
from ircops.errors import OK
from ircops.ops.changes import changes
from ircops.policy import Role
from ircops.record import Entry
from ircops.store.chain import BLANK
from tests.bench import Bench, with_bot
from tests.people import until
from tests.test_commands_box import with_hosts

NOW = datetime(2026, 11, 22, 12).astimezone()
ROLES = {"deploy": Role.OPERATOR, "load": Role.VIEWER, "logs": Role.OPERATOR}


def entry(seq: int, minutes: float, line: str = "", event: str = "ended", **other: Any) -> Entry:
    said = BLANK | {"seq": seq, "event": event, "line": line, "command": line.partition(" ")[0]}
    del said["milliseconds"]
    is_over = event == "ended"
    said |= {
        "call": seq,
        "user": "alice",
        "door": "irc",
        "approvers": (),
        "outcome": "ok" * is_over,
    }
    said |= {"at": NOW - timedelta(minutes=minutes), "seconds": 1.0 if is_over else None}
    return Entry(**(said | other))


def told(*entries: Entry, hosts: tuple[str, ...] = ()) -> list[str]:
    return [change.told(NOW) for change in changes(entries, ROLES, hosts)]


def test_what_is_for_viewers_or_only_looks_or_did_not_run_is_left_out() -> None:
    assert told(
        entry(1, 9, "load @web"),
        entry(2, 8, "logs web1"),
        entry(3, 7, "deploy shop", event="refused", seconds=None, outcome="needs role operator"),
        entry(4, 6, "deploy --dry-run shop", seconds=None, outcome="dry run"),
        entry(5, 5, "deploy shop", event="asked"),
        entry(6, 4, "deploy shop", hosts="web[1-2]"),
    ) == ["11:56 alice: deploy shop on web[1-2]: ok"]


def test_what_runs_by_the_clock_is_denied_or_of_an_unknown_command_or_is_news_is_in_it() -> None:
    assert told(
        entry(1, 9, "load @web", door="schedule", user="schedule:morning", hosts="web[1-3]"),
        entry(2, 8, "deploy shop", event="refused", outcome="deploy shop: denied by bob: not now"),
        entry(3, 7, "gone for good"),
        entry(4, 6, event="reloaded", call=None, outcome=""),
        entry(5, 5, "deploy shop", event="started"),
        entry(6, 4, "web1: disk full", event="alert", call=None, outcome=""),
    ) == [
        "11:51 schedule:morning: load @web on web[1-3]: ok",
        "11:52 alice: deploy shop: denied by bob: not now",
        "11:53 alice: gone for good: ok",
        "11:54 settings read",
        "11:55 alice: deploy shop: has not ended",
        "11:56 alert: web1: disk full",
    ]


def test_the_same_done_again_is_one_line_in_the_place_of_the_last() -> None:
    said = [entry(n, 60 - 5 * n, "deploy shop") for n in range(1, 4)]
    other = entry(9, 50, "deploy bank")
    assert told(*said[:2], other, said[2]) == [
        "11:10 alice: deploy bank: ok",
        "11:05-11:15 alice: deploy shop: ok, 3 times",
    ]
    yesterday = entry(1, 60 * 24, "deploy shop")
    assert told(yesterday) == ["2026-11-21 12:00 alice: deploy shop: ok"]


def test_of_hosts_only_what_reached_one_of_them() -> None:
    entries = [
        entry(1, 9, "deploy a", hosts="web[1-2]"),
        entry(2, 8, "deploy b", hosts="web[2-3],db1"),
        entry(3, 7, "deploy c"),
    ]
    assert told(*entries, hosts=("web3", "db9")) == [
        "11:52 alice: deploy b on web[2-3],db1: ok",
    ]
    assert told(*entries, hosts=("web2",))[0] == "11:51 alice: deploy a on web[1-2]: ok"


SETTINGS = """
[command touch]
run = true
role = operator

[command tell]
run = echo {word}
on = here
role = operator

[schedule night]
at = 0 3 1 1 *
run = version
"""


def test_one_list_of_commands_schedules_locks_and_what_was_denied(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        assert (await bench.say("changes")).lines == ["nothing was changed in the last 1h"]
        await bench.say("load web1")
        await bench.say("touch web[1-2]")
        await bench.say("tell me")
        await bench.say("lock deploy")
        await bench.say("log moved web3")
        await bench.say("schedule run night")
        await until(lambda: any(job.command == "version" for job in bench.bot.parts.jobs.recent))
        said = (await bench.say("changes", Sender("console", own_user(), own_user()), "")).lines
        clocks, words = zip(*(line.split(" ", 1) for line in said[:4]), strict=True)
        assert words == (
            "alice: touch web[1-2]: ok",
            "alice: tell me: ok",
            "alice: lock deploy: ok",
            "alice: log moved web3: ok",
        )
        assert all(re.fullmatch(r"\d\d:\d\d", clock) for clock in clocks)
        assert {line.split(" ", 1)[1] for line in said[4:]} == {
            "alice: schedule run night: ok",
            "schedule:night: version: ok",
        }
        said = (await bench.say("changes 30m @web")).lines
        assert said[0] == "besides 5 that reached no host, such as locks and settings: changes 30m"
        assert said[1].endswith("alice: touch web[1-2]: ok")
        assert (await bench.say("changes db1 2h")).lines[
            -1
        ] == "nothing was changed in the last 2h on db1"
        assert "unknown host wbe1" in (await bench.say("changes wbe1")).text
        assert "one time span is enough" in (await bench.say("changes 1h 2h")).text

    with_hosts(tmp_path, scene, SETTINGS)


def test_in_a_channel_the_newest_come_first_and_the_rest_waits(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        for word in "abcdefgh":
            assert (await bench.say(f"tell {word}")).code == OK
        said = [line.split(": ")[1] for line in (await bench.say("changes")).lines]
        assert said == [f"tell {word}" for word in "defghabc"]

    with_bot(tmp_path, SETTINGS, scene)
