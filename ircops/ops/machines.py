"""The machines that `!server` made, in a table of their own: names given out without races, and who is a host by now."""

from __future__ import annotations

import itertools
import random
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from ircops.config import HostLine
from ircops.errors import OpsError
from ircops.shapes import did_you_mean
from ircops.ssh.inventory import NONE_JOINED, Joined
from ircops.store.times import moment, stamp

if TYPE_CHECKING:
    from ircops.store.database import Database

MARK = b"irco"  # every label begins with it, so that ours are told apart in a provider's list
NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,50}[a-z0-9])?")  # RFC 1123 §2.1, and what providers take
SSH = 22
WARNINGS = (timedelta(minutes=30), timedelta(minutes=5))  # so long before its end it is said


@dataclass(frozen=True)
class Ports:
    """Of a hypervisor: those to choose from, and the providers that do."""

    all: range
    sharing: frozenset[str]


# "setup": it is a host by now, but whoever makes it has not ended
State = Literal["creating", "setup", "ready", "stopped", "failed"]


@dataclass(frozen=True)
class Machine:
    """One row: what was asked for, what came of it, how it is reached."""

    label: str  # on it at its provider, from the call on that creates it
    name: str
    provider: str
    state: State = "creating"
    id: str = ""  # its provider's; "" = it has not told us
    group: str = ""
    image: str = ""
    size: str = ""
    user: str = ""
    address: str = ""  # "" = not known yet, or the inventory has it (adopted)
    port: int = SSH
    jump: str = ""
    host_key: str = ""  # its pin: `SHA256:…`
    why: str = ""  # it has failed
    by: str = ""
    network: str = ""
    channel: str = ""
    job: int = 0
    warned: int = 0
    is_adopted: int = 0
    made_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    expires_at: datetime | None = None

    @property
    def place(self) -> str:
        """The channel it was asked for in, as `network/#channel`; "" = in none."""
        return f"{self.network}/{self.channel}" if self.channel else ""

    @property
    def where(self) -> str:
        """`10.0.0.5`, or with a port that is not SSH's own."""
        return self.address if self.port == SSH else f"{self.address}:{self.port}"

    @property
    def is_whole(self) -> bool:
        """Its making has ended, and well."""
        return self.state in ("ready", "stopped")

    @property
    def absence(self) -> str:
        """Why it is no host like others; "" = it is."""
        if self.state == "creating":
            return f"being created by job {self.job}"
        if self.state == "stopped":
            return f"stopped; server start {self.name} starts it"
        if self.state == "failed":
            return f"failed ({self.why}); server destroy {self.name} removes the rest"
        return ""

    @property
    def line(self) -> HostLine:
        """As if it stood in [hosts]."""
        variables = {"provider": self.provider, "image": self.image, "size": self.size}
        return HostLine(
            address=self.address,
            port=self.port,
            user=self.user,
            jump=self.jump,
            host_key=self.host_key,
            variables=tuple((name, value) for name, value in variables.items() if value),
        )


COLUMNS = tuple(field.name for field in fields(Machine))
LISTED = ", ".join(f'"{name}"' for name in COLUMNS)
SELECT = f"SELECT {LISTED} FROM machines ORDER BY name"
INSERT = f"INSERT INTO machines ({LISTED}) VALUES ({', '.join('?' * len(COLUMNS))})"
UPDATE = f"UPDATE machines SET {LISTED.replace(',', ' = ?,')} = ? WHERE label = ?"


def new_label() -> str:
    """What a machine is found by, whatever becomes of us: a UUID, as libvirt wants one."""
    import uuid  # it looks for programs when it is imported

    return str(uuid.UUID(bytes=MARK + secrets.token_bytes(12), version=4))


def needless(left: timedelta) -> int:
    """How many of the warnings of its end are of no use, as it was only just said."""
    return sum(left <= before for before in WARNINGS)


def is_ours(label: str) -> bool:
    """It was written by an ircops, perhaps another one."""
    return label.startswith(MARK.hex())


