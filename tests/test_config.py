"""The settings: what must hold between keys, and that the shipped ircops.ini tells all there is."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from ircops import config, ini
from ircops.config import (
    Address,
    Command,
    Join,
    Network,
    Roles,
    Schedule,
    Seconds,
    Secret,
    Settings,
)
from ircops.values import keys

SHIPPED = Path(__file__).parent.parent / "ircops.ini"
SERVER = (Address("irc.example.org", 6697),)
HOME = (Address("localhost", 6667), Address("::1", 6667), Address("127.0.0.9", 6667))
OPS = (Join("#ops"),)
PEM = Path(__file__)  # some file
LOGIN: dict[str, Any] = {"sasl_username": "opsbot", "sasl_password": Secret("hunter2")}


def documented(text: str) -> dict[str, dict[str, str]]:
    """Section -> key -> value, for the keys that are set and the defaults that are commented out."""
    found: dict[str, dict[str, str]] = {}
    section = ""
    for line in text.splitlines():
        if header := re.fullmatch(r"\[(\w+).*\]", line):
            section = header[1]
        elif key := re.match(r"#?(\w+) = ?(.*)", line):
            assert key[1] not in found.setdefault(section, {}), f"{key[1]} twice in [{section}]"
            found[section][key[1]] = key[2]
    return found


def sections() -> dict[str, Any]:
    return {word: kind.holds for word, kind in ini.KINDS.items() if not kind.is_list}


def test_shipped_file_has_no_fault() -> None:
    settings = ini.load(SHIPPED, {})
    assert settings.networks and settings.commands and settings.schedules


def test_shipped_file_is_in_the_package() -> None:
    assert Path(config.__file__).with_name("ircops.ini").read_text() == SHIPPED.read_text()


def test_shipped_file_has_every_key_and_no_other() -> None:
    told = documented(SHIPPED.read_text())
    assert {word: set(told[word]) for word in sections()} == {
        word: set(keys(holds)) for word, holds in sections().items()
    }
    assert set(told) == set(ini.KINDS)


def test_every_default_of_the_shipped_file_is_the_default() -> None:
    live = {line.partition(" =")[0] for line in SHIPPED.read_text().splitlines() if line[:1] != "#"}
    compared = 0
    for section, told in documented(SHIPPED.read_text()).items():
        for name, key in keys(sections()[section]).items() if section in sections() else ():
            if name not in live:
                assert key.read(told[name]) == key.default, f"[{section}] {name}"
                compared += 1
    assert compared > 50


def test_shipped_file_with_its_comments_taken_away_has_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "ircops.ini"
    path.write_text(re.sub(r"^#(\w+ =)", r"\1", SHIPPED.read_text(), flags=re.MULTILINE))
    settings = ini.load(path, {})
    assert settings.hosts["web1"].user == "ops"
    assert settings.groups["prod"] == "@web,db1"


def test_every_key_of_the_shipped_file_has_a_comment_above() -> None:
    names = {name for holds in sections().values() for name in keys(holds)}
    pairs = list(itertools.pairwise(SHIPPED.read_text().splitlines()))
    told = [above for above, line in pairs if line.partition(" =")[0].strip("#") in names]
    assert len(told) > 60
    assert [above for above in told if not above.startswith("# ")] == []


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (Network(channels=OPS), "needs a server: server = irc.example.org:6697"),
        (Network(SERVER), "needs channels: channels = #ops"),
        (
            Network(SERVER, channels=OPS, sasl_username="a"),
            "has sasl_username but no sasl_password",
        ),
        (
            Network(SERVER, channels=OPS, sasl_password=Secret("x")),
            "has sasl_password but no sasl_username",
        ),
        (
            Network(SERVER + HOME, tls=False, channels=OPS, **LOGIN),
            "would send sasl_password for all to read; set tls = yes",
        ),
        (
            Network(SERVER, channels=OPS, reconnect_min=Seconds(61)),
            "has reconnect_min above reconnect_max",
        ),
        (
            Network(SERVER, channels=OPS, sasl_mechanism="EXTERNAL"),
            "has EXTERNAL, which needs tls = yes and a tls_cert_file",
        ),
        (
            Network(SERVER, channels=OPS, sasl_mechanism="EXTERNAL", tls=False, tls_cert_file=PEM),
            "has EXTERNAL, which needs tls = yes and a tls_cert_file",
        ),
        (
            Network(SERVER, channels=OPS, sasl_mechanism="ECDSA-NIST256P-CHALLENGE", **LOGIN),
            "has ECDSA-NIST256P-CHALLENGE, which needs sasl_key_file and sasl_username",
        ),
        (
            Network(
                SERVER,
                channels=OPS,
                sasl_mechanism="ECDSA-NIST256P-CHALLENGE",
                sasl_key_file=PEM,
            ),
            "has ECDSA-NIST256P-CHALLENGE, which needs sasl_key_file and sasl_username",
        ),
        (
            Network(SERVER, channels=OPS, sasl_mechanism="SCRAM-SHA-256"),
            "has SCRAM-SHA-256, which needs sasl_username and sasl_password",
        ),
        (
            Network(SERVER, channels=OPS, tls_key_file=PEM),
            "has tls_key_file but no tls_cert_file",
        ),
        *(
            (
                Network(SERVER, channels=OPS, **{key: Path("/no/such.pem")}),  # type: ignore[arg-type]
                "names /no/such.pem, which is no file we can see",
            )
            for key in ("tls_ca_file", "tls_cert_file", "sasl_key_file")
        ),
    ],
)
def test_network_that_cannot_work_says_why(network: Network, sentence: str) -> None:
    assert [said for _, said in network.faults()] == [sentence]


@pytest.mark.parametrize(
    "login",
    [
        {"sasl_mechanism": "EXTERNAL", "tls_cert_file": PEM},
        {"sasl_mechanism": "EXTERNAL", "tls_cert_file": PEM, "tls_key_file": PEM, **LOGIN},
        {
            "sasl_mechanism": "ECDSA-NIST256P-CHALLENGE",
            "sasl_key_file": PEM,
            "sasl_username": "a",
        },
        {"sasl_mechanism": "SCRAM-SHA-256", "tls": False, **LOGIN},  # never says the password
    ],
)
def test_login_that_can_work_has_no_fault(login: dict[str, Any]) -> None:
    assert list(Network(SERVER, channels=OPS, **login).faults()) == []


@pytest.mark.parametrize("hexadecimal", ["ab" * 32, "AB" * 64, ":".join(["0f"] * 32)])
def test_fingerprint_is_a_digest_in_hex(hexadecimal: str) -> None:
    read = keys(Network)["tls_fingerprint"].read
    assert read(f"{hexadecimal} {hexadecimal}") == (hexadecimal, hexadecimal)
    for wrong in (hexadecimal[:-1], hexadecimal + "ab", "sha256:" + hexadecimal):
        with pytest.raises(ValueError, match="SHA-256 or SHA-512 in hex"):
            read(wrong)


@pytest.mark.parametrize(
    "network",
    [
        Network(SERVER, channels=OPS, **LOGIN),
        Network(HOME, tls=False, channels=OPS, **LOGIN),
        Network(SERVER, tls=False, channels=OPS),
        Network(SERVER, tls=False, channels=OPS, sasl_over_plaintext=True, **LOGIN),
    ],
)
def test_network_that_can_work_has_no_fault(network: Network) -> None:
    assert list(network.faults()) == []


def test_command_is_one_thing_or_a_policy() -> None:
    assert list(Command(run="true").faults()) == []
    assert list(Command(approvals=1).faults()) == []
    assert [said for _, said in Command(run="true", click="a:b").faults()] == [
        "has run and click; keep one"
    ]
    assert "says nothing" in next(Command(on="@web").faults())[1]


def test_schedule_needs_a_time_and_a_command() -> None:
    assert [key for key, _ in Schedule().faults()] == ["at", "run"]


def faults(**parts: Any) -> list[str]:
    networks = {"libera": Network(SERVER, channels=OPS), "oftc": Network(SERVER, channels=OPS)}
    settings = Settings(**{"networks": networks, **parts})
    return [f"[{section}] {key}: {said}" for section, key, said in settings.faults()]


def test_channel_that_no_network_joins_is_a_fault() -> None:
    assert faults(channels={"#OPS": config.Channel()}) == []
    assert faults(channels={"#opps": config.Channel()}) == [
        '[channel #opps] : names #opps, which no network joins; did you mean "#ops"?'
    ]
    schedule = Schedule(at="* * * * *", run="ping", into=("#ops", "oftc/#ops", "oftc/#dev"))
    assert faults(schedules={"x": schedule}) == [
        '[schedule x] in: names oftc/#dev, which no network joins; did you mean "oftc/#ops"?'
    ]


def test_account_must_say_its_network_where_there_are_two() -> None:
    everybody = ("*", "unix:carol", "libera/alice", "oftc/mask:*!*@gateway/web/x")
    assert faults(roles=Roles(viewer=everybody)) == []
    assert faults(roles=Roles(viewer=("alice",), admin=("mask:*!*@gateway/web/x",))) == [
        "[roles] viewer: has alice, but of which network? write libera/alice",
        "[roles] admin: has mask:*!*@gateway/web/x, but of which network?"
        " write libera/mask:*!*@gateway/web/x",
    ]
    assert faults(roles=Roles(admin=("libra/alice",))) == [
        '[roles] admin: has libra/alice, but no such network; did you mean "libera"?'
    ]


def test_account_needs_no_network_where_there_is_one() -> None:
    one = {"libera": Network(SERVER, channels=OPS)}
    assert faults(networks=one, roles=Roles(admin=("alice", "libera/bob", "mask:*!*@*"))) == []


def test_network_is_named_by_one_word() -> None:
    assert "needs a name of one word" in faults(networks={"a/b": Network(SERVER, channels=OPS)})[0]


def test_secret_is_not_in_a_repr() -> None:
    network = Network(SERVER, channels=(Join("#ops", Secret("hunter2")),), **LOGIN)
    assert "hunter2" not in repr(Settings(networks={"libera": network}))
    assert str.__str__(network.sasl_password) == "hunter2"


def test_address_knows_its_own_machine() -> None:
    assert all(address.is_loopback for address in HOME)
    assert not Address("localhost.example.org", 6667).is_loopback
    assert str(Address("::1", 6667)) == "[::1]:6667"


def test_channel_is_found_in_any_case() -> None:
    settings = Settings(channels={"#Ops": config.Channel(lines=3)})
    assert settings.channel("#oPS").lines == 3
    assert settings.channel("#dev") == config.Channel()
