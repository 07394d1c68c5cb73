"""!server with a real libvirt over a real sshd: a VM under TCG, whose host key comes from its NoCloud seed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ircops.errors import OK
from ircops.ops.providers.seed import pin
from tests.bench import Bench, with_bot
from tests.real.libvirt import VmHost
from tests.real.test_servers_podman import destroyed, host_key, plain, yes

SETTINGS = """
[ssh]
user = {user}
key = {at}/client
config = {at}/no_ssh_config
known_hosts = {at}/known_hosts
agent = no

[hosts]
hv2 = 127.0.0.1:{port}

[provider vms]
kind = libvirt
host = hv2
images = tiny={image}
sizes = small=1x128 large=1x192
ports = {first}-{last}
store = {store}
options = {options}
"""


def settings_for(vm_host: VmHost, image: str) -> str:
    first = 30_000 + os.getpid() % 2_000
    return SETTINGS.format(
        user=vm_host.sshd.user,
        at=vm_host.sshd.directory,
        port=vm_host.sshd.port,
        image=image,
        first=first,
        last=first + 100,
        store=vm_host.store,
        options=vm_host.options,
    )


@pytest.mark.slow
def test_a_vm_is_made_used_and_destroyed(vm_host: VmHost, tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        made = await bench.begin("server create vm").end(90)
        assert made.code == OK, (made.heard.said, console(vm_host))
        assert plain(made).startswith("vm1: 127.0.0.1:") and "(vms small tiny)" in plain(made)
        assert plain(await bench.say("run vm1 hostname", "carol")) == "vm1: vm1"
        assert plain(await bench.say("load @vms")).startswith("vm1: load ")
        assert plain(await bench.say("server")).startswith("vm1: running at 127.0.0.1:")
        assert (vm_host.virsh("list", "--all", "--name").split()) == ["vm1"]
        (machine,) = bench.bot._machines.all
        assert pin(await host_key(bench, "vms", machine.id)) == machine.host_key
        await yes(bench, "server resize vm1 large", "vm1: it runs; server stop it first")
        assert (await destroyed(bench, "vm1")).endswith("vm1: destroyed")
        assert vm_host.virsh("list", "--all", "--name").split() == []
        assert list(vm_host.store.iterdir()) == []

    with_bot(tmp_path, settings_for(vm_host, vm_host.image), play)


@pytest.mark.slow
def test_a_disk_that_does_not_boot_leaves_nothing(vm_host: VmHost, tmp_path: Path) -> None:
    base = vm_host.store.parent / "base.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", base, "64M"], check=True)
    settings = settings_for(vm_host, f"{base} none=/nowhere.qcow2").replace(
        "small=1x128", "small=1x128x1"
    )

    settings = settings.replace("agent = no", "agent = no\nconnect_timeout = 1")

    async def play(bench: Bench) -> None:
        failed = await bench.begin("server create vm").end(90)
        assert plain(failed).startswith("vm1: no answer by SSH within 1 s: "), failed.heard.said
        assert plain(failed).endswith("; removed again")
        assert vm_host.virsh("list", "--all", "--name").split() == []
        assert list(vm_host.store.iterdir()) == []
        missing = await bench.say("server create vm --image none")
        assert plain(missing) == (
            "vm1: hv2: there is no image /nowhere.qcow2 to read; removed again"
        )

    with_bot(tmp_path, settings + "deadline = 1s\n", play)


def console(vm_host: VmHost) -> str:
    return "".join(path.read_text() for path in vm_host.store.glob("*.console"))
