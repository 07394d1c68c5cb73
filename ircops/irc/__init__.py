"""The IRC door: between a socket and a Call."""

from ircops.irc.network import Network

__all__ = ["Network"]
