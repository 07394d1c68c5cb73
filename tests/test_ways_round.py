"""The ways round the rules that people would try, each tried on a whole bot: none leads to what a rule forbids.

More of them stand where they belong: a taken nick and services that go in real/test_irc_identity.py, typos in the ini
in test_rules.py, what is quoted for a shell in test_recipes.py.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from ircops import ini
from ircops.bot import Bot
from ircops.call import SERVICES_AWAY, Sender
from ircops.errors import FAILED, OK, BadConfig
from tests.bench import Asked, Bench, with_bot
from tests.people import on_irc, until
from tests.scripted_ircd import ScriptedIrcd

SETTINGS = """
[network test]
server = 127.0.0.1:1
tls = no
channels = #ops

[hosts]
web1 = 127.0.0.1:1
db1 = 127.0.0.1:1

[command release]
run = echo released {service} to {env}
on = here
role = operator

[access prod]
command = release
when = env=prod
role = admin

[command restart]
run = echo restarted {service}
on = here
role = operator
approvals = 1

[command halt]
run = echo halted {service}
on = here
role = operator
approvals = 2

[command cut]
run = echo cut
on = here
role = operator
totp = yes

[access db]
command = *
hosts = db1
role = admin
"""


def tried(directory: Path, scene: Callable[[Bench], Awaitable[None]], more: str = "") -> None:
    with_bot(directory, SETTINGS + more, scene)


async def shown(asked: Asked) -> str:
    """The hash of the plan that waits."""
    await until(lambda: asked.heard.lines or asked.task.done())
    return re.findall(r"!approve (\w+)", asked.heard.lines[-1])[0]


def started(bench: Bench) -> list[str]:
    entries = bench.bot.parts.record.entries(last=100)
    return [entry.line for entry in entries if entry.event == "started"]


# -- who --


def test_a_taken_nick_is_nobody(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        for account in ("", "mallory", "аlice", "alice\N{ZERO WIDTH SPACE}", "ａlice"):
            said = await bench.say("release shop staging", on_irc("alice", account=account))
            assert said.code == FAILED and "needs role operator" in said.text
        assert not started(bench)

    tried(tmp_path, scene)


def test_a_mask_or_channel_that_looks_like_an_account_is_none(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        for account in ("*", "unix:root", "mask:*!*@*", "test/carol", "alice bob"):
            said = await bench.say("release shop prod", on_irc("x", account=account))
            assert "needs role" in said.text
        console = Sender("console", "carol", "carol")
        assert "needs role" in (await bench.say("release shop prod", console, "")).text

    tried(tmp_path, scene)


def test_while_services_are_away_nobody_new_is_anybody(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        carol = on_irc("carol", account="", evidence=SERVICES_AWAY)
        said = await bench.say("release shop prod", carol)
        assert said.text == (
            "release needs role operator; yours is viewer"
            " (services are away, so nobody can prove who they are: wait, or use ircops do)"
        )

    tried(tmp_path, scene)


@pytest.mark.parametrize(
    "approver",
    [
        on_irc("alice_", account="alice"),
        on_irc("al", account="ALICE"),
        on_irc("alice", network="other"),
        Sender("console", "alice", "alice"),
        on_irc("alice", account="bob", person=7),  # logged in anew on the same connection
    ],
)
def test_the_asker_is_the_asker_under_any_name(tmp_path: Path, approver: Sender) -> None:
    roles = "[roles]\noperator = alice bob unix:alice mask:alice!*@*\nviewer = *\n"

    async def scene(bench: Bench) -> None:
        asked = bench.begin("restart shop", on_irc("alice", person=7))
        said = await bench.say(f"approve {await shown(asked)}", approver)
        assert said.text == "you asked for it, so somebody else must approve it"
        asked.call.stop.ask("enough")
        await asked.end()
        assert "restart shop" not in started(bench)

    with_bot(tmp_path, SETTINGS, scene, roles)


def test_two_approvals_by_one_person_are_one(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        asked = bench.begin("halt shop", "alice")
        approve = f"approve {await shown(asked)}"
        bobs = [on_irc("bob"), on_irc("bob2", account="BOB"), on_irc("bob3", account="bob")]
        said = await asyncio.gather(*(bench.say(approve, bob) for bob in bobs))
        assert sorted(one.code for one in said) == [OK, FAILED, FAILED]
        assert not asked.task.done()
        await bench.say(approve, "carol")
        assert (await asked.end()).code == OK
        assert started(bench).count("halt shop") == 1

    tried(tmp_path, scene)


def test_who_asked_must_still_be_logged_in_when_it_is_approved(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        for now, since in (("mallory", "logged in as mallory"), ("", "logged out")):
            dispatch = bench.bot.dispatch
            dispatch.parts = replace(dispatch.parts, account_now=lambda sender, now=now: now)
            asked = bench.begin("restart shop")
            await bench.say(f"approve {await shown(asked)}", "bob")
            refusal = f"alice asked for it and has {since} since; ask again"
            assert (await asked.end()).lines[-1] == refusal
        assert "restart shop" not in started(bench)

    tried(tmp_path, scene)


def test_who_asked_must_still_be_logged_in_when_their_turn_comes(tmp_path: Path) -> None:
    one = "[command release]\nrun = echo {service} {env}\non = here\nrole = operator\nlock = one\n"

    async def scene(bench: Bench) -> None:
        await bench.say("lock one", "bob")
        asked = bench.begin("release shop staging")
        await until(lambda: asked.heard.lines)
        parts = bench.bot.dispatch.parts
        bench.bot.dispatch.parts = replace(parts, account_now=lambda sender: "")
        await bench.say("unlock one", "bob")
        refusal = "alice asked for it and has logged out since; ask again"
        assert (await asked.end()).lines[-1] == refusal
        assert "release shop staging" not in started(bench)

    with_bot(tmp_path, one, scene)


def test_a_schedule_with_the_name_of_an_account_is_not_them(tmp_path: Path) -> None:
    sections = "[schedule bob]\nat = 0 0 * * *\nrun = version\nrole = admin\n[access only]\ncommand = cut\naccounts = bob\ntotp = no\n"

    async def scene(bench: Bench) -> None:
        said = await bench.say("cut", Sender("schedule", "bob", "bob", network="test"))
        assert said.text == "cut is for bob ([access only])"

    tried(tmp_path, scene, sections)


# -- when --


def test_a_rule_that_came_while_it_waited_holds(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        asked = bench.begin("restart shop")
        hash = await shown(asked)
        path = tmp_path / "ircops.ini"
        path.write_text(path.read_text() + "\n[access now]\ncommand = restart\naccounts = bob\n")
        await bench.bot.reload()
        assert (await bench.say(f"approve {hash}", "carol")).code != OK  # who could not run it
        await bench.say(f"approve {hash}", "bob")
        assert (await asked.end()).lines[-1] == "restart is for bob ([access now])"
        assert "restart shop" not in started(bench)

    tried(tmp_path, scene)


def test_a_right_that_goes_while_a_job_is_queued_is_gone(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        runner, path = bench.bot.dispatch._runner, tmp_path / "ircops.ini"
        run = runner.run

        async def run_later(*arguments: Any) -> Any:
            path.write_text(path.read_text().replace("operator = alice bob", "operator = bob"))
            await bench.bot.reload()
            return await run(*arguments)

        runner.run = run_later  # type: ignore[method-assign]
        asked = bench.begin("restart shop")
        await bench.say(f"approve {await shown(asked)}", "bob")
        refusal = "restart needs role operator; yours is viewer"
        assert (await asked.end()).lines[-1] == refusal
        assert "restart shop" not in started(bench)

    tried(tmp_path, scene)


def test_a_schedule_has_the_rights_of_the_moment_it_runs(tmp_path: Path) -> None:
    night = Sender("schedule", "night", "night")
    section = "[schedule night]\nat = 0 0 * * *\nrun = release shop staging\nrole = operator\n"

    async def scene(bench: Bench) -> None:
        assert (await bench.say("release shop staging", night)).code == OK
        path = tmp_path / "ircops.ini"
        before = path.read_text()
        path.write_text(before.replace(section, section.replace("operator", "viewer")))
        with pytest.raises(BadConfig, match="release needs role operator; yours is viewer"):
            await bench.bot.reload()
        path.write_text(before.replace(section, ""))
        await bench.bot.reload()
        said = await bench.say("release shop staging", night)
        assert said.text == "release needs role operator; you have none"

    tried(tmp_path, scene, section)


def test_an_approval_is_for_one_plan(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        first = bench.begin("restart shop")
        second = bench.begin("restart bank", on_irc("alice", network="elsewhere"))
        hashes = await shown(first), await shown(second)
        assert hashes[0] != hashes[1]
        await bench.say(f"approve {hashes[0]}", "bob")
        assert (await first.end()).lines[-1] == "restarted shop"
        assert "nothing waits under" in (await bench.say(f"approve {hashes[0]}", "bob")).text
        second.call.stop.ask("enough")
        await second.end()
        assert "restart bank" not in started(bench)

    tried(tmp_path, scene)


def test_what_is_no_live_word_to_the_bot_runs_nothing(tmp_path: Path) -> None:
    """Notices, actions and other CTCP, replayed and bots' lines, our own, a server's, another channel's."""
    carol, call = ":carol!c@host", "release shop prod"
    ignored = [
        f"@account=carol {carol} NOTICE #ops :!{call}",
        f"@account=carol {carol} NOTICE ops :{call}",
        f"@account=carol {carol} PRIVMSG #ops :\x01ACTION !{call}\x01",
        f"@account=carol {carol} PRIVMSG ops :\x01{call}\x01",
        f"@account=carol;bot {carol} PRIVMSG #ops :!{call}",
        f"@account=carol;batch=7 {carol} PRIVMSG #ops :!{call}",
        f"@account=carol;time=2020-01-01T00:00:00.000Z {carol} PRIVMSG #ops :!{call}",
        f"@account=carol :ops!o@host PRIVMSG #ops :!{call}",
        f"@account=carol :irc.example PRIVMSG #ops :!{call}",
        f"@account=carol {carol} PRIVMSG #elsewhere :!{call}",
        f"@account=carol {carol} PRIVMSG @#ops :!{call}",
        f"{carol} ACCOUNT carol",
        f"@time=2020-01-01T00:00:00.000Z {carol} PRIVMSG #ops :!{call}",
    ]

    async def scene() -> None:
        async with ScriptedIrcd() as ircd:
            config = tmp_path / "ircops.ini"
            config.write_text(
                f"[bot]\nnick = ops\nstate = {tmp_path}/state\n[roles]\nadmin = carol\n"
                + SETTINGS.replace("127.0.0.1:1\ntls", f"{ircd.address}\ntls", 1)
            )
            bot = Bot(ini.load(config))
            await bot.start()
            serving = asyncio.create_task(bot.serve())
            try:
                server = await ircd.accept()
                await server.welcome("ops", "account-tag message-tags server-time batch")
                now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + 1))
                server.send(f"@time={now} :ops!o@host JOIN #ops")
                for line in ignored:
                    server.send(line)
                last = "release \x01VERSION\x01 \x02a\x02\rQUIT"
                server.send(f"@account=carol;time={now} {carol} PRIVMSG #ops :!{last}")
                answer = await server.line()
                while answer is not None and "PRIVMSG" not in answer:
                    answer = await server.line()
                assert answer is not None
                assert "carol: released" in answer and "\x01" not in answer
            finally:
                bot.end()
                await serving
            ran = [
                e.line for e in bot.parts.record.entries(last=50) if e.call and e.event == "started"
            ]
            await bot.stop()
            assert len(ran) == 1 and ran[0].startswith("release \x01VERSION")

    asyncio.run(scene())


