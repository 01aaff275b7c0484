"""The lab's devices: names a user can type, and what QEMU is told for each.

    device = parse("nvme:file=disk.img,serial=RB01,size=64M")
    with Supplies() as supplies:
        told = device.arguments(Path("/run/redbear-host"), 4, supplies)
        with Machine(told, supplies=supplies) as machine: …

A comma inside a value is written twice, as QEMU does it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from redbear_host.errors import ConfigError, TransportError
from redbear_host.hw.ports import PciIds
from redbear_host.lab import farends, screens
from redbear_host.lab.farends import FarEnd, Supplies
from redbear_host.quantity import Size

ALL: Final = "all"  # in place of a name: one of each that there is a daemon for
SLOTS: Final = range(4, 25)  # places on bus 0 that are ours to use

_SIZE: Final = Size(64 << 20)
_SIZE_MOST: Final = Size(16 << 40)  # what a file of ext4 may have
_BLOCKS: Final = {"512": 512, "4096": 4096}
_NAMESPACES_MAX: Final = 16
_VECTORS_MAX: Final = 32  # what a machine has for one function
_SERIAL: Final = re.compile(r"[!-~]{1,20}", re.ASCII)  # what Identify and IDENTIFY have room for
_FIRMWARE: Final = re.compile(r"[!-~]{1,8}")
_MODEL: Final = re.compile(r"[ -~]{1,40}", re.ASCII)
_PORTS: Final = 6  # of QEMU's ich9-ahci
_CODECS: Final = ("output", "duplex", "micro")  # of QEMU's intel-hda
_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII | re.IGNORECASE)


Image = Callable[[int], Path]
"""Returns the path of a device's image by its number, counted from 1."""


@dataclass(frozen=True)
class Kind:
    """One name a lab device can have."""

    name: str
    what: str
    keys: Mapping[str, str]  # key → what it means
    ids: PciIds  # as the model shows them; subsystem and revision are left out
    build: Callable[[LabDevice, Image, int], list[str]]  # with its images and its slot


