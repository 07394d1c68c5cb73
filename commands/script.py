"""!script: one of the operator's own scripts, on any hosts."""

import difflib
import hashlib
import secrets

import click

from ircops import HOSTS, in_waves, requires, show

# $0 is the copy there. It goes when the script has ended, also if nobody is connected any more; what is detached
# takes it along to what the host keeps of the run, to go with that even after a kill that runs no trap.
WRAP = """\
copy=$0
[ ! -d "$IRCOPS_STATE" ] || { mv -- "$0" "$IRCOPS_STATE/" && copy=$IRCOPS_STATE/${0##*/}; }
trap 'rm -f -- "$copy"' EXIT
trap 'exit 143' HUP INT TERM
"$copy" "$@"
"""
COPYING = 60  # seconds


def own_file(ops, name):
    """What is in a file of [bot] scripts, and its mode; only what lies there, by its plain name."""
    directory = ops.settings.bot.scripts
    files = {path.name: path for path in directory.glob("*")} if directory.is_dir() else {}
    files = {
        known: path
        for known, path in files.items()
        if path.is_file() and path.resolve().parent == directory.resolve() and known[0] != "."
    }
    if name not in files:
        near = difflib.get_close_matches(name, files, 1)
        hint = (
            f"did you mean {near[0]}?" if near else "there: " + (" ".join(sorted(files)) or "none")
        )
        raise click.ClickException(f"no file {name} in {directory}; {hint}")
    return files[name].read_bytes(), files[name].stat().st_mode


def digest(ops, arguments):
    """What consent to a script is bound to."""
    return {"script": hashlib.sha256(own_file(ops, arguments["name"])[0]).hexdigest()}


@requires("operator", timeout=0, facts=digest)
@click.command(context_settings={"allow_interspersed_args": False})
@click.option("-t", "--timeout", type=click.IntRange(min=1), help="seconds a host may take")
@click.option("--detach", is_flag=True, help="it goes on there whatever becomes of the bot")
@in_waves()
@click.argument("name")
@click.argument("hosts", type=HOSTS)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def script(ops, timeout, detach, waves, name, hosts, arguments):
    """Run your script NAME on HOSTS, and leave nothing of it there."""
    data, _ = own_file(ops, name)
    if not detach:
        timeout = timeout or ops.settings.ssh.command_timeout

    def there(on):
        path = f"{on.home()}/.ircops-{secrets.token_hex(8)}-{name}"  # hosts may share a home
        try:
            on.put(data, path, 0o700)
            command = ["sh", "-c", WRAP, path, *arguments]
            return on(command, timeout=timeout or 0, detach=detach)
        finally:
            if not on.is_left:
                on.remove(path)

    whole = timeout + COPYING if timeout else 0
    doing = f"running script {name}"
    show(ops.each(there, hosts, doing=doing, timeout=whole, detach=detach, **waves))
