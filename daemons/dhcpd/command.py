"""What is written to `/scheme/dhcp/eth0`: `start [dns=A,B] [WHO]`, `stop [WHO]` or `renew`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from redbear_host.profiles.setting import Address, host_address

COMMAND_MOST: Final = 512  # bytes
_DNS: Final = "dns="
_SERVERS_MOST: Final = 8


class Verb(StrEnum):
    """What to do."""

    START = "start"
    STOP = "stop"
    RENEW = "renew"


class Command(NamedTuple):
    """And for whom, with which nameservers in place of the server's."""

    verb: Verb
    why: str = ""
    nameservers: tuple[Address, ...] = ()


def parse(data: bytes) -> Command:
    """Read a command; `ValueError` for what is none."""
    if len(data) > COMMAND_MOST:
        raise ValueError(f"a command of {len(data)} bytes")
    said = data.decode().strip()
    if not said.isprintable():
        raise ValueError("a command of one line of text is wanted")
    word, _, why = said.partition(" ")
    verb, servers = Verb(word), ""
    if why.startswith(_DNS) and verb is Verb.START:
        servers, _, why = why.removeprefix(_DNS).partition(" ")
    found = [host_address(text) for text in servers.split(",") if text]
    return Command(verb, why.strip(), tuple(found[:_SERVERS_MOST]))
