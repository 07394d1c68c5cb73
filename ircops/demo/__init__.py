"""`ircops demo`: an IRC server, SSH hosts, the bot and you, in one process."""
