"""!server with a cloud: EC2 as moto's server speaks it, over HTTP, through the real Libcloud."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from ircops.config import Provider, Secret
from ircops.errors import FAILED, OpsError
from ircops.ops.machines import new_label
from ircops.ops.providers import Order, Unsure
from ircops.ops.providers.cloud import Cloud, arguments, console_key
from ircops.ops.providers.seed import new_host_key
from tests.bench import Bench, with_bot

IMAGE = "ami-12c6146b"  # one that moto knows


@pytest.fixture(scope="module")
def ec2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a cloud on loopback."""
    log = (tmp_path_factory.mktemp("moto") / "log").open("w")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("moto_server")
    words = [program, "-H", "127.0.0.1", "-p", str(port)]
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
    server = subprocess.Popen(words, stdout=log, stderr=log, env=quiet)
    try:
        deadline = time.monotonic() + 60  # it imports for seconds
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/data.json").close()
                break
            except (urllib.error.URLError, ConnectionError):
                assert server.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(10)
        log.close()


@pytest.fixture
def settings(ec2: int, monkeypatch: pytest.MonkeyPatch) -> Provider:
    """A [provider] that is moto's."""
    from libcloud.compute.drivers import ec2 as driver

    # moto's XML has the namespace of EC2 without the slash at its end
    monkeypatch.setattr(driver, "NAMESPACE", driver.NAMESPACE.rstrip("/"))
    return Provider(
        kind="cloud",
        driver="ec2",
        account=Secret("testing"),
        secret=Secret("testing"),
        images=(f"debian={IMAGE}",),
        options=f"region=us-east-1 host=127.0.0.1 port={ec2} secure=no signature_version=4",
    )


@pytest.fixture
def cloud(settings: Provider) -> Iterator[Cloud]:
    made = Cloud(settings)
    yield made
    for seen in made.list():
        made.destroy(seen.id)


def order(name: str, **fields: Any) -> Order:
    given = {"label": new_label(), "image": IMAGE, "size": "t3.micro", "user": "admin"}
    return Order(name, **{**given, **fields})


def test_create_list_stop_start_and_destroy(cloud: Cloud) -> None:
    wanted = order("web1", host_key=new_host_key(), authorized_keys=("ssh-ed25519 AAAA me",))
    made = cloud.create(wanted)
    assert made.id.startswith("i-") and made.label == wanted.label
    (seen,) = cloud.list()
    assert (seen.name, seen.label, seen.state) == ("web1", wanted.label, "running")
    assert seen.address and seen == cloud.show(made.id)
    cloud.stop(made.id)
    assert state(cloud, made.id) == "stopped"
    cloud.start(made.id)
    assert state(cloud, made.id) == "running"
    cloud.reboot(made.id)
    cloud.resize(made.id, "t3.large")
    assert cloud._node(made.id).extra["instance_type"] == "t3.large"
    assert state(cloud, made.id) == "running"
    cloud.destroy(made.id)
    assert cloud.list() == [] and cloud.show(made.id) is None
    cloud.destroy(made.id)  # not there is fine


def state(cloud: Cloud, id: str) -> str:
    seen = cloud.show(id)
    assert seen is not None
    return seen.state


def test_user_data_carries_the_host_key_and_who_may_come_in(
    cloud: Cloud, settings: Provider
) -> None:
    key = new_host_key()
    made = cloud.create(order("web1", host_key=key, authorized_keys=("ssh-ed25519 AAAA me",)))
    said = cloud._driver.connection.request(
        cloud._driver.path,
        params={
            "Action": "DescribeInstanceAttribute",
            "InstanceId": made.id,
            "Attribute": "userData",
        },
    ).object
    (text,) = (node.text for node in said.iter() if node.tag.endswith("value"))
    config = json.loads(base64.b64decode(text).decode().removeprefix("#cloud-config\n"))
    assert config["ssh_authorized_keys"] == ["ssh-ed25519 AAAA me"]
    assert config["ssh_keys"]["ed25519_private"] == key.private
    assert config["ssh_deletekeys"] is True


def test_a_private_address_where_that_is_how_machines_are_reached(
    cloud: Cloud, settings: Provider
) -> None:
    made = cloud.create(order("web1"))
    inside = Cloud(replace(settings, address="private")).show(made.id)
    outside = cloud.show(made.id)
    assert (
        inside
        and outside
        and inside.address.startswith("10.")
        and outside.address != inside.address
    )


def test_what_the_cloud_refuses_is_said_in_its_words(cloud: Cloud, settings: Provider) -> None:
    elsewhere = Cloud(replace(settings, machine_options="ex_subnet=subnet-0"))
    with pytest.raises(OpsError, match=r"^the cloud says: .*(subnet-0|400)"):
        elsewhere.create(order("web1"))
    with pytest.raises(OpsError, match=r"there is no machine i-0 any more"):
        cloud.start("i-0")
    with pytest.raises(OpsError, match=r"Libcloud has no driver ec3"):
        Cloud(replace(settings, driver="ec3")).list()
    with pytest.raises(OpsError, match=r"noequals is not name=value"):
        Cloud(replace(settings, options="noequals")).list()


def test_a_cloud_out_of_reach_leaves_doubt_only_about_a_creation(settings: Provider) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    away = Cloud(replace(settings, options=f"host=127.0.0.1 port={port} secure=no"))
    with pytest.raises(Unsure, match="^the cloud cannot be reached: "):
        away.create(order("web1"))
    with pytest.raises(OpsError, match="^the cloud cannot be reached: ") as error:
        away.list()
    assert not isinstance(error.value, Unsure) and "testing" not in error.value.message


def test_a_machine_that_never_answers_is_removed_again(settings: Provider, tmp_path: Path) -> None:
    section = f"""
[ssh]
config = {tmp_path}/none
connect_timeout = 1
[provider aws]
kind = cloud
driver = ec2
account = testing
secret = testing
images = debian={IMAGE}
sizes = small=t3.micro
options = {settings.options}
deadline = 2s
"""

    async def play(bench: Bench) -> None:
        failed = await bench.say("server create web")
        assert failed.code == FAILED
        text = click.unstyle(failed.text)
        assert text.startswith("web1: no answer by SSH within 2 s: ")
        assert text.endswith("; removed again")
        left = await asyncio.to_thread(Cloud(settings).list)
        assert left == []
        assert (await bench.say("server")).text.startswith("no machines")
        record = await bench.say("record", "carol")
        assert "testing" not in record.text

    with_bot(tmp_path, section, play)


def test_arguments_are_what_libcloud_takes() -> None:
    given = arguments(
        "region=eu-central-1 secure=no port=5000 signature_version=4 ex_groups=a,b one=a,"
    )
    assert given == {
        "region": "eu-central-1",
        "secure": False,
        "port": 5000,
        "signature_version": "4",
        "ex_groups": ["a", "b"],
        "one": ["a"],
    }


CONSOLE = """\
[   12.1] cloud-init[612]: Generating public/private ed25519 key pair.
-----BEGIN SSH HOST KEY KEYS-----
ecdsa-sha2-nistp256 AAAAE2Vj root@web1
ssh-ed25519 AAAAC3Nz root@web1
-----END SSH HOST KEY KEYS-----
web1 login:
"""


def test_a_host_key_is_read_from_the_console() -> None:
    assert console_key(CONSOLE.replace("\n", "\r\n")) == "ssh-ed25519 AAAAC3Nz"
    assert console_key("ssh-ed25519 AAAAC3Nz root@web1") == ""
    assert console_key("") == ""
