"""The functions pcid shows: the machine's, looked at live, and the lab's, as they were at start."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, Self

from redbear_host.bdf import Bdf
from redbear_host.errors import ConfigError, Gone
from redbear_host.hostpci import SYS, HostFunction, host_functions
from redbear_host.hw.pci import header
from redbear_host.hw.ports import PciIds

_LOG: Final = logging.getLogger(__name__)

_SIZES: Final = (header.CONVENTIONAL_SIZE, header.EXTENDED_SIZE)


class Function(Protocol):
    """One PCI function, open to be looked at."""

    @property
    def address(self) -> Bdf: ...

    @property
    def ids(self) -> PciIds: ...

    @property
    def config_size(self) -> int:
        """256 or 4096 bytes."""
        ...

    def config(self, offset: int, size: int) -> bytes:
        """Read configuration space; short at its end; `Gone` once the function has left."""
        ...

    def driver(self) -> str:
        """Name who drives it now: a daemon of ours, or a driver of Linux; "" for nobody."""
        ...

    def close(self) -> None:
        """Let go of what looking needs."""
        ...


class Hosted:
    """A function of this machine, by the descriptors of two of its files in sysfs.

    They are opened once: pcid has no files to open after its start.
    """

    def __init__(self, address: Bdf, ids: PciIds, config: int, uevent: int, daemon: str) -> None:
        """Take over the descriptors of its files `config` and `uevent`."""
        self.address: Final = address
        self.ids: Final = ids
        self.daemon = daemon  # ours that drives it, or ""
        self._config = config
        self._uevent = uevent
        self.config_size: Final = os.fstat(config).st_size

    @classmethod
    def open(cls, found: HostFunction, daemon: str) -> Self:
        """Open the files of a function; `FileNotFoundError` if it has left."""
        config = os.open(found.path / "config", os.O_RDONLY | os.O_CLOEXEC)
        try:
            uevent = os.open(found.path / "uevent", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(config)
            raise
        return cls(found.address, found.ids, config, uevent, daemon)

    def config(self, offset: int, size: int) -> bytes:
        """Read through Linux, which answers as the bus does."""
        return self._read(self._config, size, offset)

    def driver(self) -> str:
        """Return our daemon where there is one, else what Linux says now."""
        if self.daemon:
            return self.daemon
        for line in self._read(self._uevent, 4096, 0).splitlines():
            if line.startswith(b"DRIVER="):
                return line.removeprefix(b"DRIVER=").decode(errors="replace")
        return ""

    def close(self) -> None:
        """Close the two files; who still has the function open hears that it has left."""
        for fd in (self._config, self._uevent):
            if fd >= 0:
                os.close(fd)
        self._config = self._uevent = -1

    def _read(self, fd: int, size: int, offset: int) -> bytes:
        try:
            return os.pread(fd, size, offset)
        except OSError as error:
            if error.errno == errno.ENODEV or fd < 0:
                raise Gone(f"function {self.address} has left") from error
            raise


class Labelled:
    """A function of the lab, as whoever started the lab described it."""

    def __init__(self, address: Bdf, image: bytes, driver: str) -> None:
        if len(image) not in _SIZES:
            raise ConfigError(
                f"function {address}: configuration space has {len(image)} bytes, not 256 or 4096"
            )
        self.address: Final = address
        self.config_size: Final = len(image)
        self.ids: Final = PciIds(
            vendor=_word(image, header.VENDOR_ID),
            device=_word(image, header.DEVICE_ID),
            subsystem_vendor=_word(image, header.SUBSYSTEM_VENDOR_ID),
            subsystem=_word(image, header.SUBSYSTEM_ID),
            class_code=_word(image, header.CLASS_CODE) | image[header.CLASS_CODE + 2] << 16,
            revision=image[header.REVISION_ID],
        )
        self._image: Final = image
        self._driver: Final = driver

    def config(self, offset: int, size: int) -> bytes:
        """Read the image."""
        return self._image[offset : offset + size]

    def driver(self) -> str:
        """Return what the lab said."""
        return self._driver

    def close(self) -> None:
        """Do nothing: an image is all there is."""


def _word(image: bytes, offset: int) -> int:
    return int.from_bytes(image[offset : offset + 2], "little")


def of_machine(
    drivers: Mapping[str, str], hidden: Collection[Bdf] = (), sys: Path = SYS
) -> list[Hosted]:
    """Open the machine's functions; `drivers` names the daemon of each address we drive.

    Those at the addresses `hidden` are left out.
    """
    functions = []
    for found in host_functions(sys):
        if found.address in hidden:
            _LOG.info("a function of the lab hides the machine's at %s", found.address)
            continue
        try:
            functions.append(Hosted.open(found, drivers.get(str(found.address), "")))
        except FileNotFoundError:
            _LOG.info("function %s left while it was opened", found.address)
    return functions


def of_lab(entries: Sequence[Mapping[str, Any]]) -> list[Labelled]:
    """Take the lab's functions: `{"address": text, "config": hex, "driver": text}` each."""
    return [
        Labelled(
            Bdf.parse(entry["address"]), bytes.fromhex(entry["config"]), entry.get("driver", "")
        )
        for entry in entries
    ]
