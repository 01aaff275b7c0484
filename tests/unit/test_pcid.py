from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from daemons.pcid.functions import of_lab, of_machine
from daemons.pcid.scheme import PciScheme, build
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, MODE_FILE
from redbear_host.bdf import Bdf
from redbear_host.errors import ConfigError, Gone, Refused
from redbear_host.pciids import PciNames
from redbear_host.scheme.request import Caller, Request
from redbear_host.scheme.scheme import ROOT

NAMES = PciNames(
    b"1b36  Red Hat, Inc.\n\t0010  QEMU NVM Express Controller\n"
    b"C 01  Mass storage controller\n\t08  Non-Volatile memory controller\n"
)
TITLE = "Non-Volatile memory controller: Red Hat, Inc. QEMU NVM Express Controller (rev 02)"
LAB = "0000--00--04.0"
HOST = "0000--05--00.0"


def nvme_config(size: int = 4096) -> bytes:
    """An NVMe controller's configuration space, laid out as QEMU's model has it."""
    config = bytearray(size)
    struct.pack_into("<HHHHBBBB", config, 0, 0x1B36, 0x0010, 0x0006, 0x0010, 2, 0x02, 0x08, 0x01)
    struct.pack_into("<II", config, 0x10, 0xFEBD_0004, 0)  # BAR 0: 64-bit memory
    struct.pack_into("<HH", config, 0x2C, 0x1AF4, 0x1100)
    config[0x34] = 0x40
    struct.pack_into("<BBHII", config, 0x40, 0x11, 0x80, 64, 0x2000, 0x3000)  # MSI-X, 65 vectors
    struct.pack_into("<BBH", config, 0x80, 0x10, 0x60, 0x0002)  # PCI Express endpoint, version 2
    struct.pack_into("<BBHH", config, 0x60, 0x01, 0x00, 0x0003, 0x0008)  # power management
    return bytes(config)


class Asked(Request):
    """A request that pcid answers at once: it never needs to be answered later."""

    def answer(self, result: object, /) -> None:
        raise AssertionError("pcid parks nothing")

    def refuse(self, errno: int, /) -> None:
        raise AssertionError("pcid parks nothing")


def request(uid: int = 0) -> Request:
    made = Asked()
    made.caller = Caller(1, uid, uid)
    return made


def opened(scheme: PciScheme, path: str, flags: int = f.O_RDONLY, uid: int = 0) -> int:
    return scheme.openat(ROOT, path, flags, 0, request(uid)).handle


def content(scheme: PciScheme, path: str, uid: int = 0) -> bytes:
    handle = opened(scheme, path, uid=uid)
    whole = scheme.read(handle, 1 << 20, 0, 0, request())
    scheme.on_close(handle)
    return bytes(whole)


def refusal(scheme: PciScheme, path: str, flags: int = f.O_RDONLY, uid: int = 0) -> int:
    with pytest.raises(Refused) as caught:
        opened(scheme, path, flags, uid)
    return caught.value.errno


def names(scheme: PciScheme, path: str) -> list[str]:
    handle = opened(scheme, path, f.O_RDONLY | f.O_DIRECTORY)
    return [entry.name for entry in scheme.getdents(handle, request())]


@pytest.fixture
def scheme(sysfs):
    sysfs.add("0000:05:00.0", "nvme", config=nvme_config(256))
    lab = of_lab([{"address": "00:04.0", "config": nvme_config().hex(), "driver": "nvmed"}])
    made = PciScheme([*of_machine({}, sys=sysfs.root), *lab], NAMES)
    yield made
    made.close()


def test_the_root_lists_functions_as_redox_names_them(scheme) -> None:
    assert names(scheme, "") == [LAB, HOST, "lspci"]
    assert names(scheme, LAB) == ["config", "driver", "ids", "name"]


def test_each_file_says_its_part(scheme) -> None:
    assert content(scheme, f"{LAB}/name") == f"{TITLE}\n".encode()
    assert content(scheme, f"{LAB}/ids") == b"1b36:0010 010802\n"
    assert content(scheme, f"{LAB}/driver") == b"nvmed\n"
    assert content(scheme, f"{LAB}/config") == nvme_config()
    assert content(scheme, f"{HOST}/config") == nvme_config(256)


def test_the_machines_functions_are_read_live(scheme, sysfs) -> None:
    folder = sysfs.root / "bus/pci/devices/0000:05:00.0"
    handle = opened(scheme, f"{HOST}/config")
    (folder / "config").write_bytes(bytes(256))
    assert scheme.read(handle, 4096, 0, 0, request()) == bytes(256)
    (folder / "uevent").write_text("PCI_CLASS=10802\nDRIVER=vfio-pci\n")
    assert content(scheme, f"{HOST}/driver") == b"vfio-pci\n"
    (folder / "uevent").write_text("PCI_CLASS=10802\n")
    assert content(scheme, f"{HOST}/driver") == b""


