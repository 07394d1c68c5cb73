"""Whether files have changed since they were read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

Stamp = tuple[int, int, int] | None  # modified (ns), size, inode; None = it is not there


def stamps(paths: Iterable[Path]) -> dict[Path, Stamp]:
    """What each file or directory is like now. A directory changes when names in it come and go."""
    return {path: _stamp(path) for path in paths}


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
