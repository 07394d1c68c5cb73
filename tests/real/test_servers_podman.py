"""!server with a real podman over a real sshd: machines that people make, use and destroy."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import click
import pytest

from ircops.errors import FAILED, OK
from ircops.ops.providers.seed import pin
from tests.bench import Bench, Said, with_bot
from tests.people import until, until_true
from tests.real.podman import IMAGE, Hypervisor

SETTINGS = """
[ssh]
user = {user}
key = {at}/client
config = {at}/no_ssh_config
known_hosts = {at}/known_hosts
agent = no
connect_timeout = 2

[hosts]
hv1 = 127.0.0.1:{port}

[provider lab]
host = hv1
images = tiny={image}
sizes = small=1x128 large=1x256
ports = {ports}
group = web
quota = 4
options = {options}
machine_options = --ulimit nofile=4096:4096 --ulimit nproc=4096:4096 --pids-limit 200
"""

Scene = Callable[[Bench], Awaitable[None]]


@pytest.fixture
def scene(hypervisor: Hypervisor, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Runs a scene with a bot whose lab is the hypervisor; `more` are lines of [provider lab]."""

    def play(scene: Scene, more: str = "") -> None:
        with_bot(tmp_path, settings_for(hypervisor) + more, scene)

    yield play
    hypervisor.podman("rm", "--all", "--force", "--time", "0")  # a test that failed may leave some


def settings_for(hypervisor: Hypervisor) -> str:
    sshd = hypervisor.sshd
    first = 20_000 + os.getpid() % 9_000  # below those that the kernel gives out by itself
    return SETTINGS.format(
        user=sshd.user,
        at=sshd.directory,
        port=sshd.port,
        image=IMAGE,
        ports=f"{first}-{first + 400}",
        options=" ".join(hypervisor.options),
    )


def network() -> str:
    """A network that is not there."""
    return "[network test]\nserver = 127.0.0.1:1\nchannels = #ops\n"


def plain(said: Said) -> str:
    """What was said, without its colours."""
    return click.unstyle(said.text)


async def destroyed(bench: Bench, names: str) -> str:
    """Alice destroys them, and Bob says yes."""
    asked = bench.begin(f"server destroy {names}")
    await until(lambda: asked.heard.said, 20)
    digest = asked.heard.said[0][1].split("!approve ")[1].split()[0]
    assert (await bench.say(f"approve {digest}", "bob")).code == OK
    return plain(await asked.end())


def test_a_machine_is_made_used_and_destroyed(
    scene: Callable[..., None], hypervisor: Hypervisor
) -> None:
    async def play(bench: Bench) -> None:
        assert plain(await bench.say("server")) == "no machines; server create NAME makes one"
        made = await bench.say("server create web --size large")
        assert made.code == OK, made.heard.said
        assert plain(made).startswith("web1: 127.0.0.1:") and "(lab large tiny) after " in plain(
            made
        )
        steps = [text for _, text in made.heard.said]
        for step in ("being created on lab", "waiting for SSH", "looking at its health"):
            assert any(step in text for text in steps)
        assert plain(await bench.say("load @web")).startswith("web1: load ")
        assert plain(await bench.say("run @web hostname", "carol")) == "web1: web1"
        assert plain(await bench.say("server list")).startswith("web1: running at 127.0.0.1:")
        (one,) = json.loads(hypervisor.podman("inspect", "web1"))
        assert one["HostConfig"]["Memory"] == 256 * 1024 * 1024
        assert one["Config"]["Labels"]["ircops"].startswith("6972636f-")
        (machine,) = bench.bot._machines.all
        assert pin(await host_key(bench, "lab", machine.id)) == machine.host_key
        text = await destroyed(bench, "web1")
        assert text.endswith("web1: destroyed")
        assert hypervisor.containers == []
        assert "unknown host web1" in plain(await bench.say("load web1"))

    scene(play)