# -- what --


def test_a_value_is_what_it_says_however_it_is_written(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        for line in [
            "release shop prod",
            'release shop "prod"',
            "release shop pr'o'd",
            "release shop p\\rod",
            "release -- shop prod",
            "release shop -- prod",
            "release   shop\tprod",
            "release 'shop' 'prod' ",
            "release shop PROD",
            "release shop 'prod '",
            "release shop ' prod'",
            "release shop ｐｒｏｄ",
            "release shop prod\N{ZERO WIDTH SPACE}",
            "release shop pro\N{SOFT HYPHEN}d",
            "release shop 'prod\n'",
            "release shop 'prod\x0b'",
        ]:
            said = await bench.say(line)
            assert said.code == FAILED and "[access prod]" in said.text, line
            assert not started(bench)

    tried(tmp_path, scene)


def test_a_name_that_looks_like_a_command_is_none(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        for line in [
            "Release shop prod",
            "releаse shop prod",
            "release\N{NO-BREAK SPACE}shop prod",
        ]:
            assert "unknown command" in (await bench.say(line)).text

    tried(tmp_path, scene)


def test_an_argument_that_looks_like_an_option_is_refused(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        for line in ["release shop --env=staging", "release --env staging prod"]:
            assert "no such option" in (await bench.say(line)).text
            assert not started(bench)

    tried(tmp_path, scene)


def test_a_host_is_guarded_in_whatever_set_it_is(tmp_path: Path) -> None:
    vacuum = "[command vacuum]\nrun = true\non = db1\nrole = operator\n"

    async def scene(bench: Bench) -> None:
        for line in [
            "vacuum",
            *map("ping {}".format, ("db1", "web1,db1", "@all", "@all!web1", "d*")),
        ]:
            said = await bench.say(line)
            assert said.code != OK
            assert "[access db]" in said.text, line
            assert not started(bench)

    tried(tmp_path, scene, vacuum)


SWEEP = """
import click
from ircops import requires, run

@requires("operator")
@click.command()
@click.pass_obj
def sweep(ops):
    "Everywhere, without being asked."
    click.echo(run("true", ops.inventory.all))
"""


def test_a_body_reaches_no_guarded_host_that_its_arguments_did_not_name(tmp_path: Path) -> None:
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / "sweep.py").write_text(SWEEP)

    async def scene(bench: Bench) -> None:
        said = await bench.say("sweep")
        assert said.text == "sweep needs role admin ([access db]); yours is operator"

    tried(tmp_path, scene)


TOOL = """
import enum
import click
from ircops import requires

class Short(click.Group):
    def get_command(self, context, name):
        long = [known for known in self.commands if known.startswith(name)]
        return super().get_command(context, long[0] if long else name)

class Env(enum.Enum):
    staging = 1
    prod = 2

@requires("operator")
@click.group(cls=Short)
@click.option("--quick", is_flag=True)
@click.option("--env", default="staging")
def tool(quick, env):
    "Tools."

@tool.command()
@requires("admin")
def erase():
    "Erase all."
    click.echo("erased")

@tool.command()
def open():
    "Open the gates."
    click.echo("opened")

@tool.command()
@click.option("--env", default="staging")
@click.option("--set", "settings", nargs=2, multiple=True)
@click.option("--choice", type=click.Choice(Env), default="staging")
@click.argument("all", nargs=-1)
def put(env, settings, choice, all):
    "Put things somewhere."
    click.echo("put")
"""


def test_an_inner_command_has_its_rule_by_whatever_words_it_is_found(tmp_path: Path) -> None:
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / "tool.py").write_text(TOOL)

    async def scene(bench: Bench) -> None:
        for line in ["tool erase", "tool er", "tool --quick erase", "tool open", "tool op"]:
            said = await bench.say(line)
            assert re.search(r"tool (erase|open) needs role admin", said.text), line
            assert not started(bench)

    tried(tmp_path, scene, "[access open]\ncommand = tool open\nrole = admin\n")


def test_a_value_is_found_wherever_click_puts_it(tmp_path: Path) -> None:
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / "tool.py").write_text(TOOL)
    rules = "".join(
        f"[access {name}]\ncommand = tool put\nwhen = {name}=prod\ndeny = yes\n"
        for name in ("env", "settings", "choice", "all")
    )

    async def scene(bench: Bench) -> None:
        for line in [
            "tool put --env prod",
            "tool put --env=staging --env=prod",
            "tool --env prod put",
            "tool --env prod put --env staging",
            "tool put --set env prod",
            "tool put --set a b --set env prod",
            "tool put --choice prod",
            "tool put shop -- prod",
        ]:
            assert "nobody may run tool put like that" in (await bench.say(line)).text, line
        assert (await bench.say("tool put --env staging --set env dev shop")).lines == ["put"]

    tried(tmp_path, scene, rules)


