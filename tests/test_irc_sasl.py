"""Logging in: what each mechanism says, and every way the conversation can end. The server's half is real SCRAM."""

import base64
import math
import subprocess
import sys

import pytest
import scramp
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from hypothesis import given, settings
from hypothesis import strategies as st

from ircops.config import Network, Secret
from ircops.errors import Refused
from ircops.irc.ends import Unavailable
from ircops.irc.protocol import parse
from ircops.irc.sasl import ADVICE, Forged, Login
from tests.certificates import PRIVATE

PASSWORD = "s3cret"
ACCOUNT = {"sasl_username": "bot", "sasl_password": Secret(PASSWORD)}
SCRAM = {"sasl_mechanism": "SCRAM-SHA-256", **ACCOUNT}


class Talk:
    """A login, and a server that says what the test says; `ends` has how it ended."""

    def __init__(self, is_secret=True, **network):
        self.ends = []
        self.login = Login(Network(**network), is_secret, self._ended)

    def _ended(self, error):
        self.ends.append(error)
        return [b"CAP END"]

    def begin(self, now=0.0):
        return [line.decode() for line in self.login.begin(now)]

    def hears(self, *lines):
        said = [line.decode() for text in lines for line in self.login.feed(parse(text))]
        return [line.removeprefix("AUTHENTICATE ") for line in said]

    def challenged(self, challenge):
        """What it answers to a challenge, which goes in pieces like everything."""
        text = base64.b64encode(challenge).decode()
        pieces = [text[i : i + 400] for i in range(0, len(text), 400)]
        if len(text) % 400 == 0:
            pieces.append("+")
        said = "".join(self.hears(*[f"AUTHENTICATE {piece}" for piece in pieces]))
        return said if said == "*" else base64.b64decode(said.removesuffix("+"))


def test_external_says_nothing_but_a_name_if_there_is_one():
    for name, said in (("", "+"), ("bot", "Ym90")):
        talk = Talk(sasl_mechanism="EXTERNAL", sasl_username=name)
        assert talk.login.is_wanted
        assert talk.begin() == ["AUTHENTICATE EXTERNAL"]
        assert talk.hears("AUTHENTICATE +") == [said]
        assert talk.hears(":s 903 bot :ok") == ["CAP END"]
        assert talk.ends == [None] and talk.login.is_logged_in


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """A P-256 key and its file."""
    return written(ec.generate_private_key(ec.SECP256R1()), tmp_path_factory.mktemp("key"))


def written(key, directory, form=PRIVATE):
    path = directory / "sasl.pem"
    path.write_bytes(key.private_bytes(*form))
    return key, path


def ecdsa(path):
    how = {"sasl_mechanism": "ECDSA-NIST256P-CHALLENGE", "sasl_username": "bot"}
    return Talk(sasl_key_file=path, **how)


def test_ecdsa_names_itself_and_signs_the_challenge(key):
    private, path = key
    talk = ecdsa(path)
    assert talk.begin() == ["AUTHENTICATE ECDSA-NIST256P-CHALLENGE"]
    assert talk.challenged(b"") == b"bot"
    challenge = bytes(range(32))
    signature = talk.challenged(challenge)
    how = ec.ECDSA(utils.Prehashed(hashes.SHA256()))
    private.public_key().verify(signature, challenge, how)
    talk.hears(":s 903 bot :ok")
    assert talk.ends == [None]


@pytest.mark.parametrize("challenge", [b"", b"short", bytes(64)])
def test_ecdsa_signs_nothing_else(key, challenge):
    talk = ecdsa(key[1])
    talk.begin()
    talk.challenged(b"")
    assert talk.challenged(challenge) == "*"
    talk.hears(":s 906 bot :aborted")
    assert [type(error) for error in talk.ends] == [Unavailable]


def test_a_key_that_is_of_no_use_is_named(tmp_path):
    curve = ec.generate_private_key(ec.SECP384R1())
    locked = (*PRIVATE[:2], serialization.BestAvailableEncryption(b"x"))
    for _, path in (written(curve, tmp_path), written(curve, tmp_path, locked)):
        with pytest.raises(Refused, match="holds no P-256 key without a passphrase"):
            ecdsa(path).begin()
    path.write_text("no key")
    with pytest.raises(Refused, match="openssl ecparam"):
        ecdsa(path).begin()
    path.unlink()
    with pytest.raises(Refused, match=f"sasl_key_file {path}: no such file"):
        ecdsa(path).begin()


