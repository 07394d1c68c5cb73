"""What a command author imports: HOSTS, requires, run, ops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ircops.policy import requires as requires
    from ircops.ssh.fanout import Results
    from ircops.ssh.inventory import HOSTS as HOSTS

    __version__: str

__all__ = ["HOSTS", "__version__", "requires", "run"]

_HOMES = {"HOSTS": "ircops.ssh.inventory", "requires": "ircops.policy"}


def run(command: str | list[str], hosts: Any, **options: Any) -> Results:
    """Run `command` on `hosts` over SSH, on behalf of the call that is being answered.

    A list is quoted before it meets the remote shell; a string is a shell line that the author wrote,
    never one that was put together from what somebody said. Echo what this returns, or go through
    it: a `Result` for each host as it completes. `timeout` is seconds for each host; more options
    at `Fanout.run`.
    """
    import click

    results: Results = click.get_current_context().obj.run(command, hosts, **options)
    return results


def __getattr__(name: str) -> object:
    """Fetch a public name at its first use (PEP 562), so that `import ircops` itself costs nothing."""
    from importlib import import_module, metadata

    if name == "__version__":
        return metadata.version("ircops")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
