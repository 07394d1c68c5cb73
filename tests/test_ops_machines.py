"""The table of machines, on both kinds of database: names without races, and who is a host by now."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ircops.config import HostLine, Provider, Settings, Ssh
from ircops.errors import OpsError
from ircops.ops.machines import Machine, Machines, Ports, is_ours, needless, new_label
from ircops.ssh.inventory import Inventory
from ircops.store.database import Database

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
NO_FILE = Path("/nonexistent")
WANTED = Machine(
    "", "web", "lab", group="lab", image="debian", user="root", by="alice", made_at=NOW
)


@pytest.fixture
def machines(database: Database) -> Machines:
    made = Machines(database)
    made.load()
    return made


def allocate(machines: Machines, name: str = "web", count: int = 1, **other: Any) -> list[Machine]:
    given = {"quota": 10, "ports": None, "wanted": WANTED, "is_taken": lambda name: False}
    return machines.allocate(name, count, **{**given, **other})


def names(made: list[Machine]) -> list[str]:
    return [machine.name for machine in made]


def test_a_row_comes_back_as_it_was_written(machines: Machines, address: str) -> None:
    (made,) = allocate(machines)
    until = NOW + timedelta(hours=8)
    changed = machines.change(made, address="10.0.0.5", port=2201, expires_at=until, warned=1)
    with closing(Database(address)) as again:
        again.open()
        other = Machines(again)
        other.load()
        assert other.all == [changed] == machines.all
    assert changed == replace(made, address="10.0.0.5", port=2201, expires_at=until, warned=1)
    machines.remove(changed)
    assert machines.all == []


def test_names_are_the_lowest_that_nobody_has(machines: Machines) -> None:
    taken = {"web2", "db1"}.__contains__
    assert names(allocate(machines, count=3, is_taken=taken)) == ["web1", "web3", "web4"]
    machines.remove(machines.find("web3"))
    assert names(allocate(machines, count=2, is_taken=taken)) == ["web3", "web5"]
    assert names(allocate(machines, "web9")) == ["web9"]


@pytest.mark.parametrize(
    ("name", "count", "sentence"),
    [
        ("web1", 1, "there is a host web1 already; choose another name"),
        ("db1", 1, "there is a host db1 already; choose another name"),
        ("web7", 2, "web7 is one machine; for 2 give the name without its number"),
        ("Web", 1, "Web cannot be a name; it is letters, digits and -, as in web"),
        ("web;ls", 1, "web;ls cannot be a name; it is letters, digits and -, as in web"),
        (
            "app",
            10,
            "lab has a quota of 10, and 9 left; destroy some, or raise quota in [provider lab]",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_and_nothing_written(
    machines: Machines, database: Database, name: str, count: int, sentence: str
) -> None:
    told: list[str] = []
    database.trouble = told.append
    allocate(machines)
    with pytest.raises(OpsError) as error:
        allocate(machines, name, count, is_taken="db1".__eq__)
    assert error.value.message == sentence
    assert names(machines.all) == ["web1"]
    assert told == []  # it is no trouble with the database


def test_two_bots_that_ask_at_once_get_different_names_and_ports(address: str) -> None:
    ports = Ports(range(2200, 2230), frozenset({"lab"}))
    with closing(Database(address)) as one, closing(Database(address)) as two:
        one.open()
        two.open()
        tables = [Machines(one), Machines(two)]
        with ThreadPoolExecutor(6) as threads:
            made = list(
                threads.map(
                    lambda turn: allocate(tables[turn % 2], count=2, quota=30, ports=ports),
                    range(12),
                )
            )
    given = [machine for rows in made for machine in rows]
    assert sorted(names(given)) == sorted(f"web{number}" for number in range(1, 25))
    assert len({machine.port for machine in given}) == len({m.label for m in given}) == 24


def test_ports_are_shared_by_the_providers_of_one_hypervisor(machines: Machines) -> None:
    both = Ports(range(2200, 2202), frozenset({"lab", "vms"}))
    allocate(machines, ports=both)
    allocate(machines, ports=both, wanted=replace(WANTED, provider="vms"))
    with pytest.raises(OpsError, match="^too few of the ports 2200-2201 are left; widen ports"):
        allocate(machines, ports=both)
    allocate(machines, ports=Ports(range(2200, 2202), frozenset({"elsewhere"})))


def test_a_machine_is_a_host_from_the_moment_it_answers(machines: Machines) -> None:
    settings = Settings(
        groups={"prod": "@lab,db1"},
        providers={"lab": Provider(images=("a=b",))},
        ssh=Ssh(config=NO_FILE),
    )
    inventory = Inventory(settings, machines.snapshot)
    assert inventory.check() == ([], [])  # @lab is known before it has a machine
    (made,) = allocate(machines)
    with pytest.raises(OpsError, match="^being created by job 0$"):
        inventory.host("web1")
    assert "web1" not in inventory.all
    made = machines.change(made, address="10.0.0.5", port=2201, host_key="SHA256:x", jump="db1")
    host = inventory.host("web1")  # whoever makes it may try
    assert (host.address, host.port, host.user, host.pin) == ("10.0.0.5", 2201, "root", "SHA256:x")
    assert host.jump and host.jump.name == "db1"
    assert "web1" not in inventory.all and str(inventory.resolve("web1")) == "web1"
    made = machines.change(made, state="setup")
    assert str(inventory.resolve("@prod")) == "db1,web1"
    assert str(inventory.resolve("@image:debian")) == "web1"
    made = machines.change(made, state="stopped")
    with pytest.raises(OpsError, match="^stopped; server start web1 starts it"):
        inventory.host("web1")
    assert str(inventory.resolve("@prod")) == "db1"
    machines.remove(made)
    with pytest.raises(OpsError, match="unknown host web1"):
        inventory.host("web1")


def test_a_machine_joins_a_group_that_the_ini_has(machines: Machines) -> None:
    settings = Settings(groups={"lab": "db[1-3]!db2"}, ssh=Ssh(config=NO_FILE))
    inventory = Inventory(settings, machines.snapshot)
    machines.change(allocate(machines)[0], address="10.0.0.5", state="ready")
    assert str(inventory.resolve("@lab")) == "db[1,3],web1"
    assert settings.groups == {"lab": "db[1-3]!db2"}


def test_a_line_of_the_ini_counts_before_a_machine(machines: Machines) -> None:
    settings = Settings(hosts={"web1": HostLine("10.9.9.9")}, ssh=Ssh(config=NO_FILE))
    inventory = Inventory(settings, machines.snapshot)
    machines.change(allocate(machines, "web1")[0], address="10.0.0.5", state="ready")
    assert inventory.host("web1").address == "10.9.9.9"


def test_a_label_is_a_uuid_that_says_whose_it_is() -> None:
    label = new_label()
    assert str(uuid.UUID(label)) == label and uuid.UUID(label).version == 4
    assert is_ours(label) and not is_ours(str(uuid.UUID(int=0))) and label != new_label()


def test_who_asked_for_twenty_minutes_is_not_warned_thirty_before() -> None:
    minutes = [60, 30, 20, 5, 1]
    assert [needless(timedelta(minutes=m)) for m in minutes] == [0, 1, 1, 2, 2]
