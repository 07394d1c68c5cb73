from __future__ import annotations

import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest

from ircops.demo.irc_server import DemoIrc
from ircops.demo.ssh_hosts import DemoHost, new_key

DEADLINE = 10.0  # seconds


class Client:
    """A raw IRC client: what it did not hear by the next PONG was not said."""

    def __init__(self, server: DemoIrc, nick: str = "") -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), DEADLINE)
        self._lines = self._socket.makefile("rb")
        if nick:
            self.send(f"NICK {nick}", f"USER {nick} 0 * :{nick} of ops")

    def send(self, *lines: str | bytes) -> None:
        for line in lines:
            data = line if isinstance(line, bytes) else line.encode()
            self._socket.sendall(data + b"\r\n")

    def read(self) -> str:
        """The next line; "" when the server has hung up."""
        return self._lines.readline().decode(errors="surrogateescape").rstrip("\r\n")

    def heard(self) -> list[str]:
        """Everything the server had to say up to here."""
        self.send("PING :here")
        return list(iter(self.read, ":irc.demo PONG irc.demo :here"))

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


@contextmanager
def people(*nicks: str) -> Iterator[list[Client]]:
    """Clients of one server, welcome and in #ops, who have heard each other come."""
    with DemoIrc() as server:
        clients = [Client(server, nick) for nick in nicks]
        try:
            for client in clients:
                client.send("JOIN #ops")
                client.heard()
            for client in clients:
                client.heard()
            yield clients
        finally:
            for client in clients:
                client.close()


@contextmanager
def host(tmp_path: Path) -> Iterator[tuple[DemoHost, paramiko.SSHClient]]:
    """A host, and a client that is logged in to it and trusts no other."""
    key = new_key(tmp_path / "key")
    (tmp_path / "known_hosts").touch()
    with DemoHost("web1", key) as server, paramiko.SSHClient() as client:
        (tmp_path / "known_hosts").write_text(server.known_hosts_line + "\n")
        client.load_host_keys(str(tmp_path / "known_hosts"))
        log_in(client, server, tmp_path / "key")
        yield server, client


def log_in(client: paramiko.SSHClient, server: DemoHost, key: Path) -> None:
    client.connect(
        "127.0.0.1",
        server.port,
        "demo",
        pkey=paramiko.ECDSAKey.from_private_key_file(str(key)),
        look_for_keys=False,
        allow_agent=False,
    )
    transport = client.get_transport()
    assert transport is not None
    transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def run(
    client: paramiko.SSHClient,
    command: str,
    stdin: bytes = b"",
    environment: dict[str, str] | None = None,
) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    to, out, error = client.exec_command(command, timeout=DEADLINE, environment=environment)
    with to, out, error:
        to.write(stdin)
        to.channel.shutdown_write()
        texts = out.read().decode(), error.read().decode()
        return out.channel.recv_exit_status(), *texts


def eventually(is_so: Callable[[], bool]) -> bool:
    end = time.monotonic() + DEADLINE
    while not is_so() and time.monotonic() < end:
        time.sleep(0.01)
    return is_so()


def test_people_join_and_talk() -> None:
    with people("alice", "bob") as (alice, bob):
        alice.send("PRIVMSG #OPS :!load @web")
        alice.heard()
        assert bob.heard() == [":alice!alice@irc.demo PRIVMSG #ops :!load @web"]
        bob.send("PRIVMSG Alice hello")
        bob.heard()
        assert alice.heard() == [":bob!bob@irc.demo PRIVMSG alice :hello"]


def test_who_joins_learns_who_is_there_and_they_learn_of_it() -> None:
    with people("alice") as (alice,), DemoIrc() as other:
        bob = Client(other, "bob")
        bob.heard()
        bob.send("JOIN #new")
        assert bob.heard() == [
            ":bob!bob@irc.demo JOIN #new",
            ":irc.demo 353 bob = #new :bob",
            ":irc.demo 366 bob #new :End of names",
        ]
        bob.close()
        assert alice.heard() == []


