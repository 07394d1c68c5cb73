"""What a bot does by itself: watches begin, change and end with its settings; quiet hours hold reports back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from ircops.bot import Bot
from tests.scripted_ircd import Connection
from tests.test_bot import say, served

RED, GREEN = "NOTICE #deploys :\x0304", "NOTICE #deploys :\x0303"
WATCH = """
[check flag]
run = [ ! -e {flag} ] || {{ echo "CRITICAL - a queue is long"; exit 2; }}
[watch own]
every = 1s
checks = flag
in = #deploys
"""


async def reload(server: Connection) -> None:
    say(server, "!reload")
    await server.until("PRIVMSG #ops :alice: read ")


def test_watches_begin_and_end_with_the_settings(tmp_path: Path) -> None:
    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        flag, without = tmp_path / "flag", path.read_text()
        path.write_text(without + WATCH.format(flag=flag))
        await reload(server)
        flag.touch()
        await server.until(f"{RED}here: flag critical: a queue is long")
        assert bot._why_not_alive() == ""
        await reload(server)  # what it has said it does not say again
        flag.unlink()
        _, between = await server.until(f"{GREEN}here: ok again: flag")
        assert not any("critical" in line for line in between)
        path.write_text(without)
        await reload(server)
        assert bot._watches is not None and not bot._watches._tasks
        assert bot._why_not_alive() == ""

    assert served(tmp_path, scene) == 0


def test_a_bot_that_watches_nothing_has_loaded_nothing_of_it(tmp_path: Path) -> None:
    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        assert bot._watches is None

    served(tmp_path, scene)


def test_reports_are_held_back_in_quiet_hours_and_answers_are_not(tmp_path: Path) -> None:
    async def scene(bot: Bot, server: Connection, path: Path) -> None:
        now, without = datetime.now(UTC), path.read_text()
        begin, end = now - timedelta(hours=1), now + timedelta(hours=1)
        quiet = f"[channel #deploys]\nquiet = {begin:%H:%M}-{end:%H:%M}\n"
        path.write_text(f"{without}\n{quiet}")
        await reload(server)
        say(server, "!schedule run night")
        await server.until("PRIVMSG #ops :alice: schedule night runs now")
        server.send("@account=alice :alice!al@home PRIVMSG #deploys :!version")
        _, between = await server.until("PRIVMSG #deploys :alice: ircops ")
        assert not any("NOTICE #deploys" in line for line in between)
        path.write_text(without)
        await reload(server)
        bot._quiet.release()
        await server.until("NOTICE #deploys :held back in the quiet hours: 1 line")
        await server.until(f"NOTICE #deploys :{now:%H:}")

    served(tmp_path, scene)
