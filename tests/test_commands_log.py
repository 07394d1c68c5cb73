"""!log, and who is shown what of the transcript."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ircops.call import Said as Line
from ircops.call import Sender
from ircops.errors import FAILED, OK
from tests.bench import Bench, with_bot
from tests.people import on_irc


def said(text: str, channel: str = "#ops", nick: str = "alice", days: int = 0) -> Line:
    at = datetime.now(UTC) - timedelta(days=days)
    return Line(at, "test", channel, nick, "message", text)


def in_channels(bench: Bench, *channels: str) -> None:
    """Everybody who asks shares these channels with the bot."""
    places = [("test", name) for name in channels]
    parts = replace(bench.bot.parts, shared_with=lambda sender: places)
    bench.bot.parts = bench.bot.dispatch.parts = parts


def test_words_are_logged_as_they_were_said_quotes_and_options_and_all(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        for text in ("it's back", "ran rm --force", 'the "new" one', "text", "say text twice"):
            answer = await bench.say(f"log {text}", "dave")
            assert answer.code == OK
            number = int(answer.text.removeprefix("logged as entry "))
            entries = bench.bot.parts.record.entries(call=number)
            assert entries[0].line == f"log {text}"
            assert (entries[0].user, entries[0].channel) == ("dave", "#ops")

    with_bot(tmp_path, "", scene)


def test_nobody_without_a_role_logs_or_reads(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        stranger = on_irc("eve", "", in_channel=False)
        for line in ("log hello", "log search x"):
            answer = await bench.say(line, stranger)
            assert answer.code == FAILED and "viewer" in answer.text

    with_bot(tmp_path, "", scene)


def test_a_search_shows_the_channel_one_is_in_and_in_private_all_of_ones_own(
    tmp_path: Path,
) -> None:
    async def scene(bench: Bench) -> None:
        in_channels(bench, "#ops", "#dev")
        for line in (said("disk one"), said("disk two", "#dev"), said("disk three", "#secret")):
            bench.bot.parts.transcript.add(line)
        assert (await bench.say("log search disk")).text.endswith(" <alice> disk one")
        private = (await bench.say("log search disk", where="")).lines
        assert [line.split()[0] for line in private] == ["#ops", "#dev"]
        only = await bench.say("log search --channel #DEV disk", where="")
        assert only.text.startswith("#dev ") and len(only.lines) == 1
        for where in ("", "#secret"):
            answer = await bench.say("log search --channel #secret disk", where=where)
            assert answer.text == "you are not in #secret with me; join it and ask again"
        answer = await bench.say("log search --channel #dev disk")
        assert answer.text == "others read here; ask me in private about #dev"

    with_bot(tmp_path, "", scene)


def test_who_is_in_no_channel_of_ours_is_shown_nothing(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        bench.bot.parts.transcript.add(said("disk"))
        for where in ("#ops", ""):
            answer = await bench.say("log search disk", where=where)
            assert answer.code == FAILED and answer.text.startswith("you are not in ")
        console = Sender("console", "root", "root")
        answer = await bench.say("log search disk", console, where="")
        assert answer.text.endswith("at a shell: ircops log export")

    with_bot(tmp_path, "", scene)


def test_a_line_of_another_day_has_its_date_and_a_long_one_is_cut(tmp_path: Path) -> None:
    async def scene(bench: Bench) -> None:
        in_channels(bench, "#ops")
        bench.bot.parts.transcript.add(said("disk " + "x" * 500, days=3))
        answer = (await bench.say("log search disk")).text
        day = (datetime.now(UTC) - timedelta(days=3)).astimezone()
        assert answer.startswith(f"{day:%Y-%m-%d %H:%M} <alice> disk xxx")
        assert answer.endswith("x…") and len(answer) < 300
        assert (await bench.say("log search --since 1d disk")).text == "nothing fits"

    with_bot(tmp_path, "", scene)
