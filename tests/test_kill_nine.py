"""kill -9 of a whole bot under load, at random moments: the record is whole, and every job is accounted for by the next."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from ircops.aftermath import LOST, NOT_ANSWERED
from ircops.record import Record
from ircops.store.database import Database

SETTINGS = """
[bot]
state = {0}/state

[roles]
viewer = *
operator = alice
"""
# A body tells by itself that it runs, and under which number.
MARK = """
import os, time
import click
from ircops import requires

@requires("viewer", lock="{of}")
@click.command()
@click.argument("of")
@click.pass_obj
def mark(ops, of):
    "Say that it runs, and take a moment."
    os.write(1, b"%d\\n" % ops.job.number)
    time.sleep(0.002)
"""
ASK = """
import click
from ircops import requires

@requires("operator", approvals=1)
@click.command()
def ask():
    "Wait for somebody's yes."
"""

# A bot for each line of stdin, in a process of its own that has all it needs imported before.
BOTS = """
import asyncio, json, os, sys
from pathlib import Path
import sqlalchemy, apscheduler, paramiko, ircops.commands
from ircops import ini
from ircops.bot import Bot, check
from tests.people import call, on_irc

async def work(bot, worker):
    while True:
        line = "ask" if worker == 0 else f"mark {worker % 3}"
        made, _ = call(line, on_irc(f"alice"))
        await bot.dispatch.handle(made)

def accounted(database):
    with database.append() as connection:
        found = connection.execute("SELECT value FROM counters WHERE name = 'accounted'").fetchone()
        return found[0] if found else 0

async def bot(path, is_last):
    bot = Bot(ini.load(path))
    await bot.start()
    bot.parts.approvals.expiry = 0.5  # seconds; or there would be ever more to ask again
    head = bot.parts.record.head.seq
    serving = asyncio.create_task(bot.serve())
    if is_last:
        while accounted(bot.database) < head:
            await asyncio.sleep(0.05)
        bot.end()
        await serving
        await bot.stop()
        return
    await asyncio.gather(*(work(bot, worker) for worker in range(8)))

check(ini.load(Path(sys.argv[1])))  # imports all commands
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        code = 1
        try:
            asyncio.run(bot(Path(sys.argv[1]), line.strip() == "last"))
            code = 0
        finally:
            os._exit(code)
    os.write(1, b"pid %d\\n" % pid)
    os.waitpid(pid, 0)
    os.write(1, b"dead\\n")
"""


def kill_at_random_moments(directory: Path, times: int) -> Counter[str]:
    (directory / "commands").mkdir()
    (directory / "commands" / "mark.py").write_text(MARK)
    (directory / "commands" / "ask.py").write_text(ASK)
    path = directory / "ircops.ini"
    path.write_text(SETTINGS.format(directory))
    ran: list[int] = []
    moment = random.Random(times)
    with subprocess.Popen(
        [sys.executable, "-c", BOTS, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        for number in range(times + 1):
            print("last" if number == times else "", file=parent.stdin, flush=True)
            pid, more = 0, moment.randrange(40)  # bodies until it is killed
            for line in parent.stdout:
                if line == "dead\n":
                    break
                if line.startswith("pid "):
                    pid = int(line.split()[1])
                    continue
                ran.append(int(line))
                more -= 1
                if more < 0 and pid:
                    send, pid = pid, 0
                    os.kill(send, signal.SIGKILL)
        parent.stdin.close()
    assert parent.returncode == 0
    with closing(Database(directory / "state" / "ircops.sqlite")) as database:
        database.open()
        record = Record(database)
        assert record.verify() == []
        entries = [entry for entry in record.entries(last=10**6) if entry.call]
    events = Counter((entry.call, entry.event) for entry in entries)
    assert max(events.values()) == 1  # nothing twice, no number given twice
    begun = {call for call, event in events if event in ("started", "asked")}
    over = {call for call, event in events if event in ("ended", "refused")}
    assert begun >= set(ran)
    assert begun <= over, f"not accounted for: {sorted(begun - over)}"
    assert len(ran) >= times
    return Counter(
        entry.outcome.partition(";")[0] for entry in entries if entry.event in ("ended", "refused")
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_after_a_hundred_deaths_every_job_is_accounted_for(tmp_path: Path) -> None:
    outcomes = kill_at_random_moments(tmp_path, 100)
    assert outcomes[LOST] >= 20 and outcomes[NOT_ANSWERED] >= 20 and outcomes["ok"] >= 500
