"""ihdad on a PCI function of the guest, by vfio-pci, beside what Linux's own driver says of it."""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from guest_machine import wait_for

from daemons.ihdad.driver import Card, Wishes
from kernel_shim import bind
from kernel_shim.host import MACHINE
from redbear_host.classes.soundcard import BUFFER, FRAMES
from redbear_host.hw.clock import SystemClock
from redbear_host.hw.ports import InterruptKind
from redbear_host.hw.vfio import Claim, open_function
from redbear_host.lab.spares import spare

pytestmark = pytest.mark.timeout(120)

CARD = spare("hda").address
ARENA = 4 << 20
TREES = "card*/codec#*"
# What Linux says of itself, and what it or we have set: neither describes the codec.
SOFTWARE = re.compile(r"\s*(Control:|ControlAmp:|Device:|Amp-(In|Out) vals:|Converter:)")


def hardware(text: str) -> list[str]:
    """Return the lines that describe the codec."""
    return [line for line in text.splitlines() if not SOFTWARE.match(line)]


def linux_trees() -> list[Path]:
    """Return what Linux's driver shows of the card's codecs, while it has it."""
    return sorted(Path("/proc/asound").glob(TREES))


@pytest.fixture(scope="module")
def trees() -> Iterator[dict[int, str]]:
    """Offer what Linux said of each codec; from then on the card is ours."""
    assert MACHINE.driver(CARD) == "snd_hda_intel", "start the guest with --device hda"
    wait_for(lambda: bool(linux_trees()))
    found = {int(path.name.partition("#")[2]): path.read_text() for path in linux_trees()}
    record = bind.plan(CARD)
    bind.bind(record)
    try:
        yield found
    finally:
        bind.restore(record)
        wait_for(lambda: bool(linux_trees()))


class Player:
    """A started card, driven as a daemon's loop would."""

    def __init__(self, claim: Claim, kind: InterruptKind) -> None:
        grant, fds = claim.grant()
        self.function = open_function(grant, [os.dup(fd) for fd in fds])
        self.kind = kind
        self.fds = self.function.enable_interrupts(kind, 1)
        self.interrupts = 0
        self.card = Card(self.function, SystemClock(), Wishes())
        self.card.start()

    def turn(self) -> None:
        wait = max(0.0, min(0.05, self.card.deadline - time.monotonic()))
        if select.select(self.fds, [], [], wait)[0]:
            with suppress(BlockingIOError):
                os.eventfd_read(self.fds[0])
            self.interrupts += 1
            self.card.on_interrupt()
            if self.kind is InterruptKind.INTX:
                self.function.unmask_intx()
        if time.monotonic() >= self.card.deadline:
            self.card.tick(time.monotonic())

    def play(self, sub_buffers: int, within: float = 20.0) -> None:
        """Play silence to its end."""
        end = time.monotonic() + within
        left = sub_buffers
        goal = self.card.played + sub_buffers * FRAMES
        while self.card.played < goal:
            assert time.monotonic() < end, self.card.statistics()
            while left and self.card.room():
                self.card.play(bytes(BUFFER))
                left -= 1
            if not left:
                self.card.finish()
            self.turn()

    def close(self) -> None:
        self.card.stop()
        self.function.close()


@pytest.fixture(params=[InterruptKind.MSI, InterruptKind.INTX])
def player(trees: dict[int, str], request: pytest.FixtureRequest) -> Iterator[Player]:
    claim = Claim(CARD, ARENA)
    try:
        player = Player(claim, request.param)
        try:
            yield player
        finally:
            player.close()
    finally:
        claim.release()


def test_a_codecs_tree_is_what_linux_shows_of_it(trees: dict[int, str], player: Player) -> None:
    assert list(trees) == list(player.card.codecs()) != []
    for number, linux in trees.items():
        ours = hardware(player.card.codec_text(number))
        assert ours == hardware(linux)
        assert len(ours) > 20


def test_sound_is_played_at_its_pace_and_each_sub_buffer_interrupts(player: Player) -> None:
    player.play(8)  # whatever has to warm up
    player.interrupts = 0
    began = time.monotonic()
    player.play(86)
    took = time.monotonic() - began
    assert 0.9 < took < 2.0, took
    assert player.interrupts >= 80
    counts = player.card.statistics()
    assert counts["DRIVER_RESETS"] == counts["DRIVER_NONSENSE"] == 0, counts
    assert player.card.written == player.card.played == 94 * FRAMES
