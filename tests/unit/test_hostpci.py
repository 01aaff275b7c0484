from __future__ import annotations

from pathlib import Path

import pytest

from redbear_host import hostpci
from redbear_host.bdf import Bdf
from redbear_host.errors import TransportError
from redbear_host.hw.ports import PciIds


def test_a_function_is_described_by_its_files(sysfs) -> None:
    folder = sysfs.add("0000:04:00.0", "nvme", "17")
    assert hostpci.host_functions(sysfs.root) == [
        hostpci.HostFunction(
            address=Bdf(0, 4, 0, 0),
            path=folder,
            ids=PciIds(0x1B36, 0x10, 0x1AF4, 0x1100, 0x010802, 2),
            driver="nvme",
            group=17,
        )
    ]


def test_a_function_without_driver_and_group_has_neither(sysfs) -> None:
    sysfs.add("0000:04:00.0")
    (found,) = hostpci.host_functions(sysfs.root)
    assert (found.driver, found.group) == ("", None)


def test_functions_come_in_the_order_of_their_addresses(sysfs) -> None:
    for address in ("0000:80:00.0", "10000:00:00.0", "0000:04:00.1", "0000:04:00.0"):
        sysfs.add(address)
    found = [str(function.address) for function in hostpci.host_functions(sysfs.root)]
    assert found == ["0000:04:00.0", "0000:04:00.1", "0000:80:00.0", "10000:00:00.0"]


def test_a_function_that_is_leaving_is_left_out(sysfs) -> None:
    sysfs.add("0000:04:00.0")
    (sysfs.add("0000:05:00.0") / "revision").unlink()
    assert [str(f.address) for f in hostpci.host_functions(sysfs.root)] == ["0000:04:00.0"]


def test_a_function_that_cannot_be_read_is_an_error_that_names_it(sysfs) -> None:
    folder = sysfs.add("0000:04:00.0")
    (folder / "class").unlink()
    (folder / "class").mkdir()
    with pytest.raises(TransportError, match=r"function 0000:04:00\.0"):
        hostpci.host_functions(sysfs.root)


def test_one_function_can_be_looked_at_alone(sysfs) -> None:
    sysfs.add("0000:04:00.0", "nvme")
    found = hostpci.host_function(Bdf(0, 4, 0, 0), sysfs.root)
    assert found is not None
    assert found.driver == "nvme"
    assert hostpci.host_function(Bdf(0, 5, 0, 0), sysfs.root) is None


def test_a_machine_without_pci_has_no_functions(tmp_path: Path) -> None:
    assert hostpci.host_functions(tmp_path) == []


def test_the_kernel_database_lists_what_sysfs_lists() -> None:
    devices = hostpci.SYS / "bus/pci/devices"
    names = {path.name for path in devices.iterdir()} if devices.is_dir() else set()
    assert {str(function.address) for function in hostpci.host_functions()} == names
