"""Checks of one's own: a plugin on hosts or on the bot's machine, a page, a port, a certificate. Blocking.

They only look. A plugin on a host goes by the fast path, as the probe does; what is done from here has a thread each.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from ircops.call import Result
from ircops.config import Check
from ircops.errors import OpsError, sentence
from ircops.ops.health import HERE
from ircops.ops.plugins import Outcome, State, outcome
from ircops.ssh.inventory import Inventory

AT_ONCE = 32  # checks from here
DAY = 86400.0
CRITICAL_PART = 4  # of the days that a certificate must be good for, this part is CRITICAL

Run = Callable[..., Iterable[Result]]  # the shape of Ops.run


class Checks:
    """The [check …] sections, run when they are asked for."""

    def __init__(self, checks: Mapping[str, Check], inventory: Inventory) -> None:
        self._checks, self._inventory = checks, inventory

    def about(self, hosts: Any) -> list[str]:
        """The names of those that belong to a look at `hosts` (a NodeSet); what is about no host, to one at all of them."""
        return [name for name in self._checks if self._hosts(name, hosts)]

    def run(self, names: Iterable[str], hosts: Any, run: Run) -> list[Outcome]:
        """What each of these comes to, for those of `hosts` that it is about; `run` is as `Ops.run`."""
        there: list[tuple[str, Iterable[Result]]] = []
        here: list[Callable[[], Outcome]] = []
        for name in names:
            check = self._checks[name]
            for_hosts = self._hosts(name, hosts)
            if check.run and check.on != HERE and for_hosts:
                results = run(check.run, for_hosts, fast=True, timeout=check.timeout)
                there.append((name, results))
            else:
                here += [partial(self._from_here, name, check, host) for host in for_hosts]
        with ThreadPoolExecutor(min(len(here), AT_ONCE) or 1, "check") as threads:
            found = [threads.submit(look) for look in here]
            outcomes = [_of_result(name, result) for name, results in there for result in results]
            return outcomes + [look.result() for look in found]

    def _hosts(self, name: str, hosts: Any) -> Any:
        """Those of `hosts` that it is about."""
        check = self._checks[name]
        if check.on == HERE:
            return [HERE] if len(hosts) >= len(self._inventory.all) else []
        try:
            return self._inventory.resolve(check.on) & hosts
        except OpsError:  # an inventory has lost the group; `ircops check` says so
            return []

    def _from_here(self, name: str, check: Check, host: str) -> Outcome:
        try:
            address = "" if host == HERE else self._inventory.host(host).address
            if check.run:
                return _plugin(name, host, check)
            if check.http:
                return _page(name, host, check.http.replace("{host}", address), check.timeout)
            target = (check.tcp or check.tls).replace("{host}", address)
            return _port(name, host, target, check)
        except OpsError as error:
            return Outcome(name, host, State.UNKNOWN, sentence(error))


def _of_result(name: str, result: Result) -> Outcome:
    if result.error:
        is_slow = result.error.startswith("timed out")
        return Outcome(
            name, result.host, State.CRITICAL if is_slow else State.UNKNOWN, result.error
        )
    return outcome(name, result.host, result.exit_code or 0, result.stdout or result.stderr)


def _plugin(name: str, host: str, check: Check) -> Outcome:
    """Run it on this machine; it and its children are killed when it takes too long."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", check.run],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    with process:
        try:
            output, _ = process.communicate(timeout=check.timeout)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return Outcome(name, host, State.CRITICAL, f"timed out after {check.timeout:g} s")
    return outcome(name, host, process.returncode, output)


def _page(name: str, host: str, url: str, timeout: float) -> Outcome:
    import http.client
    import urllib.error
    import urllib.request

    began = time.monotonic()
    request = urllib.request.Request(url, headers={"User-Agent": "ircops"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            size, status = len(answer.read(1024 * 1024)), answer.status
    except urllib.error.HTTPError as error:
        with error:
            return Outcome(name, host, State.CRITICAL, f"HTTP {error.code} {error.reason}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Outcome(name, host, State.CRITICAL, _why(error, timeout))
    took = time.monotonic() - began
    values = (("time", took), ("size", float(size)))
    return Outcome(name, host, State.OK, f"HTTP {status} in {took:.2f} s", values)


def _port(name: str, host: str, target: str, check: Check) -> Outcome:
    """It is open; for `tls` its certificate is right, and good for long enough."""
    import ssl

    address, _, port = target.rpartition(":")
    address = address.strip("[]")
    began = time.monotonic()
    try:
        with socket.create_connection((address, int(port)), check.timeout) as connection:
            took = time.monotonic() - began
            if check.tcp:
                values = (("time", took),)
                return Outcome(name, host, State.OK, f"open, after {took * 1000:.0f} ms", values)
            context = ssl.create_default_context()
            with context.wrap_socket(connection, server_hostname=address) as secure:
                certificate = secure.getpeercert() or {}
    except (OSError, ValueError) as error:
        return Outcome(name, host, State.CRITICAL, _why(error, check.timeout))
    days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / DAY
    state = State.OK
    if days < check.days:
        state = State.CRITICAL if days < check.days / CRITICAL_PART else State.WARNING
    return Outcome(name, host, state, f"certificate ends in {days:.0f} days", (("days", days),))


def _why(error: Exception, timeout: float) -> str:
    """In words, and without what Python puts around them."""
    import ssl
    import urllib.error

    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"certificate: {cause.verify_message}"
    if isinstance(cause, TimeoutError):
        return f"timed out after {timeout:g} s"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return str(cause) or type(cause).__name__
