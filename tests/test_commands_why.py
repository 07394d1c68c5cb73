"""!why and !help: what allows or forbids a call is named with its line, and nothing runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ircops.errors import USAGE
from tests.bench import Bench, with_bot
from tests.people import on_irc

SETTINGS = """
[network test]
server = 127.0.0.1:1
tls = no
channels = #ops #quiet

[channel #quiet]
commands = help why coffee

[hosts]
web1 = 127.0.0.1:1
db1 = 127.0.0.1:1

[command deploy]
run = touch {directory}/{{service}}-{{env}}
on = here
role = operator
approvals = 2
confirm = yes

[command cut]
run = true
on = here
role=operator
totp = yes

[access deploy-prod]
command = deploy
when = env=prod
role = admin

[access databases]
command = *
hosts = db1
accounts = bob
"""


def line_of(directory: Path, text: str) -> str:
    path = directory / "ircops.ini"
    return f"{path}:{path.read_text().splitlines().index(text) + 1}"


def test_why_names_the_line_that_decides(tmp_path: Path) -> None:
    cases = [
        (
            "why deploy shop prod",
            "no: deploy needs role admin ([access deploy-prod]); yours is operator",
            "alice is operator: [roles] operator = alice ({operator = alice bob})",
            "decided by [access deploy-prod] ({[access deploy-prod]})"
            "; it asks for 2 approvals, a confirmation",
        ),
        (
            "why @me deploy shop staging",
            "yes: alice may run deploy",
            "alice is operator: [roles] operator = alice ({operator = alice bob})",
            "decided by [command deploy] role = operator ({role = operator})"
            "; it asks for 2 approvals, a confirmation",
        ),
        (
            "why @CAROL deploy shop prod",
            "yes: CAROL may run deploy",
            "CAROL is admin: [roles] admin = carol ({admin = carol})",
            "decided by [access deploy-prod] ({[access deploy-prod]})"
            "; it asks for 2 approvals, a confirmation",
        ),
        (
            "why ping web1,db1",
            "no: ping is for bob ([access databases])",
            "alice is operator: [roles] operator = alice ({operator = alice bob})",
            "decided by [access databases] ({[access databases]})",
        ),
        (
            "why @test/bob ping web1,db1",
            "yes: bob may run ping",
            "bob is operator: [roles] operator = bob ({operator = alice bob})",
            "decided by [access databases] ({[access databases]}), then ping itself: role viewer",
        ),
        (
            "why @unix:deploy run",
            "no: run needs role admin; you have none",
            "unix:deploy is nobody: in no list of [roles]",
            "decided by run itself: role admin",
        ),
        (
            "why cut",
            "no: cut needs a one-time code, and you have none yet: "
            "have an admin run ircops totp add alice on the bot's machine",
            "alice is operator: [roles] operator = alice ({operator = alice bob})",
            "decided by [command cut] role = operator ({role=operator})",
        ),
        (
            "why deploy",
            "yes: alice may run deploy with some arguments",
            "alice is operator: [roles] operator = alice ({operator = alice bob})",
            "decided by [command deploy] role = operator ({role = operator})"
            "; it asks for 2 approvals, a confirmation",
        ),
        (
            "why @root help",
            "yes: root may run help",
            "root is viewer: [roles] viewer = * ({viewer = *})",
            "decided by help itself: role viewer",
        ),
    ]

    async def scene(bench: Bench) -> None:
        for asked, *answer in cases:
            lines = (await bench.say(asked)).lines
            expected = [
                re.sub(r"\{(.+?)\}", lambda text: line_of(tmp_path, text[1]), line)
                for line in answer
            ]
            assert lines == expected, asked
        elsewhere = (await bench.say("why ping web1", where="#quiet")).lines
        assert elsewhere[0] == "no: ping is not for #quiet; here: help why coffee"
        place = line_of(tmp_path, "commands = help why coffee")
        assert elsewhere[2] == f"decided by [channel #quiet] ({place})"
        assert not list(tmp_path.glob("shop-*"))

    with_bot(tmp_path, SETTINGS.format(directory=tmp_path), scene)


@pytest.mark.parametrize(
    ("line", "who", "answer"),
    [
        ("why @carol coffee", "dave", "only operators ask about others; leave the account out"),
        (
            "why @carol",
            "alice",
            "name a call, too: why @alice deploy shop prod · usage: why CALL...",
        ),
        ("why deploy shop", "alice", "missing argument 'ENV' · usage: deploy SERVICE ENV"),
        ("why delpoy shop", "alice", "unknown command delpoy; did you mean deploy? · list: help"),
        ("help deploy", "dave", "deploy is not for you; why deploy says why"),
        ("schedule paus x", "alice", "schedule has no paus; did you mean pause?"),
        ("schedule paus x", "dave", "schedule has no paus"),
    ],
)
def test_what_is_no_answer_says_what_to_do(
    tmp_path: Path, line: str, who: str, answer: str
) -> None:
    async def scene(bench: Bench) -> None:
        said = await bench.say(line, who)
        assert said.code in (1, USAGE)
        assert said.text.startswith(answer)

    with_bot(tmp_path, SETTINGS.format(directory=tmp_path), scene)


def test_help_shows_what_one_may_run_where_one_asks(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        assert (await bench.say("help", where="#quiet")).lines[
            0
        ] == "commands: coffee help totp why"
        assert "deploy" in (await bench.say("help")).lines[0].split()
        assert "deploy" not in (await bench.say("help", "dave")).lines[0].split()
        groups = {"alice": "pause resume run", "dave": ""}
        for who, inside in groups.items():
            lines = (await bench.say("help schedule", who)).lines
            assert (f"schedule: {inside}" in lines) == bool(inside), lines
        stranger = on_irc("eve", account="", in_channel=False)
        assert "needs role viewer" in (await bench.say("help", stranger, where="")).text

    with_bot(tmp_path, SETTINGS.format(directory=tmp_path), scene)
