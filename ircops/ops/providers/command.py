"""Machines of anything that has a command line: a template for each verb, every argument in it quoted."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from ircops.errors import OpsError
from ircops.ops.providers import Order, Seen

if TYPE_CHECKING:
    from ircops.config import Provider
    from ircops.ops.providers.shell import Shell


class Command:
    """Implements `Provider`.

    `create` and `list` print a line for each machine, of words such as `id=i-12 name=web1 label=… state=running
    address=10.0.0.5 port=22 host_key=SHA256:…`; all but the id may be left out, but a label that was given must come back.
    """

    def __init__(self, settings: Provider, shell: Shell) -> None:
        self._settings, self._shell = settings, shell

    def create(self, order: Order) -> Seen:
        key = order.host_key
        values = {
            "name": order.name,
            "label": order.label,
            "image": order.image,
            "size": order.size,
            "user": order.user,
            "port": str(order.port or ""),
            "host_key": key.public if key else "",
            "authorized_keys": "\n".join(order.authorized_keys),
        }
        # the private half is for nobody's process list: it comes on stdin
        said = self._do("create", values, (key.private if key else "").encode())
        for line in reversed(said.splitlines()):
            if seen := _seen(line):
                return seen
        raise OpsError("create has not said which machine it made: id=…")

    def list(self) -> list[Seen]:
        return [seen for line in self._do("list", {}).splitlines() if (seen := _seen(line))]

    def show(self, id: str) -> Seen | None:
        return next((seen for seen in self.list() if seen.id == id), None)

    def start(self, id: str) -> None:
        self._do("start", {"id": id})

    def stop(self, id: str) -> None:
        self._do("stop", {"id": id})

    def reboot(self, id: str) -> None:
        self._do("reboot", {"id": id})

    def destroy(self, id: str) -> None:
        self._do("destroy", {"id": id})

    def resize(self, id: str, size: str) -> None:
        self._do("resize", {"id": id, "size": size})

    def host_key(self, id: str) -> str:
        return ""  # it comes with the list, as a pin

    def _do(self, verb: str, values: dict[str, str], stdin: bytes = b"") -> str:
        template = getattr(self._settings, f"to_{verb}")
        if not template:
            raise OpsError(f"this provider cannot {verb}; give it a line {verb} = … in ircops.ini")
        words = [_filled(word, values) for word in shlex.split(template)]
        return self._shell(words, stdin, looks=verb == "list")


def _filled(word: str, values: dict[str, str]) -> str:
    """One argument, whatever is in the values: it never meets a shell unquoted."""
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), word)


def _seen(line: str) -> Seen | None:
    """A line of words such as id=7; None if it is not one."""
    try:
        words = dict(word.split("=", 1) for word in shlex.split(line))
        port = int(words.get("port") or 0)
    except ValueError:
        return None
    if not words.get("id"):
        return None
    texts = ("id", "name", "label", "state", "address", "host_key")
    return Seen(**{name: words.get(name, "") for name in texts}, port=port)
