"""Copies of the record: whole, in order, behind, and never lost for a place that is away."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ircops.copies import BATCH, Copies, Syslog, Target, Webhook, targets
from ircops.record import Record
from ircops.store import chain
from ircops.store.database import Database
from tests.people import until_true

ROW = {"at": "2026-11-22T09:00:00.000000Z", "event": "note"}


def add(database: Database, *lines: str) -> None:
    with database.append() as connection:
        chain.append(connection, [ROW | {"line": line} for line in lines])


@contextmanager
def copying(database: Database, *where: Target) -> Iterator[None]:
    """Copies while the block lasts; it begins when they know where to begin."""
    copies = Copies(database, where, look=0.01)
    copies.open()
    names = {f"copied to {target.name}" for target in where}
    try:
        until_true(lambda: names <= set(positions(database)))
        yield
    finally:
        copies.close()


def positions(database: Database) -> dict[str, int]:
    with database.append() as connection:
        return dict(connection.execute("SELECT name, value FROM counters").fetchall())


class Collector(HTTPServer):
    """Takes what is posted, and answers what it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taker)
        self.status = 200
        self.asked: list[str] = []
        self.lines: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}/record?key=1"


class _Taker(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.asked.append(self.path)
        if self.server.status == 200:
            self.server.lines += body.splitlines()
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_every_entry_from_the_first_start_on_arrives_once_and_as_exported(database, collector):
    add(database, "before it was asked for")
    with copying(database, Webhook(collector.url)):
        add(database, *(f"line {n}" for n in range(BATCH + 20)))
        until_true(lambda: len(collector.lines) == BATCH + 20)
    add(database, "while nobody copies")
    with copying(database, Webhook(collector.url)):
        until_true(lambda: len(collector.lines) == BATCH + 21)
    assert collector.lines == list(Record(database).export())[1:]
    assert set(collector.asked) == {"/record?key=1"}
    assert json.loads(collector.lines[-1])["line"] == "while nobody copies"


@pytest.mark.parametrize("status", [302, 500])
def test_what_is_not_taken_is_sent_again_and_said_once(status, database, collector, caplog):
    caplog.set_level(logging.INFO, "ircops.copies")
    collector.status = status
    with copying(database, Webhook(collector.url)):
        add(database, "one", "two")
        until_true(lambda: len(collector.asked) >= 3)
        collector.status = 200
        until_true(lambda: len(collector.lines) == 2)
        until_true(lambda: len(caplog.messages) == 2)
    failed, back = caplog.messages
    assert failed.startswith(f"the record's copy to webhook waits: it answers {status} ")
    assert back == "the record's copy to webhook goes on where it stopped"


def test_a_place_that_is_away_holds_up_no_other_and_loses_nothing(database, collector, tmp_path):
    path = tmp_path / "log"
    with copying(database, Webhook(collector.url), Syslog(str(path))):
        add(database, "one", "x" * 500_000)
        until_true(lambda: len(collector.lines) == 2)
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as syslog:
            syslog.settimeout(20)
            syslog.bind(str(path))
            heard = [syslog.recv(100_000).decode() for _ in range(2)]
    assert heard[0] == f"<86>ircops: {collector.lines[0]}"
    assert heard[1].startswith('<86>ircops: {"at":')  # cut, but there


def test_what_is_no_web_server_is_a_reason_and_no_end(database, caplog):
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with copying(database, Webhook(url)):
            add(database, "one")
            with closing(server.accept()[0]) as connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example.org ESMTP\r\n")
            until_true(lambda: caplog.messages)
            server.close()
    assert "waits: it does not answer in HTTP (BadStatusLine)" in caplog.messages[0]


def test_only_what_is_asked_for_is_copied():
    assert targets(syslog=False, url="") == []
    assert [target.name for target in targets(syslog=True, url="https://log.example/x")] == [
        "syslog",
        "webhook",
    ]
