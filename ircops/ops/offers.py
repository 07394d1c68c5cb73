"""What [provider NAME] sections offer: images and sizes by name, ports, keys; and what is made of them for one machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ircops.errors import OpsError, sentence
from ircops.ops.machines import Machine, Ports
from ircops.ops.providers import Order
from ircops.shapes import did_you_mean

if TYPE_CHECKING:
    from ircops import config
    from ircops.ops.providers.seed import HostKey
    from ircops.ssh.inventory import Inventory


class Offers:
    """The sections, as they are until the next reload. Any thread."""

    def __init__(
        self,
        providers: Mapping[str, config.Provider],
        inventory: Inventory,
        keys: tuple[Path, ...] = (),
    ) -> None:
        """`keys` are ours: a new machine lets them in, where its provider's section does not say whom."""
        self._providers, self._inventory, self._keys = providers, inventory, keys

    @property
    def names(self) -> list[str]:
        return list(self._providers)

    def settings(self, name: str) -> config.Provider:
        """The section of a provider that has machines. Raises OpsError."""
        if name not in self._providers:
            raise OpsError(f"there is no [provider {name}] any more; put it back into ircops.ini")
        return self._providers[name]

    def provider(self, name: str) -> str:
        """The one that is asked for, else the first. Raises OpsError."""
        if not self._providers:
            raise OpsError("no provider is set up; add a [provider NAME] to ircops.ini")
        return _chosen("provider", name, self._providers)

    def image(self, provider: str, name: str) -> str:
        """Likewise; "" if it has none."""
        return _chosen("image", name, choices(self.settings(provider).images))

    def size(self, provider: str, name: str) -> str:
        """Likewise."""
        return _chosen("size", name, choices(self.settings(provider).sizes))

    def sizes(self, provider: str) -> Mapping[str, str]:
        """What each size stands for, by name."""
        return choices(self.settings(provider).sizes)

    def machine(self, provider: str, name: str, id: str = "") -> Machine:
        """A row for one as its section has it; who asked, and when, is not in it."""
        settings = self.settings(provider)
        return Machine(
            label="",
            name=name,
            provider=provider,
            id=id,
            group=settings.group or provider,
            user=settings.user or "root",
            jump=settings.host if settings.through else "",
        )

    def order(self, machine: Machine, host_key: HostKey | None) -> Order:
        """What its provider is asked for."""
        from ircops.ops.providers.seed import public_halves

        settings = self.settings(machine.provider)
        keys = public_halves(self._keys)
        if settings.authorized_keys is not None:
            lines = map(str.strip, settings.authorized_keys.read_text().splitlines())
            keys = tuple(line for line in lines if line and not line.startswith("#"))
        return Order(
            name=machine.name,
            label=machine.label,
            image=choices(settings.images).get(machine.image, ""),
            size=choices(settings.sizes).get(machine.size, ""),
            user=machine.user,
            port=machine.port if settings.ports else 0,
            host_key=host_key,
            authorized_keys=keys if settings.seed else (),
        )

    def ports(self, provider: str) -> Ports | None:
        """Those of its hypervisor; None = machines have addresses of their own."""
        settings = self.settings(provider)
        if not settings.ports:
            return None
        first, last = map(int, settings.ports.split("-"))
        sharing = (name for name, other in self._providers.items() if other.host == settings.host)
        return Ports(range(first, last + 1), frozenset(sharing))

    def published(self, provider: str) -> str:
        """Where these ports are; "" if there are none."""
        settings = self.settings(provider)
        if not settings.ports:
            return ""
        if settings.address or not settings.host:
            return settings.address or "127.0.0.1"
        return self._inventory.host(settings.host).address


def choices(listed: tuple[str, ...]) -> Mapping[str, str]:
    """`small=1x512 large=4x4096` by name, in their order."""
    pairs = (choice.partition("=") for choice in listed)
    return {name: what for name, _, what in pairs}


def _chosen(what: str, name: str, known: Mapping[str, object]) -> str:
    if not name:
        return next(iter(known), "")
    if name not in known:
        hint = did_you_mean(name, known) or f"; there are {' '.join(known) or 'none'}"
        raise OpsError(f"unknown {what} {name}{hint}")
    return name


def lost(settings: config.Settings, inventory: Inventory) -> list[str]:
    """Faults of hypervisors that are no hosts, each `file:line: …`."""
    faults = []
    for name, provider in settings.providers.items():
        try:
            if provider.host:
                inventory.host(provider.host)
        except OpsError as error:
            faults.append(f"{settings.place(f'provider {name}', 'host')}: {sentence(error)}")
    return faults
