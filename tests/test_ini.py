"""Reading ircops.ini: every fault with its line, references, paths, and what is never shown."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from datetime import time
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from ircops import ini
from ircops.config import Address, HostLine, Join, Settings
from ircops.errors import BAD_CONFIG, BadConfig
from ircops.kinds import Hours
from ircops.policy import Role
from ircops.values import keys

Load = Callable[..., Settings]
NETWORK = "[network libera]\nserver = irc.libera.chat:6697\nchannels = #ops\n"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def write_and_load(text: str, environment: Mapping[str, str] = {}) -> Settings:
        path = tmp_path / "ircops.ini"
        path.touch(mode=0o600)
        path.write_text(text)
        return ini.load(path, environment)

    return write_and_load


def faults(load: Load, text: str, environment: Mapping[str, str] = {}) -> list[str]:
    """The faults without the directory: `12: sentence`."""
    with pytest.raises(BadConfig) as bad:
        load(text, environment)
    assert bad.value.exit_code == BAD_CONFIG
    return [fault.partition("ircops.ini:")[2] for fault in bad.value.faults]


def test_file_becomes_settings(load: Load, tmp_path: Path) -> None:
    settings = load(
        """
        # a comment
        [bot]
        nick = bot2
        ; another
        [network libera]
        server = irc.libera.chat:6697,
            [2001:db8::1]:6697
        channels = #ops #secret:KEY
        ping_interval = 1m
        [roles]
        viewer = *
        admin = alice
        [hosts]
        web[1-2] = user=ops
        [groups]
        web = web[1-2]
        [command kernel]
        run = uname -r
        role = viewer
        [schedule morning]
        at = 0 9 * * mon-fri
        run = health @web
        in = #ops
        """.replace("\n        ", "\n")
    )
    assert settings.bot.nick == "bot2"
    network = settings.networks["libera"]
    assert network.server == (Address("irc.libera.chat", 6697), Address("2001:db8::1", 6697))
    assert network.channels == (Join("#ops"), Join("#secret", network.channels[1].key))
    assert (network.ping_interval, network.ping_timeout) == (60, 10)
    assert settings.roles.admin == ("alice",)
    assert settings.hosts == {"web1": HostLine(user="ops"), "web2": HostLine(user="ops")}
    assert settings.groups == {"web": "web[1-2]"}
    assert settings.commands["kernel"].role is Role.VIEWER
    assert settings.schedules["morning"].into == ("#ops",)
    assert settings.place("schedule morning", "at") == f"{tmp_path}/ircops.ini:22"
    assert settings.place("schedule morning", "grace") == f"{tmp_path}/ircops.ini:21"
    assert settings.place("health") == f"{tmp_path}/ircops.ini"


def test_inventory_is_a_key_of_hosts_and_no_host(load: Load, tmp_path: Path) -> None:
    settings = load("[hosts]\ninventory = hosts.yml, /etc/ansible/hosts\nweb1 = env=prod\n")
    assert settings.inventory == (tmp_path / "hosts.yml", Path("/etc/ansible/hosts"))
    assert settings.hosts == {"web1": HostLine(variables=(("env", "prod"),))}
    assert settings.place("hosts", "inventory") == f"{tmp_path}/ircops.ini:2"


def test_a_variable_that_looks_like_a_slip_is_refused(load: Load) -> None:
    (fault,) = faults(load, "[hosts]\nweb1 = usr=ops")
    assert fault == '2: web1 cannot be "usr=ops": did you mean user=?'


def test_empty_file_is_all_defaults(load: Load) -> None:
    assert load("").networks == {}


def test_every_fault_is_told_in_the_order_of_the_lines(load: Load) -> None:
    text = """[bot]
