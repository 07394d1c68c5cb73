"""How many files the process may have open: a connection to a host is one."""

from __future__ import annotations

import contextlib
import os
import resource

from ircops.errors import OpsError

SPARE = 128  # for all that is no connection: IRC, the record, output of jobs


def make_room(hosts: int) -> None:
    """See to it that so many more connections can be open; the soft limit is raised as far as we may.

    Raises OpsError with the limit to raise (RLIMIT_NOFILE, getrlimit(2)) if it is too low for these alone.
    """
    needed = hosts + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed + _open_now()
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):  # forbidden to us, as by a seccomp filter
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if needed > soft:
        raise OpsError(
            f"{hosts} hosts at once need {needed} open files and {soft} are allowed; "
            f"raise LimitNOFILE to {needed} (ulimit -n), or name fewer hosts"
        )


def _open_now() -> int:
    with contextlib.suppress(OSError):  # no /proc
        return len(os.listdir("/proc/self/fd"))
    return 0
