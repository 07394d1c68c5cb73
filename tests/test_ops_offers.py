"""[provider NAME] sections: what is wrong with them, and what they make of a name."""

from __future__ import annotations

import re
import subprocess
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ircops import ini
from ircops.bot import check
from ircops.config import HostLine, Provider, Settings, Ssh
from ircops.errors import BadConfig, OpsError
from ircops.ops.machines import Ports
from ircops.ops.offers import Offers
from ircops.ops.providers.seed import new_host_key, pin
from ircops.ssh.inventory import Inventory

IMAGES = ("debian=localhost/debian:12", "alma=localhost/alma:9")
SIZES = ("small=1x512", "large=0.5x4096x20")
NO_FILE = Path("/nonexistent")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "needs an image: images = debian=localhost/debian-ssh:12"),
        (
            {"images": IMAGES, "sizes": ("small=tiny",)},
            "has small=tiny; a size is CPUSxMEGABYTES, as in small=1x512",
        ),
        ({"images": IMAGES, "kind": "cloud"}, "needs a driver: driver = ec2"),
        (
            {"kind": "command", "to_create": "c", "to_list": "l"},
            "needs destroy, a command line",
        ),
        ({"images": IMAGES, "through": True}, "has through, but no host to jump over"),
        ({"images": IMAGES, "ports": "2300-2200"}, "has ports that end before they begin"),
        ({"images": IMAGES, "options": "--root 'x"}, "has an open quote in options"),
        ({"images": IMAGES, "setup": NO_FILE}, "names /nonexistent, which is no file we can see"),
    ],
)
def test_a_section_that_cannot_work_says_why(given: dict[str, Any], sentence: str) -> None:
    assert [said for _, said in Provider(**given).faults()] == [sentence]


def test_check_tells_the_line_of_each_fault(tmp_path: Path) -> None:
    path = tmp_path / "ircops.ini"
    path.write_text(
        f"[ssh]\nconfig = {NO_FILE}\n[hosts]\nhv1 = 10.0.0.1\n[provider lab]\nhost = hv2\nimages = a=b\n"
    )
    with pytest.raises(BadConfig) as error:
        check(ini.load(path))
    assert error.value.faults == [f"{path}:6: unknown host hv2; known: hv1"]
    path.write_text("[provider my lab]\nimages = a\nports = 22\nquota = 0\nkind = xen\n")
    with pytest.raises(BadConfig) as error:
        ini.load(path)
    assert [fault.partition("ircops.ini:")[2] for fault in error.value.faults] == [
        "1: [provider my lab] needs a name of one word: letters, digits, . _ -",
        '2: images cannot be "a": it is NAME=WHAT, as in small=1x512',
        '3: ports cannot be "22": it is FIRST-LAST, as in 2200-2299',
        '4: quota cannot be "0": it is more than 0',
        '5: kind cannot be "xen": it is podman or libvirt or cloud or command',
    ]


def test_the_examples_of_the_guide_have_no_fault(tmp_path: Path) -> None:
    guide = (Path(__file__).parent.parent / "docs" / "operating.md").read_text()
    chapter = guide.partition("\n## Servers\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n|^\n)+", chapter, re.M)
    examples = [textwrap.dedent(block) for block in blocks if "[provider " in block]
    # indented blocks stand close together: a command line between them is no part of a file
    text = "\n".join(examples).replace("pip install 'ircops[cloud]'\n", "")
    (tmp_path / "setup-lab.sh").touch()
    for name in ("ec2_key", "ec2_secret"):
        (tmp_path / name).write_text("x")
    path = tmp_path / "ircops.ini"
    path.write_text(f"[ssh]\nconfig = {NO_FILE}\n{text}\n[groups]\nhypervisors = hv2\n")
    settings = ini.load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    check(settings)
    kinds = {name: provider.kind for name, provider in settings.providers.items()}
    assert kinds == {"lab": "podman", "vms": "libvirt", "aws": "cloud", "hetzner": "command"}


def offers(**given: Any) -> Offers:
    lab = Provider(**{"images": IMAGES, "sizes": SIZES, "host": "hv1", **given})
    settings = Settings(
        hosts={"hv1": HostLine("10.0.0.1")}, providers={"lab": lab}, ssh=Ssh(config=NO_FILE)
    )
    return Offers(settings.providers, Inventory(settings))


def test_the_first_of_each_is_taken_unless_another_is_asked_for() -> None:
    lab = offers()
    assert (lab.provider(""), lab.image("lab", ""), lab.size("lab", "")) == (
        "lab",
        "debian",
        "small",
    )
    assert (lab.image("lab", "alma"), lab.size("lab", "large")) == ("alma", "large")
    for ask, sentence in (
        (lambda: lab.provider("lob"), 'unknown provider lob; did you mean "lab"?'),
        (lambda: lab.size("lab", "huge"), "unknown size huge; there are small large"),
        (lambda: Offers({}, None).provider(""), "no provider is set up; add a [provider NAME]"),  # type: ignore[arg-type]
    ):
        with pytest.raises(OpsError) as error:
            ask()
        assert error.value.message.startswith(sentence)


def test_ports_are_where_the_hypervisor_is() -> None:
    assert offers().ports("lab") is None and offers().published("lab") == ""
    lab = offers(ports="2200-2209")
    assert lab.ports("lab") == Ports(range(2200, 2210), frozenset({"lab"}))
    assert lab.published("lab") == "10.0.0.1"
    assert offers(ports="2200-2209", address="198.51.100.7").published("lab") == "198.51.100.7"
    assert offers(ports="2200-2209", host="").published("lab") == "127.0.0.1"


def test_an_order_has_what_the_names_stand_for(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# ours\nssh-ed25519 AAAA alice\n\nssh-ed25519 BBBB bob\n")
    lab = offers(authorized_keys=keys, through=True, user="debian")
    machine = lab.machine("lab", "web1")
    assert (machine.jump, machine.user, machine.group) == ("hv1", "debian", "lab")
    order = lab.order(replace(machine, image="alma", size="large"), None)
    assert (order.image, order.shape, order.port) == ("localhost/alma:9", (0.5, 4096, 20), 0)
    assert order.authorized_keys == ("ssh-ed25519 AAAA alice", "ssh-ed25519 BBBB bob")


def test_our_own_public_keys_are_let_in_where_nothing_else_is_said(tmp_path: Path) -> None:
    (tmp_path / "id.pub").write_text("ssh-ed25519 AAAA ops\n")
    settings = Settings(providers={"lab": Provider(images=IMAGES)}, ssh=Ssh(config=NO_FILE))
    keys = (tmp_path / "id", tmp_path / "other")
    lab = Offers(settings.providers, Inventory(settings), keys)
    assert lab.order(lab.machine("lab", "web1"), None).authorized_keys == ("ssh-ed25519 AAAA ops",)


def test_a_host_key_is_one_that_openssh_reads_and_is_never_shown(tmp_path: Path) -> None:
    key = new_host_key()
    private = tmp_path / "key"
    private.touch(mode=0o600)
    private.write_text(key.private)
    public = subprocess.run(
        ["ssh-keygen", "-y", "-f", private], capture_output=True, text=True, check=True
    ).stdout
    assert public.split()[:2] == key.public.split()
    (tmp_path / "key.pub").write_text(public)
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", tmp_path / "key.pub"], capture_output=True, text=True
    ).stdout
    assert shown.split()[1] == key.pin == pin(key.public)
    assert "PRIVATE" not in repr(key)