nik = opsbot
[netwrok libera]
server = irc.libera.chat
chanels = #ops
tls = maybe
[channel #opps]
lines = 0
[schedule morning]
at = 0 25 * * *
timezone = Europe/Berln
[command x]
[pages]
"""
    assert faults(load, text) == [
        '2: unknown key "nik" in [bot]; did you mean "nick"?',
        "3: unknown section [netwrok libera]; did you mean [network libera]?",
        '4: server cannot be "irc.libera.chat": it needs its port: host:port',
        '5: unknown key "chanels" in [network libera]; did you mean "channels"?',
        '6: tls cannot be "maybe": it is yes or no',
        '7: [channel #opps] names #opps, which no network joins; did you mean "#ops"?',
        '8: lines cannot be "0": it is more than 0',
        "9: [schedule morning] needs a command: run = health @all",
        '10: at cannot be "hour 25": hour is 0-23',
        '11: timezone cannot be "Europe/Berln": it is a name such as UTC or Europe/Berlin;'
        ' did you mean "Europe/Berlin"?',
        "12: [command x] says nothing: give it run, script or click, or a role for a command there is",
        "13: unknown section [pages]; there are [bot] [network NAME] [channel NAME] [roles] [access NAME] [ssh]"
        " [hosts] [groups] [command NAME] [schedule NAME] [health] [web] [check NAME] [watch NAME] [provider NAME]",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("nick = x", "1: nick stands before any [section]"),
        ("[bot]\nnick opsbot", "2: this is neither [section] nor key = value"),
        ("[bot]\n[network libera", "2: this is neither [section] nor key = value"),
        ("[bot]\nnick = a\nnick = b", "3: nick is in line 2 already; keep one"),
        ("[bot]\nnick = a\n[bot]\nprefix = .", "3: [bot] is in line 1 already; make them one"),
        ("[bot]\nNick = a", '2: unknown key "Nick" in [bot]; did you mean "nick"?'),
        ("[bot]\nnick = a # mine", '2: nick cannot be "a # mine": it is of letters,'),
        ("[bot]\nnick = a\n  prefix = .", '2: nick cannot be "a": it is one line, but the next'),
        ("[bot]\nzzz = a", '2: unknown key "zzz" in [bot]; it has nick, username'),
        ("[network]", "1: unknown section [network]; did you mean [network NAME]?"),
        ("[bot x]", "1: unknown section [bot x]; did you mean [bot]?"),
        ("[DEFAULT]\nnick = a", "1: unknown section [DEFAULT]; "),
        ("[roles]\nadmin = alice # bob", '2: admin cannot be "#": it is an account,'),
        ("[roles]\nadmin = alice\n  #bob", "3: a line that begins with # is a comment;"),
        ("[hosts]\nweb[1-3] = 10.0.0.1", "2: web[1-3] cannot share an address; write a line"),
        ("[hosts]\nweb[1-3] =\nweb2 = user=x", "3: web2 is in line 2 already; keep one"),
        ("[hosts]\nweb 1 = user=x", "2: web 1 is no name; write web1 or web[1-3]"),
        ("[command x]\nrole = root", '2: role cannot be "root": it is viewer or operator'),
        ("[groups]\nweb = web1 # one", '2: web cannot be "web1 # one": it is hosts such as'),
    ],
)
def test_one_mistake_is_one_fault(load: Load, text: str, fault: str) -> None:
    (told,) = faults(load, text)
    assert told.startswith(fault)


def test_channel_on_a_line_of_its_own_is_not_lost_as_a_comment(load: Load) -> None:
    text = "[network libera]\nserver = irc.libera.chat:6697\nchannels = #ops\n    #deploys\n"
    assert faults(load, text) == [
        "4: a line that begins with # is a comment; write channels in one line"
    ]


def test_reference_is_filled_in(load: Load, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("file secret\n")
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "sasl").write_text("credential secret\n\n")
    text = (
        NETWORK + "sasl_username = bot-${env:SITE}\nsasl_password = ${credential:sasl}\n"
        "server_password = ${file:password}\n[command x]\nrun = echo ${HOME:-/} ${SHELL}\n"
    )
    environment = {"SITE": "eu", "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    settings = load(text, environment)
    network = settings.networks["libera"]
    assert network.sasl_username == "bot-eu"
    assert str.__str__(network.sasl_password) == "credential secret"
    assert str.__str__(network.server_password) == "file secret"
    assert settings.commands["x"].run == "echo ${HOME:-/} ${SHELL}"


@pytest.mark.parametrize(
    ("reference", "environment", "sentence"),
    [
        ("${env:NOPE}", {}, "${env:NOPE} is not set; set NOPE where ircops is started"),
        ("${file:/nope}", {}, "${file:/nope}: cannot read /nope: no such file or directory"),
        (
            "${credential:sasl}",
            {},
            "${credential:sasl} is not given; write LoadCredential=sasl:PATH in ircops.service",
        ),
        (
            "${credential:sasl}",
            {"CREDENTIALS_DIRECTORY": "/nope"},
            "${credential:sasl}: cannot read /nope/sasl: no such file or directory",
        ),
        (
            "${secret:sasl}",
            {},
            "${secret:sasl} is unknown; there are ${env:NAME}, ${file:PATH} and ${credential:NAME}",
        ),
    ],
)
def test_missing_reference_says_what_to_do(
    load: Load, reference: str, environment: dict[str, str], sentence: str
) -> None:
    text = NETWORK + f"sasl_username = bot\nsasl_password = {reference}\n"
    assert faults(load, text, environment) == [f"5: {sentence}"]


def test_no_fault_shows_what_a_reference_gave(load: Load) -> None:
    secret = "hunter2 25 25\nhunter3 25"
    lines = []
    for word, kind in ini.KINDS.items():
        lines.append(f"[{word} x]" if kind.is_named else f"[{word}]")
        names = ["web1"] if kind.is_list else list(keys(kind.holds))
        lines += [f"{name} = ${{env:SECRET}}" for name in names]
    told = faults(load, "\n".join(lines), {"SECRET": secret})
    assert len(told) > 30
    assert "hunter" not in "\n".join(told)
    assert '2: nick cannot be "${env:SECRET}": it is one line, but' in "\n".join(told)


def test_no_fault_shows_a_secret_that_stands_in_the_file(load: Load) -> None:
    text = NETWORK.replace("#ops", "ops:hunter2") + "sasl_password = hunter2\n  hunter2\n"
    assert faults(load, text) == [
        '3: channels cannot be "ops": a channel is #name, or #name:KEY',
        '4: sasl_password cannot be "***": it is one line, but the next is indented and continues it',
    ]


def test_password_is_not_sent_in_the_clear(load: Load) -> None:
    text = NETWORK + "tls = no\nsasl_username = bot\nsasl_password = hunter2\n"
    assert faults(load, text) == [
        "4: [network libera] would send sasl_password for all to read; set tls = yes"
    ]
    assert load(text + "sasl_over_plaintext = yes\n")


def test_secret_that_anybody_can_read_is_a_warning(
    load: Load, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = NETWORK + "sasl_username = bot\nsasl_password = hunter2\n"
    load(text)
    assert caplog.messages == []
    (tmp_path / "ircops.ini").chmod(0o644)
    load(text.replace("hunter2", "${env:PASSWORD}"), {"PASSWORD": "hunter2"})
    assert caplog.messages == []
    with caplog.at_level(logging.WARNING):
        load(text)
    (message,) = caplog.messages
    assert "ircops.ini:5: anybody here can read sasl_password; chmod 600 " in message
    assert "hunter2" not in message


def test_paths_are_absolute(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ops")
    settings = load("[ssh]\nkey = ~/.ssh/ops keys/b\n[hosts]\nweb1 = key=keys/web1\n")
    assert settings.ssh.key == (Path("/home/ops/.ssh/ops"), tmp_path / "keys/b")
    assert settings.ssh.config == Path("/home/ops/.ssh/config")
    assert settings.hosts["web1"].key == tmp_path / "keys/web1"
    assert settings.bot.commands == tmp_path / "commands"
    assert settings.bot.state == Path("/home/ops/.local/state/ircops")
    assert settings.bot.console == settings.bot.state / "console.sock"


def test_state_is_where_systemd_says_unless_the_file_says_otherwise(
    load: Load, tmp_path: Path
) -> None:
    environment = {"STATE_DIRECTORY": "/var/lib/ircops:/var/lib/other"}
    assert load("", environment).bot.state == Path("/var/lib/ircops")
    assert load("", environment).bot.console == Path("/var/lib/ircops/console.sock")
    settings = load("[bot]\nstate = here\nconsole = /run/ircops.sock\n", environment)
    assert settings.bot.state == tmp_path / "here"
    assert settings.bot.console == Path("/run/ircops.sock")


PIECES = st.sampled_from(
    [
        *(
            "[",
            "]",
            "=",
            "\n",
            "\n  ",
            "\n",
            " ",
            "#",
            ";",
            ",",
            ":",
            "/",
            "~",
            "%",
            "\0",
            "\x85",
            "é",
        ),
        *(
            "${env:A}",
            "${file:x}",
            "${credential:y}",
            "${z:a}",
            "-1",
            "0",
            "5m",
            "web[1-3]",
            "[::1]:1",
        ),
        *(f"\n[{word}{' x' * kind.is_named}]\n" for word, kind in ini.KINDS.items()),
        *("nick", "server", "channels", "at", "run", "in", "key", "tls", "timezone", "admin", "on"),
    ]
)


@hypothesis.settings(deadline=None)  # a busy machine is no fault
@hypothesis.given(st.lists(PIECES, max_size=30).map("".join))
def test_whatever_the_file_holds_it_is_settings_or_faults(text: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "ircops.ini")
        path.write_text(text, "utf-8")
        try:
            assert isinstance(ini.load(path, {"A": "b\n[c]"}), Settings)
        except BadConfig as bad:
            assert all(fault.startswith(f"{path}:") for fault in bad.faults)


def test_missing_file_says_how_to_write_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadConfig) as bad:
        ini.load(Path("ircops.ini"), {})
    assert bad.value.faults == ["no ircops.ini here; write one with: ircops init"]
    with pytest.raises(BadConfig) as bad:
        ini.load(Path("/nope/my.ini"), {})
    assert bad.value.faults == ["no my.ini in /nope; write one with: ircops init"]
    with pytest.raises(BadConfig, match="cannot read .*: is a directory; "):
        ini.load(tmp_path, {})


def test_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "ircops.ini"
    path.write_bytes(b"[bot]\nnick = a\nrealname = caf\xe9\n")
    with pytest.raises(BadConfig) as bad:
        ini.load(path, {})
    assert bad.value.faults == [f"{path}:3: not UTF-8; save the file as UTF-8"]


def test_file_of_another_editor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ircops.ini"
    path.write_bytes(b"\xef\xbb\xbf[bot]\r\nnick = bot2\r\n")
    assert ini.load(path, {}).bot.nick == "bot2"


def test_a_section_may_be_plain_and_named(load: Load) -> None:
    settings = load(
        "[health]\ndisk = 80%\nfor = 5m\n[health @db]\ndisk = 95%\n[health web1]\nload = 4\n"
    )
    assert (settings.health.disk, settings.health.lasts) == (80, 300)
    assert list(settings.limits) == ["@db", "web1"]
    assert (settings.limits["@db"].disk, settings.limits["@db"].load) == (95, None)
    assert settings.place("health web1", "load").endswith(":7")


def test_a_named_section_has_its_own_keys(load: Load) -> None:
    assert faults(load, "[health @db]\nkeep = 9d\n[health @db]\n") == [
        '2: unknown key "keep" in [health @db]; it has load, memory, swap, disk, inodes, clock, uptime, '
        "temperature, errors, for, clear",
        "3: [health @db] is in line 1 already; make them one",
    ]


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ("[check x]\n", "1: [check x] says nothing: give it run, http, tcp or tls"),
        ("[check x]\nrun = a\ntcp = b:1\n", "3: [check x] has run and tcp; keep one"),
        ("[check x]\nhttp = www\n", "2: [check x] needs a URL: http = https://www.example.org/"),
        ("[check x]\ntls = www\n", "2: [check x] needs host:port: tls = www.example.org:443"),
        (
            "[check x]\ntcp = www:80\non = @web\n",
            "3: [check x] has hosts, but tcp is the same for all: write {host} in it",
        ),
        ("[watch x]\n", "1: [watch x] needs channels: in = #ops"),
    ],
)
def test_a_check_or_a_watch_that_cannot_work_says_why(load: Load, section: str, fault: str) -> None:
    assert faults(load, section) == [fault]


def test_a_watch_names_channels_and_checks_that_there_are(load: Load) -> None:
    text = NETWORK + "[check disk]\nrun = true\n[watch w]\nin = #opz\nchecks = health disc\n"
    assert [line.partition(": ")[2] for line in faults(load, text)] == [
        '[watch w] names #opz, which no network joins; did you mean "#ops"?',
        '[watch w] names a check that there is not; did you mean "disk"?',
    ]


def test_quiet_hours_are_a_part_of_the_day(load: Load) -> None:
    quiet = load(f"{NETWORK}[channel #ops]\nquiet = 22:00-07:00\n").channels["#ops"].quiet
    assert quiet is not None and str(quiet) == "22:00-07:00"
    assert [time(hour) in quiet for hour in (21, 22, 0, 6, 7, 12)] == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]
    day = Hours(time(9), time(17))
    assert [time(hour) in day for hour in (8, 9, 16, 17)] == [False, True, True, False]
    for wrong in ("22-7", "25:00-07:00", "7:00-7:00"):
        [fault] = faults(load, f"{NETWORK}[channel #ops]\nquiet = {wrong}\n")
        assert fault.endswith("it is a part of the day, such as 22:00-07:00")
