"""The IRC server of `ircops demo`: the library's, made fit for real clients. No accounts, no modes, no links."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import types

from irc.server import IRCChannel, IRCClient, IRCError, IRCServer

from ircops.demo.loopback import Loopback, hang_up

_NICK = re.compile(r"[A-Za-z\[\]\\`_^{|}][A-Za-z0-9\[\]\\`_^{|}-]{0,29}")
_CHANNEL = re.compile(r"#[^\s,:\x07]{1,49}")
_BEFORE_WELCOME = {"CAP", "NICK", "USER", "PASS", "PING", "PONG", "QUIT"}


class DemoIrc(Loopback, IRCServer):  # type: ignore[misc]
    """Anybody may connect and say who they are. One line is handled at a time, whoever sent it."""

    def __init__(self) -> None:
        super().__init__(_IrcSession)
        self.servername = "irc.demo"
        self.lock = threading.Lock()


class _IrcSession(IRCClient):  # type: ignore[misc]
    """One client. The library's own crashes on what is not UTF-8, polls its socket without a pause,
    welcomes before USER and CAP END, and leaves the token out of PONG."""

    nick: str | None
    user: str | None
    handle_dump = None  # would print to our terminal

    def setup(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # the library appends to this, from any client's thread, and sends at its next poll
        self.send_queue = types.SimpleNamespace(append=self._send)
        self.is_negotiating = self.is_welcome = False

    def handle(self) -> None:
        """Read lines until the client is gone."""
        rest = b""
        with contextlib.suppress(OSError, self.Disconnect):
            while data := self.request.recv(4096):
                *lines, rest = re.split(rb"[\r\n\0]+", rest + data)
                rest = rest[:8192]
                for line in filter(None, lines):
                    self._handle_line(line.decode("utf-8", "surrogateescape").strip(" "))

    def finish(self) -> None:
        with self.server.lock:
            super().finish()

    def _handle_line(self, line: str) -> None:
        command, _, params = line.partition(" ")
        handler = getattr(self, f"handle_{command.lower()}", None)
        with self.server.lock:
            try:
                if not self.is_welcome and command.upper() not in _BEFORE_WELCOME:
                    raise IRCError("451", ":You have not registered")
                if handler is None:
                    raise IRCError("421", f"{command} :Unknown command")
                answer = handler(params)
            except IRCError as error:
                answer = self._numeric(error.code, error.value)
            if answer:
                self._send(answer)

    def _numeric(self, code: str, text: str) -> str:
        return f":{self.server.servername} {code} {self.nick or '*'} {text}"

    def _send(self, message: str) -> None:
        """Hand over a whole line at once, or drop the client: a stuck one must not hold up the others."""
        line = message.encode("utf-8", "surrogateescape")[:510] + b"\r\n"
        try:
            sent = self.request.send(line, socket.MSG_DONTWAIT)
        except OSError:
            sent = 0
        if sent < len(line):
            hang_up(self.request)

    def handle_cap(self, params: str) -> str | None:
        """Offer nothing; hold the welcome back while the client negotiates (IRCv3 capability-negotiation)."""
        verb, _, names = params.partition(" ")
        match verb.upper():
            case "LS" | "LIST" as listing:
                self.is_negotiating = listing == "LS"
                return f":{self.server.servername} CAP {self.nick or '*'} {listing} :"
            case "REQ":
                return f":{self.server.servername} CAP {self.nick or '*'} NAK :{names.lstrip(':')}"
            case "END":
                self.is_negotiating = False
                self._welcome()
        return None

    def handle_pass(self, params: str) -> None:
        """Take any."""

    def handle_pong(self, params: str) -> None:
        """Nobody waits for it."""

    def handle_ping(self, params: str) -> str:
        return f":{self.server.servername} PONG {self.server.servername} :{params.lstrip(':')}"

    def handle_nick(self, params: str) -> None:
        nick = params.lstrip(":").partition(" ")[0]
        if not _NICK.fullmatch(nick):
            raise IRCError("432", f"{nick or '*'} :Erroneous nickname")
        if self._client(nick) not in (None, self):
            raise IRCError("433", f"{nick} :Nickname is already in use")
        message = f":{self.client_ident()} NICK :{nick}"
        self.server.clients.pop(self.nick, None)
        self.nick = nick
        self.server.clients[nick] = self
        if self.is_welcome:
            for client in {self}.union(*(channel.clients for channel in self.channels.values())):
                client._send(message)
        self._welcome()

    def handle_user(self, params: str) -> None:
        words = params.split(" ", 3)
        if len(words) < 4:
            raise IRCError("461", "USER :Not enough parameters")
        self.user = re.sub(r"[^\w.-]", "", words[0])[:10] or "user"
        self.realname = words[3].lstrip(":")
        self._welcome()

    def _welcome(self) -> None:
        if self.is_welcome or self.is_negotiating or not self.nick or not self.user:
            return
        self.is_welcome = True
        self._send(self._numeric("001", f":Welcome to the demo, {self.client_ident()}"))
        tokens = "CASEMAPPING=ascii CHANTYPES=# NICKLEN=30 NETWORK=demo"
        self._send(self._numeric("005", f"{tokens} :are supported by this server"))
        self._send(self._numeric("422", ":There is no message of the day"))

    def handle_join(self, params: str) -> None:
        for name in params.lower().lstrip(":").partition(" ")[0].split(","):
            if not _CHANNEL.fullmatch(name):
                raise IRCError("403", f"{name} :No such channel")
            if name in self.channels:
                continue
            channel = self.server.channels.setdefault(name, IRCChannel(name, topic=""))
            channel.clients.add(self)
            self.channels[name] = channel
            for client in channel.clients:
                client._send(f":{self.client_ident()} JOIN {name}")
            if channel.topic:
                self._send(self._numeric("332", f"{name} :{channel.topic}"))
            nicks = " ".join(sorted(client.nick for client in channel.clients))
            self._send(self._numeric("353", f"= {name} :{nicks}"))
            self._send(self._numeric("366", f"{name} :End of names"))

    def handle_part(self, params: str) -> None:
        names, _, reason = params.partition(" ")
        for name in names.lower().split(","):
            channel = self.channels.pop(name, None)
            if channel is None:
                raise IRCError("442", f"{name} :You are not on that channel")
            for client in channel.clients:
                client._send(f":{self.client_ident()} PART {name} :{reason.lstrip(':')}")
            channel.clients.remove(self)

    def handle_topic(self, params: str) -> str:
        name, _, topic = params.partition(" ")
        answer: str = super().handle_topic(f"{name.lower()} {topic}")
        if topic:
            self._send_to_others(answer, self.channels[name.lower()])
        return answer

    def handle_mode(self, params: str) -> str:
        name = params.partition(" ")[0]
        return self._numeric("324", f"{name} +nt") if name[:1] == "#" else self._numeric("221", "+")

    def handle_who(self, params: str) -> str:
        name = params.lower().partition(" ")[0]
        for client in self.channels[name].clients if name in self.channels else ():
            who = f"{client.user} {self.server.servername} {self.server.servername} {client.nick}"
            self._send(self._numeric("352", f"{name} {who} H :0 {client.realname}"))
        return self._numeric("315", f"{name} :End of who")

    def handle_quit(self, params: str) -> None:
        super().handle_quit(params)
        self._send("ERROR :Closing link")
        raise self.Disconnect

    def _send_msg(self, cmd: str, params: str) -> None:
        """Relay, to a name in any case of letters."""
        target, _, text = params.partition(" ")
        if client := self._client(target):
            target = client.nick
        text = text if not text or text[0] == ":" else f":{text.partition(' ')[0]}"
        super()._send_msg(cmd, f"{target.lower() if target[:1] == '#' else target} {text}")

    def _client(self, nick: str) -> IRCClient | None:
        known = self.server.clients
        return next((known[name] for name in known if name.lower() == nick.lower()), None)
