"""Known hosts: every form a line can have, what happens to unknown and changed keys, and the cost of many."""

from __future__ import annotations

import base64
import hmac
import logging
import os
import threading
from pathlib import Path
from typing import Any

import paramiko
import pytest

from ircops.config import Ssh
from ircops.errors import OpsError
from ircops.ssh.hostkeys import HostKeys, fingerprint
from ircops.ssh.inventory import Host

WEB = Host("web1", "10.0.0.1")
PORT = Host("web1", "10.0.0.1", 2222)


def new_key(kind: str = "ssh-ed25519") -> Any:
    """A public key of that type; Ed25519 takes any 32 bytes."""
    if kind != "ssh-ed25519":
        return paramiko.ECDSAKey.generate()
    message = paramiko.Message()
    message.add_string(kind)
    message.add_string(os.urandom(32))
    return paramiko.Ed25519Key(data=message.asbytes())


KEY, OTHER, ECDSA = new_key(), new_key(), new_key("ecdsa")


def line(names: str, key: Any = KEY) -> str:
    return f"{names} {key.get_name()} {key.get_base64()} somebody@somewhere\n"


def hashed(name: str) -> str:
    salt = bytes(20)
    parts = salt, hmac.digest(salt, name.encode(), "sha1")
    return "|1|" + "|".join(base64.b64encode(part).decode() for part in parts)


def keys(path: Path, *texts: str, mode: Any = "strict") -> HostKeys:
    files = []
    for number, text in enumerate(texts):
        files.append(path / f"known{number}")
        files[-1].write_text(text)
    return HostKeys(Ssh(known_hosts=tuple(files), host_keys=mode))


def refusal(known: HostKeys, host: Host = WEB, key: Any = KEY) -> str:
    with pytest.raises(OpsError) as caught:
        known.check(host, key)
    return caught.value.message


@pytest.mark.parametrize(
    ("names", "host"),
    [
        ("10.0.0.1", WEB),
        ("other,10.0.0.1", WEB),
        ("web1", WEB),
        ("WEB1", WEB),
        ("[10.0.0.1]:2222", PORT),
        ("[web1]:2222", PORT),
        (
            "10.0.0.1",
            PORT,
        ),  # OpenSSH takes the key of the host's other sshd, too, if it is the same
        ("10.0.0.*", WEB),
        ("[10.0.0.?]:2222", PORT),
        ("*,!10.0.0.2", WEB),
        (hashed("10.0.0.1"), WEB),
        (hashed("[10.0.0.1]:2222"), PORT),
        ("alias", Host("web1", "10.0.0.1", 2222, alias="alias")),
    ],
)
def test_a_line_makes_its_host_known(tmp_path: Path, names: str, host: Host) -> None:
    keys(tmp_path, line("another", OTHER) + line(names)).check(host, KEY)


@pytest.mark.parametrize(
    ("names", "host"),
    [
        ("10.0.0.2", WEB),
        ("[10.0.0.1]:2222", WEB),
        ("[10.0.0.1]:2223", PORT),
        ("*,!10.0.0.1,!web1", WEB),
        (hashed("10.0.0.2"), WEB),
        ("10.0.0.1", Host("web1", "10.0.0.1", alias="alias")),
        ("#10.0.0.1", WEB),
        ("@cert-authority 10.0.0.1", WEB),
    ],
)
def test_a_line_makes_no_other_host_known(tmp_path: Path, names: str, host: Host) -> None:
    assert refusal(keys(tmp_path, line(names)), host).startswith("unknown host key ED25519 SHA256:")


def test_an_unknown_key_is_refused_with_the_way_to_add_it(tmp_path: Path) -> None:
    assert refusal(keys(tmp_path, ""), PORT) == (
        f"unknown host key ED25519 {KEY.fingerprint}; if that is right, add it to known_hosts: "
        f"ssh-keyscan -p 2222 10.0.0.1 >> {tmp_path}/known0"
    )


def test_the_advice_once_followed_is_seen_without_a_restart(tmp_path: Path) -> None:
    known = keys(tmp_path, "")
    refusal(known)
    with open(tmp_path / "known0", "a") as file:
        file.write(line("10.0.0.1"))
    known.check(WEB, KEY)


@pytest.mark.parametrize("mode", ["strict", "accept-new"])
@pytest.mark.parametrize("shown", [OTHER, ECDSA])
def test_a_changed_key_is_refused_of_whatever_type(tmp_path: Path, mode: str, shown: Any) -> None:
    error = refusal(keys(tmp_path, line("10.0.0.1"), mode=mode), WEB, shown)
    assert error.startswith("host key CHANGED: it is ")
    assert error.endswith(f"expected {KEY.fingerprint} ({tmp_path}/known0:1); refusing")


def test_a_second_sshd_on_a_known_host_is_unknown_not_changed(tmp_path: Path) -> None:
    assert refusal(keys(tmp_path, line("10.0.0.1")), PORT, OTHER).startswith("unknown host key")


def test_a_revoked_key_is_refused_even_if_known_or_pinned(tmp_path: Path) -> None:
    known = keys(tmp_path, line("10.0.0.1"), "@revoked " + line("*"))
    pinned = Host("web1", "10.0.0.1", pin=KEY.fingerprint)
    for host in (WEB, pinned):
        assert refusal(known, host) == (
            f"host key REVOKED ({tmp_path}/known1:1): ED25519 {KEY.fingerprint}; refusing"
        )
    keys(tmp_path, line("10.0.0.1", OTHER) + "@revoked " + line("*")).check(WEB, OTHER)