# -- the code --


def phone(bench: Bench, account: str = "alice") -> pyotp.TOTP:
    link = bench.bot.parts.totp.add(account, "opsbot")
    return pyotp.TOTP(parse_qs(urlsplit(link).query)["secret"][0])


def test_a_code_is_asked_for_taken_once_and_on_no_record(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        codes = phone(bench)
        assert "needs a one-time code: tell me" in (await bench.say("cut")).text
        code = codes.now()
        assert (
            await bench.say(f"totp {code}", where="")
        ).text == "thank you, alice: good for 15 min"
        assert (await bench.say("cut")).lines == ["cut"]
        assert "used or void" in (await bench.say(f"totp {code}", where="")).text
        for other in ("bob", on_irc("alice", account="")):
            assert (await bench.say("cut", other)).code == FAILED
            assert (await bench.say(f"totp {code}", other, where="")).code == FAILED
        record = "\n".join(bench.bot.parts.record.export())
        assert code not in record and "totp ***" in record

    tried(tmp_path, scene)


def test_a_code_said_in_a_channel_is_void_even_where_commands_are_few(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        code = phone(bench).now()
        said = await bench.say(f"totp {code[:3]} {code[3:]}")
        assert said.text.startswith("a code said in a channel is void")
        assert "used or void" in (await bench.say(f"totp {code}", where="")).text
        assert (await bench.say("cut", where="")).code == FAILED

    tried(tmp_path, scene, "[channel #ops]\ncommands = help ping\n")


def test_codes_are_not_guessed(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        codes = phone(bench)
        right = {codes.at(time.time() + step) for step in (-60, -30, 0, 30, 60)}
        wrong = [f"{n:06}" for n in range(20) if f"{n:06}" not in right]
        said = [await bench.say(f"totp {code}", where="") for code in wrong]
        assert sum(one.text.startswith("wrong code") for one in said) == 3
        refused = await bench.say(f"totp {codes.now()}", where="")
        assert "too many wrong codes; wait" in refused.text

    tried(tmp_path, scene)


def test_a_schedule_gives_no_code(tmp_path: Path) -> None:
    night = "[schedule night]\nat = 0 0 * * *\nrun = {}\nrole = admin\n"

    async def scene(bench: Bench) -> None:
        said = await bench.say("cut", Sender("schedule", "night", "night"), "#ops")
        assert "which a schedule cannot give" in said.text

    tried(tmp_path, scene, night.format("version"))
    with pytest.raises(BadConfig, match="night.*which a schedule cannot give"):
        tried(tmp_path, scene, night.format("cut"))


def test_a_host_that_joins_a_group_is_under_its_rule_without_a_reload(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory"
    inventory.write_text("[prod]\nweb1\n[other]\nweb2\n")
    rule = "[access prod]\ncommand = wipe\nhosts = @prod\ndeny = yes\n"
    wipe = "[command wipe]\nrun = true\nrole = operator\n"

    async def scene(bench: Bench) -> None:
        assert "nobody may run wipe" in (await bench.say("wipe --dry-run web1")).text
        assert (await bench.say("wipe --dry-run web2")).code == OK
        inventory.write_text("[prod]\nweb1\nweb2\n")
        assert "nobody may run wipe" in (await bench.say("wipe --dry-run web2")).text

    with_bot(tmp_path, f"[hosts]\ninventory = {inventory}\n{wipe}{rule}", scene)


def test_a_secret_that_a_command_prints_is_neither_said_nor_kept(tmp_path: Path) -> None:
    leak = "[command leak]\nrun = echo password=hunter2\non = here\nrole = viewer\n"

    async def scene(bench: Bench) -> None:
        assert (await bench.say("leak")).text == "password=***"
        assert (await bench.say("tail 1")).text.splitlines()[-1] == "password=***"

    with_bot(tmp_path, leak, scene)


SPILLS = """
import click
from ircops import requires

@requires("operator", confirm=True)
@click.command()
@click.argument("words", nargs=-1)
def spill(words):
    "Say a secret in every way there is."
    click.echo("\\r50 % token=abc123", nl=False)
    click.prompt("is password=abc123 right")
    raise click.ClickException("cannot log in with api_key=abc123")
"""


def test_a_secret_is_not_said_in_a_plan_a_question_progress_or_an_error(tmp_path: Path) -> None:
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / "spill.py").write_text(SPILLS)

    async def scene(bench: Bench) -> None:
        asked = bench.begin("spill --dry-run secret=abc123")
        assert "would run spill secret=***" in (await asked.end()).text
        asked = bench.begin("spill secret=abc123")
        await until(lambda: asked.heard.lines)
        (hash,) = re.findall(r"!confirm (\w+)", asked.heard.lines[0])
        await bench.say(f"confirm {hash}")
        assert (await asked.question()).endswith(" password=*** right:")
        await bench.say("yes token=abc123")
        assert (await asked.end()).lines[-1] == "cannot log in with api_key=***"
        everything = [text for _, text in asked.heard.said] + [*bench.bot.parts.record.export()]
        assert "50 % token=***" in everything
        assert not [line for line in everything if "abc123" in line]

    with_bot(tmp_path, "", scene)