@dataclass(frozen=True)
class LabDevice:
    """A lab device as asked for: its kind, and the keys that were given."""

    kind: str
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the names; `ConfigError` says which there are."""
        if self.kind not in KINDS:
            raise ConfigError(
                f"the lab has no device {self.kind!r}", f"choose from {', '.join(KINDS)}"
            )
        keys = KINDS[self.kind].keys
        for key in self.options:
            if key not in keys:
                raise ConfigError(
                    f"lab device {self.kind} has no key {key!r}",
                    f"it knows {', '.join(keys)}",
                )

    def check(self) -> None:
        """Raise `ConfigError` for a value that makes no sense; makes nothing."""
        slot = SLOTS[0]
        self._far_end()
        KINDS[self.kind].build(self, lambda number: self._image(Path(), slot, number), slot)

    def arguments(
        self, folder: Path, slot: int = SLOTS[0], supplies: Supplies | None = None
    ) -> list[str]:
        """Return what QEMU is told so that the device is device `slot` of bus 0.

        An image that was not named, or does not exist, is made now: empty and sparse, in `folder`
        unless it was named.  What else has to be there is made too, and goes with `supplies`, which
        the machine is given; none are needed unless a network card has a far end that Linux holds.
        `ConfigError` for a value that makes no sense.
        """
        if slot not in SLOTS:
            raise ConfigError(
                f"the lab has no place {slot} for a device",
                f"it has {len(SLOTS)} places: ask for fewer devices",
            )

        def image(number: int) -> Path:
            return self._make(self._image(folder, slot, number))

        far_end = self._far_end()
        told = KINDS[self.kind].build(self, image, slot)
        if far_end is None:
            return told
        if far_end.makes and supplies is None:
            raise ValueError("the far end of a network card needs supplies")
        return far_end.netdev(_netdev(slot), supplies or Supplies()) + told

    def _far_end(self) -> FarEnd | None:
        """Return what is at the other end of a network card's wire; None for other devices."""
        if "peer" not in KINDS[self.kind].keys:
            return None
        try:
            return farends.parse(
                self.options.get("peer", "user"), self.options.get("peer_address", "")
            )
        except ValueError as error:
            key, hint = error.args
            raise self.wrong(key, hint) from error

    def number(self, key: str, default: int, low: int, high: int) -> int:
        """Return a key's value as a number between two bounds, both included."""
        text = self.options.get(key)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal() and low <= int(text) <= high):
            raise self.wrong(key, f"write a number from {low} to {high}")
        return int(text)

    def serial(self, slot: int) -> str:
        """Return the serial number that was given, or one made of the place."""
        serial = self.options.get("serial", f"RB{slot:02}")
        if not _SERIAL.fullmatch(serial):
            raise self.wrong("serial", "write up to 20 printable characters without spaces")
        return serial

    def _image(self, folder: Path, slot: int, number: int) -> Path:
        path = folder / f"{self.kind}-{slot}.img"
        if "file" in self.options:
            path = Path(self.options["file"])
            if not path.name or path.is_dir():
                raise self.wrong("file", "name a file, which is made if it does not exist")
        self._size()
        return path if number == 1 else path.with_name(f"{path.name}.{number}")

    def _size(self) -> Size:
        try:
            size = Size.parse(self.options["size"]) if "size" in self.options else _SIZE
        except ValueError as error:
            raise self.wrong("size", "write for example 64M or 1G") from error
        if size < 1 << 20:
            raise self.wrong("size", "a disk has at least 1M")
        if size > _SIZE_MOST:
            raise self.wrong("size", f"a disk has at most {_SIZE_MOST >> 40}T")
        return size

    def _make(self, path: Path) -> Path:
        try:
            if not path.exists():
                with path.open("xb") as file:
                    file.truncate(self._size())
        except OSError as error:
            raise TransportError(
                f"the image {path} cannot be made: {error.strerror}",
                "name a file in a folder that exists and can be written to",
            ) from error
        return path

    def wrong(self, key: str, hint: str) -> ConfigError:
        """Return what to raise for a value that cannot be."""
        shown = self.options.get(key, "")
        return ConfigError(f"lab device {self.kind}: {key}={shown} cannot be", hint)

    def model(self) -> str:
        """Return the model that was given as QEMU's property, or nothing."""
        model = self.options.get("model")
        if model is None:
            return ""
        if not _MODEL.fullmatch(model):
            raise self.wrong("model", "write up to 40 printable characters")
        return f",model={quote(model)}"

    def firmware(self) -> str:
        """Return the firmware revision that was given as QEMU's property, or nothing."""
        firmware = self.options.get("firmware")
        if firmware is None:
            return ""
        if not _FIRMWARE.fullmatch(firmware):
            raise self.wrong("firmware", "write up to 8 printable characters without spaces")
        return f",ver={quote(firmware)}"

    def disc(self) -> Path:
        """Return the image of the disc in the CD drive."""
        path = Path(self.options["cd"])
        if not path.is_file():
            raise self.wrong("cd", "name an image that exists, or nothing for an empty drive")
        return path

    def mac(self, slot: int) -> str:
        """Return the hardware address that was given, or one made of the place."""
        mac = self.options.get("mac", f"52:54:00:52:42:{slot:02x}")
        if not _MAC.fullmatch(mac):
            raise self.wrong("mac", "write for example 52:54:00:12:34:56")
        return mac

    def wav(self) -> Path:
        """Return the file a sound card plays into."""
        path = Path(self.options["wav"])
        if not path.name or path.is_dir() or not path.absolute().parent.is_dir():
            raise self.wrong("wav", "name a file in a folder that exists; it is written anew")
        return path.absolute()

    def choice(self, key: str, known: Sequence[str], default: str | None = None) -> str:
        """Return one of a few words; the first is the default unless there is another."""
        value = self.options.get(key)
        if value is None:
            return known[0] if default is None else default
        if value not in known:
            raise self.wrong(key, f"write {', '.join(known[:-1])} or {known[-1]}")
        return value

    def block(self) -> int:
        """Return the bytes of a logical block."""
        text = self.options.get("block", "512")
        if text not in _BLOCKS:
            raise self.wrong("block", "write 512 or 4096")
        return _BLOCKS[text]