class ScramServer:
    """The server's half, by the same library."""

    def __init__(self, password=PASSWORD):
        mechanism = scramp.ScramMechanism("SCRAM-SHA-256")
        known = mechanism.make_auth_info(password)
        self._server = mechanism.make_server(lambda name: known)

    def first(self, said):
        self._server.set_client_first(said.decode())
        return self._server.get_server_first().encode()

    def final(self, said):
        self._server.set_client_final(said.decode())
        return self._server.get_server_final().encode()


def proving(talk):
    """Go on up to where the server has to show its signature; gives that."""
    server = ScramServer()
    assert talk.begin() == ["AUTHENTICATE SCRAM-SHA-256"]
    return server.final(talk.challenged(server.first(talk.challenged(b""))))


def test_scram_never_says_the_password_and_checks_the_server():
    talk = Talk(is_secret=False, **SCRAM)
    assert talk.hears(f"AUTHENTICATE {base64.b64encode(proving(talk)).decode()}") == ["+"]
    assert talk.hears(":s 900 bot a!b@c bot :in", ":s 903 bot :ok") == ["CAP END"]
    assert talk.ends == [None]


@pytest.mark.parametrize(
    "proof",
    [b"v=" + base64.b64encode(bytes(32)), b"v=x", b"v=\xc3\xa9", b"v=", b"\xff", b"", b"x" * 900],
)
def test_a_forged_signature_breaks_it_off(proof):
    talk = Talk(**SCRAM)
    proving(talk)
    assert talk.challenged(proof) == "*"
    assert talk.ends == []
    assert talk.hears("AUTHENTICATE +", ":s 906 bot :aborted") == ["CAP END"]
    assert [type(error) for error in talk.ends] == [Forged]
    assert "could not prove" in str(talk.ends[0])


@pytest.mark.parametrize("answer", [":s 903 bot :ok", ":s 907 bot :already", None])
def test_a_forger_has_no_say_in_how_it_ends(answer):
    talk = Talk(**SCRAM)
    proving(talk)
    talk.challenged(b"v=forged")
    if answer:
        talk.hears(answer)
    else:
        assert talk.login.tick(10.0) == [b"CAP END"]
    assert [type(error) for error in talk.ends] == [Forged]
    assert not talk.login.is_logged_in


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_who_lets_us_in_without_a_proof_is_not_believed(steps):
    talk, server = Talk(**SCRAM), ScramServer()
    talk.begin()
    said = talk.challenged(b"") if steps > 0 else b""
    if steps > 1:
        talk.challenged(server.first(said))
    talk.hears(":s 903 bot :ok")
    assert [type(error) for error in talk.ends] == [Forged]


def test_a_wrong_password_is_found_out_by_the_server():
    talk, server = Talk(**SCRAM), ScramServer("another")
    talk.begin()
    proof = talk.challenged(server.first(talk.challenged(b"")))
    with pytest.raises(scramp.ScramException):
        server.final(proof)
    assert talk.challenged(b"e=invalid-proof") == b""
    talk.hears(":s 904 bot :SASL authentication failed")
    assert isinstance(talk.ends[0], Refused) and PASSWORD not in talk.ends[0].message


def test_who_says_no_and_lets_us_in_is_not_believed():
    talk = Talk(**SCRAM)
    proving(talk)
    talk.challenged(b"e=invalid-proof")
    talk.hears(":s 903 bot :ok")
    assert [type(error) for error in talk.ends] == [Forged]


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"r=x,s=,i=",
        b"r=stranger,s=c2FsdHNhbHRzYWx0c2FsdA==,i=4096",
        b"r=x,s=AAAA,i=99999999999",
        b"\xff\xfe",
        b"e=other-error",
    ],
)
def test_a_first_challenge_that_makes_no_sense_breaks_it_off(challenge):
    talk = Talk(**SCRAM)
    talk.begin()
    talk.challenged(b"")
    assert talk.challenged(challenge) == "*"


