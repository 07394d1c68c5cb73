"""How many files the process may have open: a connection to a host is one."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable

from ircops.errors import OpsError

SPARE = 128  # for all that is no connection: IRC, the record, output of jobs


def make_room(
    new: int, opened: int = 0, close_idle: Callable[[int], int] = lambda count: 0
) -> None:
    """See to it that so many `new` connections can be open beside those that are; the soft limit is raised for it.

    Where it may not be raised so far, `close_idle` is asked to close some, and gives how many it did. Raises OpsError
    with the limit to raise (RLIMIT_NOFILE, getrlimit(2)) if that is not enough.
    """
    needed = new + opened + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(needed, new + SPARE + _open_now())
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):  # forbidden to us, as by a seccomp filter
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if needed <= soft:
        return
    opened -= close_idle(needed - soft)
    needed = new + opened + SPARE
    if needed > soft:
        besides = f" beside {opened} that are open" if opened else ""
        raise OpsError(
            f"{new} hosts at once{besides} need {needed} open files and {soft} are allowed; "
            f"raise LimitNOFILE to {needed} (ulimit -n), or name fewer hosts"
        )


def _open_now() -> int:
    with contextlib.suppress(OSError):  # no /proc
        return len(os.listdir("/proc/self/fd"))
    return 0
