"""The lab's graphics cards: what their keys mean, and what QEMU is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from redbear_host.lab.devices import LabDevice

SIDE_LEAST: Final = 64  # pixels
SIDE_MOST: Final = 8192
OUTPUTS_MOST: Final = 16  # of a virtio-gpu

SIZE_KEYS: Final = {
    "xres": "the width its monitor prefers, in pixels",
    "yres": "and the height",
    "qmp": "a socket that is made for QEMU's monitor: pictures of what is seen (screendump)",
}
VGA_KEYS: Final = SIZE_KEYS | {
    "memory": "MiB of video memory: 1, 2, 4 and so on up to 256 (default 16)",
    "edid": "on, or off: its monitor says nothing of itself",
}
GPU_KEYS: Final = SIZE_KEYS | {
    "outputs": f"how many monitors it has room for, 1 to {OUTPUTS_MOST}; one is connected",
    "edid": "on, or off: its monitor says nothing of itself",
    "vectors": "MSI-X vectors, 0 to 8; with less than 3 they are shared, with 0 there is INTx only",
}

_VECTORS: Final = 3
_VECTORS_MOST: Final = 8


def _size(device: LabDevice) -> str:
    keys = [key for key in ("xres", "yres") if key in device.options]
    if len(keys) == 1:
        raise device.wrong(keys[0], "give xres and yres together, or none of them")
    numbers = (f",{key}={device.number(key, 0, SIDE_LEAST, SIDE_MOST)}" for key in keys)
    return "".join(numbers)


def _edid(device: LabDevice) -> str:
    found = device.options.get("edid", "on")
    if found not in ("on", "off"):
        raise device.wrong("edid", "write on or off")
    return f",edid={found}"


def _monitor(device: LabDevice) -> list[str]:
    path = device.options.get("qmp")
    if path is None:
        return []
    if not path or not Path(path).absolute().parent.is_dir():
        raise device.wrong("qmp", "name a socket in a folder that exists; it is made")
    return ["-qmp", f"unix:{path.replace(',', ',,')},server=on,wait=off"]


def _mebibytes(device: LabDevice) -> int:
    found = device.number("memory", 16, 1, 256)
    if found & found - 1:
        raise device.wrong("memory", "write a power of two, 1 to 256")
    return found


def vga(device: LabDevice, _image: Callable[[int], object], slot: int) -> list[str]:
    """Say what a VGA with Bochs display registers is."""
    more = f",vgamem_mb={_mebibytes(device)}{_edid(device)}{_size(device)}"
    told = f"VGA,id=vga{slot},addr={slot:#x},romfile={more}"
    return [*_monitor(device), "-device", told]


def bochs(device: LabDevice, _image: Callable[[int], object], slot: int) -> list[str]:
    """Say what the same is without a VGA."""
    more = f",vgamem={_mebibytes(device)}M{_edid(device)}{_size(device)}"
    told = f"bochs-display,id=bochs{slot},addr={slot:#x},romfile={more}"
    return [*_monitor(device), "-device", told]


def virtio_gpu(device: LabDevice, _image: Callable[[int], object], slot: int) -> list[str]:
    """Say what a virtio graphics card is."""
    outputs = device.number("outputs", 1, 1, OUTPUTS_MOST)
    vectors = device.number("vectors", _VECTORS, 0, _VECTORS_MOST)
    more = f",max_outputs={outputs},vectors={vectors}{_edid(device)}{_size(device)}"
    modern = "disable-legacy=on,iommu_platform=on"
    told = f"virtio-gpu-pci,id=gpu{slot},addr={slot:#x},romfile=,{modern}{more}"
    return [*_monitor(device), "-device", told]
