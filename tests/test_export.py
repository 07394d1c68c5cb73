"""The record as JSON Lines and as Markdown: what fits, and nothing that breaks the form."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ircops.call import User
from ircops.export import Wanted, chosen, markdown
from ircops.policy import Role
from ircops.record import Record
from ircops.store.chain import hash_of
from ircops.store.database import Database
from tests.people import call, on_irc
from tests.test_cli import ircops

NINE = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Two days: alice loads @web and has a deploy approved; bob is refused; one of alice's has not ended."""
    database = Database("", tmp_path / "state")
    database.open()
    ticks = iter(NINE + timedelta(hours=2 * n) for n in range(50))
    record = Record(database, now=lambda: next(ticks))

    async def one(
        line: str, who: str, hosts: str = "", approvers: str = "", ends: bool = True
    ) -> None:
        made, _ = call(line, on_irc(who))
        async with record.entry(made) as entry:
            entry.user, entry.hosts = User(who, Role.OPERATOR), hosts
            entry.command, entry.approvers = line.partition(" ")[0], approvers.split()
            await asyncio.to_thread(entry.start)
            entry.finished()
            entry.is_handed_over = not ends

    async def go() -> None:
        await record.open()
        await one("load @web", "alice", "web[1-3]")
        await one("deploy 'a|b' <script> \x02", "alice", "web1", "bob carol")
        async with record.entry(call("deploy shop", on_irc("bob"))[0]) as entry:
            entry.failed("needs role operator")
        await record.note("reloaded")
        for _ in range(5):
            await one("deploy shop", "bob", "db1")
        await one("deploy bank", "alice", "db[1-2]", ends=False)
        await record.close()

    asyncio.run(go())
    return record


def lines(record: Record, **wanted: object) -> list[str]:
    return list(chosen(record.export(), Wanted(**wanted)))  # type: ignore[arg-type]


def test_all_of_it_is_what_was_chained(record: Record) -> None:
    assert lines(record) == list(record.export())
    rows = [json.loads(line) for line in lines(record, user="alice")]
    assert {row["user"] for row in rows} == {"alice"} and len(rows) == 5
    assert all(hash_of(row) == row["hash"] for row in rows)


def test_only_what_fits_all_that_is_asked(record: Record) -> None:
    def seqs(**wanted: object) -> list[int]:
        return [json.loads(line)["seq"] for line in lines(record, **wanted)]

    assert seqs(host="web2") == [1, 2]
    assert seqs(host="web1", command="deploy") == [3, 4]
    assert seqs(command="dep") == []
    assert seqs(since=NINE + timedelta(days=1))[0] > 6
    assert seqs(user="carol") == []


def test_markdown_has_a_row_for_each_call_that_keeps_to_its_cells(record: Record) -> None:
    text = list(markdown(record.export(), record.head))
    days = [line for line in text if line.startswith("## ")]
    assert days == ["## 2026-11-22", "## 2026-11-23", "## Not ended"]
    rows = [line for line in text if re.match(r"\| (\d|20)", line)]
    assert len(rows) == 3 + 1 + 5 + 1
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {11}
    assert rows[0] == (
        "| 11:00:00 | \\#1 | alice | test/\\#ops | load @web | web\\[1-3\\] |  | ok | 7200.0 s |"
    )
    assert "deploy 'a\\|b' \\<script\\> \\\\x02 | web1 | bob, carol | ok" in rows[1]
    assert "needs role operator" in rows[2]
    assert "| reloaded |" in rows[3]
    assert rows[-1].endswith("| deploy bank | db\\[1-2\\] |  | has not ended |  |")
    assert text[-1] == f"Head of the record: `{record.head}`"


def test_an_empty_record_says_so(tmp_path: Path) -> None:
    database = Database("", tmp_path)
    database.open()
    record = Record(database)
    assert list(markdown(record.export(), record.head))[-1] == "The record is empty."


def test_at_a_shell(record: Record, tmp_path: Path) -> None:
    (tmp_path / "ircops.ini").write_text("[bot]\nstate = state\n")

    def said(*words: str) -> list[str]:
        return ircops("record", *words, directory=tmp_path).stdout.splitlines()

    assert len(said("export")) == record.head.seq
    assert [json.loads(line)["seq"] for line in said("export", "--host", "web3")] == [1, 2]
    assert said("export", "--markdown", "--user", "alice")[0] == "# What was done"
    assert len(said("show", "--since", "2026-11-23T00:00")) == len(
        said("export", "--since", "2026-11-23")
    )
    assert said("export", "--since", "1h") == []
    wrong = ircops("record", "show", "--since", "noon", directory=tmp_path)
    assert wrong.returncode == 2 and "it is a time span, 2h or 7d" in wrong.stderr
