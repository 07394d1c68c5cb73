"""Machines that are podman's containers with an sshd, on a host over SSH."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from ircops.errors import OpsError
from ircops.ops.providers import Order, Seen, Unsure
from ircops.ops.providers.seed import HOST_KEY, archive

if TYPE_CHECKING:
    from ircops.config import Provider
    from ircops.ops.providers.shell import Shell

LABEL = "ircops"
PATIENCE = "5"  # seconds a container has to end before it is killed
STATES = {"exited": "stopped", "created": "stopped"}


class Podman:
    """Implements `Provider`."""

    def __init__(self, settings: Provider, shell: Shell) -> None:
        self._settings, self._shell = settings, shell
        self._podman = ["podman", *shlex.split(settings.options)]

    def create(self, order: Order) -> Seen:
        """In steps: what is put into it must be there before its sshd starts."""
        id = self._do("create", *_given(self._settings, order), order.image).split()[-1]
        if files := list(_files(order)):
            self._do("cp", "-", f"{id}:/", stdin=archive(files))
        self._do("start", id)
        return self.show(id) or Seen(id)

    def list(self) -> list[Seen]:
        found = json.loads(self._look("ps", "--all", "--no-trunc", "--format", "json") or "[]")
        return [
            Seen(
                id=one["Id"],
                name=one["Names"][0],
                label=(one.get("Labels") or {}).get(LABEL, ""),
                state=STATES.get(one["State"], one["State"]),
            )
            for one in found or ()
        ]

    def show(self, id: str) -> Seen | None:
        try:
            (one,) = json.loads(self._look("container", "inspect", id))
        except Unsure:
            raise
        except OpsError as error:
            if "no such container" in error.message.lower():
                return None
            raise
        status = one["State"]["Status"]
        return Seen(
            id=one["Id"],
            name=one["Name"],
            label=(one["Config"].get("Labels") or {}).get(LABEL, ""),
            state=STATES.get(status, status),
            address="" if self._settings.ports else _address(one["NetworkSettings"]),
        )

    def start(self, id: str) -> None:
        self._do("start", id)

    def stop(self, id: str) -> None:
        self._do("stop", "--time", PATIENCE, id)

    def reboot(self, id: str) -> None:
        self._do("restart", "--time", PATIENCE, id)

    def destroy(self, id: str) -> None:
        self._do("rm", "--force", "--ignore", "--volumes", "--time", PATIENCE, id)

    def resize(self, id: str, size: str) -> None:
        """While it runs, by its cgroup."""
        cpus, memory, _ = Order("", "", "", size, "").shape
        # swap would have to be more than memory, and is where it is smaller; -1 lets both change
        limits = ["--cpus", f"{cpus:g}", "--memory", f"{memory}m", "--memory-swap", "-1"]
        self._do("update", *limits, id)

    def host_key(self, id: str) -> str:
        try:
            return " ".join(self._look("exec", id, "cat", f"/{HOST_KEY}.pub").split()[:2])
        except Unsure:
            raise
        except OpsError:
            return ""

    def _do(self, *words: str, stdin: bytes = b"") -> str:
        return self._shell([*self._podman, *words], stdin)

    def _look(self, *words: str) -> str:
        return self._shell([*self._podman, *words], looks=True)


def _given(settings: Provider, order: Order) -> list[str]:
    """What podman create is told."""
    cpus, memory, _ = order.shape
    given = ["--name", order.name, "--hostname", order.name]
    given += ["--label", f"{LABEL}={order.label}"]
    given += ["--cpus", f"{cpus:g}", "--memory", f"{memory}m"] * bool(order.size)
    if order.port:
        bind = f"{settings.address}:" if _is_number(settings.address) else ""
        given += ["--publish", f"{bind}{order.port}:22"]
    given += ["--network", settings.network] * bool(settings.network)
    return [*given, *shlex.split(settings.machine_options)]


def _files(order: Order) -> Any:
    """What is put into a container: path, text, mode."""
    if order.host_key:
        yield HOST_KEY, order.host_key.private, 0o600
        yield f"{HOST_KEY}.pub", f"{order.host_key.public} {order.name}\n", 0o644
    if order.authorized_keys and order.user == "root":
        # another user's number is the image's own business, and so is whom it lets in
        yield "root/.ssh/authorized_keys", "\n".join([*order.authorized_keys, ""]), 0o600


def _address(networks: dict[str, Any]) -> str:
    own = networks.get("IPAddress")
    others = (network["IPAddress"] for network in (networks.get("Networks") or {}).values())
    return own or next(filter(None, others), "")


def _is_number(address: str) -> bool:
    return bool(address) and address.replace(".", "").isdigit()
