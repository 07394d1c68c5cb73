"""The transcript: written behind, kept for a while, lost rather than in the way, found again."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from ircops import transcript
from ircops.call import Said
from ircops.transcript import Transcript, as_json, as_text
from tests.people import until

NINE = datetime(2026, 11, 22, 9, tzinfo=UTC)
DAY = 86400.0
OPS = [("test", "#ops")]
HELLO = Said(NINE, "test", "#ops", "alice", "message", "hello", "alice", "m1")


def on(kept: Transcript, work: Callable[[], Awaitable[None]]) -> None:
    """Open the transcript, do the work on a loop, close it."""

    async def go() -> None:
        kept.open()
        try:
            await work()
        finally:
            await kept.close()

    asyncio.run(go())


def write(kept: Transcript, *lines: Said) -> None:
    async def work() -> None:
        for line in lines:
            kept.add(line)

    on(kept, work)


def told(*texts: str, **more: object) -> list[Said]:
    """Lines that were said a minute apart."""
    return [
        HELLO._replace(at=NINE + timedelta(minutes=n), text=text, message_id="", **more)
        for n, text in enumerate(texts)
    ]


def test_a_line_comes_back_as_it_was_said(database):
    ours = Said(NINE, "test", "#ops", "opsbot", "notice", "health: ok", is_ours=True)
    kept = Transcript(database, keep=DAY, now=lambda: NINE)
    write(kept, HELLO, ours)
    assert list(kept.export()) == [HELLO, ours]


def test_a_line_that_is_played_again_is_kept_once_and_lines_without_an_id_are_all_kept(database):
    kept = Transcript(database, keep=DAY, now=lambda: NINE)
    nameless = HELLO._replace(message_id="")
    write(kept, HELLO, nameless, HELLO, nameless)
    write(kept, HELLO, HELLO._replace(channel="#other"))
    assert [said.message_id for said in kept.export("#ops")] == ["m1", "", ""]
    assert len(list(kept.export("test/#other"))) == 1


def test_secrets_stay_out_of_it_and_so_does_what_no_database_can_hold(database):
    kept = Transcript(database, ["hunter2"], DAY, now=lambda: NINE)
    write(kept, *told("it is hunter2", "password=x1 \0 \ud800"))
    assert [said.text for said in kept.export()] == ["it is ***", "password=***  ?"]


def test_with_new_settings_other_secrets_stay_out(database):
    kept = Transcript(database, keep=DAY, now=lambda: NINE)
    kept.set(["swordfish"], DAY)
    write(kept, *told("swordfish"))
    assert [said.text for said in kept.export()] == ["***"]


def test_old_lines_go_at_the_start_and_once_a_day(database, monkeypatch):
    monkeypatch.setattr(transcript, "GATHER", 0.01)
    clock = [NINE]
    kept = Transcript(database, keep=DAY, now=lambda: clock[0])
    old = told(*(str(n) for n in range(1500)))

    async def work() -> None:
        for line in old:
            kept.add(line)
        await until(lambda: len(list(kept.export())) == 1500)
        clock[0] = old[-1].at + timedelta(days=1)
        kept.add(HELLO._replace(at=clock[0]))
        await until(lambda: len(list(kept.export())) == 2)  # the last is just young enough

    on(kept, work)


def test_nothing_is_kept_when_nothing_shall_be(database):
    write(Transcript(database, keep=DAY, now=lambda: NINE), HELLO)
    kept = Transcript(database, keep=0, now=lambda: NINE + timedelta(seconds=1))
    write(kept, HELLO._replace(message_id="m2"))
    assert list(kept.export()) == []


def test_a_database_that_cannot_be_written_costs_no_line_when_it_can_soon(database, locked, caplog):
    kept = Transcript(database, keep=DAY, now=lambda: NINE, retry=0.02)

    async def work() -> None:
        with locked():
            kept.add(HELLO)
            await until(lambda: "1 lines wait for the transcript, 0 lost so far" in caplog.text)
        await until(lambda: list(kept.export()) == [HELLO])

    on(kept, work)


def test_what_is_too_much_to_wait_is_lost_and_counted(database, locked, caplog, monkeypatch):
    monkeypatch.setattr(transcript, "WAITING", 3)
    kept = Transcript(database, keep=DAY, now=lambda: NINE)

    async def work() -> None:
        for line in told("a", "b", "c", "d", "e"):
            kept.add(line)

    with locked():
        on(kept, work)
    assert kept.lost == 5
    assert "the transcript has lost 3 lines, 5 in all" in caplog.text
    assert list(kept.export()) == []


def test_the_loop_never_waits_for_a_line(database):
    """A disk that hangs holds up the thread, not who adds."""
    kept = Transcript(database, keep=DAY, now=lambda: NINE)

    async def work() -> None:
        with database.write():
            began = asyncio.get_running_loop().time()
            for line in told(*("x" * 400 for _ in range(2000))):
                kept.add(line)
            assert asyncio.get_running_loop().time() - began < 0.5

    on(kept, work)
    assert len(list(kept.export())) == 2000


class TestSearch:
    @pytest.fixture
    def kept(self, database):
        kept = Transcript(database, keep=DAY, now=lambda: NINE)
        lines = told("disk of web1 full", "the Disk is fine", "100% sure", "!log search disk")
        lines += told("alice: 09:00 <bob> disk of db1", "09:01 health: disk ok", is_ours=True)
        lines += told("disk elsewhere", channel="#secret")
        lines += told("disk-man", kind="join")
        lines += told("disk of bob", nick="bob", account="robert")
        write(kept, *lines)
        return kept

    def texts(self, kept, *words, **options):
        return [said.text for said in kept.search(words, OPS, **options)]

    def test_all_words_must_be_in_a_line_in_any_case(self, kept):
        assert self.texts(kept, "DISK", "full") == ["disk of web1 full"]
        assert self.texts(kept, "0%") == ["100% sure"]
        assert self.texts(kept, "%") == ["100% sure"]

    def test_neither_searches_nor_their_answers_nor_who_came_is_found(self, kept):
        found = ["disk of web1 full", "disk of bob", "the Disk is fine", "09:01 health: disk ok"]
        assert self.texts(kept, "disk", but="!log search") == found

    def test_the_newest_are_shown_oldest_first(self, kept):
        found = self.texts(kept, "disk", but="!log search", last=2)
        assert found == ["the Disk is fine", "09:01 health: disk ok"]

    def test_user_is_a_nick_or_an_account_and_since_is_a_time(self, kept):
        assert self.texts(kept, user="bob") == self.texts(kept, user="robert") == ["disk of bob"]
        assert self.texts(kept, "disk", "fine", since=NINE) == ["the Disk is fine"]
        assert self.texts(kept, "full", since=NINE + timedelta(seconds=1)) == []

    def test_nowhere_is_not_everywhere(self, kept):
        assert kept.search(["disk"], []) == []
        assert [said.text for said in kept.search(["disk"], [("test", "#secret")])] == [
            "disk elsewhere"
        ]

    def test_what_was_said_a_moment_ago_is_found(self, kept):
        async def work() -> None:
            kept.add(HELLO._replace(text="just now"))
            found = await asyncio.to_thread(kept.search, ["just"], OPS)
            assert [said.text for said in found] == ["just now"]

        on(kept, work)


def test_an_export_is_oldest_first_as_text_or_json(database):
    kept = Transcript(database, keep=DAY, now=lambda: NINE)
    joined = HELLO._replace(kind="join", text="", message_id="", at=NINE - timedelta(minutes=1))
    write(kept, HELLO, joined)
    assert [as_text(said) for said in kept.export()] == [
        "2026-11-22 08:59:00Z test #ops * alice join",
        "2026-11-22 09:00:00Z test #ops <alice> hello",
    ]
    (said,) = kept.export(since=NINE)
    assert json.loads(as_json(said)) == {
        **{"at": "2026-11-22T09:00:00.000000Z", "network": "test", "channel": "#ops"},
        **{"nick": "alice", "account": "alice", "kind": "message", "text": "hello"},
        "message_id": "m1",
    }


def test_a_fault_of_ours_in_the_writer_is_logged_and_later_lines_are_written(database, caplog):
    kept = Transcript(database, keep=DAY, now=lambda: NINE, retry=0.02)

    async def work() -> None:
        kept.add(HELLO._replace(at=None))  # type: ignore[arg-type]
        kept._flush_in(0)
        await until(lambda: "the transcript's writer failed" in caplog.text)

    with caplog.at_level(logging.ERROR):
        on(kept, work)
    write(kept, HELLO)
    assert list(kept.export()) == [HELLO]
