"""ihdad on a PCI function of the guest, by vfio-pci, beside what Linux's own driver says of it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from guest_machine import wait_for
from sound_rig import Player, tones

from kernel_shim import bind
from kernel_shim.host import MACHINE
from redbear_host.classes.soundcard import BUFFER, FRAMES
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


@pytest.fixture(params=[InterruptKind.MSI, InterruptKind.INTX])
def player(trees: dict[int, str], request: pytest.FixtureRequest) -> Iterator[Player]:
    claim = Claim(CARD, ARENA)
    try:
        grant, fds = claim.grant()
        player = Player(open_function(grant, [os.dup(fd) for fd in fds]), request.param)
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
    player.play(bytes(8 * BUFFER))  # whatever has to warm up
    player.interrupts = 0
    attempts = took = 0
    # A machine that stands still for a moment makes one interrupt of two: one attempt has to do.
    while attempts < 5 and (player.interrupts < 60 or took >= 8.0):
        attempts += 1
        player.interrupts = 0
        began = time.monotonic()
        player.play(tones(440, 1000, 1))
        took = time.monotonic() - began
        print(f"{86 * FRAMES} frames in {took:.2f} s, {player.interrupts} interrupts")
        assert took > 0.9, took
    assert took < 8.0, took  # an emulated processor on a busy machine
    assert player.interrupts >= 60
    counts = player.card.statistics()
    assert counts["DRIVER_RESETS"] == counts["DRIVER_NONSENSE"] == 0, counts
    assert player.card.written == player.card.played == (8 + 86 * attempts) * FRAMES
