"""Every command in the box, said in a channel, run on hosts that are there."""

from __future__ import annotations

import contextlib
import pkgutil
import re
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
import pytest

import ircops
from ircops import commands
from ircops.call import Sender
from ircops.demo.ssh_hosts import DemoHost, new_key
from ircops.errors import FAILED, OK, USAGE
from tests.bench import Bench, with_bot
from tests.people import until

COMMANDS = [module.name for module in pkgutil.iter_modules(commands.__path__)]
SETTINGS = """
[ssh]
user = ops
key = {directory}/key
config = {directory}/ssh_config
known_hosts = {directory}/known_hosts
agent = no
connect_timeout = 5

[hosts]
{hosts}

[groups]
web = web[1-2]
db = db1

[health]
load = 1000
memory = 100
swap = 100
disk = 100
inodes = 100
uptime = 0
clock = 1h
"""


def with_hosts(
    directory: Path, scene: Callable[[Bench], Awaitable[None]], more: str = "", down: str = ""
) -> None:
    """Run `scene` with a bot that has web1, web2 and db1, the one in `down` without a server."""
    key = new_key(directory / "key")
    with contextlib.ExitStack() as stack:
        ports, known = {}, []
        for name in ("web1", "web2", "db1"):
            if name == down:
                closed = stack.enter_context(socket.socket())
                closed.bind(("127.0.0.1", 0))  # ours, and nobody listens
                ports[name] = closed.getsockname()[1]
            else:
                server = stack.enter_context(DemoHost(name, key))
                ports[name] = server.port
                known.append(server.known_hosts_line)
        (directory / "known_hosts").write_text("\n".join(known) + "\n")
        rooms = {"web1": " room=attic", "web2": " room=attic"}
        lines = (f"{name} = 127.0.0.1:{port}{rooms.get(name, '')}" for name, port in ports.items())
        hosts = "\n".join(lines)
        with_bot(directory, SETTINGS.format(directory=directory, hosts=hosts) + more, scene)


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("load", r"load [\d.]+ [\d.]+ [\d.]+ on \d+ cores \(\d+ %\)"),
        ("uptime", r"up \d+ (min|h|d)"),
        ("mem", r"memory \d+ % of [\d.]+ GiB(, swap \d+ % of [\d.]+ GiB)?"),
        ("disk", r"/\S* \d+ % of \S+(, /\S* \d+ % of \S+)*"),
    ],
)
def test_what_hosts_say_of_themselves_is_short_and_folded(
    tmp_path: Path, command: str, answer: str
) -> None:
    async def scene(bench: Bench) -> None:
        said = await bench.say(f"{command} @all", "dave")
        assert said.code == FAILED
        *answers, failure = said.lines
        assert 1 <= len(answers) <= 2
        for line in answers:
            assert re.fullmatch(rf"web(\[1-2\]|\d): {answer}", line)
        assert failure.startswith("db1: ") and "refused" in failure
        assert (await bench.say(f"{command} web1")).code == OK

    with_hosts(tmp_path, scene, down="db1")


