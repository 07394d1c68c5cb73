"""!put: a file of the operator's own, to hosts."""

import posixpath

import click
from ircops.commands.script import digest, own_file

from ircops import HOSTS, requires, show


@requires("admin", timeout=300, facts=digest)
@click.command()
@click.argument("name")
@click.argument("hosts", type=HOSTS)
@click.argument("path")
@click.pass_obj
def put(ops, name, hosts, path):
    """Copy file NAME to PATH on HOSTS, with its mode, or not at all."""
    data, mode = own_file(ops, name)
    path = posixpath.join(path, name) if path.endswith("/") else path

    def copy(on):
        on.put(data, path, mode)
        return on.done(f"{path}: {len(data)} bytes")

    show(ops.each(copy, hosts, doing=f"copying {name}", timeout=120))