def test_a_server_cannot_make_us_count_for_ever():
    talk = Talk(**SCRAM)
    talk.begin()
    nonce = talk.challenged(b"").rpartition(b"r=")[2]
    assert talk.challenged(b"r=" + nonce + b"x,s=c2FsdHNhbHRzYWx0c2FsdA==,i=2000000000") == "*"


def test_a_password_that_scram_cannot_take_is_refused():
    talk = Talk(sasl_mechanism="SCRAM-SHA-256", sasl_username="bot", sasl_password=Secret("\x07"))
    assert talk.begin() == ["CAP END"]
    assert isinstance(talk.ends[0], Refused) and "sasl_password" in talk.ends[0].message


def test_the_libraries_are_loaded_when_they_are_used():
    loaded = "import sys, ircops.irc.sasl; sys.exit('scramp' in sys.modules or 'cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], timeout=30).returncode == 0


@pytest.mark.parametrize("mechanism", ADVICE)
@pytest.mark.parametrize("numeric", ["902", "904", "905"])
def test_who_is_refused_is_told_what_to_look_at(mechanism, numeric, key):
    talk = Talk(sasl_mechanism=mechanism, sasl_key_file=key[1], **ACCOUNT)
    talk.begin()
    talk.challenged(b"")
    talk.hears(f":s {numeric} bot :SASL authentication failed")
    assert isinstance(talk.ends[0], Refused)
    assert talk.ends[0].message.endswith(f"SASL authentication failed; {ADVICE[mechanism]}")


@pytest.mark.parametrize("mechanism", ADVICE)
@pytest.mark.parametrize(
    "line",
    [
        ":s 902 bot :locked",
        ":s 904 bot :failed",
        ":s 905 bot :too long",
        ":s 906 bot :aborted",
        ":s 908 bot EXTERNAL :are available SASL mechanisms",
        ":s 421 bot AUTHENTICATE :Unknown command",
    ],
)
def test_before_we_said_who_we_are_no_answer_is_about_us(mechanism, line, key):
    talk = Talk(sasl_mechanism=mechanism, sasl_key_file=key[1], **ACCOUNT)
    talk.begin()
    assert talk.hears(line, line) == ["CAP END"]
    assert [type(error) for error in talk.ends] == [Unavailable]
    assert talk.login.due == math.inf


def test_lines_of_other_matters_change_nothing():
    talk = Talk(**ACCOUNT)
    assert talk.hears(":s 903 x :ok", ":s 904 x :no", "AUTHENTICATE +") == []  # not begun
    talk.begin()
    others = [":s 421 bot CAP :Unknown command", ":s 433 * bot :in use", ":s 900 b m bot :in"]
    assert talk.hears(*others) == [] and talk.ends == []


def test_a_question_too_many_breaks_it_off():
    talk = Talk(**ACCOUNT)
    talk.begin()
    assert talk.challenged(b"") == b"bot\0bot\0s3cret"
    assert talk.challenged(b"and your shoe size?") == "*"


def test_a_challenge_without_an_end_is_not_kept():
    talk = Talk(**ACCOUNT)
    talk.begin()
    said = talk.hears(*[f"AUTHENTICATE {'A' * 400}"] * 100)
    assert len(said) < 4


def test_silent_services_are_left_in_time():
    talk = Talk(connect_timeout=20.0, **ACCOUNT)
    talk.begin(now=5.0)
    assert talk.login.tick(14.9) == []
    assert talk.login.tick(15.0) == [b"AUTHENTICATE *", b"CAP END"]
    assert str(talk.ends[0]) == "services do not answer"
    assert talk.login.tick(16.0) == [] and talk.login.due == math.inf


LINES = ["AUTHENTICATE +", "AUTHENTICATE", "AUTHENTICATE é", "AUTHENTICATE *", "901", "902", "903"]
LINES += ["904", "905", "906", "907", "908", "421 x AUTHENTICATE", "AUTHENTICATE " + "A" * 400]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["PLAIN", "EXTERNAL", "SCRAM-SHA-256"]), st.lists(st.sampled_from(LINES)))
def test_no_order_of_lines_raises_or_ends_it_twice(mechanism, lines):
    talk = Talk(sasl_mechanism=mechanism, **ACCOUNT)
    talk.begin()
    talk.hears(*lines)
    assert len(talk.ends) <= 1