def test_a_function_we_drive_names_our_daemon(sysfs) -> None:
    sysfs.add("0000:05:00.0", "vfio-pci")
    (function,) = of_machine({"0000:05:00.0": "nvmed"}, sys=sysfs.root)
    assert function.driver() == "nvmed"
    function.close()


def test_any_part_of_configuration_space_can_be_read(scheme) -> None:
    handle = opened(scheme, f"{LAB}/config")
    assert scheme.read(handle, 4, 0x2C, 0, request()) == b"\xf4\x1a\x00\x11"
    assert scheme.read(handle, 16, 4090, 0, request()) == bytes(6)
    assert scheme.read(handle, 16, 4096, 0, request()) == b""


def test_sizes_are_those_of_what_is_read(scheme) -> None:
    for path in ("lspci", *(f"{d}/{n}" for d in (LAB, HOST) for n in names(scheme, d))):
        stat = scheme.fstat(opened(scheme, path, f.O_RDONLY | f.O_STAT))
        assert stat.st_mode & MODE_FILE
        assert stat.st_size == len(content(scheme, path)), path


def test_directories_say_that_they_are(scheme) -> None:
    for path in ("", LAB):
        stat = scheme.fstat(opened(scheme, path, f.O_RDONLY | f.O_STAT))
        assert stat.st_mode == MODE_DIR | 0o555


def test_every_path_has_an_inode_of_its_own_and_the_listing_agrees(scheme) -> None:
    seen = {}
    for folder in ("", LAB, HOST):
        handle = opened(scheme, folder, f.O_RDONLY | f.O_DIRECTORY)
        for entry in scheme.getdents(handle, request()):
            path = f"{folder}/{entry.name}".lstrip("/")
            seen[path] = entry.inode
            assert scheme.fstat(opened(scheme, path, f.O_STAT)).st_ino == entry.inode
    assert len(set(seen.values())) == len(seen) == 11


def test_configuration_space_is_roots_and_the_rest_is_everybodys(scheme) -> None:
    assert refusal(scheme, f"{LAB}/config", uid=1000) == e.EACCES
    assert refusal(scheme, "lspci", uid=1000) == e.EACCES
    assert content(scheme, f"{LAB}/name", uid=1000) == f"{TITLE}\n".encode()
    mode = scheme.fstat(opened(scheme, f"{LAB}/config", f.O_STAT, uid=1000)).st_mode
    assert mode & 0o7777 == 0o400


@pytest.mark.parametrize(
    ("path", "flags", "errno"),
    [
        ("0000--00--05.0", f.O_RDONLY, e.ENOENT),
        (f"{LAB}/channel", f.O_RDONLY, e.ENOENT),
        (f"{LAB}/config/x", f.O_RDONLY, e.ENOENT),
        ("", f.O_RDONLY, e.EISDIR),
        (LAB, f.O_RDONLY, e.EISDIR),
        (LAB, f.O_RDWR, e.EISDIR),
        (f"{LAB}/config", f.O_RDONLY | f.O_DIRECTORY, e.ENOTDIR),
        (f"{LAB}/config", f.O_STAT | f.O_DIRECTORY, e.ENOTDIR),
        (f"{LAB}/config", f.O_RDWR, e.EROFS),
        (f"{LAB}/name", f.O_WRONLY, e.EROFS),
    ],
)
def test_what_cannot_be_opened_says_why(scheme, path: str, flags: int, errno: int) -> None:
    assert refusal(scheme, path, flags) == errno


def test_paths_start_from_a_directory_handle(scheme) -> None:
    folder = opened(scheme, LAB, f.O_RDONLY | f.O_DIRECTORY)
    handle = scheme.openat(folder, "ids", f.O_RDONLY, 0, request()).handle
    assert scheme.read(handle, 99, 0, 0, request()) == b"1b36:0010 010802\n"
    assert scheme.fpath(handle) == f"/scheme/pci/{LAB}/ids"
    with pytest.raises(Refused) as caught:
        scheme.openat(handle, "x", f.O_RDONLY, 0, request())
    assert caught.value.errno == e.ENOTDIR


@pytest.mark.parametrize(
    ("path", "flags", "errno"),
    [
        (f"{LAB}/ids", f.O_RDONLY | f.O_STAT, e.EBADF),
        (LAB, f.O_RDONLY | f.O_DIRECTORY, e.EISDIR),
    ],
)
def test_what_was_not_opened_for_reading_is_not_read(
    scheme, path: str, flags: int, errno: int
) -> None:
    handle = opened(scheme, path, flags)
    with pytest.raises(Refused) as caught:
        scheme.read(handle, 1, 0, 0, request())
    assert caught.value.errno == errno


