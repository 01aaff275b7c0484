"""Names for PCI ids, from the `pci.ids` file that Debian's package of that name installs.

The file's syntax is described in its own header: vendors start a line, their devices follow with
one tab, classes start with `C`.  Looking a name up searches the bytes and parses nothing else: the
file has 36 000 lines and a run needs a handful.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Self

from redbear_host.hw.ports import PciIds

PLACES: Final = (
    "usr/share/misc/pci.ids",  # Debian
    "var/lib/pciutils/pci.ids",  # update-pciids
    "usr/share/hwdata/pci.ids",  # Fedora, Arch
)

_NEXT: Final = re.compile(rb"\n[^\t#\n]")  # the line after a vendor's or a class's entries


class PciNames:
    """The ids one `pci.ids` file knows; an empty file knows none."""

    def __init__(self, text: bytes) -> None:
        self._text = b"\n" + text

    @classmethod
    def of_machine(cls, root: Path = Path("/")) -> Self:
        """Read this machine's file; where there is none, every name falls back to numbers."""
        for place in PLACES:
            try:
                return cls((root / place).read_bytes())
            except OSError:
                continue
        return cls(b"")

    def __bool__(self) -> bool:
        return len(self._text) > 1

    def vendor(self, vendor: int) -> str | None:
        """Name the maker."""
        return self._name(*self._entry(b"%04x" % vendor))

    def device(self, vendor: int, device: int) -> str | None:
        """Name the device, without its maker."""
        return self._below(b"%04x" % vendor, b"%04x" % device)

    def base_class(self, class_code: int) -> str | None:
        """Name the base class of a 24-bit class code."""
        return self._name(*self._entry(b"C %02x" % (class_code >> 16)))

    def subclass(self, class_code: int) -> str | None:
        """Name the subclass of a 24-bit class code."""
        return self._below(b"C %02x" % (class_code >> 16), b"%02x" % (class_code >> 8 & 0xFF))

    def class_title(self, class_code: int) -> str:
        """Name a class as closely as known; in numbers where it is not."""
        known = self.subclass(class_code) or self.base_class(class_code)
        return known or f"Class {class_code >> 8:04x}"

    def title(self, ids: PciIds) -> str:
        """Name maker and device; in numbers where they are not known."""
        vendor = self.vendor(ids.vendor) or f"Vendor {ids.vendor:04x}"
        return f"{vendor} {self.device(ids.vendor, ids.device) or f'Device {ids.device:04x}'}"

    def line(self, ids: PciIds) -> str:
        """Describe a function the way `lspci` does, without its address."""
        revision = f" (rev {ids.revision:02x})" if ids.revision else ""
        return f"{self.class_title(ids.class_code)}: {self.title(ids)}{revision}"

    def _entry(self, key: bytes) -> tuple[int, int]:
        """Return where the line of `key` begins and where its entries end; equal if not found."""
        start = self._text.find(b"\n" + key + b"  ") + 1
        if not start:
            return 0, 0
        end = _NEXT.search(self._text, start)
        return start, end.start() + 1 if end else len(self._text)

    def _below(self, key: bytes, entry: bytes) -> str | None:
        start, end = self._entry(key)
        found = self._text.find(b"\n\t" + entry + b"  ", start, end) + 1
        return self._name(found, end) if found else None

    def _name(self, start: int, end: int) -> str | None:
        """Return what follows the id on the line at `start`."""
        if start == end:
            return None
        line = self._text[start:end].partition(b"\n")[0].decode(errors="replace")
        # Two spaces end the id; those inside a name are the name's own.
        return line.partition("  ")[2].strip()