def test_health_tells_only_what_is_not_fine(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        said = await bench.say("health", "dave")
        assert (said.code, said.lines) == (OK, [click.style("health: 3 hosts ok", fg="green")])
        said = await bench.say("health web1", "dave")
        assert (said.code, said.lines[0]) == (OK, click.style("web1: ok", fg="green"))
        assert len(said.lines) <= 3

    with_hosts(tmp_path, scene)


def test_health_of_a_host_that_is_down_is_not_fine(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        said = await bench.say("health")
        assert said.code == FAILED
        assert said.lines[0] == click.style("health: 1 of 3 hosts not fine", fg="red")
        assert len(said.lines) == 2 and said.lines[1].startswith("db1: ")

    with_hosts(tmp_path, scene, down="db1")


def test_hosts_names_groups_and_counts(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        said = await bench.say("hosts", "dave")
        assert said.lines == ["3 hosts: db1,web[1-2]", "@web (2): web[1-2] · @db (1): db1"]
        said = await bench.say("hosts web1", "dave")
        assert said.lines[0] == "1 host: web1" and said.lines[2] == "@web (1): web1"
        assert re.fullmatch(r"ops@127\.0\.0\.1:\d+ room=attic", said.lines[1])
        said = await bench.say("hosts @room:attic", "dave")
        assert said.lines[0] == "2 hosts: web[1-2]"

    with_hosts(tmp_path, scene)


def test_ping_answers_for_the_bot_or_for_each_host(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        assert (await bench.say("ping", "dave")).lines == ["pong"]
        said = await bench.say("ping @all", "dave")
        assert said.code == FAILED
        assert re.fullmatch(r"web\d \d+ ms · web\d \d+ ms", said.lines[0])
        assert said.lines[1].startswith("db1: ")

    with_hosts(tmp_path, scene, down="db1")


def test_run_takes_several_words_literally_and_one_as_a_shell_line(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        async def run(line: str) -> list[str]:
            return (await bench.say(f"run web1 {line}", "carol")).lines

        assert await run("'echo a b | wc -w'") == ["web1: 2"]
        assert await run("echo 'a;' '$HOME' '|' wc -w") == ["web1: a; $HOME | wc -w"]
        assert await run("printf --  --help") == ["web1: --help"]

    with_hosts(tmp_path, scene)


def test_run_says_how_it_failed_and_gives_up_in_time(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        said = await bench.say("run @web 'exit 3'", "carol")
        assert (said.code, said.lines[1:]) == (FAILED, ["web[1-2]: exit 3"])
        said = await bench.say("run -t 1 web1 sleep 60", "carol")
        assert said.code == FAILED
        assert said.text.startswith("web1: timed out after 1 s")

    with_hosts(tmp_path, scene)


def test_a_job_is_listed_followed_and_killed(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        slow = bench.begin("run web1 'echo; sleep 600'", "carol")
        jobs = bench.bot.parts.jobs
        await until(lambda: any(results.so_far for job in jobs.running for results in job.runs))
        (job,) = jobs.running
        said = await bench.say("jobs", "dave")
        assert re.fullmatch(
            rf"#{job.number} carol run web1 'echo; sleep 600': running for \d s", said.text
        )
        assert "needs role operator" in (await bench.say(f"kill {job.number}", "dave")).text
        said = await bench.say(f"kill {job.number}", "bob")
        assert said.lines == [f"job {job.number} (run web1 'echo; sleep 600'): killed on web1"]
        assert (await slow.end()).code == FAILED
        assert "carol run web1 'echo; sleep 600': killed by bob" in (await bench.say("jobs")).text

    with_hosts(tmp_path, scene)


def test_tail_gives_the_last_lines(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.say("run web1 seq 9", "carol")
        assert (await bench.say("tail 1 -n 2", "dave")).lines == ["  8", "  9"]
        assert "no job 99" in (await bench.say("tail 99", "dave")).text

    with_hosts(tmp_path, scene)


def test_what_was_called_in_private_is_not_tailed_by_viewers(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.say("coffee", "carol", where="")
        assert "is for carol and operators" in (await bench.say("tail 1", "dave")).text
        for who in ("carol", "alice"):
            assert "418" in (await bench.say("tail 1", who)).text

    with_bot(tmp_path, "", scene)


SCHEDULE = """
[schedule report]
at = 0 9 * * mon-fri
run = coffee
"""


def test_schedules_are_listed_by_viewers_and_paused_by_operators(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        assert re.fullmatch(
            r"report: coffee at 0 9 \* \* mon-fri UTC · next \w+ 09:00",
            (await bench.say("schedule", "dave")).text,
        )
        assert "needs role operator" in (await bench.say("schedule pause report", "dave")).text
        assert (await bench.say("schedule pause report")).code == OK
        assert (await bench.say("schedule")).text.endswith("UTC · paused by alice")
        assert (await bench.say("schedule resume report")).code == OK
        assert "no schedule rapport" in (await bench.say("schedule pause rapport")).text

    with_bot(tmp_path, SCHEDULE, scene)


def test_a_schedule_runs_now_if_told_to(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        assert (await bench.say("schedule run report")).lines == ["schedule report runs now"]
        record = bench.bot.parts.record
        await until(lambda: any(entry.user == "schedule:report" for entry in record.entries()))
        await until(lambda: not bench.bot.parts.jobs.running)

    with_bot(tmp_path, SCHEDULE, scene)


def test_nothing_scheduled_is_said(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        assert "nothing is scheduled" in (await bench.say("schedule", "dave")).text

    with_bot(tmp_path, "", scene)


def test_the_record_has_a_line_for_each_call(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.say("coffee", "bob")
        await bench.say("run web1 id", "dave")
        said = await bench.say("record", "dave")
        assert len(said.lines) == 2
        assert re.fullmatch(r"#1 \d\d:\d\d bob coffee: ok \(\d\.\d s\)", said.lines[0])
        assert re.fullmatch(r"#2 \d\d:\d\d dave run web1 id: run needs role admin.*", said.lines[1])

    with_hosts(tmp_path, scene)


def test_the_record_is_asked_for_what_one_looks_for(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.say("coffee", "bob")
        await bench.say("version")
        assert "version" in (await bench.say("record --last 1")).text
        assert "bob coffee" in (await bench.say("record --user bob --since 1h")).text
        assert "bob coffee" in (await bench.say("record --command coffee")).text
        assert (await bench.say("record --host web1")).lines == ["nothing on the record fits"]
        for nonsense in ("--since yesterday", "--since 99999d", "9999999999999999999999"):
            said = await bench.say(f"record {nonsense}")
            assert (said.code, len(said.lines)) == (USAGE, 1)

    with_bot(tmp_path, "", scene)


def test_the_record_tells_the_circumstances_of_one_call(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        await bench.say("uptime @web", "dave")
        _, circumstances = (await bench.say("record 1")).lines
        assert circumstances.startswith(
            "viewer dave!dave@host.example · account dave by account-tag · in test #ops · on web[1-2] · "
        )

    with_hosts(tmp_path, scene)


CONSENT = """
[command coffee]
confirm = yes
[command version]
approvals = 1
"""


def test_consent_is_given_and_refused(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        coffee = bench.begin("coffee", "dave")
        await until(lambda: coffee.heard.lines)
        plan = hash_in(coffee.heard.lines[0])
        assert (await bench.say(f"confirm {plan}", "dave")).code == OK
        assert (await coffee.end()).code == OK

        version = bench.begin("version", "dave")
        await until(lambda: version.heard.lines)
        plan = hash_in(version.heard.lines[0])
        assert (await bench.say(f"approve {plan}", "dave")).code == FAILED
        assert (await bench.say(f"approve {plan}", "alice")).code == OK
        assert (await version.end()).code == OK

        version = bench.begin("version", "dave")
        await until(lambda: version.heard.lines)
        plan = hash_in(version.heard.lines[0])
        assert (await bench.say(f"deny {plan} not on Fridays", "alice")).code == OK
        assert "denied by alice: not on Fridays" in (await version.end()).text

    with_bot(tmp_path, CONSENT, scene)


def hash_in(question: str) -> str:
    found = re.search(r"!(?:approve|confirm) (\w+)", question)
    assert found, question
    return found[1]


def test_people_learn_who_they_are_and_what_runs_here(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        said = await bench.say("whoami")
        assert (
            said.text
            == "you are alice, operator (account alice by account-tag; [roles] operator = alice)"
        )
        said = await bench.say("version", "dave")
        assert said.text.startswith(f"ircops {ircops.__version__} on Python 3.")
        assert "RFC 2324" in (await bench.say("coffee", "dave")).text

    with_bot(tmp_path, "", scene)


def test_more_gives_what_was_held_back(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        assert (await bench.say("more")).lines == ["nothing was held back"]
        asked = bench.begin("more")
        asked.heard.held = ["one", "two"]
        assert (await asked.end()).lines == ["one", "two"]

    with_bot(tmp_path, "", scene)


def test_help_lists_what_one_may_run_and_explains_it(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        assert "run" not in (await bench.say("help", "dave")).lines[0].split()
        assert "run" in (await bench.say("help", "carol")).lines[0].split()
        assert "usage: load HOSTS" in (await bench.say("help load", "dave")).text
        assert "did you mean load" in (await bench.say("help laod", "dave")).text

    with_bot(tmp_path, "", scene)


def test_reload_reads_the_settings_again(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        assert "needs role admin" in (await bench.say("reload")).text
        ini = tmp_path / "ircops.ini"
        ini.write_text(ini.read_text() + "\n[schedule more]\nat = 0 9 * * *\nrun = coffee\n")
        assert (await bench.say("reload", "carol")).code == OK
        assert "more: coffee" in (await bench.say("schedule")).text

    with_bot(tmp_path, "", scene)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_in_a_few_lines(tmp_path: Path, name: str) -> None:
    async def scene(bench: Bench) -> None:
        command = bench.bot.parts.catalog.root.commands[name]
        first = (command.help or "").split("\n")[0]
        assert first[:1].isupper() and first.endswith(".") and len(first) <= 70
        said = await bench.say(f"{name} --help", "carol")
        assert said.code == OK
        assert said.lines[0].startswith(f"usage: {name}")
        assert len(said.lines) <= 3

    with_bot(tmp_path, "", scene)


def test_importing_ircops_costs_nothing() -> None:
    code = "import sys, ircops; print(*({'click', 'paramiko', 'ircops.policy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'rnu'"):
        _ = ircops.rnu


def test_maintenance_silences_hosts_and_says_so(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        assert (await bench.say("maintenance", "dave")).lines == ["no host is in maintenance"]
        assert (await bench.say("maintenance web1 2h", "dave")).code != OK
        said = await bench.say("maintenance web[1-2] 2h don't wake me")
        assert re.fullmatch(
            r"web\[1-2\]: silent until \w{3} \d\d:\d\d UTC, alice: don't wake me; maintenance end web\[1-2\] ends it",
            said.text,
        )
        assert (await bench.say("maintenance web1 soon")).code == USAGE
        assert (await bench.say("maintenance")).text.startswith("web[1-2]: until ")
        said = await bench.say("health", "dave")
        assert said.lines[1].startswith("in maintenance: web[1-2]: until ")
        assert (await bench.say("maintenance end web1")).lines == ["web1: heard again"]
        assert (await bench.say("maintenance")).text.startswith("web2: until ")

    with_hosts(tmp_path, scene)


def test_a_terminal_gets_a_table(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        console = Sender("console", "root", "root", evidence="SO_PEERCRED")
        said = await bench.say("health", console, "")
        plain = [click.unstyle(line) for line in said.lines]
        assert plain[0].split() == "HOST LOAD MEM SWAP DISK UP STATE".split()
        assert [line.split()[0] for line in plain[1:]] == ["db1", "web1", "web2", "health:"]

    with_hosts(tmp_path, scene)


def test_checks_are_a_part_of_health(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        said = await bench.say("health")
        assert said.code == FAILED
        assert click.unstyle(said.lines[0]) == "health: 1 of 3 hosts not fine, 1 check fails"
        assert said.lines[1:] == [
            "db1: mine warning: queue is long",
            "here: ours critical: exit 2",
        ]
        assert bench.bot.parts.samples.measures("db1")[-1] == "up"
        assert "mine:depth" in bench.bot.parts.samples.measures("db1")

    more = """
[check mine]
run = echo 'WARNING - queue is long | depth=12'; exit 1
on = @db
[check ours]
run = exit 2
"""
    with_hosts(tmp_path, scene, more)


@pytest.mark.parametrize(
    ("verbosity", "said"),
    [
        ("all", ["ok", "ok", "bad", "bad", "ok"]),
        ("changes", ["ok", "bad", "ok"]),
        ("problems", ["bad", "bad"]),
    ],
)
def test_a_channel_hears_as_much_of_a_schedule_as_it_wants(
    verbosity: str, said: list[str], tmp_path: Path
) -> None:
    flag = tmp_path / "flag"

    async def scene(bench: Bench) -> None:
        heard = []
        morning = Sender("schedule", "morning", "morning", network="test", evidence="ircops.ini")
        for is_bad in (False, False, True, True, False):
            if is_bad:
                flag.touch()
            else:
                flag.unlink(missing_ok=True)
            heard += (await bench.say("health", morning)).lines[:1]
        summaries = [click.unstyle(line) for line in heard]
        assert ["bad" if "fails" in line else "ok" for line in summaries] == said
        assert all(line.startswith("health: ") for line in summaries)

    more = f"""
[network test]
server = 127.0.0.1:1
channels = #ops
[channel #ops]
verbosity = {verbosity}
[check flag]
run = test ! -e {flag}
[schedule morning]
at = 0 9 * * *
run = health
in = #ops
"""
    with_hosts(tmp_path, scene, more)