def test_a_closed_handle_is_no_handle(scheme) -> None:
    handle = opened(scheme, f"{LAB}/ids")
    scheme.on_close(handle)
    with pytest.raises(Refused) as caught:
        scheme.fstat(handle)
    assert caught.value.errno == e.EBADF


class _Left:
    """A function that has left the machine."""

    address = Bdf(0, 9, 0, 0)
    config_size = 256

    def __init__(self, like) -> None:
        self.ids = like.ids

    def config(self, offset: int, size: int) -> bytes:
        raise Gone("function 0000:09:00.0 has left")

    def driver(self) -> str:
        return ""

    def close(self) -> None:
        pass


def test_a_function_that_left_answers_enodev_and_is_not_in_the_dump() -> None:
    (lab,) = of_lab([{"address": "00:04.0", "config": nvme_config(256).hex()}])
    scheme = PciScheme([_Left(lab), lab], NAMES)
    handle = opened(scheme, "0000--09--00.0/config")
    with pytest.raises(Refused) as caught:
        scheme.read(handle, 4, 0, 0, request())
    assert caught.value.errno == e.ENODEV
    assert content(scheme, "lspci").startswith(b"0000:00:04.0 ")
    assert b"0000:09:00.0" not in content(scheme, "lspci")


def test_a_function_of_the_lab_hides_the_machines_at_its_address(sysfs, tmp_path: Path) -> None:
    sysfs.add("0000:05:00.0", "nvme", config=bytes(256))
    lab = [{"address": "05:00.0", "config": nvme_config().hex(), "driver": "nvmed"}]
    scheme = build({"lab": lab}, sysfs.root, tmp_path)
    assert names(scheme, "") == [HOST, "lspci"]
    assert content(scheme, f"{HOST}/driver") == b"nvmed\n"
    scheme.close()


def test_two_functions_at_one_address_are_refused() -> None:
    lab = of_lab([{"address": "00:04.0", "config": nvme_config(256).hex()}] * 2)
    with pytest.raises(ConfigError, match=r"two PCI functions at 0000:00:04\.0"):
        PciScheme(lab, NAMES)


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(ConfigError, match="has 64 bytes, not 256 or 4096"):
        of_lab([{"address": "00:04.0", "config": bytes(64).hex()}])


def test_the_shims_facts_choose_what_is_shown(sysfs, tmp_path: Path) -> None:
    sysfs.add("0000:05:00.0", "vfio-pci", config=nvme_config(256))
    lab = [{"address": "00:04.0", "config": nvme_config().hex(), "driver": "nvmed"}]
    both = build({"lab": lab, "drivers": {"0000:05:00.0": "nvmed"}}, sysfs.root, tmp_path)
    assert names(both, "") == [LAB, HOST, "lspci"]
    assert content(both, f"{HOST}/driver") == b"nvmed\n"
    assert content(both, f"{HOST}/name") == b"Class 0108: Vendor 1b36 Device 0010 (rev 02)\n"
    both.close()
    assert names(build({"host": False}, sysfs.root, tmp_path), "") == ["lspci"]


LSPCI = shutil.which("lspci") or "/usr/sbin/lspci"


@pytest.mark.skipif(not os.access(LSPCI, os.X_OK), reason="needs lspci (apt: pciutils)")
def test_lspci_decodes_the_dump(scheme, tmp_path: Path) -> None:
    (tmp_path / "lspci").write_bytes(content(scheme, "lspci"))
    told = subprocess.run(
        [LSPCI, "-D", "-vvv", "-F", tmp_path / "lspci"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout
    first, second = told.strip().split("\n\n")
    assert first.startswith("0000:00:04.0 Non-Volatile memory controller")
    assert second.startswith("0000:05:00.0 ")
    assert "Memory at febd0000 (64-bit, non-prefetchable)" in first
    assert "Capabilities: [40] MSI-X: Enable- Count=65 Masked-" in first
    assert "Capabilities: [60] Power Management version 3" in first
    assert "Capabilities: [80] Express (v2) Endpoint" in first
    assert "Control: I/O- Mem+ BusMaster+" in first


@pytest.mark.skipif(not os.access(LSPCI, os.X_OK), reason="needs lspci (apt: pciutils)")
def test_a_config_file_becomes_what_lspci_reads_by_od_and_sed(scheme, tmp_path: Path) -> None:
    # The line daemons/pcid/README.md gives.  (xxd will not do: lspci 3.9 takes neither its long
    # offsets nor the text it prints behind the bytes.)
    (tmp_path / "config").write_bytes(content(scheme, f"{LAB}/config"))
    line = "(echo 00:04.0 x; od -Ax -tx1 -v config | sed -n 's/^000\\(...\\) /\\1: /p') | "
    told = subprocess.run(
        ["sh", "-c", f"{line} {LSPCI} -n -F /dev/stdin"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=30,
    )
    assert told.stdout == "00:04.0 0108: 1b36:0010 (rev 02)\n"
