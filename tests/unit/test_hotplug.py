from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from daemons.pcid.functions import of_lab
from daemons.pcid.news import News
from daemons.pcid.scheme import PciScheme
from kernel_shim import hotplug
from kernel_shim.hotplug import Hotplug
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.bdf import Bdf
from redbear_host.errors import Refused
from redbear_host.pciids import PciNames
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import Caller, Request
from redbear_host.scheme.scheme import ROOT

ADDRESS = "0000:05:00.0"
IDS = {
    "vendor": 0x8086, "device": 0x100E, "subsystem_vendor": 0, "subsystem": 0,
    "class_code": 0x020000, "revision": 3,
}  # fmt: skip
IMAGE = (b"\x36\x1b\x10\x00" + bytes(6) + b"\x08\x01").ljust(256, b"\0").hex()


# -- what the kernel says --------------------------------------------------------------------------


class Heard(Hotplug):
    """A hotplug that listens to nobody: `happened` is called by the tests."""

    def __init__(self) -> None:
        self._loop = Loop()  # type: ignore[misc]
        self._settling = {}  # type: ignore[misc]
        self.said: list[str] = []
        self._on_come = lambda address: self.said.append(f"come {address}")  # type: ignore[misc]
        self._on_settled = lambda address: self.said.append(f"settled {address}")  # type: ignore[misc]
        self._on_left = lambda address: self.said.append(f"left {address}")  # type: ignore[misc]

    def wait(self) -> None:
        while self._settling:
            self._loop.run_round()


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    monkeypatch.setattr(hotplug, "SETTLED_S", 0.01)
    return Heard()


def test_a_function_is_there_at_once_and_settled_when_linux_leaves_it_alone(heard: Heard) -> None:
    heard.happened("add", ADDRESS)
    assert heard.said == [f"come {ADDRESS}"]
    heard.happened("bind", ADDRESS)
    heard.wait()
    assert heard.said == [f"come {ADDRESS}", f"settled {ADDRESS}"]


def test_one_that_leaves_before_it_has_settled_is_never_taken(heard: Heard) -> None:
    heard.happened("add", ADDRESS)
    heard.happened("remove", ADDRESS)
    heard.wait()
    assert heard.said == [f"come {ADDRESS}", f"left {ADDRESS}"]


def test_a_driver_that_changes_later_is_no_news(heard: Heard) -> None:
    for action in ("bind", "unbind", "change", "bind"):
        heard.happened(action, ADDRESS)
    heard.wait()
    assert heard.said == []


# -- what pcid is told -----------------------------------------------------------------------------


@pytest.fixture
def scheme() -> PciScheme:
    return PciScheme([], PciNames(b""))


class Asked(Request):
    """A request that pcid answers at once: it never needs to be answered later."""

    def __init__(self) -> None:
        super().__init__()
        self.caller = Caller(1, 0, 0)

    def answer(self, result: object, /) -> None:
        raise AssertionError("pcid parks nothing")

    def refuse(self, errno: int, /) -> None:
        raise AssertionError("pcid parks nothing")


def names(scheme: PciScheme) -> list[str]:
    handle = opened(scheme, "", f.O_DIRECTORY)
    return [entry.name for entry in scheme.getdents(handle, Asked())]


def opened(scheme: PciScheme, path: str, flags: int = f.O_RDONLY) -> int:
    answer: Any = scheme.openat(ROOT, path, flags | f.O_RDONLY, 0, Asked())
    return int(answer.handle)


def text(scheme: PciScheme, path: str) -> bytes:
    return scheme.read(opened(scheme, path), 4096, 0, 0, Asked())


def files(folder: Path, driver: str) -> list[int]:
    (folder / "config").write_bytes(bytes(256))
    (folder / "uevent").write_text(f"DRIVER={driver}\n")
    return [os.open(folder / name, os.O_RDONLY) for name in ("config", "uevent")]


def test_a_function_of_the_machine_comes_changes_hands_and_goes(
    scheme: PciScheme, tmp_path: Path
) -> None:
    news = News(scheme)
    facts = {"address": ADDRESS, "driver": "", "ids": IDS}
    news.on_told({"function": facts}, files(tmp_path, "e1000"))
    assert names(scheme) == ["0000--05--00.0", "lspci"]
    assert text(scheme, "0000--05--00.0/driver") == b"e1000\n"
    assert text(scheme, "0000--05--00.0/ids") == b"8086:100e 020000\n"
    news.on_told({"function": {"address": ADDRESS, "driver": "e1000d"}}, [])
    assert text(scheme, "0000--05--00.0/driver") == b"e1000d\n"
    news.on_told({"function": {"address": ADDRESS, "driver": ""}}, [])
    assert text(scheme, "0000--05--00.0/driver") == b"e1000\n"
    held = opened(scheme, "0000--05--00.0/config")
    news.on_told({"no_function": ADDRESS}, [])
    assert names(scheme) == ["lspci"]
    with pytest.raises(Refused) as refused:
        scheme.read(held, 64, 0, 0, Asked())
    assert refused.value.errno == e.ENODEV
    with pytest.raises(Refused) as refused:
        opened(scheme, "0000--05--00.0/ids")
    assert refused.value.errno == e.ENOENT


def test_one_that_comes_back_has_other_inodes(scheme: PciScheme) -> None:
    facts = {"address": ADDRESS, "driver": "nvmed", "config": IMAGE}
    seen = []
    for _ in range(2):
        News(scheme).on_told({"function": facts}, [])
        seen.append(scheme.fstat(opened(scheme, "0000--05--00.0/ids")).st_ino)
        News(scheme).on_told({"no_function": ADDRESS}, [])
    assert len(set(seen)) == 2


def test_a_function_of_the_lab_hides_the_machines(tmp_path: Path) -> None:
    (lab,) = of_lab([{"address": ADDRESS, "driver": "nvmed", "config": IMAGE}])
    scheme = PciScheme([lab], PciNames(b""))
    fds = files(tmp_path, "e1000")
    News(scheme).on_told({"function": {"address": ADDRESS, "driver": "", "ids": IDS}}, fds)
    assert text(scheme, "0000--05--00.0/driver") == b"nvmed\n"
    assert scheme.at(Bdf.parse(ADDRESS)) is lab
    for fd in fds:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_leaving_twice_or_never_having_come_is_harmless(scheme: PciScheme) -> None:
    News(scheme).on_told({"no_function": ADDRESS}, [])
    News(scheme).on_told({"function": {"address": ADDRESS, "driver": "x"}}, [])
    News(scheme).on_told({"something": "else"}, [])
    assert names(scheme) == ["lspci"]