def parse(text: str) -> LabDevice:
    """Read `NAME` or `NAME:key=value,key=value`; `ConfigError` names what is wrong with it."""
    kind, colon, rest = text.partition(":")
    options: dict[str, str] = {}
    # A comma that is written twice belongs to the value; \0 can occur in no argument.
    for item in rest.replace(",,", "\0").split(",") if colon else ():
        key, equals, value = item.replace("\0", ",").partition("=")
        if not equals:
            raise ConfigError(
                f"lab device {text!r}: {item!r} is not key=value",
                "write for example nvme:size=64M,serial=RB01",
            )
        if key in options:
            raise ConfigError(f"lab device {text!r} gives {key!r} twice", "give it once")
        options[key] = value
    return LabDevice(kind, options)


def quote(value: str | Path) -> str:
    """Write a value into one of QEMU's comma lists."""
    return str(value).replace(",", ",,")


def _disk(node: str, path: Path) -> list[str]:
    file = {"driver": "file", "filename": str(path), "discard": "unmap"}
    layer = {"driver": "raw", "node-name": node, "file": file, "discard": "unmap"}
    return ["-blockdev", json.dumps(layer)]


def _disc(node: str, path: Path) -> list[str]:
    file = {"driver": "file", "filename": str(path)}
    layer = {"driver": "raw", "node-name": node, "file": file, "read-only": True}
    return ["-blockdev", json.dumps(layer)]


def _nvme(device: LabDevice, image: Image, slot: int) -> list[str]:
    vectors = device.number("vectors", 9, 1, _VECTORS_MAX)
    mdts = device.number("mdts", 7, 0, 12)
    name, block = f"nvme{slot}", device.block()
    told = [
        "-device",
        f"nvme,id={name},addr={slot:#x},serial={quote(device.serial(slot))},mdts={mdts},"
        f"msix_qsize={vectors},max_ioqpairs={max(vectors - 1, 1)}",
    ]
    for number in range(1, device.number("namespaces", 1, 1, _NAMESPACES_MAX) + 1):
        node = f"{name}n{number}"
        told += _disk(node, image(number))
        told += [
            "-device",
            f"nvme-ns,bus={name},drive={node},nsid={number},"
            f"logical_block_size={block},physical_block_size={block}",
        ]
    return told


def _ahci(device: LabDevice, image: Image, slot: int) -> list[str]:
    name, block, cd = f"ahci{slot}", device.block(), device.options.get("cd")
    disks = device.number("disks", 1, 1 if cd is None else 0, _PORTS - (cd is not None))
    serial, model = device.serial(slot), device.model() + device.firmware()
    told = ["-device", f"ich9-ahci,id={name},addr={slot:#x}"]
    for port in range(disks):
        node, number = f"{name}d{port}", port + 1
        own = serial if number == 1 else f"{serial[:18]}-{number}"
        told += _disk(node, image(number))
        told += [
            "-device",
            f"ide-hd,bus={name}.{port},drive={node},serial={quote(own)},"
            f"logical_block_size=512,physical_block_size={block}{model}",
        ]
    if cd is not None:
        drive = f"ide-cd,id={name}cd,bus={name}.{disks},serial={quote(serial)}"
        if cd:
            told += _disc(f"{name}disc", device.disc())
            drive += f",drive={name}disc"
        told += ["-device", drive]
    return told


def _netdev(slot: int) -> str:
    return f"net{slot}"


def _network_card(model: str) -> Callable[[LabDevice, Image, int], list[str]]:
    def build(device: LabDevice, _image: Image, slot: int) -> list[str]:
        told = f"{model},netdev={_netdev(slot)},addr={slot:#x},mac={device.mac(slot)},romfile="
        return ["-device", told]

    return build


