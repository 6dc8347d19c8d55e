"""This machine itself as a host, for scenarios that need no network of their own."""
import socket

from .commands import run


class _ThisNamespace:
    """Where the lab runs: entering it is no work."""

    @staticmethod
    def enter(*argv):
        return list(argv)

    @staticmethod
    def inside(*argv, **options):
        return run(*argv, **options)


class Here:
    """The loopback interface."""
    name = "here"
    address = "127.0.0.1"
    namespace = _ThisNamespace()


class Room(Here):
    """A part of this machine, with a home folder of its own."""

    def __init__(self, name):
        self.name = name


def free_port():
    """A port that nobody listens on."""
    with socket.create_server((Here.address, 0)) as server:
        return server.getsockname()[1]
