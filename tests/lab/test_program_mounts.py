"""The shim's part of programs' schemes: mounted, told of, and gone with the lifeline."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel_shim import programs
from kernel_shim.mounted import MountedScheme
from kernel_shim.programs import ProgramSchemes
from redbear_host.abi import errno as e
from redbear_host.errors import Refused, TransportError
from redbear_host.scheme.loop import Loop
from schemefs.mount import mounts_below, unmount


class Shim:
    """What `ProgramSchemes` needs of the supervisor."""

    def __init__(self, folder: Path) -> None:
        self.mount, rings = folder / "scheme", folder / "ring"
        self.mount.mkdir()
        rings.mkdir()
        self.loop = Loop()
        self.told = []
        self.schemes = ProgramSchemes(
            self.mount,
            rings,
            self.loop,
            lambda key, message, fds=(): self.told.append((key, message["service"], len(fds))),
            lambda key, message: self.told.append((key, message)),
        )


@pytest.fixture
def shim(tmp_path: Path) -> Iterator[Shim]:
    shim = Shim(tmp_path)
    yield shim
    shim.schemes.close()
    assert mounts_below(shim.mount) == []
    assert os.listdir(shim.mount) == os.listdir(tmp_path / "ring") == []
    shim.loop.close()


def close(fds):
    for fd in fds:
        os.close(fd)


def refused(shim, name):
    with pytest.raises(Refused) as caught:
        shim.schemes.create(name, False, 7)
    return caught.value.errno


def test_a_scheme_is_mounted_and_goes_when_its_lifeline_closes(shim, tmp_path):
    fds = shim.schemes.create("mine", True, 7)
    assert shim.told == [("scheme mine", "program 7", 2)]
    assert [kind for _, kind, _ in mounts_below(shim.mount)] == ["fuse.redbear"]
    assert os.listdir(tmp_path / "ring") == ["mine"]
    close(fds)
    shim.loop.run_round()
    assert shim.told[1:] == [("scheme mine", {"no_scheme": "mine"})]
    assert mounts_below(shim.mount) == []
    close(shim.schemes.create("mine", False, 8))  # the name is free again


def test_what_a_program_writes_into_its_lifeline_means_nothing(shim):
    fds = shim.schemes.create("mine", True, 7)
    os.write(fds[4], b"x" * 1000)
    for _ in range(4):
        shim.loop.run_round()
    assert len(mounts_below(shim.mount)) == 1
    close(fds)


def test_names_are_checked_and_counted(shim, monkeypatch):
    monkeypatch.setattr(programs, "SCHEMES_MOST", 2)
    fds = (*shim.schemes.create("a", True, 7), *shim.schemes.create("b", False, 7))
    assert refused(shim, "a") == e.EEXIST
    assert refused(shim, "a/b") == refused(shim, "") == e.EINVAL
    assert refused(shim, "c") == e.ENFILE
    close(fds)


def test_a_mount_that_linux_refuses_leaves_nothing_behind(shim, monkeypatch):
    def broken(*_):
        shim.mount.joinpath("a").mkdir()
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(programs, "MountedScheme", broken)
    assert refused(shim, "a") == e.EIO
    assert os.listdir(shim.mount) == []


def test_a_scheme_that_gets_no_socket_leaves_no_descriptor(shim: Shim) -> None:
    taken = shim.mount.parent / "ring" / "odd"
    taken.mkdir()
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(TransportError, match="no socket"):
        MountedScheme("odd", shim.mount, taken.parent)
    unmount(shim.mount / "odd")
    gc.collect()  # the mapping of the journal goes with what remembers it
    assert len(os.listdir("/proc/self/fd")) == before
    os.rmdir(shim.mount / "odd")
    taken.rmdir()


def test_a_socket_is_known_by_its_path_where_that_fits(shim: Shim) -> None:
    """Else nobody could find it, to keep those out who are not granted the scheme."""
    for fd in shim.schemes.create("mine", False, 1):
        os.close(fd)
    with open("/proc/net/unix") as table:
        assert any(line.endswith(f" {shim.mount.parent}/ring/mine\n") for line in table)