def _hda(device: LabDevice, _image: Image, slot: int) -> list[str]:
    name, wav = f"hda{slot}", device.options.get("wav")
    sound = f"none,id={name}a" if wav is None else f"wav,id={name}a,path={quote(device.wav())}"
    told = ["-audiodev", sound, "-device", f"intel-hda,id={name},addr={slot:#x}"]
    codecs = [device.choice("codec", _CODECS), device.choice("second", _CODECS, "")]
    for number, codec in enumerate(filter(None, codecs)):
        told += ["-device", f"hda-{codec},bus={name}.0,cad={number},audiodev={name}a"]
    return told


def _ids(vendor: int, device: int, class_code: int) -> PciIds:
    return PciIds(vendor, device, 0, 0, class_code, 0)


_FILE: Final = "the image behind it, made if it does not exist; none: one that is thrown away"
_DISK_KEYS: Final = {
    "file": _FILE,
    "size": f"bytes of an image that is made, as in 64M (default {_SIZE >> 20}M)",
    "serial": "its serial number",
}
_NETWORK_KEYS: Final = {
    "mac": "its hardware address",
    "peer": f"the far end of its wire: {farends.FORMS} (default user)",
    "peer_address": "addresses of the interface there, as 192.0.2.1/24; a blank between several",
}

KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "nvme",
            "an NVMe controller",
            {
                **_DISK_KEYS,
                "namespaces": "how many; those after the first are in FILE.2, FILE.3 and so on",
                "block": "bytes of a logical block, 512 or 4096",
                "mdts": "largest transfer, log2 of 4 KiB pages; 0 for no limit",
                "vectors": f"MSI-X vectors, 1 to {_VECTORS_MAX}",
            },
            _ids(0x1B36, 0x0010, 0x010802),
            _nvme,
        ),
        Kind(
            "ahci",
            "an AHCI controller with SATA disks",
            {
                **_DISK_KEYS,
                "model": "its model",
                "firmware": "its firmware revision",
                "block": "bytes of a physical block, 512 or 4096; logical ones have 512",
                "disks": f"how many, up to {_PORTS} with the CD drive; FILE.2 and so on behind",
                "cd": "an image in a CD drive behind the disks; nothing: the drive alone",
            },
            _ids(0x8086, 0x2922, 0x010601),
            _ahci,
        ),
        Kind(
            "e1000",
            "an Intel 82540EM network card",
            _NETWORK_KEYS,
            _ids(0x8086, 0x100E, 0x020000),
            _network_card("e1000"),
        ),
        Kind(
            "e1000-82545em",
            "an Intel 82545EM network card",
            _NETWORK_KEYS,
            _ids(0x8086, 0x100F, 0x020000),
            _network_card("e1000-82545em"),
        ),
        Kind(
            "e1000e",
            "an Intel 82574L network card, with MSI-X",
            _NETWORK_KEYS,
            _ids(0x8086, 0x10D3, 0x020000),
            _network_card("e1000e"),
        ),
        Kind(
            "hda",
            "Intel High Definition Audio",
            {
                "wav": "the WAV file it plays into; complete when the lab has ended",
                "codec": "output, duplex or micro: these record silence, or nothing with wav",
                "second": "a second codec beside it, likewise",
            },
            _ids(0x8086, 0x2668, 0x040300),
            _hda,
        ),
        Kind(
            "vga",
            "a VGA with Bochs display registers",
            screens.VGA_KEYS,
            _ids(0x1234, 0x1111, 0x030000),
            screens.vga,
        ),
        Kind(
            "bochs-display",
            "Bochs display registers without a VGA",
            screens.VGA_KEYS,
            _ids(0x1234, 0x1111, 0x038000),
            screens.bochs,
        ),
        Kind(
            "virtio-gpu",
            "a virtio graphics card",
            screens.GPU_KEYS,
            _ids(0x1AF4, 0x1050, 0x038000),
            screens.virtio_gpu,
        ),
    )
}
