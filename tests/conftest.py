"""Fixtures that start real servers are at hand in every test."""

pytest_plugins = [
    "tests.real.ircds",
    "tests.real.postgres",
    "tests.real.sshd",
    "tests.real.podman",
    "tests.real.libvirt",
]
