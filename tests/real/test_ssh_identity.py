"""Who is who, over a real OpenSSH: certificates of hosts and of users, encrypted keys, a real ssh-agent."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ircops.config import Settings
from ircops.errors import OpsError
from ircops.ssh.dial import Dialler
from ircops.ssh.inventory import Inventory
from tests.real.sshd import Sshd, serve

pytest_plugins = ["tests.real.sshd"]


def keygen(*words: str | Path) -> None:
    subprocess.run(["ssh-keygen", "-q", *words], check=True)


def sign(authority: Path, key: Path, *options: str) -> Path:
    """Certify a key for an hour, or as the options say; gives the certificate."""
    lifetime = () if "-V" in options else ("-V", "-5m:+1h")
    keygen("-s", authority, "-I", "test", *lifetime, *options, Path(f"{key}.pub"))
    return key.with_name(f"{key.name}-cert.pub")


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server that has certificates of `authority` for web1 only, and takes users' of it; nobody's plain key."""
    base = tmp_path_factory.mktemp("certified")
    for name in ("authority", "host_ed25519", "other"):
        keygen("-t", "ed25519", "-N", "", "-f", base / name)
    sign(base / "authority", base / "host_ed25519", "-h", "-n", "127.0.1.1,*.example.org")
    options = {
        "HostCertificate": base / "host_ed25519-cert.pub",
        "TrustedUserCAKeys": base / "authority.pub",
        "AuthorizedKeysFile": "none",
    }
    with serve(base, **options) as server:
        sign(base / "authority", server.key, "-n", server.user)
        yield server


def trusting(server: Sshd, tmp_path: Path, *lines: str, **ssh: Any) -> Settings:
    """Settings with these lines in known_hosts and no other; CA stands for the authority's key."""
    authority = " ".join((server.directory / "authority.pub").read_text().split()[:2])
    known = tmp_path / "known"
    known.write_text("".join(line.replace("CA", authority) + "\n" for line in lines))
    return server.settings(known_hosts=(known,), **ssh)


def log_in(settings: Settings, name: str = "web1") -> str:
    """The type of key the host has shown. Raises OpsError."""
    transport = Dialler(settings.ssh).transport(Inventory(settings).host(name))
    try:
        return str(transport.host_key_type)
    finally:
        transport.close()


def refusal(settings: Settings, name: str = "web1") -> str:
    with pytest.raises(OpsError) as caught:
        log_in(settings, name)
    return caught.value.message


def test_a_host_with_a_certificate_needs_no_line_of_its_own(
    certified: Sshd, tmp_path: Path
) -> None:
    settings = trusting(certified, tmp_path, "@cert-authority * CA")
    assert log_in(settings) == "ssh-ed25519-cert-v01@openssh.com"


def test_a_certificate_is_good_for_the_hosts_it_names_only(certified: Sshd, tmp_path: Path) -> None:
    settings = trusting(certified, tmp_path, "@cert-authority * CA")
    assert refusal(settings, "web2") == (
        "its host certificate is for 127.0.1.1, *.example.org, not for 127.0.1.2 or web2"
    )


def test_an_authority_of_other_hosts_is_none_of_this_one(certified: Sshd, tmp_path: Path) -> None:
    settings = trusting(certified, tmp_path, "@cert-authority *.example.org CA")
    assert refusal(settings).startswith("unknown host key ED25519")


def test_another_authority_is_said(certified: Sshd, tmp_path: Path) -> None:
    other = " ".join((certified.directory / "other.pub").read_text().split()[:2])
    error = refusal(trusting(certified, tmp_path, f"@cert-authority * {other}"))
    assert f"not signed by the authority in {tmp_path}/known:1" in error


def test_a_revoked_authority_vouches_for_nobody(certified: Sshd, tmp_path: Path) -> None:
    settings = trusting(certified, tmp_path, "@cert-authority * CA", "@revoked * CA")
    assert refusal(settings) == (
        f"its certificate authority is REVOKED ({tmp_path}/known:2); refusing"
    )


def test_a_certified_key_that_is_revoked_is_refused(certified: Sshd, tmp_path: Path) -> None:
    line = f"@revoked * {certified.host_key()}"
    settings = trusting(certified, tmp_path, "@cert-authority * CA", line)
    assert refusal(settings).startswith(f"host key REVOKED ({tmp_path}/known:2)")


