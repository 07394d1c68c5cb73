"""`!echo` and `!nap` for Limnoria."""

from . import plugin

Class = plugin.Class
configure = None
