"""Programs that give an Ansible inventory: asked with `--list` for JSON, within a time."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

from ircops.errors import OpsError
from ircops.ssh.ansible_tree import CONNECTION, Tree, Value, Values

log = logging.getLogger(__name__)

PATIENCE = 30.0  # seconds a program has to answer


def ask(words: list[str], path: Path, tree: Tree) -> Tree:
    """Take into `tree` what the program answers; `path` is where that is said to stand. Raises OpsError."""
    return _taken(tree, path, _answer(words))


def _answer(words: list[str]) -> Any:
    """The JSON that a program prints. Raises OpsError; what the program says of it is in the log only."""
    environment = {**os.environ, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"}
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # so that all of it can be ended
        )
    except OSError as error:
        raise OpsError(f"{words[0]}: cannot be started: {error.strerror}") from None
    with process:
        try:
            stdout, stderr = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise OpsError(f"{words[0]}: no answer within {PATIENCE:.0f} s") from None
    if process.returncode:
        log.error("%s: %s", words[0], stderr.decode(errors="replace").strip())
        raise OpsError(f"{words[0]}: exit code {process.returncode}; the log has what it said")
    try:
        answer = json.loads(stdout)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise OpsError(f"{words[0]}: its answer is no JSON with groups; try it with --list")
    return answer


def _taken(tree: Tree, path: Path, answer: dict[str, Any]) -> Tree:
    """Take in what a program answered: groups with hosts, children and vars, `_meta` with hostvars."""
    for name, said in answer.items():
        if name == "_meta":
            continue
        said = {"hosts": said} if isinstance(said, list) else said if isinstance(said, dict) else {}
        group = tree.group(name)
        group.children |= dict.fromkeys(_names(said.get("children")))
        group.values |= _json_values(path, said.get("vars"))
        for host in _names(said.get("hosts")):
            if re.fullmatch(r"[\w.:-]+", host):
                tree.add(name, host, {})
            else:
                log.warning("%s: %s is no name of a host; passed over", path, host)
        for child in group.children:
            tree.group(child)
    meta = answer.get("_meta")
    hostvars = meta.get("hostvars") if isinstance(meta, dict) else None
    for host, values in hostvars.items() if isinstance(hostvars, dict) else ():
        if host in tree.hosts:
            tree.hosts[host].update(_json_values(path, values))
    return tree


def _names(said: Any) -> list[str]:
    return [str(name) for name in said] if isinstance(said, list | dict) else []


def _json_values(path: Path, said: Any) -> Values:
    values = {}
    for key, value in said.items() if isinstance(said, dict) else ():
        if key not in CONNECTION or value is None:
            continue
        is_vaulted = isinstance(value, dict) and "__ansible_vault" in value
        text = value.get("__ansible_unsafe", "") if isinstance(value, dict) else value
        values[CONNECTION[key]] = Value(str(text), path, 0, is_vaulted)
    return values
