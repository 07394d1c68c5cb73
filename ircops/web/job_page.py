"""The page of a job: who asked for what, how it ended, and all that it put out, however long that is."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from ircops.errors import OpsError
from ircops.redact import ByLine
from ircops.ssh.spool import files
from ircops.web.ansi import Painter, plain
from ircops.web.templates import page, pieces
from ircops.web.visit import Content, Visit

if TYPE_CHECKING:
    from ircops.jobs import Job
    from ircops.record import Entry

BLOCK = 64 * 1024  # bytes that are taken at once, and then to the end of the line, or as many again
ENOUGH = 1_000_000  # bytes; what is longer is not loaded again by itself
AGAIN = 5  # seconds after which a page of a job that runs is
LAST = 40  # lines of hosts, while a job has said nothing itself
TEXT = "text/plain; charset=utf-8"

_OVERWRITTEN = re.compile(r"^[^\n]*\r", re.MULTILINE)  # by what comes behind, in the same line

Opened = Callable[[], BinaryIO]
Clean = Callable[[str], str]


def page_of(visit: Visit) -> Content:
    """The whole page."""
    number = visit.path["number"]
    try:
        job = visit.on_loop(visit.parts.jobs.find, number)
    except OpsError:
        return _forgotten(visit, number)
    clean, length = visit.parts.record.redact, _length(job)
    facts = _facts(job, clean)
    refresh = AGAIN if job.ended is None and length < ENOUGH else 0
    blocks: Generator[str] = _blocks(partial(_opened, job), clean)
    if not length and job.ended is None:
        blocks = (f"{clean(line)}\n" for line in job.tail(LAST))
    values = {"number": number, "facts": facts, "until": visit.until, "refresh": refresh}
    values |= {
        "length": length,
        "output": _painted(blocks),
        "as_text": visit.link(f"job/{number}.txt"),
    }
    values |= {"files": [_file(visit, number, path) for path in files(job.spooled)]}
    return Content("text/html; charset=utf-8", pieces("job.html", **values), blocks.close)


def text_of(visit: Visit) -> Content:
    """What it said, as text."""
    job = visit.on_loop(visit.parts.jobs.find, visit.path["number"])
    return _text(partial(_opened, job), visit)


def text_of_host(visit: Visit) -> Content:
    """What one host put out, as it came. Raises OpsError."""
    number, name = visit.path["number"], visit.path["name"]
    job = visit.on_loop(visit.parts.jobs.find, number)
    for path in files(job.spooled):  # a name is looked for, never made a path of
        if path.name == name:
            return _text(partial(_file_at, path), visit)
    raise OpsError(f"nothing is kept of {name} of job {number}")


def _text(opened: Opened, visit: Visit) -> Content:
    blocks = _blocks(opened, visit.parts.record.redact)
    return Content(TEXT, map(plain, blocks), blocks.close)


def _facts(job: Job, clean: Clean) -> dict[str, Any]:
    """What stands at the top."""
    sender = job.call.sender
    now = job.ended or datetime.now(UTC)
    return {
        "line": clean(job.line),
        "state": job.state,
        "outcome": clean(job.outcome) or job.state,
        "user": str(job.user),
        "role": str(job.user.role),
        "where": " ".join(filter(None, [sender.network, job.where]))
        or f"in private, {sender.door}",
        "hosts": job.hosts,
        "started": job.started,
        "seconds": max((now - job.started).total_seconds(), 0.0),
        "is_over": job.ended is not None,
        "away": ", ".join(job.away),
    }


def _forgotten(visit: Visit, number: int) -> Content:
    """The record knows of every job how it ended. Raises OpsError if there was none."""
    found = visit.parts.record.entries(call=number, last=1)
    if not found:
        raise OpsError(f"there was no job {number}")
    values = {"number": number, "facts": _recorded(found[0]), "until": visit.until, "refresh": 0}
    values |= {"length": 0, "output": [], "as_text": "", "files": []}
    return Content("text/html; charset=utf-8", page("job.html", **values))


def _recorded(entry: Entry) -> dict[str, Any]:
    is_ok = entry.exit_code == 0
    return {
        "line": entry.line,
        "state": "done" if is_ok else "failed",
        "outcome": entry.outcome or "not known",
        "user": entry.user or entry.mask,
        "role": entry.role or "nobody",
        "where": " ".join(filter(None, [entry.network, entry.channel]))
        or f"in private, {entry.door}",
        "hosts": entry.hosts,
        "started": entry.at,
        "seconds": entry.seconds or 0.0,
        "is_over": True,
        "away": "",
    }


def _file(visit: Visit, number: int, path: Path) -> dict[str, Any]:
    link = visit.link(f"job/{number}/{quote(path.name, safe='')}")
    return {"name": path.name, "length": path.stat().st_size, "link": link}


def _length(job: Job) -> int:
    try:
        return job.output.stat().st_size
    except OSError:
        return len(job.head)


def _file_at(path: Path) -> BinaryIO:
    return path.open("rb")


def _opened(job: Job) -> BinaryIO:
    try:
        return job.output.open("rb")
    except OSError:  # it is short, and was never put there
        return io.BytesIO(bytes(job.head))


def _blocks(opened: Opened, clean: Clean) -> Generator[str]:
    """All of it in blocks of whole lines, each as a terminal would leave it, without secrets."""
    by_line = ByLine(clean)  # a key may go on in the next block
    with opened() as file:
        while data := file.read(BLOCK) + file.readline(BLOCK):
            text = _OVERWRITTEN.sub("", data.decode(errors="replace").replace("\r\n", "\n"))
            # few have any; how it looks for them is made for lines
            has_key = by_line.is_in_key or "PRIVATE KEY" in text
            is_clean = not has_key and clean(text) == text
            yield text if is_clean else "".join(map(by_line, text.splitlines(keepends=True)))


def _painted(blocks: Iterable[str]) -> Iterator[str]:
    painter = Painter()
    return (painter.paint(block) for block in blocks)
