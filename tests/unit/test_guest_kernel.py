"""Which kernel the guest lab boots, how it is unpacked, and what is in its initrd."""

from __future__ import annotations

import gzip
import lzma
import os
import struct
from pathlib import Path

import pytest

from redbear_host.errors import ConfigError
from redbear_host.lab import spares
from redbear_host.lab.initrd import initrd
from redbear_host.lab.kernel import NEEDED, Kernel, find_kernel, load_order, unpacked


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "boot").mkdir()
    (tmp_path / "modules").mkdir()
    return tmp_path


def install(machine: Path, version: str, modules: tuple[str, ...] = NEEDED) -> Kernel:
    image = machine / "boot" / f"vmlinuz-{version}"
    image.write_bytes(b"image")
    folder = machine / "modules" / version
    folder.mkdir()
    lines = [f"kernel/{name}.ko.xz: kernel/base.ko kernel/core.ko" for name in modules]
    lines += ["kernel/base.ko: kernel/core.ko", "kernel/core.ko:"]
    (folder / "modules.dep").write_text("\n".join(lines))
    (folder / "modules.builtin").write_text("kernel/drivers/virtio/virtio_pci.ko\n")
    return Kernel(version, image, folder)


def write_image(kernel: Kernel, payload: bytes) -> None:
    header = bytearray(0x400)
    header[0x1F1] = 1  # setup_sects
    struct.pack_into("<II", header, 0x248, 0x10, len(payload))
    kernel.image.write_bytes(header + bytes(0x10) + payload)


def find(machine: Path) -> str:
    return find_kernel(machine / "boot", machine / "modules").version


def test_the_newest_kernel_is_chosen_by_number_and_not_by_letter(machine: Path) -> None:
    for version in ("6.1.0-9-amd64", "6.1.0-56-amd64", "5.10.0-99-amd64"):
        install(machine, version)
    assert find(machine) == "6.1.0-56-amd64"


def test_a_kernel_without_its_modules_or_without_vfio_is_passed_over(machine: Path) -> None:
    install(machine, "6.1.0-1-amd64")
    install(machine, "6.1.0-3-cloud-amd64", ("9p", "9pnet_virtio", "overlay", "virtio_console"))
    (machine / "boot" / "vmlinuz-6.1.0-4-amd64").write_bytes(b"image")
    assert find(machine) == "6.1.0-1-amd64"


def test_a_machine_without_any_kernel_is_told_what_to_install(machine: Path) -> None:
    with pytest.raises(ConfigError, match="there is no ") as caught:
        find(machine)
    assert caught.value.hint == "apt install linux-image-amd64"
    install(machine, "6.1.0-3-cloud-amd64", ())
    with pytest.raises(ConfigError, match=r"6\.1\.0-3-cloud-amd64 lacks vfio-pci"):
        find(machine)


def test_modules_load_after_what_they_need_and_only_once(machine: Path) -> None:
    kernel = install(machine, "6.1.0-1-amd64")
    order = load_order(kernel, ("virtio_pci", "vfio-pci", "9p"))
    assert [file.name for file in order] == ["core.ko", "base.ko", "vfio-pci.ko.xz", "9p.ko.xz"]
    with pytest.raises(ConfigError, match="has no module floppy"):
        load_order(kernel, ("floppy",))


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress, bytes])
def test_a_kernel_is_unpacked_once_and_again_when_it_has_changed(
    machine: Path, pack: type[bytes]
) -> None:
    kernel = install(machine, "6.1.0-1-amd64")
    elf = b"\x7fELF" + bytes(5000)
    payload = pack(elf)
    if pack is not gzip.compress:
        payload += struct.pack("<I", len(elf))
    write_image(kernel, payload)

    cache = machine / "cache"
    first = unpacked(kernel, cache)
    assert first.read_bytes() == elf
    assert unpacked(kernel, cache) == first
    os.utime(kernel.image, ns=(1, 1))
    second = unpacked(kernel, cache)
    assert second != first
    assert list(cache.iterdir()) == [second]


def test_a_cache_that_cannot_be_used_is_named(machine: Path) -> None:
    kernel = install(machine, "6.1.0-1-amd64")
    cache = machine / "cache"
    write_image(kernel, gzip.compress(b"\x7fELF"))
    cache.touch()
    with pytest.raises(ConfigError, match=r"cannot be unpacked in .*: File exists") as told:
        unpacked(kernel, cache)
    assert "XDG_CACHE_HOME" in told.value.hint


def test_an_image_packed_in_an_unknown_way_is_booted_as_it_is(machine: Path) -> None:
    kernel = install(machine, "6.1.0-1-amd64")
    kernel.image.write_bytes(bytes(0x1000))
    assert unpacked(kernel, machine / "cache") == kernel.image


def test_the_initrd_is_a_newc_archive_with_the_modules_in_order(machine: Path) -> None:
    kernel = install(machine, "6.1.0-1-amd64")
    (kernel.modules / "kernel").mkdir()
    for name in (*NEEDED, "base", "core"):
        (kernel.modules / "kernel" / f"{name}.ko.xz").write_bytes(lzma.compress(b"module " * 9))
    for name in ("base", "core"):
        (kernel.modules / "kernel" / f"{name}.ko").write_bytes(name.encode())
    busybox = machine / "busybox"
    busybox.write_bytes(b"static")

    archive = initrd(kernel, ("vfio-pci",), busybox)

    files: dict[str, tuple[int, bytes]] = {}
    offset = 0
    while offset < len(archive):
        fields = [int(archive[offset + at : offset + at + 8], 16) for at in range(6, 110, 8)]
        assert archive[offset : offset + 6] == b"070701"
        name_end = offset + 110 + fields[11]
        name = archive[offset + 110 : name_end - 1].decode()
        start = (name_end + 3) & -4
        files[name] = (fields[1], archive[start : start + fields[6]])
        offset = (start + fields[6] + 3) & -4
    assert list(files)[-1] == "TRAILER!!!"
    assert files["bin/busybox"] == (0o100755, b"static")
    assert files["bin/sh"] == (0o120777, b"busybox")
    assert files["init"][0] == 0o100755
    assert files["first/00-core.ko"][1] == b"core"
    assert [name for name in files if name.startswith("later/")] == ["later/00-vfio-pci.ko"]
    assert files["later/00-vfio-pci.ko"][1] == b"module " * 9


def test_a_busybox_that_needs_a_root_file_system_is_refused(machine: Path) -> None:
    kernel = install(machine, "6.1.0-1-amd64", ())
    (kernel.modules / "modules.builtin").write_text("".join(f"{name}.ko\n" for name in NEEDED))
    (kernel.modules / "modules.dep").write_text("virtio_pci.ko:\n")
    (kernel.modules / "virtio_pci.ko").write_bytes(b"module")
    dynamic = machine / "busybox"
    dynamic.write_bytes(b"\x7fELF.../lib64/ld-linux-x86-64.so.2\0")
    with pytest.raises(ConfigError, match="not static") as caught:
        initrd(kernel, (), dynamic)
    assert caught.value.hint == "apt install busybox-static"
    with pytest.raises(ConfigError, match="No such file"):
        initrd(kernel, (), machine / "nowhere")


def test_every_spare_has_an_address_of_its_own() -> None:
    addresses = [card.address for card in spares.SPARES.values()]
    assert len(set(addresses)) == len(addresses)
    assert spares.spare("nvme").address == "0000:00:04.0"