def test_three_at_once_are_set_up_and_then_stopped_started_and_rebooted(
    scene: Callable[..., None], hypervisor: Hypervisor, tmp_path: Path
) -> None:
    (tmp_path / "setup").write_text('#!/bin/sh\necho "$1 is set up" >/root/made\n')

    async def play(bench: Bench) -> None:
        made = await bench.say("server create app --count 3 --for 8h")
        assert made.code == OK, made.heard.said
        assert sorted(line.split(":")[0] for line in plain(made).splitlines()) == [
            "app1",
            "app2",
            "app3",
        ]
        assert all(", until " in line for line in made.lines)
        assert any("running setup" in text for _, text in made.heard.said)
        said = await bench.say("run app[1-3] cat /root/made", "carol")
        assert sorted(said.lines)[:3] == [f"app{n}: app{n} is set up" for n in (1, 2, 3)]
        refused = await bench.say("server create web --count 2")
        assert plain(refused) == (
            "lab has a quota of 4, and 1 left; destroy some, or raise quota in [provider lab]"
        )
        await yes(bench, "server stop app1", "app1: stopped")
        assert plain(await bench.say("load app1")).endswith("stopped; server start app1 starts it")
        assert "app[2-3]:" in plain(await bench.say("load @web"))
        started = await bench.say("server start app1")
        assert plain(started).startswith("app1: started, answers at 127.0.0.1:")
        await yes(bench, "server reboot app2", "app2: lab was told to reboot it, answers at ")
        await yes(bench, "server resize app3 large", "app3: now large (1x256)")
        hypervisor.podman("rm", "--force", "--time", "0", "app3")
        drift = await bench.say("server list")
        assert "gone from lab: server destroy app3 forgets it" in plain(drift)
        assert (await destroyed(bench, "app[1-3]")).splitlines()[1:] == [
            "app1: destroyed",
            "app2: destroyed",
            "app3: was gone from lab already; forgotten",
        ]

    scene(play, "setup = setup\n")


async def host_key(bench: Bench, provider: str, id: str) -> str:
    """What the provider itself knows of a machine's key."""
    parts = bench.bot.parts
    return await asyncio.to_thread(
        lambda: parts.servers.provider(provider, parts.fanout.run).host_key(id)
    )


async def notes(bench: Bench) -> list[str]:
    """What is on the record about machines, besides calls."""
    entries = await asyncio.to_thread(bench.bot._record.entries)
    return [entry.outcome for entry in entries if entry.event == "server"]


async def yes(bench: Bench, line: str, said: str) -> None:
    """Say it, confirm it, and hear that."""
    asked = bench.begin(line)
    await until(lambda: asked.heard.said, 20)
    digest = asked.heard.said[0][1].split("!confirm ")[1].split()[0]
    await bench.say(f"confirm {digest}")
    assert said in plain(await asked.end())


def test_what_the_bot_did_not_make_is_not_its_to_destroy_until_adopted(
    scene: Callable[..., None], hypervisor: Hypervisor
) -> None:
    limits = ["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"]
    hypervisor.podman("create", "--name", "old1", *limits, IMAGE)

    async def play(bench: Bench) -> None:
        assert "old1" not in plain(await bench.say("server"))
        refused = await bench.say("server destroy hv1")
        assert (
            plain(refused) == "hv1 is not a machine of server; server adopt takes one that there is"
        )
        taken = await bench.say("server create old1")
        assert taken.code == FAILED and plain(taken).endswith("; nothing is left of it")
        assert hypervisor.containers == ["old1"]
        assert "needs role admin" in plain(await bench.say("server adopt old1"))
        lost = await bench.say("server adopt old1", "carol")
        assert (
            plain(lost) == "lab does not tell the address of old1; give it a line in [hosts] first"
        )
        assert plain(await bench.say("server adopt nosuch", "carol")) == (
            "lab has no machine nosuch; name one by --id"
        )
        adopted = await bench.say("server adopt hv1 --id " + container(hypervisor, "old1"), "carol")
        assert plain(adopted).startswith("hv1: adopted from lab (id ")
        assert (await destroyed(bench, "hv1")).endswith("hv1: destroyed")
        assert hypervisor.containers == []
        assert "load" in plain(await bench.say("load hv1"))  # the host itself is its inventory's

    scene(play)


def container(hypervisor: Hypervisor, name: str) -> str:
    return hypervisor.podman("inspect", name, "--format", "{{.Id}}").strip()


def test_a_setup_that_fails_leaves_nothing(
    scene: Callable[..., None], hypervisor: Hypervisor, tmp_path: Path
) -> None:
    (tmp_path / "setup").write_text("#!/bin/sh\necho no such package >&2\nexit 100\n")

    async def play(bench: Bench) -> None:
        failed = await bench.say("server create web")
        assert failed.code == FAILED
        assert [plain(failed)] == ["web1: setup: no such package (exit 100); removed again"]
        assert hypervisor.containers == []
        assert plain(await bench.say("server")).startswith("no machines")

    scene(play, "setup = setup\n")


