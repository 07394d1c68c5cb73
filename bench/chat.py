"""How fast and how steady ircops answers, beside other bots, on one InspIRCd: `python bench/chat.py [--quick]`.

Every bot has a channel of its own on the same server, whose flood control is off, on loopback. Each measure goes
round all of them in turn, several times, so that what else the machine does meets all alike. `raw` is a bare socket:
the floor. ircops alone keeps a record, durable before each command; the others write nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import platform
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.bots import Subject, subjects
from bench.client import Client
from bench.servers import Fake, InspIRCd, Relay

RATE = 2000  # lines a second in the busy channel
ASKERS = 10  # of the burst
NAPS = 10
NAP = 5  # seconds
IN_TURN = ("ping", "busy", "burst", "naps")  # one bot after the other
MEASURES = ("start", *IN_TURN, "back", "silence")
MARKS = ("<!-- chat.py begins -->", "<!-- chat.py ends -->")  # around its table in README.md

Figures = dict[str, dict[str, list[float]]]  # measure -> bot -> what was measured, in each round


class Bench:
    """One run of some of the `MEASURES`. `quick` measures less of everything."""

    def __init__(
        self, bots: list[Subject], server: InspIRCd, measures: Sequence[str], quick: bool
    ) -> None:
        self._bots, self._server, self._measures, self._quick = bots, server, measures, quick
        self._rounds = 1 if quick else 3
        self.figures: Figures = defaultdict(lambda: defaultdict(list))
        self._words = (f"w{number}" for number in range(10**9))

    async def run(self) -> None:
        if "start" in self._measures:
            await self._starts()
        await self._server.start()
        try:
            for bot in self._bots:
                bot.start(self._server.port)
            people = [await self._person(bot) for bot in self._bots]
            async with asyncio.timeout(60):
                await asyncio.gather(*(person.bot_in for person in people))
            await self._all_in_turn(people)
            if "back" in self._measures:
                await self._kill(people)
        finally:
            for bot in self._bots:
                bot.stop()
        try:
            if "silence" in self._measures:
                await self._silence()
        finally:
            self._server.kill()
            for bot in self._bots:
                bot.stop()

    async def _person(self, bot: Subject, nick: str = "watcher") -> Client:
        port = self._server.port
        return await Client.connect(port, f"{nick}-{bot.name}", bot.channel, bot.nick)

    def _note(self, measure: str, bot: Subject, *values: float) -> None:
        self.figures[measure][bot.name] += values

    # -- each bot in turn --

    async def _all_in_turn(self, people: Sequence[Client]) -> None:
        pairs = list(zip(self._bots, people, strict=True))
        for bot, person in pairs:
            self._note("RSS, before any SSH", bot, bot.resident)
            await self._sequence(person, 50)  # warm
        for name in [name for name in IN_TURN if name in self._measures]:
            for _ in range(1 if name == "naps" else self._rounds):
                for bot, person in random.Random(1).sample(pairs, len(pairs)):
                    _say(f"{name}: {bot.name}")
                    await getattr(self, f"_{name}")(bot, person)
        for bot in self._bots:
            self._note("RSS, at the end", bot, bot.resident)

    async def _sequence(self, person: Client, count: int) -> list[float]:
        answers = []
        for _ in range(count):
            async with asyncio.timeout(10):
                answers.append(await person.ask("!echo", next(self._words)))
        return answers

    async def _ping(self, bot: Subject, person: Client) -> None:
        times = await self._sequence(person, 200 if self._quick else 500)
        self._note("ping p50", bot, quantile(times, 0.5))
        self._note("ping p99", bot, quantile(times, 0.99))

    async def _busy(self, bot: Subject, person: Client) -> None:
        """Four people chat, a fifth asks every 100 ms."""
        seconds = 3 if self._quick else 10
        chatters = [await self._person(bot, f"chat{number}") for number in range(4)]
        loop, asked = asyncio.get_running_loop(), []
        began = loop.time()
        for step in range(seconds * 100):  # a hundred times a second, evenly
            for number in range(RATE // 100):
                chatter = chatters[number % len(chatters)]
                chatter.say(
                    f"PRIVMSG {bot.channel} :it is {step}, {number}, and all is well so far"
                )
            if step % 10 == 5:
                asked.append(person.ask("!echo", next(self._words)))
            await asyncio.sleep(began + (step + 1) / 100 - loop.time())
        times = await _all(asked, 30)
        for chatter in chatters:
            chatter.close()
        self._note("busy p50", bot, quantile(times, 0.5))
        self._note("busy p99", bot, quantile(times, 0.99))

    async def _burst(self, bot: Subject, person: Client) -> None:
        """Ten people ask two hundred things each, all at once."""
        each = 50 if self._quick else 200
        askers = [await self._person(bot, f"ask{number}") for number in range(ASKERS)]
        heard = len(person.answers)
        words = [[next(self._words) for _ in range(each)] for _ in askers]
        loop = asyncio.get_running_loop()
        began = last = loop.time()
        for asker, mine in zip(askers, words, strict=True):
            asker.say(*(f"PRIVMSG {bot.channel} :!echo {word}" for word in mine))
        wanted, count = ASKERS * each, 0
        while count < wanted and loop.time() - last < 5:
            await asyncio.sleep(0.002)
            if len(person.answers) - heard > count:
                count, last = len(person.answers) - heard, loop.time()
        answers = [word.decode() for word in person.answers[heard:]]
        for asker in askers:
            asker.close()
        self._note("burst, commands a second", bot, count / (last - began) if count else 0)
        self._note("burst, lost", bot, wanted - len(set(answers)))
        self._note("burst, repeated", bot, len(answers) - len(set(answers)))
        self._note("burst, out of order", bot, sum(_disorder(answers, mine) for mine in words))

    async def _naps(self, bot: Subject, person: Client) -> None:
        """Ten slow commands at once; is anybody else delayed meanwhile?"""
        began = asyncio.get_running_loop().time()
        naps = [person.ask(f"!nap {NAP}", next(self._words)) for _ in range(NAPS)]
        await asyncio.sleep(0.5)
        other = await self._person(bot, "other")
        waits = []
        for _ in range(20):
            waits += await _all([other.ask("!echo", next(self._words))], 60)
            if asyncio.get_running_loop().time() - began > NAP:
                break  # it was not while they ran
            await asyncio.sleep(0.1)
        await _all(naps, 70)
        self._note("ten naps of 5 s", bot, asyncio.get_running_loop().time() - began)
        self._note("ping beside them, at most", bot, max(waits))
        other.close()

    # -- all at once --

    async def _starts(self) -> None:
        _say("start to JOIN")
        for number in range(self._rounds + 1):
            for bot in self._bots:
                async with Fake() as fake:
                    began = asyncio.get_running_loop().time()
                    bot.start(fake.port)
                    try:
                        joined = await asyncio.wait_for(fake.joined.get(), 30)
                    except TimeoutError:
                        raise SystemExit(f"{bot.name} does not join: {bot.output}") from None
                    if number:  # the first start of all makes a database, bytecode and the like
                        self._note("start to JOIN", bot, joined - began)
                    bot.stop()

    async def _kill(self, people: Sequence[Client]) -> None:
        """The server dies and is up again two seconds later."""
        _say("the server is killed")
        self._server.kill()
        await asyncio.wait([person.is_gone for person in people])
        await asyncio.sleep(2)
        await self._server.start()
        up = asyncio.get_running_loop().time()
        again = await asyncio.gather(*(self._person(bot) for bot in self._bots))
        for bot, came in zip(self._bots, await self._wait_for(again), strict=True):
            self._note("back after a killed server", bot, came - up)

    async def _silence(self) -> None:
        """The link of all of them falls silent, and nobody says so."""
        _say("the links fall silent")
        async with contextlib.AsyncExitStack() as stack:
            people, relays = [], []
            for bot in self._bots:
                relay = await stack.enter_async_context(Relay(self._server.port))
                relays.append(relay)
                bot.start(relay.port)
                people.append(await self._person(bot, "sees"))
            await self._wait_for(people)
            for person in people:
                person.close()
            before = [relay.arrived for relay in relays]
            began = asyncio.get_running_loop().time()
            for relay in relays:
                relay.freeze()
            end = began + (40 if self._quick else 260)
            while asyncio.get_running_loop().time() < end:
                if all(r.arrived > n for r, n in zip(relays, before, strict=True)):
                    break
                await asyncio.sleep(0.1)
            for bot, relay, count in zip(self._bots, relays, before, strict=True):
                noticed = relay.arrived_at - began if relay.arrived > count else float("inf")
                self._note("silent link noticed", bot, noticed)

    async def _wait_for(self, people: Iterable[Client]) -> list[float]:
        """When each bot was seen in its channel; infinity for one that does not come."""
        waiting = [person.bot_in for person in people]
        await asyncio.wait(waiting, timeout=20 if self._quick else 60)
        return [each.result() if each.done() else float("inf") for each in waiting]


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def _disorder(answers: list[str], mine: list[str]) -> int:
    """How many answers to one person came before one that was asked for earlier."""
    place = {word: number for number, word in enumerate(mine)}
    came = [place[word] for word in answers if word in place]
    return sum(later < earlier for earlier, later in itertools.pairwise(came))


async def _all(answers: list[asyncio.Future[float]], seconds: float) -> list[float]:
    """All of them, `seconds` for one that does not come."""
    await asyncio.wait(answers, timeout=seconds)
    return [answer.result() if answer.done() else seconds for answer in answers]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


MILLISECONDS = ("ping p50", "ping p99", "busy p50", "busy p99", "ping beside them, at most")
SECONDS = (
    "start to JOIN",
    "ten naps of 5 s",
    "back after a killed server",
    "silent link noticed",
)


def table(figures: Figures, names: list[str]) -> str:
    """Markdown: the median of the rounds, and how ircops stands beside the best other bot."""
    rivals = [name for name in names if name not in ("raw", "aio", "ircops")]
    rows = [["", *names, "ircops ÷ best bot"], ["---"] * (len(names) + 2)]
    for measure, found in figures.items():
        medians = {name: quantile(found[name], 0.5) for name in names}
        theirs = [medians[name] for name in rivals]
        best = (max if "a second" in measure else min)(theirs, default=0)
        ours = medians.get("ircops")
        ratio = f"{ours / best:.2f}" if ours is not None and 0 < best < float("inf") else ""
        rows.append([measure, *(_shown(measure, medians[name]) for name in names), ratio])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _shown(measure: str, value: float) -> str:
    if value == float("inf"):
        return "never seen"
    if measure in MILLISECONDS:
        return f"{value * 1000:.2f} ms" if value < 0.1 else f"{value * 1000:,.0f} ms"
    if measure in SECONDS:
        return f"{value:.2f} s"
    return f"{value:.0f} MiB" if "RSS" in measure else f"{value:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="less of everything, in two minutes")
    parser.add_argument("--bots", nargs="+", help="these bots")
    parser.add_argument(
        "--only", nargs="+", choices=MEASURES, default=MEASURES, help="these measures"
    )
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ircops-bench-") as directory:
        wanted = options.bots
        bots = [bot for bot in subjects(Path(directory)) if not wanted or bot.name in wanted]
        bench = Bench(bots, InspIRCd(Path(directory)), options.only, options.quick)
        asyncio.run(bench.run())
    found = table(bench.figures, [bot.name for bot in bots])
    print(found)
    if options.write:
        write(found, "chat.py --quick" if options.quick else "chat.py")


def disk() -> float:
    """Seconds that a record costs at least: to append 4 KiB to a file and have it on the disk."""
    times = []
    with tempfile.TemporaryFile(buffering=0) as file:
        for _ in range(200):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return quantile(times, 0.5)


def write(found: str, program: str) -> None:
    """Replace the table in README.md, and say when and how busy the machine was."""
    readme = Path(__file__).with_name("README.md")
    before, _, rest = readme.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    note = (
        f"{datetime.now(UTC):%Y-%m-%d}, `{program}`, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {os.getloadavg()[2]:.1f} in the last 15 minutes; a write and an fdatasync take {disk() * 1000:.2f} ms."
    )
    readme.write_text(f"{before}{MARKS[0]}\n{note}\n\n{found}\n{MARKS[1]}{after}")


if __name__ == "__main__":
    main()
