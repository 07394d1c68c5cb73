"""!server with commands of one's own, on a host over a real sshd and on the bot's machine; what it asks, and of whom."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ircops.errors import FAILED, OK
from ircops.ssh.hostkeys import fingerprint
from tests.bench import Bench, with_bot
from tests.people import until
from tests.real.sshd import Sshd
from tests.real.test_servers_podman import destroyed, plain, yes

# A "machine" is an address of the sshd, under the name of its id; all words that came are kept.
LAB = r"""#!/usr/bin/env python3
import base64, json, os, pathlib, sys
here = pathlib.Path(sys.argv[0]).parent
rows = here / "rows"
known = json.loads(rows.read_text()) if rows.exists() else {}
verb, *words = sys.argv[1:]
with open(here / "called", "a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
if verb == "create":
    if (here / "full").exists():
        print("a warning", file=sys.stderr)
        sys.exit("no room left")
    name, label, size, port, pin = words[0], words[1], words[3], words[4], words[5]
    known[f"id-{name}"] = dict(name=name, label=label, state="running", port=port, host_key=pin)
elif verb == "list":
    pass
elif verb == "destroy":
    known.pop(words[0], None)
elif verb == "resize":
    sys.exit("no other sizes today")
else:
    known[words[0]]["state"] = {"start": "running", "stop": "stopped"}[verb]
rows.write_text(json.dumps(known))
for id, row in known.items():
    if verb == "list" or verb == "create" and row["name"] == words[0]:
        print(f"id={id} address=127.0.1.{int(id[-1])}", *(f"{key}={value}" for key, value in row.items()))
"""

SETTINGS = """
[ssh]
user = {user}
key = {at}/client
config = {at}/no_ssh_config
known_hosts = {at}/known_hosts
agent = no

[hosts]
hv3 = 127.0.0.1:{port}

[groups]
db = db1

[access db]
command = *
hosts = @db
role = admin

[provider lab]
kind = command
{host}
images = debian=x;touch${{IFS}}pwned
sizes = small=$(reboot) large=2
user = {user}
deadline = 20s
create = {lab} create {{name}} {{label}} {{image}} {{size}} {port} {pin}
list = {lab} list
start = {lab} start {{id}}
stop = {lab} stop {{id}}
destroy = {lab} destroy {{id}}
resize = {lab} resize {{id}} {{size}}
"""

Play = Callable[[Callable[[Bench], Awaitable[None]]], None]


@pytest.fixture(params=["host = hv3", ""], ids=["over ssh", "here"])
def play(request: pytest.FixtureRequest, sshd: Sshd, tmp_path: Path) -> Play:
    lab = tmp_path / "lab"
    lab.write_text(LAB)
    lab.chmod(0o755)
    settings = SETTINGS.format(
        user=sshd.user,
        at=sshd.directory,
        port=sshd.port,
        host=request.param,
        lab=lab,
        pin=fingerprint(base64.b64decode(sshd.host_key().split()[1])),
    )
    return lambda scene: with_bot(tmp_path, settings, scene)


def test_a_machine_by_commands(play: Play, tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        made = await bench.say("server create m")
        assert made.code == OK, made.heard.said
        assert plain(made).startswith("m1: 127.0.1.1:") and "(lab small debian)" in plain(made)
        called = json.loads((tmp_path / "called").read_text().splitlines()[0])
        assert called[3:5] == ["x;touch${IFS}pwned", "$(reboot)"]  # as they are, by no shell
        assert not list(tmp_path.rglob("pwned"))
        assert plain(await bench.say("load @lab")).startswith("m1: load ")
        await yes(bench, "server stop m1", "m1: stopped")
        assert plain(await bench.say("server")).startswith("m1: stopped at 127.0.1.1:")
        assert "m1: started, answers at 127.0.1.1:" in plain(await bench.say("server start m1"))
        await yes(bench, "server resize m1 large", "no other sizes today")
        await yes(
            bench, "server reboot m1", "this provider cannot reboot; give it a line reboot = …"
        )
        shown = plain(await bench.say("server show m1")).splitlines()
        assert len(shown) == 3 and "by alice (job 1) · group @lab" in shown[1]
        assert "host key SHA256:" in shown[2]
        assert (await destroyed(bench, "m1")).endswith("m1: destroyed")
        assert json.loads((tmp_path / "rows").read_text()) == {}

    play(scene)


def test_what_its_provider_refuses_is_said_and_leaves_no_row(play: Play, tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        (tmp_path / "full").touch()
        failed = await bench.say("server create m")
        assert failed.code == FAILED
        assert plain(failed).endswith("lab: no room left; nothing is left of it")
        assert plain(await bench.say("server")) == "no machines; server create NAME makes one"

    play(scene)


def test_drift_is_told_with_what_to_do(play: Play, tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        for _ in range(3):
            assert (await bench.say("server create m")).code == OK
        rows = tmp_path / "rows"
        there = json.loads(rows.read_text())
        there["id-m1"]["state"] = "stopped"
        del there["id-m2"]
        there["id-x9"] = {
            **there["id-m3"],
            "name": "x9",
            "label": "6972636f-0000-4000-8000-000000000000",
        }
        there["id-y9"] = {**there["id-m3"], "name": "y9", "label": "somebody-else"}
        rows.write_text(json.dumps(there))
        lines = plain(await bench.say("server list")).splitlines()
        assert lines[0].startswith("m1: stopped at 127.0.1.1:")
        assert lines[0].endswith(" · lab small debian · stopped, not by server: server start m1")
        assert lines[1] == "m2: gone from lab: server destroy m2 forgets it · lab small debian"
        assert lines[2].endswith(" · lab small debian")
        assert lines[3:] == ["x9: unknown here, though an ircops made it: server adopt x9 --on lab"]
        adopted = plain(await bench.say("server adopt x9", "carol"))
        assert adopted == "x9: adopted from lab (id id-x9)"
        assert "load" in plain(await bench.say("load x9"))
        (tmp_path / "lab").chmod(0o644)
        told = plain(await bench.say("server")).splitlines()
        assert len(told) == 4 and all("ermission denied" in line for line in told)
        (tmp_path / "lab").chmod(0o755)
        assert plain(await bench.say("server adopt y9", "carol")).startswith("y9: adopted")
        assert len((await destroyed(bench, "m[1-3],x9,y9")).splitlines()) == 6

    play(scene)


def test_consent_is_to_this_very_machine(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        await bench.say("server create m")
        asked = bench.begin("server destroy m1")
        await until(lambda: asked.heard.said)
        first = asked.heard.said[0][1]
        assert "server destroy m1 on m1, id id-m1" in first
        rows = bench.bot._machines
        rows.change(rows.find("m1"), id="id-other")
        digest = first.split("!approve ")[1].split()[0]
        await bench.say(f"approve {digest}", "bob")
        said = await asked.end()
        assert said.code == FAILED
        assert plain(said).endswith("the consent is void, for its id is another one now; ask again")
        rows.change(rows.find("m1"), id="id-m1")
        await destroyed(bench, "m1")

    play(scene)


def test_who_may_do_what(play: Play) -> None:
    async def scene(bench: Bench) -> None:
        refused = plain(await bench.say("server create m", "dave"))
        assert "needs role operator" in refused
        assert (
            plain(await bench.say("server", "dave")) == "no machines; server create NAME makes one"
        )
        assert "a host m1" not in plain(await bench.say("server list", "dave"))
        assert "needs role operator" in plain(await bench.say("server extend hv3 4h", "dave"))
        wrong = plain(await bench.say("server extend hv3 forever"))
        assert "a time span is written 30m, 8h or 2d" in wrong
        assert plain(await bench.say("server extend hv3 4h")) == (
            "hv3 is not a machine of server; server adopt takes one that there is"
        )

    play(scene)
