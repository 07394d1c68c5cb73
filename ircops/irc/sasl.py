"""Logging in to services with SASL: four ways to show who we are, and the conversation about it. No socket.

Sources: ircv3.net/specs/extensions/sasl-3.2, RFC 4422 (EXTERNAL), RFC 4616 (PLAIN), RFC 5802 and 7677 (SCRAM),
and Atheme's ECDSA-NIST256P-CHALLENGE (doc/ECDSA-NIST256P-CHALLENGE in its source).
"""

from __future__ import annotations

import base64
import enum
import math
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

from ircops import config
from ircops.errors import Refused
from ircops.irc.ends import Unavailable
from ircops.irc.protocol import Line, build

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

PIECE = 400  # bytes of one AUTHENTICATE (sasl-3.1)
CHALLENGE_LIMIT = 40 * PIECE  # bytes; SCRAM's longest is some hundreds

# Gives our first answer, then one for each challenge it is sent. Over = the server has nothing more to ask, and has
# shown what it had to show. Raises ValueError for a challenge that makes no sense, Forged for a false proof.
Steps = Generator[bytes, bytes, None]


class Forged(Unavailable):
    """The server claims to know our password, and does not: it is not the one we mean."""


def steps(network: config.Network) -> Steps:
    """The answers of the mechanism in the settings. Raises Refused when `sasl_key_file` is of no use."""
    match network.sasl_mechanism:
        case "EXTERNAL":
            return _external(network.sasl_username)
        case "SCRAM-SHA-256":
            return _scram(network.sasl_username, network.sasl_password)
        case "ECDSA-NIST256P-CHALLENGE":
            return _ecdsa(network.sasl_username, _key(network.sasl_key_file))
        case _:
            return _plain(network.sasl_username, network.sasl_password)


def _plain(name: str, password: str) -> Steps:
    yield f"{name}\0{name}\0{password}".encode()


def _external(name: str) -> Steps:
    yield name.encode()  # the certificate says it all; a name chooses between several accounts


