"""What creates and destroys machines: one small interface, a module for each kind of provider."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ircops.errors import OpsError

if TYPE_CHECKING:
    from ircops import config
    from ircops.call import Result, Stop
    from ircops.ops.providers.seed import HostKey

Run = Callable[..., "Iterable[Result]"]  # of the shape of `Ops.run`, and `Fanout.run`


class Unsure(OpsError):
    """It was told to do something, and nobody knows whether it has."""


@dataclass(frozen=True)
class Order:
    """A machine as it is asked for. Names are those of the ini; `image` and `size` what they stand for."""

    name: str
    label: str
    image: str
    size: str  # "" = as the provider likes
    user: str
    port: int = 0  # of the hypervisor, that leads to its SSH; 0 = none
    host_key: HostKey | None = None  # it is to have; None = its own
    authorized_keys: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[float, int, int]:
        """CPUs, megabytes of memory, gigabytes of disk, where `size` is CPUSxMEGABYTES[xGIGABYTES]; 0 = unsaid."""
        cpus, memory, disk = (*(self.size or "0x0").split("x"), "0")[:3]
        return float(cpus), int(memory), int(disk)


@dataclass(frozen=True)
class Seen:
    """A machine as its provider has it."""

    id: str
    name: str = ""
    label: str = ""  # that we wrote on it; "" = none is to be seen
    state: str = ""  # running, stopped, or a word of the provider's own
    address: str = ""  # "" = not known (yet)
    port: int = 0  # 0 = SSH's own, or the one in the Order
    host_key: str = ""  # `SHA256:…`, where it comes with the rest


class Provider(Protocol):
    """All calls block, and raise OpsError in a sentence; Unsure, if it may have been done all the same."""

    def create(self, order: Order) -> Seen:
        """Make one and start it; it bears `order.label` from the first moment on."""

    def list(self) -> list[Seen]:
        """All that it has, also those of others."""

    def show(self, id: str) -> Seen | None:
        """One; None if there is none of this id."""

    def start(self, id: str) -> None: ...
    def stop(self, id: str) -> None: ...
    def reboot(self, id: str) -> None: ...

    def destroy(self, id: str) -> None:
        """Remove it with all that belongs to it; not there is fine."""

    def resize(self, id: str, size: str) -> None:
        """Give it another size; it may be stopped and started for that."""

    def host_key(self, id: str) -> str:
        """Its public host key, `ssh-ed25519 AAAA…`, by a way that nobody on the network is in; "" = not (yet)."""


def connect(settings: config.Provider, run: Run, stop: Stop | None = None) -> Provider:
    """The provider of a [provider NAME] section; `run` reaches its hypervisor. `stop` is for what runs here."""
    from ircops.ops.providers.shell import Here, OnHost

    shell = OnHost(run, settings.host) if settings.host else Here(stop)
    if settings.kind == "podman":
        from ircops.ops.providers.podman import Podman

        return Podman(settings, shell)
    if settings.kind == "libvirt":
        from ircops.ops.providers.libvirt import Libvirt

        return Libvirt(settings, shell)
    if settings.kind == "cloud":
        from ircops.ops.providers.cloud import Cloud

        return Cloud(settings)
    from ircops.ops.providers.command import Command

    return Command(settings, shell)
