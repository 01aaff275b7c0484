"""What the contract suite's NVMe controller does not have: MSI, ports, bridges, other widths."""

from __future__ import annotations

import random
import select
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import qemu_rig
from descriptors import descriptors
from nvme_probe import rang, start_with

from redbear_host.errors import DeviceError, Gone
from redbear_host.hw.pci import header
from redbear_host.hw.pci.capability import CapabilityId, Msi64, find_capability
from redbear_host.hw.pci.header import ConfigWindow
from redbear_host.hw.ports import InterruptKind, PciFunction
from redbear_host.hw.qtest import open_function
from redbear_host.lab.devices import KINDS, LabDevice
from redbear_host.lab.machine import Machine

NOT_RUNG = 0.05
NVME_VS = 0x08

# QEMU's teaching device (docs/specs/edu): a register that raises its interrupt, one that lowers it.
EDU_ID, EDU_RAISE, EDU_ACKNOWLEDGE = 0x00, 0x60, 0x64


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def function(stack: ExitStack, *arguments: str) -> PciFunction:
    """Start a machine with one function and open that."""
    machine = stack.enter_context(qemu_rig.machine(arguments))
    (only,) = machine.functions
    return stack.enter_context(closing(qemu_rig.opened(only)))


def test_msi_rings_the_eventfd(stack: ExitStack) -> None:
    edu = function(stack, "-device", "edu,addr=6")
    assert edu.interrupts == (1, 1, 0)
    edu.set_bus_master(True)
    (fd,) = edu.enable_interrupts(InterruptKind.MSI)
    for _ in range(3):
        edu.bar(0).write32(EDU_RAISE, 1)
        assert rang(fd)
        edu.bar(0).write32(EDU_ACKNOWLEDGE, 1)
    edu.disable_interrupts()
    edu.bar(0).write32(EDU_RAISE, 1)
    assert not rang(fd, NOT_RUNG)


def test_several_msi_vectors_are_granted_as_a_power_of_two(stack: ExitStack) -> None:
    xhci = function(stack, "-device", "nec-usb-xhci,addr=5,msi=on,msix=off")
    assert xhci.interrupts.msi == 16
    assert len(xhci.enable_interrupts(InterruptKind.MSI, 5)) == 5
    offset = find_capability(xhci.config, CapabilityId.MSI)
    assert offset is not None
    msi = Msi64(ConfigWindow(xhci.config), offset)
    assert msi.CONTROL.read().MSI_ENABLE
    assert msi.CONTROL.read().MULTIPLE_MESSAGE_ENABLE == 3
    assert msi.DATA.read().DATA == 0
    with pytest.raises(DeviceError, match="offers 16 msi vectors, not 17"):
        xhci.enable_interrupts(InterruptKind.MSI, 17)


def test_a_driver_cannot_point_messages_elsewhere(stack: ExitStack) -> None:
    edu = function(stack, "-device", "edu,addr=6")
    edu.set_bus_master(True)
    (fd,) = edu.enable_interrupts(InterruptKind.MSI)
    offset = find_capability(edu.config, CapabilityId.MSI)
    assert offset is not None
    for at in (offset + 4, offset + 8):
        edu.config.write32(at, 0x1000)
    edu.bar(0).write32(EDU_RAISE, 1)
    assert rang(fd)


# PIRQE to PIRQH by slot, PIRQA by slot 26, and once more through the swizzle of a root port.
@pytest.mark.parametrize(
    "device",
    [
        ["edu,addr=4"], ["edu,addr=5"], ["edu,addr=6"], ["edu,addr=7"], ["edu,addr=0x1a"],
        ["pcie-root-port,id=rp,addr=9,chassis=1", "edu,bus=rp"],
        ["pcie-root-port,id=rp,addr=0xa,chassis=1", "pcie-pci-bridge,id=pb,bus=rp",
         "edu,bus=pb,addr=7"],
    ],
    ids=lambda device: "/".join(device),
)  # fmt: skip
def test_intx_reaches_us_from_everywhere(stack: ExitStack, device: list[str]) -> None:
    edu = function(stack, *(word for one in device for word in ("-device", one)))
    (fd,) = edu.enable_interrupts(InterruptKind.INTX)
    assert not rang(fd, NOT_RUNG)
    for _ in range(3):
        edu.bar(0).write32(EDU_RAISE, 1)
        assert rang(fd)
        edu.bar(0).write32(EDU_ACKNOWLEDGE, 1)
        edu.unmask_intx()
    assert not rang(fd, NOT_RUNG)


def test_a_line_that_is_up_rings_when_it_is_enabled(stack: ExitStack) -> None:
    edu = function(stack, "-device", "edu,addr=4")
    edu.bar(0).write32(EDU_RAISE, 1)
    (fd,) = edu.enable_interrupts(InterruptKind.INTX)
    assert rang(fd)


def test_ports_and_memory_show_the_same_registers(stack: ExitStack) -> None:
    rtl = function(stack, "-device", "rtl8139,addr=4,mac=52:54:00:12:34:56,romfile=")
    ports, memory = rtl.bar(0), rtl.bar(1)
    assert [ports.read8(at) for at in range(6)] == [0x52, 0x54, 0x00, 0x12, 0x34, 0x56]
    assert ports.read32(0) == memory.read32(0) == 0x1200_5452
    ports.write16(0x3C, 0x6035)  # the interrupt mask (RTL8139 data sheet, 5)
    assert memory.read16(0x3C) == ports.read16(0x3C) == 0x6035
    with pytest.raises(ValueError, match="8 bytes"):
        ports.read64(0)