def test_welcome_waits_for_user_and_the_end_of_cap() -> None:
    with DemoIrc() as server:
        client = Client(server)
        client.send("CAP LS 302", "NICK bob", "USER b@b 0 * :Bob")
        assert client.heard() == [":irc.demo CAP * LS :"]
        client.send("CAP REQ :sasl", "CAP END")
        refused, welcome, *_ = client.heard()
        assert refused == ":irc.demo CAP bob NAK :sasl"
        assert welcome == ":irc.demo 001 bob :Welcome to the demo, bob!bb@irc.demo"
        client.close()


def test_nicks_are_unique_in_any_case_and_can_change() -> None:
    with people("alice", "bob") as (alice, bob):
        bob.send("NICK ALICE", "NICK two,words", "NICK robert")
        assert bob.heard() == [
            ":irc.demo 433 bob ALICE :Nickname is already in use",
            ":irc.demo 432 bob two,words :Erroneous nickname",
            ":bob!bob@irc.demo NICK :robert",
        ]
        assert alice.heard() == [":bob!bob@irc.demo NICK :robert"]


@pytest.mark.parametrize("farewell", ["QUIT :bye", "PART #ops :bye", ""])
def test_who_leaves_is_seen_to_leave(farewell: str) -> None:
    with people("alice", "bob") as (alice, bob):
        if farewell:
            bob.send(farewell)
        else:
            bob.close()
        assert "bob!bob@irc.demo" in alice.read()


def test_bytes_that_are_not_utf8_pass_and_end_nothing() -> None:
    with people("alice", "bob") as (alice, bob):
        alice.send(b"PRIVMSG #ops :caf\xe9")
        alice.heard()
        assert bob.heard() == [":alice!alice@irc.demo PRIVMSG #ops :caf\udce9"]


def test_a_long_line_is_cut_as_servers_do() -> None:
    with people("alice", "bob") as (alice, bob):
        alice.send("PRIVMSG #ops :" + "x" * 600)
        alice.heard()
        (line,) = bob.heard()
        assert len(line) == 510


def test_a_lone_carriage_return_ends_a_line() -> None:
    with people("alice", "bob") as (alice, bob):
        alice.send("PRIVMSG #ops :a\rPRIVMSG #ops :b\0PRIVMSG #ops :c")
        alice.heard()
        assert [line[-1] for line in bob.heard()] == ["a", "b", "c"]


MALFORMED = [
    *("", " ", ":", "NICK", "NICK :", "USER", "JOIN", "JOIN ,", "JOIN #a,,", "PART", "PART #x"),
    *(
        "PRIVMSG",
        "PRIVMSG #ops",
        "PRIVMSG nobody :x",
        "PRIVMSG  :x",
        "NOTICE :",
        "TOPIC",
        "TOPIC #x y",
    ),
    *(
        "MODE",
        "WHO",
        "ISON",
        "CAP",
        "CAP X",
        "DUMP",
        "PING",
        "PONG",
        "@a=b",
        "\udcff",
        "USER a b c d",
    ),
]


def test_malformed_lines_are_answered_or_ignored() -> None:
    with people("alice", "bob") as (alice, bob):
        for line in MALFORMED * 20:
            alice.send(line.encode(errors="surrogateescape"))
        alice.heard()
        alice.send("PRIVMSG #ops :still here")
        alice.heard()
        assert bob.heard()[-1].endswith(":still here")


def test_nothing_but_registering_goes_before_the_welcome() -> None:
    with DemoIrc() as server:
        client = Client(server)
        client.send("JOIN #ops", "NICK bob", "PRIVMSG #ops :x")
        assert client.heard() == [
            ":irc.demo 451 * :You have not registered",
            ":irc.demo 451 bob :You have not registered",
        ]
        client.close()


def test_a_stuck_client_is_dropped_and_holds_up_nobody() -> None:
    with people("alice", "stuck") as (alice, _):
        began = time.monotonic()
        line = "PRIVMSG #ops :" + "x" * 480
        for _ in range(20):
            alice.send("\r\n".join([line] * 1000))
            if any(" QUIT " in line for line in alice.heard()):
                break
        else:
            pytest.fail("it was never dropped")
        assert time.monotonic() - began < DEADLINE


