"""Keys to log in with: which, in what order, and why not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ircops.ssh.inventory import Host
from ircops.ssh.keys import Keys


@pytest.fixture(scope="module")
def key_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    for name, kind, passphrase in (
        ("plain", "ed25519", ""),
        ("old", "ecdsa", ""),
        ("locked", "ecdsa", "secret"),
    ):
        words = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(directory / name)]
        subprocess.run([*words, "-m", "PEM"] if name == "old" else words, check=True)
    (directory / "junk").write_text("junk\n")
    return directory


def offers(keys: Any, notes: list[str], *paths: Path) -> list[str]:
    return [name for name, _ in keys.offers(Host("web1", "10.0.0.1", keys=paths), notes)]


def test_keys_are_offered_in_order_and_the_others_say_why_not(key_files: Path) -> None:
    notes: list[str] = []
    names = ("junk", "old", "locked", "none", "plain")
    assert offers(Keys(False), notes, *(key_files / name for name in names)) == [
        "old",
        "plain",
    ]
    assert notes == [
        "junk is no private key of a known kind",
        "locked has a passphrase: ssh-add it to the agent",
        f"{key_files}/none: no such file or directory",
    ]


def test_a_key_file_is_read_once_and_again_when_it_changes(key_files: Path, tmp_path: Path) -> None:
    keys = Keys(False)
    path = tmp_path / "key"
    path.write_text("junk\n")
    assert offers(keys, [], path) == []
    path.write_bytes((key_files / "plain").read_bytes())
    os.utime(path, (1, 1))
    first = next(keys.offers(Host("web1", "", keys=(path,)), []))[1]
    assert next(keys.offers(Host("web1", "", keys=(path,)), []))[1] is first


def test_without_stated_keys_the_usual_files_are_tried(
    key_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ecdsa").write_bytes((key_files / "old").read_bytes())
    notes: list[str] = []
    assert offers(Keys(False), notes) == ["id_ecdsa"]
    assert notes == []
