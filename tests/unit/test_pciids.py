from __future__ import annotations

from pathlib import Path

import pytest

from redbear_host.hw.ports import PciIds
from redbear_host.pciids import PLACES, PciNames

TEXT = b"""\
# A comment
0001  SafeNet (wrong ID)
1b36  Red Hat, Inc.
\t0001  QEMU PCI-PCI bridge
\t0010  QEMU NVM Express Controller
\t\t1af4 1100  QEMU Virtual Machine

# between two vendors
8086  Intel Corporation
\t0010  Another device
\t100e  82540EM Gigabit  Ethernet \xe2\x84\xa2
ffff  Illegal Vendor ID
C 01  Mass storage controller
\t08  Non-Volatile memory controller
\t\t02  NVM Express
C 02  Network controller
\t00  Ethernet controller
"""
NAMES = PciNames(TEXT)
NVME = PciIds(0x1B36, 0x0010, 0x1AF4, 0x1100, 0x010802, 2)


def test_a_function_reads_as_lspci_prints_it() -> None:
    assert NAMES.line(NVME) == (
        "Non-Volatile memory controller: Red Hat, Inc. QEMU NVM Express Controller (rev 02)"
    )


def test_a_device_is_looked_for_below_its_own_vendor_only() -> None:
    assert NAMES.device(0x8086, 0x0010) == "Another device"
    assert NAMES.device(0x8086, 0x0001) is None
    assert NAMES.device(0x0001, 0x0001) is None


def test_a_subsystem_is_not_mistaken_for_a_device() -> None:
    assert NAMES.device(0x1B36, 0x1AF4) is None


def test_a_name_keeps_its_own_spaces_and_letters() -> None:
    assert NAMES.device(0x8086, 0x100E) == "82540EM Gigabit  Ethernet ™"


def test_the_first_and_the_last_entries_are_found() -> None:
    assert PciNames(b"1234  Only").vendor(0x1234) == "Only"
    assert NAMES.vendor(0xFFFF) == "Illegal Vendor ID"
    assert NAMES.subclass(0x020000) == "Ethernet controller"


def test_an_unknown_subclass_has_the_name_of_its_class() -> None:
    assert NAMES.class_title(0x018000) == "Mass storage controller"


def test_what_has_no_name_is_shown_in_numbers() -> None:
    nobody = PciIds(0xABCD, 0x0123, 0, 0, 0x0C0330, 0)
    assert PciNames(b"").line(nobody) == "Class 0c03: Vendor abcd Device 0123"


def test_a_vendor_id_is_not_mistaken_for_a_class() -> None:
    assert PciNames(b"000c  Vendor\n").base_class(0x0C0000) is None


def test_the_first_of_the_usual_places_counts(tmp_path: Path) -> None:
    assert not PciNames.of_machine(tmp_path)
    for place, text in zip(reversed(PLACES), (b"0001  Late\n", b"0001  Early\n"), strict=False):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(text)
    assert PciNames.of_machine(tmp_path).vendor(1) == "Early"


@pytest.mark.skipif(not PciNames.of_machine(), reason="this machine has no pci.ids (apt: pci.ids)")
def test_the_real_file_names_what_every_edition_of_it_names() -> None:
    names = PciNames.of_machine()
    assert names.vendor(0x8086) == "Intel Corporation"
    assert "82540EM" in (names.device(0x8086, 0x100E) or "")
    assert names.subclass(0x010802) == "Non-Volatile memory controller"