def test_a_host_without_a_certificate_is_known_by_its_key(sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(sshd.known_hosts.read_text() + f"@cert-authority * {sshd.host_key('ecdsa')}\n")
    assert log_in(sshd.settings(known_hosts=(known,))) == "ssh-ed25519"


def user_key(server: Sshd, tmp_path: Path, *options: str, passphrase: str = "") -> Path:
    """A new key with a certificate beside it, of which the server knows nothing."""
    key = tmp_path / "user"
    keygen("-t", "ed25519", "-N", passphrase, "-f", key)
    sign(server.directory / "authority", key, *(options or ("-n", server.user)))
    return key


def test_a_certificate_beside_the_key_opens_the_host(certified: Sshd, tmp_path: Path) -> None:
    log_in(certified.settings(key=(user_key(certified, tmp_path),)))


def test_a_certificate_that_was_renewed_is_seen(certified: Sshd, tmp_path: Path) -> None:
    key = user_key(certified, tmp_path, "-n", certified.user, "-V", "20200101:20210101")
    settings = certified.settings(key=(key,))
    error = refusal(settings)
    assert "tried 1 key (user)" in error
    assert error.endswith("; user-cert.pub has expired (2021-01-01 00:00 UTC)")
    sign(certified.directory / "authority", key, "-n", certified.user)
    log_in(settings)


def test_ssh_config_names_a_certificate_elsewhere(certified: Sshd, tmp_path: Path) -> None:
    key = user_key(certified, tmp_path)
    elsewhere = tmp_path / "elsewhere.pub"
    Path(f"{key}-cert.pub").rename(elsewhere)
    settings = certified.settings(key=(key,))
    assert "permission denied" in refusal(settings)
    (tmp_path / "config").write_text(f"Host web1\n  CertificateFile {elsewhere}\n")
    log_in(certified.settings(key=(key,), config=tmp_path / "config"))


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A real ssh-agent that this test has to itself."""
    socket = tmp_path / "agent"
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 10
            while not socket.is_socket() and time.monotonic() < deadline:
                time.sleep(0.02)
            yield
        finally:
            process.terminate()


def ssh_add(key: Path, passphrase: str = "") -> None:
    """As somebody does it who types the passphrase."""
    ask = key.with_name("ask")
    ask.write_text(f"#!/bin/sh\necho {passphrase}\n")
    ask.chmod(0o700)
    ours = {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(["ssh-add", "-q", key], env={**os.environ, **ours}, check=True)


def test_an_encrypted_key_is_used_through_the_agent(
    certified: Sshd, tmp_path: Path, agent: None
) -> None:
    key = user_key(certified, tmp_path, passphrase="secret")
    settings = certified.settings(key=(key,), agent=True)
    assert refusal(settings).endswith("user has a passphrase: ssh-add it to the agent")
    certificate = Path(f"{key}-cert.pub").rename(tmp_path / "away")
    ssh_add(key, "secret")
    certificate.rename(f"{key}-cert.pub")  # the agent has the key alone
    Path(f"{key}.pub").unlink()  # the file itself says which key it is
    log_in(settings)


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
@pytest.mark.parametrize("stated", [True, False])
def test_a_certificate_in_the_agent_opens_the_host(
    certified: Sshd, tmp_path: Path, agent: None, kind: str, stated: bool
) -> None:
    key = tmp_path / "user"
    keygen("-t", kind, "-N", "", "-f", key)
    sign(certified.directory / "authority", key, "-n", certified.user)
    ssh_add(key)  # and its certificate
    Path(f"{key}-cert.pub").unlink()
    log_in(certified.settings(key=(key,) if stated else (), agent=True))


def test_identities_only_leaves_the_rest_of_the_agent_alone(
    certified: Sshd, tmp_path: Path, agent: None
) -> None:
    key = user_key(certified, tmp_path)
    ssh_add(key)
    (tmp_path / "config").write_text(
        f"Host web1\n  IdentityFile {certified.wrong_key}\n  IdentitiesOnly yes\n"
    )
    settings = certified.settings(key=(), agent=True, config=tmp_path / "config")
    assert "tried 1 key (stranger)" in refusal(settings)
    (tmp_path / "config").write_text(f"Host web1\n  IdentityFile {certified.wrong_key}\n")
    log_in(settings)


def test_a_public_file_names_a_key_of_the_agent(
    certified: Sshd, tmp_path: Path, agent: None
) -> None:
    key = user_key(certified, tmp_path)
    ssh_add(key)
    key.unlink()
    log_in(certified.settings(key=(Path(f"{key}.pub"),), agent=True))


def test_each_host_is_logged_in_to_as_ssh_config_says(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "more").write_text(f"Port {sshd.port}\nIdentityFile {sshd.key}\n")
    (tmp_path / "config").write_text(
        f"Host other\n  HostName 127.0.1.1\n  User {sshd.user}\n  Include {tmp_path}/more\n"
    )
    settings = sshd.settings({}, user="nobody", key=(), config=tmp_path / "config")
    log_in(replace(settings, groups={"some": "other"}), "other")


def test_hosts_of_an_ansible_inventory_are_reached(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(
        f"[web]\nfront ansible_host=127.0.1.1\n[web:vars]\nansible_port={sshd.port}\n"
        f"ansible_user={sshd.user}\nansible_ssh_private_key_file={sshd.key}\n"
    )
    settings = replace(sshd.settings({}, user="", key=()), inventory=(tmp_path / "hosts",))
    assert str(Inventory(settings).resolve("@web")) == "front"
    log_in(settings, "front")
