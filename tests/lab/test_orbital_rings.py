"""Windows of libredox programs: at the ring door, over a death of Orbital."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest
from orbital_up import Orbital, red, until
from PIL import Image
from up_rig import Up

from redbear_host import client
from redbear_host.abi import flags as f
from redbear_host.abi.orbital import EventCode, OrbitalEvent

pytestmark = pytest.mark.timeout(120)

RED, BLUE = (Image.new("RGB", (64, 48), colour) for colour in ((255, 0, 0), (0, 0, 255)))
LENGTH = 64 * 48 * 4


@pytest.fixture
def desk(tmp_path, monkeypatch):
    with Up(tmp_path) as up:
        monkeypatch.setenv("REDBEAR_RINGS", str(up.run_dir / "ring"))
        monkeypatch.setenv("REDBEAR_SCHEME", str(up.mount))
        yield Orbital(up)
        client.forget()


def test_a_window_is_mapped_and_drawn_in_and_read(desk):
    with client.open("/scheme/orbital/al/10/20/64/48/a/b", f.O_RDWR) as window:
        assert client.fpath(window) == "al/10/20/64/48/a/b"
        with pytest.raises(OSError, match="Invalid") as refused:
            client.fmap(window, LENGTH + 4097)
        assert refused.value.errno == errno.EINVAL
        with client.fmap(window, LENGTH) as mapping:
            mapping.memory[:] = red(64, 48)
            client.fsync(window)
            desk.wait_for(RED, (10, 20))
        assert OrbitalEvent.load(client.read(window, 32)).code == EventCode.FOCUS
        assert client.write(window, b"S,8,8") == 5
        with client.fmap(window, 4096) as mapping:
            assert mapping.memory[: 8 * 4] == red(8, 1)
    until(lambda: not desk.windows)


def test_a_program_goes_on_with_its_window_after_a_death(desk):
    window = client.open("/scheme/orbital/l/10/20/64/48/ring", f.O_RDWR)
    number = client.fstat(window).st_ino
    with client.fmap(window, LENGTH) as mapping:
        mapping.memory[:] = red(64, 48)
        client.fsync(window)
        desk.wait_for(RED, (10, 20))
        desk.up.kill("orbital")
        desk.wait_for(RED, (10, 20))
        with pytest.raises(OSError, match="ended") as lost:
            client.fsync(window)
        assert lost.value.errno == errno.EIO
        again = client.open(f"/scheme/orbital/own/{number}", f.O_RDWR)
        assert client.fpath(again) == "l/10/20/64/48/ring"
        mapping.memory[:] = b"\xff\0\0\xff" * (64 * 48)
        client.fsync(again)
        desk.wait_for(BLUE, (10, 20))
        again.close()
    until(lambda: not desk.windows)


OTHER = """
import sys
from redbear_host import client
from redbear_host.abi import flags as f
for path in sys.argv[1:]:
    try:
        client.fmap(client.open(path, f.O_RDWR), 4096)
        print("mapped")
    except OSError as error:
        print(error.errno)
"""


def test_another_process_of_the_same_user_maps_nothing(desk):
    with client.open("/scheme/orbital/l/10/20/64/48/mine", f.O_RDWR) as window:
        number = client.fstat(window).st_ino
        ways = [f"/scheme/orbital/own/{name}" for name in (number, f"{number}.bgra", "last")]
        done = subprocess.run(
            [sys.executable, "-c", OTHER, *ways],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout.split() == [str(errno.EACCES), str(errno.EACCES), str(errno.ENOENT)]
        client.fmap(client.open(ways[2], f.O_RDWR), 4096).close()
