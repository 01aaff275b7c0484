"""audiod between programs and a card that writes down each sample."""

from __future__ import annotations

import numpy as np
import pytest
from audiod_rig import Sound, noise, sounding

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def sound(tmp_path):
    with Sound(tmp_path, volume=100) as made:
        yield made


def test_what_is_written_is_played_bit_by_bit_and_not_cut_off(sound):
    wanted = noise(30_001)
    sound.audio.write_bytes(wanted.tobytes())
    sound.quiet()
    assert np.array_equal(sounding(sound.played()), wanted)
