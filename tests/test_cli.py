"""The `ircops` program, as a person at a shell meets it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ircops.call import Said
from ircops.store.database import Database
from ircops.transcript import Transcript
from tests.people import until_true
from tests.real.postgres import Postgres

IRCOPS = Path(sys.executable).parent / "ircops"
FIVE_FAULTS = """\
[bot]
nik = opsbot

[network libera]
server = irc.libera.chat
channels = #ops

[rolse]
viewer = *

[schedule morning]
at = 61 9 * * *
run = health @all

[command shop]
timeout = soon
"""
GOOD = """\
[bot]
state = {0}/state

[network test]
server = 127.0.0.1:1
tls = no
channels = #ops

[roles]
viewer = *

[command hello]
run = echo hello {{name}}
on = here
role = viewer
"""


def ircops(
    *words: str, directory: Path | None = None, **more: object
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("IRCOPS_")}
    return subprocess.run(
        [IRCOPS, *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=directory,
        env=environment,
        **more,  # type: ignore[call-overload]
    )


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "ircops.ini"
    path.write_text(GOOD.format(tmp_path))
    return path


def test_help_names_every_command_and_each_answers_help() -> None:
    answer = ircops("--help")
    assert answer.returncode == 0
    listed = [
        line.split()[0]
        for line in answer.stdout.partition("Commands:")[2].splitlines()
        if line.strip()
    ]
    assert {"run", "check", "do", "demo", "init", "record", "version", "install-service"} <= set(
        listed
    )
    for command in listed:
        assert ircops(command, "--help").returncode == 0, command


def test_help_imports_nothing_heavy() -> None:
    heavy = "asyncio paramiko sqlalchemy alembic apscheduler ClusterShell irc cryptography"
    code = f"import sys, ircops.cli; print(*set('{heavy}'.split()) & set(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == ""


def test_check_names_every_fault_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "ircops.ini").write_text(FIVE_FAULTS)
    answer = ircops("check", directory=tmp_path)
    assert answer.returncode == 78
    faults = answer.stderr.splitlines()
    assert [fault.split(":")[1] for fault in faults] == ["2", "5", "8", "12", "16"]
    for word, fault in zip(["nick", "port", "roles", "minute 61", "90s"], faults, strict=True):
        assert word in fault
    assert ircops("run", directory=tmp_path).returncode == 78


def test_check_tells_faults_and_doubles_of_an_inventory(tmp_path: Path) -> None:
    (tmp_path / "ircops.ini").write_text("[hosts]\ninventory = ansible.yml\nweb1 = 10.0.0.1\n")
    (tmp_path / "ansible.yml").write_text("web:\n  hosts:\n    web1:\n    web2:\n")
    answer = ircops("check", directory=tmp_path)
    assert "ircops.ini:3: web1 is in the inventory, too; this line counts\n" in answer.stderr
    assert " 2 hosts," in answer.stdout
    (tmp_path / "ansible.yml").write_text("web:\n  host:\n    web1:\n")
    answer = ircops("check", directory=tmp_path)
    assert answer.returncode == 78
    assert "ansible.yml:2: host is none of hosts, children and vars" in answer.stderr


def test_check_says_what_it_found(settings: Path) -> None:
    answer = ircops("check", "--config", str(settings))
    assert answer.returncode == 0
    assert answer.stdout.startswith(f"{settings}: ok: 1 networks, 0 hosts, ")


def test_no_settings_say_how_to_write_them(tmp_path: Path) -> None:
    answer = ircops("check", directory=tmp_path)
    assert answer.returncode == 78
    assert "ircops init" in answer.stderr


def test_a_line_is_done_without_irc_and_on_the_record(settings: Path) -> None:
    answer = ircops("do", "--config", str(settings), "hello 'big world'")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "hello big world\n", "")
    refused = ircops("do", "--config", str(settings), "helo")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: unknown command helo; did you mean hello?")
    shown = ircops("record", "show", "--config", str(settings))
    assert "hello 'big world'" in shown.stdout
    assert "unknown command helo" in shown.stdout


def test_words_of_a_line_may_come_apart(settings: Path) -> None:
    assert ircops("do", "--config", str(settings), "hello", "a  b").stdout == "hello a  b\n"


def test_a_bent_record_is_found_out(settings: Path, tmp_path: Path) -> None:
    for _ in range(2):
        ircops("do", "--config", str(settings), "hello x")
    sound = ircops("record", "verify", "--config", str(settings))
    assert (sound.returncode, sound.stdout[:14]) == (0, "ok: 4 entries,")
    kept = sound.stdout.split()[-1]
    ircops("do", "--config", str(settings), "hello y")
    assert ircops("record", "verify", "--head", kept, "--config", str(settings)).returncode == 0
    said = ircops("do", "--config", str(settings), "record --head").stdout
    assert said.startswith("the record's head: 7:")  # its own beginning is on it
    wrong = ircops("record", "verify", "--head", "9:abc", "--config", str(settings))
    assert (wrong.returncode, wrong.stderr.splitlines()[-1]) == (
        2,
        "Error: Invalid value for '--head': it is a number, a colon, and 64 hex digits",
    )
    exported = ircops("record", "export", "--config", str(settings)).stdout.splitlines()
    assert [json.loads(line)["seq"] for line in exported] == [1, 2, 3, 4, 5, 6, 7, 8]
    with sqlite3.connect(tmp_path / "state" / "ircops.sqlite") as database:
        for (name,) in database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE record SET user = 'somebody else' WHERE seq = 2")
        database.execute("DELETE FROM record WHERE seq >= 4")
    database.close()
    bent = ircops("record", "verify", "--head", kept, "--config", str(settings))
    assert bent.returncode == 1
    assert bent.stdout.splitlines()[:2] == ["entry 2 was changed", "entry 4 was removed"]


def test_the_record_may_be_kept_in_postgresql(
    settings: Path, tmp_path: Path, postgres: Postgres
) -> None:
    url = postgres.new().replace("ops@", "ops:hunter2@")
    text = settings.read_text().replace("[bot]\n", f"[bot]\ndatabase = {url}\n")
    settings.write_text(text)
    said = ircops("do", "--config", str(settings), "hello hunter2")
    assert (said.returncode, said.stdout) == (0, "hello ***\n"), said.stderr  # nor said
    exported = ircops("record", "export", "--config", str(settings)).stdout.splitlines()
    assert [json.loads(line)["line"] for line in exported] == ["hello ***"] * 2
    sound = ircops("record", "verify", "--config", str(settings))
    assert (sound.returncode, sound.stdout[:14]) == (0, "ok: 2 entries,")
    assert not (tmp_path / "state" / "ircops.sqlite").exists()
    refused = ircops("backup", "x", "--config", str(settings))
    assert refused.stderr.endswith("with its own program: pg_dump -Fc -f x\n")


def test_a_backup_is_a_database_of_its_own(settings: Path, tmp_path: Path) -> None:
    ircops("do", "--config", str(settings), "hello x")
    made = ircops("backup", "copy.sqlite", "--config", str(settings), directory=tmp_path)
    assert (made.returncode, made.stdout[:35]) == (0, "ok: copy.sqlite has 2 entries, head")
    shown = ircops("record", "verify", "--config", str(settings))
    assert made.stdout.split()[-1] == shown.stdout.split()[-1]
    itself = ircops(
        "backup", "ircops.sqlite", "--config", str(settings), directory=tmp_path / "state"
    )
    assert itself.stderr == "Error: ircops.sqlite is the database itself; name another file\n"
    nowhere = ircops("backup", str(tmp_path / "no" / "copy"), "--config", str(settings))
    assert (nowhere.returncode, nowhere.stdout) == (1, "")
    assert nowhere.stderr.endswith("no such file or directory; name another file\n")


def test_a_running_bot_takes_the_line_and_ends_when_told(settings: Path, tmp_path: Path) -> None:
    socket = tmp_path / "state" / "console.sock"
    with subprocess.Popen(
        [IRCOPS, "run", "--config", settings], stderr=subprocess.PIPE, text=True
    ) as bot:
        try:
            until_true(socket.exists)
            jobs = ircops("do", "--config", str(settings), "jobs")
            assert jobs.stdout.startswith("nothing is running")
            elsewhere = ircops("do", "--console", str(socket), "hello there")
            assert elsewhere.stdout == "hello there\n"
            bot.send_signal(signal.SIGHUP)
            bot.send_signal(signal.SIGTERM)
            log = bot.communicate(timeout=60)[1]
        finally:
            bot.kill()
    assert bot.returncode == 0, log
    assert not socket.exists()
    shown = ircops("record", "show", "--config", str(settings)).stdout
    assert "started" in shown
    assert "stopped" in shown


def test_a_console_nobody_listens_at_is_a_sentence(tmp_path: Path) -> None:
    answer = ircops("do", "--console", str(tmp_path / "no.sock"), "jobs")
    assert (answer.returncode, answer.stderr) == (
        1,
        f"Error: no bot listens at {tmp_path}/no.sock\n",
    )


def test_version_is_said() -> None:
    assert ircops("version").stdout.startswith("ircops 0.")


def test_the_unit_names_this_program_and_these_settings(settings: Path) -> None:
    unit = ircops("install-service", "--print", "--config", str(settings)).stdout
    assert f"--config {settings}" in unit
    assert "Type=notify" in unit


def test_the_transcript_is_exported_as_text_or_json(tmp_path: Path) -> None:
    (tmp_path / "ircops.ini").write_text(GOOD.format(tmp_path))
    database = Database("", tmp_path / "state")
    database.open()
    kept = Transcript(database)
    for day in (20, 21):
        said = Said(
            datetime(2026, 11, day, 9, tzinfo=UTC), "test", "#ops", "alice", "message", "hi"
        )
        kept._write([said])
    database.close()
    text = ircops("log", "export", "--channel", "#ops", directory=tmp_path).stdout
    assert text.splitlines()[0] == "2026-11-20 09:00:00Z test #ops <alice> hi"
    lines = ircops(
        *"log export --since 2026-11-21 --format jsonl".split(), directory=tmp_path
    ).stdout
    (line,) = map(json.loads, lines.splitlines())
    assert line["at"] == "2026-11-21T09:00:00.000000Z" and line["text"] == "hi"
    assert ircops("log", "export", "--channel", "#dev", directory=tmp_path).stdout == ""