def test_a_pin_overrides_known_hosts(tmp_path: Path) -> None:
    known = keys(tmp_path, line("10.0.0.1"))
    known.check(Host("web1", "10.0.0.1", pin=OTHER.fingerprint), OTHER)
    assert "(pinned)" in refusal(known, Host("web1", "10.0.0.1", pin=OTHER.fingerprint), KEY)


def test_a_fingerprint_is_what_ssh_keygen_prints() -> None:
    assert fingerprint(KEY.asbytes()) == KEY.fingerprint


def test_the_known_types_are_asked_for_first_and_rsa_never_with_sha1(tmp_path: Path) -> None:
    known = keys(tmp_path, line("10.0.0.1", ECDSA) + line("10.0.0.2"))
    assert known.algorithms(WEB)[:2] == ("ecdsa-sha2-nistp256", "ssh-ed25519")
    assert known.algorithms(Host("new", "10.0.0.3"))[0] == "ssh-ed25519"
    assert "ssh-rsa" not in known.algorithms(WEB)
    assert "rsa-sha2-512" in known.algorithms(WEB)


def test_bad_lines_are_passed_over_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [
        "web1",
        "web1 ssh-ed25519 ???",
        "web1 ssh-rsa " + KEY.get_base64(),
        "@what web1 a b",
        "|1|x ssh-rsa AAAA",
    ]
    known = keys(tmp_path, "# comment\n\n" + line("10.0.0.1") + "\n".join(bad) + "\n\x00\n")
    known.check(WEB, KEY)
    warnings = [
        record.getMessage() for record in caplog.records if record.levelno == logging.WARNING
    ]
    assert warnings == [f"{tmp_path}/known0:4: not a line of known_hosts (and 5 more); passed over"]


def test_accept_new_appends_a_whole_line_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "known"
    known = HostKeys(Ssh(known_hosts=(path,), host_keys="accept-new"))
    known.check(PORT, KEY)
    known.check(PORT, KEY)
    known.check(WEB, OTHER)
    assert path.read_text().splitlines() == [
        f"[10.0.0.1]:2222 ssh-ed25519 {KEY.get_base64()}",
        f"10.0.0.1 ssh-ed25519 {OTHER.get_base64()}",
    ]
    assert path.stat().st_mode & 0o777 == 0o600
    assert refusal(known, WEB, KEY).startswith("host key CHANGED")


def test_accept_new_goes_on_although_other_keys_are_revoked(tmp_path: Path) -> None:
    known = keys(tmp_path, "@revoked " + line("*"), mode="accept-new")
    known.check(WEB, OTHER)
    assert refusal(known, Host("web2", "10.0.0.2"), KEY).startswith("host key REVOKED")


def test_accept_new_does_not_join_an_unfinished_line(tmp_path: Path) -> None:
    known = keys(tmp_path, line("10.0.0.2").strip(), mode="accept-new")
    known.check(WEB, KEY)
    assert len((tmp_path / "known0").read_text().splitlines()) == 2
    HostKeys(Ssh(known_hosts=(tmp_path / "known0",))).check(WEB, KEY)


def test_of_two_that_accept_at_once_the_second_sees_the_first(tmp_path: Path) -> None:
    path = tmp_path / "known"
    outcomes: list[str] = []

    def meet(key: Any, start: threading.Barrier) -> None:
        known = HostKeys(Ssh(known_hosts=(path,), host_keys="accept-new"))
        start.wait()
        try:
            known.check(WEB, key)
            outcomes.append("accepted")
        except OpsError as error:
            outcomes.append(error.message.split(":")[0])

    start = threading.Barrier(2)
    bots = [threading.Thread(target=meet, args=(key, start)) for key in (KEY, OTHER)]
    for bot in bots:
        bot.start()
    for bot in bots:
        bot.join()
    assert sorted(outcomes) == ["accepted", "host key CHANGED"]
    assert len(path.read_text().splitlines()) == 1


def test_a_file_that_cannot_be_written_refuses_in_a_sentence(tmp_path: Path) -> None:
    known = HostKeys(Ssh(known_hosts=(tmp_path,), host_keys="accept-new"))
    assert refusal(known) == f"cannot add its host key to {tmp_path}: Is a directory"


def test_five_thousand_lines_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(
        line(f"host{number},10.1.{number // 250}.{number % 250}", OTHER) for number in range(5000)
    )
    known = keys(tmp_path, text + line("10.0.0.1"))
    known.check(WEB, KEY)
    monkeypatch.setattr(Path, "read_text", None)
    for number in range(100):
        known.check(Host(f"host{number}", f"10.1.0.{number}"), OTHER)


def test_certificates_are_asked_for_where_an_authority_is_known(tmp_path: Path) -> None:
    known = keys(tmp_path, line("10.0.0.1", ECDSA) + "@cert-authority " + line("10.0.0.*", OTHER))
    assert known.algorithms(WEB)[0] == "ecdsa-sha2-nistp256-cert-v01@openssh.com"
    assert "ecdsa-sha2-nistp256" in known.algorithms(WEB)
    assert not any("cert" in name for name in known.algorithms(Host("db1", "10.9.9.9")))


def test_an_authority_is_not_the_key_of_a_host(tmp_path: Path) -> None:
    known = keys(tmp_path, "@cert-authority " + line("10.0.0.1"))
    assert f"not signed by the authority in {tmp_path}/known0:1" in refusal(known)
