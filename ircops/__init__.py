"""What a command author imports: HOSTS, requires, in_waves, run, show, clock_time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ircops.policy import requires as requires
    from ircops.ssh.inventory import HOSTS as HOSTS
    from ircops.ssh.results import Results
    from ircops.ssh.waves import in_waves as in_waves
    from ircops.store.times import clock_time as clock_time

    __version__: str

__all__ = ["HOSTS", "__version__", "clock_time", "in_waves", "requires", "run", "show"]

_HOMES = {
    "HOSTS": "ircops.ssh.inventory",
    "clock_time": "ircops.store.times",
    "in_waves": "ircops.ssh.waves",
    "requires": "ircops.policy",
}


def run(command: str | list[str], hosts: Any, **options: Any) -> Results:
    """Run `command` on `hosts` over SSH, on behalf of the call that is being answered.

    A list is quoted before it meets the remote shell; a string is a shell line that the author wrote,
    never one that was put together from what somebody said. Echo what this returns, or go through
    it: a `Result` for each host as it completes. `timeout` is seconds for each host; more options
    at `Ops.run` and `Fanout.run`.
    """
    import click

    results: Results = click.get_current_context().obj.run(command, hosts, **options)
    return results


def show(results: Results, text: str = "") -> None:
    """Echo what came of a run, or `text` in its place; the command has failed if a host has."""
    import click

    click.echo(text or results)
    if results.failed:
        click.get_current_context().exit(1)


def __getattr__(name: str) -> object:
    """Fetch a public name at its first use (PEP 562), so that `import ircops` itself costs nothing."""
    if name == "__version__":
        from importlib import metadata

        return metadata.version("ircops")
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