def _ecdsa(name: str, key: EllipticCurvePrivateKey) -> Steps:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    challenge = yield name.encode()
    # Its 32 bytes are signed as they are, as if they were a digest already.
    yield key.sign(challenge, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


def _scram(name: str, password: str) -> Steps:
    import scramp

    try:
        client = scramp.ScramClient(["SCRAM-SHA-256"], name, str.__str__(password))
        challenge = yield client.get_client_first().encode()
        client.set_server_first(challenge.decode("ascii"))
        proof = yield client.get_client_final().encode()
        if proof.startswith(b"e="):  # the server says that it will say no
            yield b""
            raise Forged("services let us in after they had refused the password")
    except scramp.ScramException as error:
        raise ValueError(str(error)) from None
    try:
        client.set_server_final(proof.decode("ascii"))
    except (scramp.ScramException, ValueError):
        raise Forged("services could not prove that they know our password") from None
    yield b""


def _key(path: Path | None) -> EllipticCurvePrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes() if path else b"", None)
    except OSError as error:
        raise Refused(f"sasl_key_file {path}: {(error.strerror or '').lower()}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it has a passphrase
        key = None
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    make = "openssl ecparam -name prime256v1 -genkey -noout"
    raise Refused(f"sasl_key_file {path} holds no P-256 key without a passphrase; make one: {make}")


# What to look at when services say no.
ADVICE = {
    "PLAIN": "check sasl_username and sasl_password",
    "SCRAM-SHA-256": "check sasl_username and sasl_password",
    "EXTERNAL": "tell services the fingerprint of tls_cert_file (NickServ CERT ADD)",
    "ECDSA-NIST256P-CHALLENGE": "tell services the public key of sasl_key_file (NickServ SET PUBKEY)",
}


class State(enum.Enum):
    IDLE = enum.auto()
    ASKED = enum.auto()  # for the mechanism
    SENT = enum.auto()  # who we are, at least
    BROKEN_OFF = enum.auto()  # by us, and not yet confirmed


class Login:
    """The conversation with services: begun when they are there, begun again when they are back.

    `ended` is told how it ended, None for well, and may raise it; what it gives is sent. Refused: never with these
    settings; Unavailable: not now; Forged: not by this server.
    """

    def __init__(
        self,
        network: config.Network,
        is_secret: bool,
        ended: Callable[[Refused | Unavailable | None], list[bytes]],
    ) -> None:
        self._network, self._ended = network, ended
        self._may_send_password = is_secret or network.sasl_over_plaintext
        self.is_wanted = bool(network.sasl_username) or network.sasl_mechanism == "EXTERNAL"
        self.is_logged_in = False
        self.due = math.inf
        self._state = State.IDLE

    @property
    def is_under_way(self) -> bool:
        return self._state is not State.IDLE

    def is_offered(self, mechanisms: str) -> bool:
        """Ours is among those of the capability's value; a server that lists none may have it."""
        return not mechanisms or self._network.sasl_mechanism in mechanisms.upper().split(",")

    def begin(self, now: float) -> list[bytes]:
        """Services have half of the time that connecting may take."""
        name = self._network.sasl_mechanism
        if name == "PLAIN" and not self._may_send_password:
            why = "sasl would send the password in clear text; set tls = yes"
            return self._end(Refused(why))
        self._steps = steps(self._network)
        self._challenge = ""
        self._error: Unavailable | None = None
        try:
            self._answer: bytes = next(self._steps)
        except ValueError as error:
            return self._end(Refused(f"no login with {name}: {error}; {ADVICE[name]}"))
        self._state, self.due = State.ASKED, now + self._network.connect_timeout / 2
        return [build("AUTHENTICATE", name)]

    def tick(self, now: float) -> list[bytes]:
        if now < self.due:
            return []
        error = self._error or Unavailable("services do not answer")
        hush = [build("AUTHENTICATE", "*")] if self._state is not State.BROKEN_OFF else []
        return [*hush, *self._end(error)]

    def feed(self, line: Line) -> list[bytes]:
        """Take any line; those of other matters, and those that come too late, change nothing."""
        if line.command == "901":  # RPL_LOGGEDOUT; some servers say so before they log us in anew
            self.is_logged_in = False
        if not self.is_under_way:
            return []
        match line.command:
            case "AUTHENTICATE" if self._state is not State.BROKEN_OFF:
                return self._challenged(line.param(0))
            case "903" | "907":  # 907: we already are
                return self._end(self._error or self._unproven())
            case "902" | "904" | "905" | "906" | "908":
                return self._refused(line)
            case "421" if line.param(1).upper() == "AUTHENTICATE":
                return self._refused(line)
        return []

    def _challenged(self, piece: str) -> list[bytes]:
        self._challenge += "" if piece == "+" else piece
        if len(piece) == PIECE and len(self._challenge) < CHALLENGE_LIMIT:
            return []  # there is more of it
        try:
            challenge = base64.b64decode(self._challenge, validate=True)
            if self._state is State.SENT:
                self._answer = self._steps.send(challenge)
        except Forged as error:
            return self._break_off(error)
        except (ValueError, StopIteration):
            return self._break_off(Unavailable("services ask what makes no sense"))
        self._challenge, self._state = "", State.SENT
        text = base64.b64encode(self._answer).decode()
        pieces = [text[i : i + PIECE] for i in range(0, len(text), PIECE)]
        if len(text) % PIECE == 0:
            pieces.append("+")  # says that this was all
        return [build("AUTHENTICATE", piece) for piece in pieces]

    def _break_off(self, error: Unavailable) -> list[bytes]:
        self._state, self._error = State.BROKEN_OFF, error
        return [build("AUTHENTICATE", "*")]

    def _unproven(self) -> Unavailable | None:
        """Who lets us in before the conversation is over has not shown that it knows our password."""
        if self.is_logged_in or self._network.sasl_mechanism != "SCRAM-SHA-256":
            return None
        try:
            self._steps.send(b"")
        except StopIteration:
            return None
        except (ValueError, Forged):
            pass
        return Forged("services let us in without a proof that they know our password")

    def _refused(self, line: Line) -> list[bytes]:
        """902 locked, 904 failed, 905 too long, 906 aborted, 908 other mechanisms, 421 unknown command.

        Only an answer to what we showed is about us; before, it is services that are not there.
        """
        words = line.params[-1] if line.params else line.command
        why = f"services do not log us in: {words}"
        if self._state is State.SENT and line.command in ("902", "904", "905"):
            return self._end(Refused(f"{why}; {ADVICE[self._network.sasl_mechanism]}"))
        return self._end(self._error or Unavailable(why))

    def _end(self, error: Refused | Unavailable | None) -> list[bytes]:
        self._state, self.due = State.IDLE, math.inf
        self.is_logged_in = self.is_logged_in or error is None
        return self._ended(error)
