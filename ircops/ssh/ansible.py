"""Ansible inventories: which hosts and groups they have, and how each host is reached; read again when they change.

By `ansible-inventory` where it is installed, else by ansible_files.py; programs are asked with `--list`.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ircops.errors import OpsError
from ircops.ssh.ansible_files import read
from ircops.ssh.ansible_programs import ask
from ircops.ssh.ansible_tree import Found, Tree, worked_out
from ircops.ssh.changes import stamps

log = logging.getLogger(__name__)

AGE = 300.0  # seconds until one whose answer may change by itself is asked again
RETRY = 30.0  # seconds until one that failed is


class Ansible:
    """The inventories named in [hosts]. Used from any thread.

    When a change has a fault, what was read before it stays, and `faults` says why.
    """

    def __init__(
        self, paths: tuple[Path, ...], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.faults: list[str] = []
        self._paths = paths
        self._clock = clock
        self._lock = threading.Lock()
        self._tree = Tree()
        self._found: Found | None = None
        self._due = 0.0  # when the programs are asked again

    def check(self) -> tuple[list[str], list[str]]:
        """The faults of the files, `file:line: …`, and what else is to be said: programs may fail by themselves."""
        found = self.found()
        faults = self._tree.faults
        notes = [fault for fault in self.faults if fault not in faults]
        return faults, notes + [f"{host}: {why}" for host, why in found.why_not.items()]

    def found(self) -> Found:
        """What holds now. May take as long as a program takes, at most PATIENCE."""
        if not self._lock.acquire(blocking=self._found is None):
            return self._found or Found()  # somebody is reading it anew; till then the old
        try:
            if self._found is None or self._is_stale():
                self._refresh()
            return self._found or Found()
        finally:
            self._lock.release()

    def _is_stale(self) -> bool:
        is_due = (self._tree.programs or self._tree.plugins) and self._clock() >= self._due
        return bool(is_due) or stamps(self._tree.seen) != self._tree.seen

    def _refresh(self) -> None:
        tree = self._tree = read(self._paths)
        if not _ansible():
            tree.faults += [
                f"{plugin} needs ansible; install ansible-core" for plugin in tree.plugins
            ]
        faults = list(tree.faults)
        self._due = self._clock() + AGE
        if not faults:
            try:
                tree = _asked(tree, self._paths)
            except OpsError as error:
                faults = [error.message]
                self._due = self._clock() + RETRY
        for fault in faults:
            if self._found is not None and fault not in self.faults:
                log.error("%s; the hosts known before stay", fault)
            elif fault not in tree.faults:  # those are told by who checks the settings
                log.error("%s; its hosts are not known yet", fault)
        self.faults = faults
        if self._found is None or not faults:
            self._found = worked_out(tree)


def _ansible() -> str:
    return shutil.which("ansible-inventory") or ""


def _asked(tree: Tree, paths: tuple[Path, ...]) -> Tree:
    """The tree as ansible has it, or with what the programs in it answer. Raises OpsError."""
    if not paths:
        return tree
    if program := _ansible():
        words = [word for path in paths for word in ("-i", str(path))]
        return ask([program, *words, "--list"], paths[0], Tree())
    for path in tree.programs:
        ask([str(path), "--list"], path, tree)
    return tree