class Machines:
    """The table, and what of it is a host. Blocking: for worker threads; `snapshot` and `all` from any."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: dict[str, Machine] = {}
        self._joined = NONE_JOINED

    def load(self) -> None:
        """Read it, at the start."""
        with self._database.append() as connection:
            self._read(connection)

    @property
    def all(self) -> list[Machine]:
        """By name."""
        return list(self._rows.values())

    def snapshot(self) -> Joined:
        """For the inventory; another object whenever something has changed."""
        return self._joined

    def find(self, name: str) -> Machine:
        """The machine of this name. Raises OpsError."""
        if name in self._rows:
            return self._rows[name]
        hint = did_you_mean(name, self._rows) or "; server adopt takes one that there is"
        raise OpsError(f"{name} is not a machine of server{hint}")

    def allocate(
        self,
        name: str,
        count: int,
        quota: int,
        ports: Ports | None,
        wanted: Machine,
        is_taken: Callable[[str], bool],
    ) -> list[Machine]:
        """Rows for `count` machines like `wanted`, before any provider hears of them. Raises OpsError.

        They are `name` itself, if that ends in a digit, else the lowest numbers free behind it. Nobody else gets
        these: the transaction that chooses writes them down.
        """
        with self._database.append() as connection:
            known = {row.name: row for row in _rows(connection)}
            made, refusal = _chosen(name, count, quota, ports, wanted, known, is_taken)
            for machine in made:
                connection.execute(INSERT, _values(machine))
            self._read(connection)
        if refusal:  # not in the block: the database has no fault
            raise OpsError(refusal)
        return made

    def add(self, machine: Machine) -> None:
        """A row for one that there is. Raises OpsError."""
        with self._database.append() as connection:
            is_known = any(row.name == machine.name for row in _rows(connection))
            if not is_known:
                connection.execute(INSERT, _values(machine))
            self._read(connection)
        if is_known:
            raise OpsError(f"{machine.name} is a machine of server already")

    def change(self, machine: Machine, **values: Any) -> Machine:
        """Change its row, durably, and give it as it is now; one that is gone meanwhile stays gone."""
        with self._database.append() as connection:
            now = next((row for row in _rows(connection) if row.label == machine.label), machine)
            changed = replace(now, **values)
            connection.execute(UPDATE, (*_values(changed), machine.label))
            self._read(connection)
        return changed

    def remove(self, machine: Machine) -> None:
        """Forget it."""
        with self._database.append() as connection:
            connection.execute("DELETE FROM machines WHERE label = ?", (machine.label,))
            self._read(connection)

    def _read(self, connection: Any) -> None:
        self._rows = {machine.name: machine for machine in _rows(connection)}
        self._joined = _joined(self._rows.values())


def _joined(machines: Iterable[Machine]) -> Joined:
    hosts: dict[str, HostLine] = {}
    groups: dict[str, list[str]] = {}
    apart: dict[str, str] = {}
    for machine in machines:
        if machine.address and machine.state in ("creating", "setup", "ready"):
            hosts[machine.name] = machine.line
        if machine.absence:
            apart[machine.name] = machine.absence
        elif machine.address:
            groups.setdefault(machine.group, []).append(machine.name)
    return Joined(hosts, groups, apart)


def _chosen(
    name: str,
    count: int,
    quota: int,
    ports: Ports | None,
    wanted: Machine,
    known: Mapping[str, Machine],
    is_taken: Callable[[str], bool],
) -> tuple[list[Machine], str]:
    """The rows to write, or why there are none."""
    if not NAME.fullmatch(name):
        return [], f"{name} cannot be a name; it is letters, digits and -, as in web"
    free = quota - sum(row.provider == wanted.provider for row in known.values())
    if count > free:
        return [], (
            f"{wanted.provider} has a quota of {quota}, and {max(free, 0)} left; "
            f"destroy some, or raise quota in [provider {wanted.provider}]"
        )
    if name[-1].isdigit() and count > 1:
        return [], f"{name} is one machine; for {count} give the name without its number"
    if name[-1].isdigit() and (name in known or is_taken(name)):
        return [], f"there is a host {name} already; choose another name"
    if name[-1].isdigit():
        names = [name]
    else:
        numbered = (f"{name}{number}" for number in itertools.count(1))
        free_ones = (each for each in numbered if each not in known and not is_taken(each))
        names = list(itertools.islice(free_ones, count))
    made = [replace(wanted, label=new_label(), name=each) for each in names]
    if ports is None:
        return made, ""
    used = {row.port for row in known.values() if row.provider in ports.sharing}
    left = [port for port in ports.all if port not in used]
    if len(left) < count:
        return [], f"too few of the ports {ports.all[0]}-{ports.all[-1]} are left; widen ports"
    # any of them: if somebody else listens there, the next try takes another
    chosen = random.SystemRandom().sample(left, count)
    return [replace(m, port=port) for m, port in zip(made, chosen, strict=True)], ""


def _values(machine: Machine) -> tuple[object, ...]:
    expires = stamp(machine.expires_at) if machine.expires_at else ""
    return astuple(replace(machine, made_at=stamp(machine.made_at), expires_at=expires))  # type: ignore[arg-type]


def _rows(connection: Any) -> list[Machine]:
    found: list[Mapping[str, Any]] = [
        dict(zip(COLUMNS, row, strict=True)) for row in connection.execute(SELECT).fetchall()
    ]
    return [
        Machine(
            **{
                **row,
                "made_at": moment(row["made_at"]),
                "expires_at": moment(row["expires_at"]) if row["expires_at"] else None,
            }
        )
        for row in found
    ]