def test_kill_stops_a_creation_and_cleans_up(
    scene: Callable[..., None], hypervisor: Hypervisor, tmp_path: Path
) -> None:
    (tmp_path / "setup").write_text("#!/bin/sh\nsleep 600\n")

    async def play(bench: Bench) -> None:
        making = bench.begin("server create web --count 2")
        steps = making.heard.said
        await until(lambda: steps)
        await until(lambda: making.task.done() or "web[1-2] run" in steps[-1][1], 25)
        assert not making.task.done(), steps
        assert len(hypervisor.containers) == 2
        number = steps[0][1].split()[1].rstrip(":")
        await bench.say(f"kill {number}")
        said = await making.end()
        assert said.code == FAILED
        for name in ("web1", "web2"):
            end = f"job {number}: {name}: killed by alice; removed again"
            await until(lambda end=end: end in said.lines)
        assert hypervisor.containers == []
        assert plain(await bench.say("server")).startswith("no machines")

    scene(play, "setup = setup\n")


def test_an_sshd_that_is_killed_in_the_middle_leaves_nothing_unreported(
    scene: Callable[..., None], hypervisor: Hypervisor, tmp_path: Path
) -> None:
    """The setup runs, and the connections to the hypervisor are cut; new ones are refused for a while."""
    flag = hypervisor.sshd.directory / "bin"
    flag.mkdir(exist_ok=True)
    slow = flag / "podman"

    async def play(bench: Bench) -> None:
        slow.write_text(
            '#!/bin/sh\ncase " $* " in *" start "*) touch "$HOME/starting"; exec sleep 611 ;; esac\n'
            'exec /usr/bin/podman "$@"\n'
        )
        slow.chmod(0o755)
        started = hypervisor.sshd.directory / "starting"
        making = bench.begin("server create web")
        await until(started.exists, 25)
        os.kill(hypervisor.sshd.process.pid, signal.SIGSTOP)  # who comes now waits at the door
        for pid in hypervisor.sshd.sessions():
            os.kill(pid, signal.SIGKILL)
        said = await making.end()
        assert said.code == FAILED
        assert "web1: hv1: " in plain(said) and plain(said).endswith("; the bot looks again")
        assert hypervisor.containers == ["web1"]
        assert "failed" in plain(await bench.say("server"))
        os.kill(hypervisor.sshd.process.pid, signal.SIGCONT)
        slow.unlink()
        again = await bench.say("server create web")
        assert again.code == OK and plain(again).startswith("web2: "), again.heard.said
        await bench.bot._lifetimes.look(bench.bot.parts)
        assert hypervisor.containers == ["web2"]
        assert "what was left of it is removed" in str(await notes(bench))
        assert plain(await bench.say("server")).startswith("web2: running")
        assert (await destroyed(bench, "web2")).endswith("web2: destroyed")

    try:
        scene(play)
    finally:
        os.kill(hypervisor.sshd.process.pid, signal.SIGCONT)
        slow.unlink(missing_ok=True)


def test_a_bot_that_was_killed_half_way_is_cleaned_up_after_by_the_next(
    scene: Callable[..., None], hypervisor: Hypervisor, tmp_path: Path
) -> None:
    (tmp_path / "setup").write_text("#!/bin/sh\nsleep 612\n")
    more = "setup = setup\n"
    config = tmp_path / "ircops.ini"
    state = f"[bot]\nstate = {tmp_path}/state\n[roles]\nadmin = unix:root\n"
    config.write_text(state + network() + settings_for(hypervisor) + more)
    program = Path(sys.executable).with_name("ircops")
    words = [program, "do", "--config", config, "server create web"]
    with (tmp_path / "said").open("w") as said:
        bot = subprocess.Popen(words, stdout=said, stderr=said)
        try:
            until_true(lambda: "running setup" in (tmp_path / "said").read_text())
        finally:
            bot.kill()
            bot.wait()
    assert hypervisor.containers == ["web1"]

    async def next_one(bench: Bench) -> None:
        bot = bench.bot
        await asyncio.to_thread(bot._lifetimes.take_over)
        assert "@web is no host" in plain(await bench.say("load @web"))
        assert "web1: failed" in plain(await bench.say("server"))
        await bot._lifetimes.look(bot.parts)
        assert hypervisor.containers == []
        assert plain(await bench.say("server")).startswith("no machines")
        (said,) = await notes(bench)
        assert said.startswith(
            "web1 (job 1, the bot ended while it was made): what was left of it is removed"
        )

    scene(next_one, more)
