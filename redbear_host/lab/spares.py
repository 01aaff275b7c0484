"""The spare PCI functions a lab guest can be given: emulated cards that nothing in it needs.

Every one sits at an address of its own on the root bus, hence in an IOMMU group of its own, and
always at the same address, so that tests may name it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from redbear_host.errors import ConfigError

DISK_SIZE: Final = 64 << 20  # bytes of a disk the caller gave no file for


class Spare(NamedTuple):
    """One card: where it sits, what Linux drives it with, how QEMU is told."""

    slot: int
    modules: tuple[str, ...]
    device: str
    backend: tuple[str, ...] = ()  # arguments for what is behind the card: a network, a sound card
    disk: str = ""  # the name of the block device behind it, if any

    @property
    def address(self) -> str:
        """Where the guest finds it."""
        return f"0000:00:{self.slot:02x}.0"


# A virtio device goes through the IOMMU only when it is told to; a real card always does.
_VIRTIO: Final = "disable-legacy=on,iommu_platform=on"

SPARES: Final = {
    "nvme": Spare(4, ("nvme",), "nvme,drive=nvme-disk,serial=REDBEAR-NVME", disk="nvme-disk"),
    "ahci": Spare(5, ("ahci", "sd_mod"), "ich9-ahci,id=ahci", disk="ahci-disk"),
    "e1000": Spare(
        6, ("e1000",), "e1000,netdev=net,mac=52:54:00:12:34:56",
        ("-netdev", "hubport,id=net,hubid=0"),
    ),
    "hda": Spare(
        7, ("snd_hda_codec_generic", "snd_hda_intel"), "intel-hda,id=hda",
        ("-audiodev", "none,id=sound"),
    ),
    # A slot where cards are plugged in and out, by QEMU's monitor at the port of that name.
    "slot": Spare(
        11, (), "pcie-root-port,id=plug,chassis=1,slot=1",
        (
            *("-chardev", "socket,id=monitor,path={folder}/monitor,server=on,wait=off"),
            *("-mon", "chardev=monitor,mode=control"),
            *("-chardev", "socket,id=remote,path={folder}/monitor"),
            *("-device", "virtserialport,chardev=remote,name=monitor,nr=3"),
        ),
    ),
    # The same with somebody at its other end: QEMU's own small network, which leads nowhere.
    "lan": Spare(
        12, ("e1000", "tun"), "e1000,netdev=lan,mac=52:54:00:12:34:57",
        ("-netdev", "user,id=lan,restrict=on"),
    ),
    "e1000e": Spare(
        13, ("e1000e",), "e1000e,netdev=express,mac=52:54:00:12:34:58",
        ("-netdev", "hubport,id=express,hubid=13"),
    ),
    # Cards with a screen: QEMU's monitor takes their pictures by these ids (screendump).
    "gpu": Spare(8, ("virtio_gpu",), f"virtio-gpu-pci,id=gpu,{_VIRTIO}"),
    "bochs": Spare(14, ("bochs",), "bochs-display,id=bochs"),
    "qxl": Spare(15, ("qxl",), "qxl,id=qxl,vgamem_mb=16,ram_size_mb=32,vram_size_mb=32"),
    "keyboard": Spare(9, ("virtio_input", "evdev"), f"virtio-keyboard-pci,{_VIRTIO}"),
    "tablet": Spare(10, ("virtio_input", "evdev"), f"virtio-tablet-pci,{_VIRTIO}"),
}  # fmt: skip

# Devices that hang on a card instead of on the PCI bus.
_BEHIND: Final = {
    "ahci": ("ide-hd,drive=ahci-disk,bus=ahci.0,serial=REDBEAR-AHCI",),
    "hda": ("hda-duplex,audiodev=sound,bus=hda.0",),
}


def spare(name: str) -> Spare:
    """Look a card up by the name `--device` takes; `ConfigError` says which there are."""
    try:
        return SPARES[name]
    except KeyError:
        known = ", ".join(SPARES)
        raise ConfigError(f"the lab has no device {name!r}", f"choose from {known}") from None


def arguments(name: str, disk: Path | None, folder: Path) -> list[str]:
    """Return what QEMU is told so that the guest has the card `name`.

    A card with a disk uses `disk`, or an empty one of `DISK_SIZE` bytes made in `folder`.
    """
    card = spare(name)
    told = [word.format(folder=folder) for word in card.backend]
    if card.disk:
        told += ["-blockdev", _raw(card.disk, disk or _empty(folder / f"{name}.img"))]
    told += ["-device", f"{card.device},addr={card.slot:#x}"]
    for device in _BEHIND.get(name, ()):
        told += ["-device", device]
    return told


def modules(names: Sequence[str]) -> list[str]:
    """Return the modules of Linux's own drivers for the cards."""
    return list(dict.fromkeys(module for name in names for module in spare(name).modules))


def _empty(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(DISK_SIZE)
    return path


def _raw(node: str, path: Path) -> str:
    file = {"driver": "file", "filename": str(path)}
    return json.dumps({"driver": "raw", "node-name": node, "file": file})
