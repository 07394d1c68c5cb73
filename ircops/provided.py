"""[provider NAME]: where machines are made and destroyed, and how they are to be; see ops/providers."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from ircops import shapes
from ircops.kinds import Faults, Seconds, Secret, Wait
from ircops.shapes import Count, Word

SIZE = r"(\d+(?:\.\d+)?)x(\d+)(?:x(\d+))?"  # CPUs, megabytes of memory, gigabytes of disk


@dataclass(frozen=True)
class Provider:
    """One section."""

    kind: Literal["podman", "libvirt", "cloud", "command"] = "podman"
    host: Word = ""  # the hypervisor, where all but cloud work; "" = the bot's own machine
    images: tuple[shapes.Choice, ...] = ()  # NAME=WHAT; the first unless another is asked for
    sizes: tuple[shapes.Choice, ...] = ()  # likewise; () = as the provider likes
    quota: Count = 10  # machines at once
    expire: Seconds = Seconds(0)  # how long one lives unless --for says; 0 = for ever
    group: Word = ""  # its machines are in; "" = of its name
    user: Word = ""  # to log in to machines as; "" = root
    authorized_keys: Path | None = None  # put there; None = the public halves of [ssh] key
    setup: Path | None = None  # a script that each new machine runs
    deadline: Wait = Seconds(300)  # for a new machine to answer by SSH
    seed: bool = True  # put our host key and authorized_keys there; no = the image has some
    ports: shapes.Ports | None = None  # of the hypervisor, one a machine; None = its own address
    address: Word = ""  # of these ports, "" = the hypervisor's; cloud: `private` = that one
    through: bool = False  # reached by a jump over the hypervisor
    network: Word = ""  # of the hypervisor
    store: Path = Path("/var/lib/libvirt/images")  # of the hypervisor: disks of libvirt's machines
    options: str = ""  # of podman or virsh; cloud: `name=value` of the driver
    machine_options: str = ""  # of podman create; cloud: `name=value` of the creation
    driver: Word = ""  # Libcloud's: ec2, openstack, digitalocean …
    account: Secret = Secret()  # the cloud's user or access key
    secret: Secret = Secret()
    to_create: Annotated[str, "create"] = ""  # the templates of a command
    to_list: Annotated[str, "list"] = ""
    to_start: Annotated[str, "start"] = ""
    to_stop: Annotated[str, "stop"] = ""
    to_reboot: Annotated[str, "reboot"] = ""
    to_destroy: Annotated[str, "destroy"] = ""
    to_resize: Annotated[str, "resize"] = ""

    @property
    def makes_host_key(self) -> bool:
        """A machine is given one made for it; else it has its own, which is asked for."""
        return self.seed and (self.kind != "command" or "{host_key}" in self.to_create)

    def faults(self) -> Faults:
        """What the section lacks or contradicts."""
        if not self.images and self.kind != "command":
            yield "images", "needs an image: images = debian=localhost/debian-ssh:12"
        if self.kind in ("podman", "libvirt"):
            for choice in self.sizes:
                name, _, what = choice.partition("=")
                if not re.fullmatch(SIZE, what):
                    yield "sizes", f"has {choice}; a size is CPUSxMEGABYTES, as in {name}=1x512"
        if self.kind == "cloud" and not self.driver:
            yield "driver", "needs a driver: driver = ec2"
        if self.kind == "command":
            for verb in ("create", "list", "destroy"):
                if not getattr(self, f"to_{verb}"):
                    yield verb, f"needs {verb}, a command line"
        if self.through and not self.host:
            yield "through", "has through, but no host to jump over"
        if self.ports and not 0 < int(self.ports.split("-")[0]) <= int(self.ports.split("-")[1]):
            yield "ports", "has ports that end before they begin"
        for key in ("authorized_keys", "setup"):
            path = getattr(self, key)
            if path and not path.is_file():
                yield key, f"names {path}, which is no file we can see"
        yield from self._unquoted()

    def _unquoted(self) -> Faults:
        """What is split as a shell would, and cannot be."""
        lines = {"options": self.options, "machine_options": self.machine_options}
        for verb in ("create", "list", "start", "stop", "reboot", "destroy", "resize"):
            lines[verb] = getattr(self, f"to_{verb}")
        for key, line in lines.items():
            try:
                shlex.split(line)
            except ValueError:
                yield key, f"has an open quote in {key}"
