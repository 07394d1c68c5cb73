"""Strict transport security: what is believed, how long, and that nothing leads back to clear text."""

import json

import pytest

from ircops.config import Address, Network
from ircops.irc.protocol import parse
from ircops.irc.sts import Policies, Upgrade, Watch

HOST = Address("irc.example", 6667)
SECURE = Address("IRC.example", 6697)
PLAIN = Network(tls=False)


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def policies(tmp_path, clock):
    return Policies(tmp_path / "sts.json", clock)


def hear(policies, *lines, is_tls=True):
    watch = Watch(policies, SECURE, is_tls)
    for line in lines:
        watch.feed(parse(line))
    return watch


def port(policies):
    address, network = policies.enforced(HOST, PLAIN)
    assert network.tls == (address != HOST)
    return address.port


def test_in_clear_text_the_port_is_believed_and_nothing_else(policies):
    for line in (":s CAP * LS * :sasl sts=duration=99,port=6697", ":s CAP x NEW :sts=port=6697"):
        with pytest.raises(Upgrade) as error:
            hear(policies, line, is_tls=False)
        assert error.value.port == 6697
    useless = [
        "sts",
        "sts=",
        "sts=duration=99",
        "sts=port=0",
        "sts=port=x",
        "sts=port=²",
        "stsx=port=1",
    ]
    hear(policies, *[f":s CAP * LS :{token}" for token in useless], is_tls=False)
    hear(policies, ":s CAP * ACK :sts=port=1", ":s PRIVMSG x :sts=port=1", "CAP", is_tls=False)
    assert port(policies) == 6667


def test_what_was_promised_over_tls_holds_for_its_time_and_over_a_restart(
    policies, clock, tmp_path
):
    hear(policies, ":s CAP * LS :sts=port=1,duration=300 sasl")
    again = Policies(tmp_path / "sts.json", clock)
    assert port(again) == 6697
    clock.now += 299
    assert port(again) == 6697
    clock.now += 2
    assert port(again) == 6667


def test_its_time_begins_again_when_the_connection_ends(policies, clock):
    watch = hear(policies, ":s CAP * LS :sts=duration=300")
    clock.now += 86400
    watch.end()
    clock.now += 299
    assert port(policies) == 6697


def test_it_ends_when_the_server_says_so_over_tls_and_not_otherwise(policies):
    watch = hear(policies, ":s CAP * LS :sts=duration=300", ":s CAP x DEL :sts")
    watch.end()
    assert port(policies) == 6697
    hear(policies, ":s CAP * LS :sts=duration=0", is_tls=False)
    hear(policies, ":s CAP * LS :sasl").end()
    assert port(policies) == 6697
    hear(policies, ":s CAP x NEW :sts=duration=0").end()
    assert port(policies) == 6667


def test_policies_are_by_host_and_leave_tls_alone(policies):
    hear(policies, ":s CAP * LS :sts=duration=300")
    other = Address("other.example", 6667)
    assert policies.enforced(other, PLAIN) == (other, PLAIN)
    also = Address("irc.example", 7000)
    assert policies.enforced(also, Network(tls=True)) == (also, Network(tls=True))
    assert policies.enforced(also, PLAIN)[0] == Address("irc.example", 6697)


def test_a_promise_of_nothing_writes_nothing(policies, tmp_path):
    hear(policies, ":s CAP * LS :sts=duration=0")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"irc.example": 1}', '{"irc.example": {"port": 1}}', "\xff"]
)
def test_a_broken_file_is_said_and_replaced(policies, tmp_path, caplog, text):
    (tmp_path / "sts.json").write_text(text, encoding="latin-1")
    assert port(policies) == 6667
    assert "is of no use" in caplog.text
    hear(policies, ":s CAP * LS :sts=duration=300")
    assert port(policies) == 6697
    assert [path.name for path in tmp_path.iterdir()] == ["sts.json"]
    assert json.loads((tmp_path / "sts.json").read_text())["irc.example"]["port"] == 6697


def test_where_nothing_can_be_written_the_connection_goes_on(clock, tmp_path, caplog):
    hear(Policies(tmp_path / "missing" / "sts.json", clock), ":s CAP * LS :sts=duration=300").end()
    assert "cannot keep" in caplog.text
