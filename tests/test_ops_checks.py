"""The checks from here, against real servers on loopback; those on hosts are in tests/real."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ClusterShell.NodeSet import NodeSet

from ircops import config
from ircops.config import Check, Seconds
from ircops.ops.checks import Checks
from ircops.ops.plugins import Outcome, State
from ircops.ssh.inventory import Inventory
from tests.people import until_true


def never(*arguments: object, **options: object) -> list[object]:
    raise AssertionError("reaches no host")


def run(check: Check, hosts: str = "web[1-2]") -> list[Outcome]:
    settings = config.Settings(
        hosts={"web1": config.HostLine("127.0.0.1"), "web2": config.HostLine("127.0.0.2")},
        ssh=config.Ssh(config=Path("/nonexistent")),
    )
    checks = Checks({"x": check}, Inventory(settings))
    nodes = NodeSet(hosts)
    return checks.run(checks.about(nodes), nodes, never)


def one(check: Check) -> tuple[State, str]:
    [found] = run(check)
    return found.state, found.text


@contextmanager
def listening(address: str = "127.0.0.1") -> Iterator[int]:
    with socket.create_server((address, 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def closed() -> Iterator[int]:
    with socket.socket() as ours:
        ours.bind(("127.0.0.1", 0))  # ours, and nobody listens
        yield ours.getsockname()[1]


def test_a_program_here():
    [found] = run(Check(run="echo 'OK - fine | depth=7'"))
    assert (found.host, found.state, found.text) == ("here", State.OK, "fine")
    assert list(found.measures) == [("x:depth", 7)]
    assert one(Check(run="echo bad; exit 2")) == (State.CRITICAL, "bad")
    assert one(Check(run="no-such-plugin"))[0] is State.UNKNOWN


def test_a_program_that_takes_too_long_is_killed_with_its_children(tmp_path: Path):
    line = f"echo $$ >{tmp_path}/pid; sleep 600 & sleep 600"
    assert one(Check(run=line, timeout=Seconds(0.3))) == (State.CRITICAL, "timed out after 0.3 s")
    leader = int((tmp_path / "pid").read_text())
    until_true(lambda: not alive(leader))


def alive(group: int) -> list[str]:
    """The processes of this group that run; nobody may be there to bury the others."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, its_group = entry.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(entry.parent.name)
    return found


def test_a_program_of_no_host_belongs_to_a_look_at_all_of_them():
    assert run(Check(run="true"), "web1") == []
    assert len(run(Check(run="true"), "web[1-2]")) == 1


def test_a_port():
    with listening() as port:
        [found] = run(Check(tcp=f"127.0.0.1:{port}"))
        assert found.state is State.OK and dict(found.values)["time"] >= 0
    with closed() as port:
        assert one(Check(tcp=f"127.0.0.1:{port}")) == (State.CRITICAL, "connection refused")


def test_a_port_of_each_host():
    with listening("127.0.0.2") as port:
        found = run(Check(tcp=f"{{host}}:{port}", on="web[1-2]"))
        assert [(o.host, o.state) for o in found] == [
            ("web1", State.CRITICAL),
            ("web2", State.OK),
        ]
        assert [o.host for o in run(Check(tcp=f"{{host}}:{port}", on="web[1-2]"), "web2")] == [
            "web2"
        ]


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path[1:]))
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        server.handle_error = lambda *arguments: None  # type: ignore[method-assign]  # who hangs up
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_a_page():
    with serving() as port:
        [found] = run(Check(http=f"http://127.0.0.1:{port}/200"))
        assert found.state is State.OK and found.text.startswith("HTTP 200 in 0.")
        assert dict(found.values)["size"] == 5
        state, text = one(Check(http=f"http://127.0.0.1:{port}/503"))
        assert (state, text) == (State.CRITICAL, "HTTP 503 Service Unavailable")
    with closed() as port:
        assert one(Check(http=f"http://127.0.0.1:{port}/200")) == (
            State.CRITICAL,
            "connection refused",
        )


def certificate(directory: Path, days: float) -> Path:
    """A certificate for localhost that is its own authority, and its key, in one file."""
    path = directory / f"{days}.pem"
    end = datetime.now(UTC) + timedelta(days=days)
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(end - timedelta(days=400))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.mark.parametrize(
    ("days", "state", "text"),
    [
        (90.5, State.OK, "certificate ends in 90 days"),
        (10.2, State.WARNING, "certificate ends in 10 days"),
        (2.2, State.CRITICAL, "certificate ends in 2 days"),
        (-3, State.CRITICAL, "certificate: certificate has expired"),
    ],
)
def test_a_certificate(days, state, text, tmp_path: Path, monkeypatch):
    path = certificate(tmp_path, days)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with serving(path) as port:
        found = one(Check(tls=f"localhost:{port}"))
    assert found == (state, text)


def test_a_certificate_of_nobody_we_trust(tmp_path: Path):
    with serving(certificate(tmp_path, 90)) as port:
        state, text = one(Check(tls=f"localhost:{port}"))
        assert (state, text) == (State.CRITICAL, "certificate: self-signed certificate")
        state, text = one(Check(http=f"https://localhost:{port}/200"))
        assert (state, text) == (State.CRITICAL, "certificate: self-signed certificate")