def test_a_host_runs_commands_for_real(tmp_path: Path) -> None:
    with host(tmp_path) as (_, client):
        code, output, error = run(client, "cat /proc/loadavg")
        assert (code, error) == (0, "")
        assert len(output.split()) == 5


def test_exit_codes_streams_and_input_arrive(tmp_path: Path) -> None:
    with host(tmp_path) as (_, client):
        assert run(client, "echo out; echo err >&2; exit 3") == (3, "out\n", "err\n")
        assert run(client, "kill -9 $$") == (137, "", "")
        assert run(client, "tr a-z A-Z", b"loud") == (0, "LOUD", "")
        assert run(client, "exec >&- 2>&-; sleep 0.2; exit 4") == (4, "", "")


def test_large_input_and_output_do_not_block_each_other(tmp_path: Path) -> None:
    with host(tmp_path) as (_, client):
        code, output, _ = run(
            client, "head -c 3000000 /dev/zero | tr '\\0' x; wc -c", b"y" * 300000
        )
        assert (code, len(output)) == (0, 3000000 + len("300000\n"))


def test_a_host_takes_the_environment_and_knows_its_name(tmp_path: Path) -> None:
    with host(tmp_path) as (_, client):
        asked = run(client, 'echo "$HOSTNAME $IRCOPS_USER"', environment={"IRCOPS_USER": "alice"})
        assert asked == (0, "web1 alice\n", "")


def test_quick_commands_never_lose_their_beginning_or_end(tmp_path: Path) -> None:
    with host(tmp_path) as (_, client):
        assert [run(client, f"exit {code}")[0] for code in range(100)] == list(range(100))


def test_a_closed_channel_kills_the_whole_process_group(tmp_path: Path) -> None:
    with host(tmp_path) as (_, client):
        streams = client.exec_command("sleep 600 & echo $!; wait")
        child = int(streams[1].readline())
        assert is_running(child)
        streams[1].channel.close()
        assert eventually(lambda: not is_running(child))


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_wrong_key_is_refused(tmp_path: Path) -> None:
    with host(tmp_path) as (server, _), paramiko.SSHClient() as stranger:
        stranger.load_host_keys(str(tmp_path / "known_hosts"))
        new_key(tmp_path / "other")
        with pytest.raises(paramiko.AuthenticationException):
            log_in(stranger, server, tmp_path / "other")


def test_another_host_is_not_trusted_by_this_ones_line(tmp_path: Path) -> None:
    with host(tmp_path) as (server, client), DemoHost("web2", server.client_key) as other:
        assert other.fingerprint.startswith("SHA256:")
        assert other.fingerprint != server.fingerprint
        client.close()
        with pytest.raises(paramiko.SSHException, match="not found in known_hosts"):
            log_in(client, other, tmp_path / "key")


def test_a_key_is_for_its_owner_only(tmp_path: Path) -> None:
    new_key(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_port_scan_does_not_disturb_a_host(tmp_path: Path) -> None:
    with host(tmp_path) as (server, client):
        for noise in (b"", b"GET / HTTP/1.0\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", server.port)) as scan:
                scan.sendall(noise)
        assert run(client, "echo fine") == (0, "fine\n", "")


def test_stop_leaves_no_thread_socket_or_process(tmp_path: Path) -> None:
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    with host(tmp_path) as (server, client), people("alice"):
        streams = client.exec_command("echo $$; exec sleep 600")
        process = int(streams[1].readline())
        server.stop()
        assert not is_running(process)
        for stream in streams:
            stream.close()
    assert eventually(lambda: threading.active_count() == threads)  # the client's own end late
    assert len(os.listdir("/proc/self/fd")) == files


def test_stop_leaves_no_thread_of_a_server(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    key = new_key(tmp_path / "key")
    with DemoIrc() as irc, DemoHost("web1", key) as ssh:
        lines = [socket.create_connection(("127.0.0.1", port)) for port in (irc.port, ssh.port)]
        assert eventually(lambda: len(set(threading.enumerate()) - before) >= 4)
    assert set(threading.enumerate()) <= before
    for line in lines:
        line.close()
