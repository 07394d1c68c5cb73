"""A real PostgreSQL, by a unix socket of its own; and fixtures that have a test run on each kind of database."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from ircops.store.database import Database
from tests.people import until_true

BIN = ":".join(sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True))
SETTINGS = {  # quick, small, and nothing for other programs to reach
    "listen_addresses": "",
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "autovacuum": "off",
}
names = (f"test{number}" for number in itertools.count())


class Postgres:
    """A server in a directory of its own; it can be stopped, and started again."""

    def __init__(self) -> None:
        # a socket's path must be short
        self.directory = Path(mkdtemp(prefix="pg", dir="/tmp"))
        self.user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(self.directory, self.user)
        self._do("initdb", "-A", "trust", "-U", "ops", "-E", "UTF8", "--no-sync", "--locale=C")

    def _do(self, program: str, *arguments: str) -> None:
        command = [found(program), "-D", str(self.directory / "data"), *arguments]
        done = subprocess.run(
            command, user=self.user, cwd="/", capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Returns when it can be reached."""
        options = " ".join(f"-c {name}={value!r}" for name, value in SETTINGS.items())
        log = str(self.directory / "log")
        self._do("pg_ctl", "start", "-w", "-l", log, "-o", f"-k {self.directory} {options}")

    def stop(self) -> None:
        """At once, whoever is connected."""
        self._do("pg_ctl", "stop", "-w", "-m", "immediate")

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://ops@/{name}?host={self.directory}"

    def sql(self, statement: str, name: str = "postgres") -> None:
        """Run it as the owner of everything."""
        import psycopg

        where = f"host={self.directory} user=ops dbname={name}"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(statement)

    def new(self, like: str = "template1") -> str:
        """The URL of a new database, which is empty or like another."""
        name = next(names)
        self.sql(f"CREATE DATABASE {name} TEMPLATE {like}")
        return self.url(name)

    def remove(self) -> None:
        """End it, and leave nothing."""
        pid = self.directory / "data" / "postmaster.pid"
        if pid.exists():
            os.kill(int(pid.read_text().split()[0]), signal.SIGINT)
            until_true(lambda: not pid.exists())
        shutil.rmtree(self.directory)


def found(program: str) -> str:
    """Its path; Debian keeps PostgreSQL's programs to itself."""
    path = shutil.which(program, path=f"{BIN}:{os.environ['PATH']}")
    if path is None and "CI" in os.environ:
        pytest.fail(f"{program} is missing: apt install postgresql")
    if path is None:
        pytest.skip(f"{program} is missing: apt install postgresql")
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    try:
        server.start()
        server.sql("CREATE DATABASE opened")
        with closing(Database(server.url("opened"))) as database:
            database.open()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """A test that takes this, or what is made of it, runs on each kind of database."""
    return str(request.param)


@pytest.fixture
def address(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A new database, as `[bot] database` names it."""
    if kind == "sqlite":
        return str(tmp_path / "state" / "ircops.sqlite")
    # the migrations take longer than most tests
    like = "opened" if "database" in request.fixturenames else "template1"
    return str(request.getfixturevalue("postgres").new(like))


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    database = Database(address, busy=0.1)
    database.open()
    yield database
    database.close()


@pytest.fixture
def locked(address: str) -> Callable[[], AbstractContextManager[Any]]:
    """Another process that writes to the database while the block lasts."""

    @contextmanager
    def lock() -> Iterator[None]:
        with closing(Database(address)) as other, other.append():
            yield

    return lock
