"""Calls through the whole path with the record behind it, on SQLite and on PostgreSQL: `python bench/calls.py [--write]`.

No IRC: calls are handed to the path as a door does. Before each body a row is on the disk (SQLite with synchronous=FULL,
PostgreSQL with fsync and synchronous_commit), and one more says how it ended. Both kinds take turns, so that what
else the machine does meets both alike. PostgreSQL is one of its own, by a unix socket; its CPU is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.chat import quantile
from ircops import ini
from ircops.bot import Bot
from tests.people import call, on_irc
from tests.real import postgres

README = Path(__file__).with_name("README.md")
BEGINS, ENDS = "<!-- calls.py begins -->", "<!-- calls.py ends -->"
PEOPLE, EACH = 50, 20
SETTINGS = """
[bot]
state = {state}
database = {database}

[roles]
viewer = *
"""
QUICK = """
import click
from ircops import requires

@requires("viewer")
@click.command()
@click.argument("word")
def quick(word):
    "Say WORD."
    click.echo(word)
"""
Figures = dict[str, dict[str, list[float]]]  # measure -> kind -> one for each round


async def measured(path: Path) -> dict[str, float]:
    """One round with one bot."""
    bot = Bot(ini.load(path))
    await bot.start()
    try:
        await one_by_one(bot, 50)  # warm
        gc.collect()
        times, cpu = await one_by_one(bot, 300)
        found = {
            "one after the other, p50 ms": quantile(times, 0.5) * 1000,
            "one after the other, p99 ms": quantile(times, 0.99) * 1000,
            "one after the other, CPU ms a call": cpu * 1000,
        }
        gc.collect()
        seconds, cpu = await all_at_once(bot)
        found["1,000 at once, calls a second"] = PEOPLE * EACH / seconds
        found["1,000 at once, CPU ms a call"] = cpu * 1000
        began = time.perf_counter()
        assert await asyncio.to_thread(bot.parts.record.verify) == []
        head = bot.parts.record.head.seq
        found["verify, entries a second"] = head / (time.perf_counter() - began)
    finally:
        await bot.stop()
    return found


async def one_by_one(bot: Bot, count: int) -> tuple[list[float], float]:
    """Seconds of each call, and seconds of CPU for one."""
    times, cpu = [], time.process_time()
    for number in range(count):
        began = time.perf_counter()
        made, heard = call(f"quick {number}")
        assert await bot.dispatch.handle(made) == 0
        times.append(time.perf_counter() - began)
        assert heard.lines == [str(number)]
    return times, (time.process_time() - cpu) / count


async def all_at_once(bot: Bot) -> tuple[float, float]:
    """Seconds until all are answered, and seconds of CPU for one."""
    cpu, began = time.process_time(), time.perf_counter()
    people = [on_irc(f"user{number}") for number in range(PEOPLE)]
    made = [call(f"quick {n}", person)[0] for n in range(EACH) for person in people]
    codes = await asyncio.gather(*map(bot.dispatch.handle, made))
    seconds = time.perf_counter() - began
    assert not any(codes)
    return seconds, (time.process_time() - cpu) / len(made)


@contextlib.contextmanager
def databases(directory: Path) -> Iterator[dict[str, str]]:
    """The kinds, as `[bot] database` names them."""
    postgres.SETTINGS.update(fsync="on", autovacuum="on")
    server = postgres.Postgres()
    try:
        server.start()
        yield {"SQLite": str(directory / "ircops.sqlite"), "PostgreSQL": server.new()}
    finally:
        server.remove()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    parser.add_argument("--note", default="", help="what else the machine does, for the table")
    options = parser.parse_args()
    figures: Figures = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "commands").mkdir()
        (directory / "commands" / "quick.py").write_text(QUICK)
        with databases(directory) as kinds:
            for _ in range(options.rounds):
                for kind, database in kinds.items():
                    path = directory / f"{kind}.ini"
                    commands = f"commands = {directory}/commands\n"
                    text = SETTINGS.format(state=directory / kind, database=database)
                    path.write_text(text.replace("[bot]\n", f"[bot]\n{commands}"))
                    for measure, value in asyncio.run(measured(path)).items():
                        figures[measure][kind].append(value)
    lines = list(table(figures, options))
    print("\n".join(lines))
    if options.write:
        before, _, rest = README.read_text().partition(BEGINS)
        after = rest.partition(ENDS)[2]
        README.write_text("\n".join([before + BEGINS, *lines, ENDS + after]))


def table(figures: Figures, options: argparse.Namespace) -> Iterator[str]:
    python = sys.version.split()[0]
    note = f"; {options.note}" if options.note else ""
    yield f"{time.strftime('%Y-%m-%d')}, median (range) of {options.rounds} rounds, Python {python}{note}."
    yield ""
    kinds = list(next(iter(figures.values())))
    yield f"|  | {' | '.join(kinds)} |"
    yield f"|---|{'--:|' * len(kinds)}"
    for measure, by_kind in figures.items():
        cells = (shown(values) for values in by_kind.values())
        yield f"| {measure} | {' | '.join(cells)} |"


def shown(values: list[float]) -> str:
    def one(value: float) -> str:
        return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"

    return f"{one(statistics.median(values))} ({one(min(values))}–{one(max(values))})"


if __name__ == "__main__":
    main()