def test_accesses_have_exactly_their_width(stack: ExitStack, tmp_path: Path) -> None:
    vga = function(stack, *LabDevice("vga").arguments(tmp_path))
    pixels = vga.bar(0)
    pixels.write64(0x10, 0x1122_3344_5566_7788)
    assert [pixels.read8(0x10 + at) for at in range(3)] == [0x88, 0x77, 0x66]
    assert pixels.read16(0x12) == 0x5566
    assert pixels.read32(0x14) == 0x1122_3344
    pixels.write8(0x17, 0xAA)
    pixels.write16(0x10, 0xBBBB)
    pixels.write32(0x12 - 2 + 4, 0xCCCC_CCCC)
    assert pixels.read64(0x10) == 0xCCCC_CCCC_5566_BBBB
    assert pixels.size == 16 << 20
    assert vga.bar(2).read16(0x500) & 0xFFF0 == 0xB0C0  # the Bochs display's identity


def test_a_function_behind_a_root_port_works(stack: ExitStack, tmp_path: Path) -> None:
    told = LabDevice("nvme").arguments(tmp_path)
    told = [one.replace("addr=0x4", "bus=rp") for one in told]
    nvme = function(stack, "-device", "pcie-root-port,id=rp,addr=8,chassis=1", *told)
    assert nvme.address == "0000:01:00.0"
    controller, (fd,) = start_with(nvme, InterruptKind.MSIX)
    controller.identify()
    assert rang(fd)
    assert controller.admin.completed()


def test_a_function_that_is_unplugged_is_gone(tmp_path: Path) -> None:
    told = LabDevice("nvme").arguments(tmp_path)
    told = [one.replace("addr=0x4", "bus=rp") for one in told]
    native = ["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"]
    port = ["-device", "pcie-root-port,id=rp,addr=8,chassis=1"]
    with qemu_rig.machine([*native, *port, *told]) as machine:
        grant, fds = machine.functions[0].copy()
        bridge = ConfigWindow(machine.topology.config(0, 8, 0))
        express = find_capability(bridge, CapabilityId.PCI_EXPRESS)
        assert express is not None
        with closing(open_function(grant, fds)) as function:
            assert not function.gone
            # Slot Control: power indicator off, power controller off (PCIe 5.0, 7.5.3.10).
            machine.quiesce(machine.functions[0].found)
            bridge.write16(express + 0x18, 0x0700)
            bridge.read16(express + 0x18)
            machine.qmp.wait_event("DEVICE_DELETED")
            assert function.gone
            assert function.bar(0).read32(NVME_VS) == 0xFFFF_FFFF
            assert rang_eventually(function.gone_fd)


def rang_eventually(fd: int) -> bool:
    return bool(select.select([fd], [], [], 5)[0])


def test_reset_puts_windows_back(stack: ExitStack, tmp_path: Path) -> None:
    e1000 = function(stack, *LabDevice("e1000").arguments(tmp_path))
    e1000.reset()
    command = header.Command.of(e1000.config.read16(header.COMMAND))
    assert command.MEMORY_SPACE
    assert command.IO_SPACE
    assert e1000.bar(0).read32(0x8) not in (0, 0xFFFF_FFFF)


@pytest.mark.parametrize("kind", KINDS)
def test_every_lab_device_can_be_opened(stack: ExitStack, tmp_path: Path, kind: str) -> None:
    opened = function(stack, *LabDevice(kind).arguments(tmp_path, slot=11))
    assert opened.ids[:2] == KINDS[kind].ids[:2]
    assert opened.ids.class_code == KINDS[kind].ids.class_code
    assert opened.address == "0000:00:0b.0"
    assert opened.interrupts.intx == (kind not in ("vga", "bochs-display"))


def test_functions_close_every_descriptor_they_were_given(nvme_machine: Machine) -> None:
    before = descriptors()
    qemu_rig.opened(nvme_machine.functions[0]).close()
    assert descriptors() == before
    nvme_machine.kill()
    with pytest.raises(Gone):
        qemu_rig.opened(nvme_machine.functions[0])
    assert descriptors() == before


@pytest.mark.parametrize("kind", ["vga", "bochs-display"])
def test_plain_memory_of_a_device_is_written_and_cleared_in_order(
    tmp_path: Path, kind: str
) -> None:
    with qemu_rig.machine(LabDevice(kind).arguments(tmp_path)) as machine:
        function = qemu_rig.opened(machine.functions[0])
        try:
            memory, window = function.memory(0), function.bar(0)
            assert memory.size == 16 << 20
            data = random.Random(1).randbytes(50_001)
            memory.write(4096, memoryview(data))
            found = b"".join(
                window.read64(4096 + at).to_bytes(8, "little") for at in range(0, 50_008, 1000)
            )
            expected = data.ljust(50_016, b"\0")
            assert found == b"".join(expected[at : at + 8] for at in range(0, 50_008, 1000))
            memory.clear(4096 + 8, 50_000)
            assert window.read64(4096) == int.from_bytes(data[:8], "little")
            assert window.read64(4096 + 8) == window.read64(4096 + 49_992) == 0
            for offset, size in ((-1, 1), (memory.size, 1), (memory.size - 3, 4)):
                with pytest.raises(ValueError, match="bytes at"):
                    memory.write(offset, memoryview(bytes(size)))
        finally:
            function.close()
