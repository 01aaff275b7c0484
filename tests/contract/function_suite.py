"""The contract of `PciFunction`: what every landing promises, seen through the port alone.

A test module inherits the suites and offers a fixture `rig` (rig.py) whose device is an NVMe
controller; see conftest.py for those of the host.
"""

from __future__ import annotations

import select
import struct
from collections.abc import Iterator
from contextlib import closing

import pytest
from nvme_probe import ACQ, ASQ, CAP, CC, CSTS, FLUSH, VS, WITHIN, rang, start, start_with
from rig import Rig

from redbear_host.errors import DeviceError
from redbear_host.hw.pci import header
from redbear_host.hw.pci.capability import CapabilityId, capabilities, extended_capabilities
from redbear_host.hw.ports import InterruptKind, PciFunction

NOT_RUNG = 0.05  # seconds in which an interrupt that must not come does not
KINDS = list(InterruptKind)


class FunctionSuite:
    """A function that stays."""

    @pytest.fixture
    def function(self, rig: Rig) -> Iterator[PciFunction]:
        with closing(rig.open()) as function:
            yield function

    # -- configuration space

    def test_the_identity_is_that_of_configuration_space(self, function: PciFunction) -> None:
        assert function.ids.class_code == 0x010802
        assert function.ids == header.read_ids(function.config)
        assert function.ids.vendor not in (0, 0xFFFF)

    def test_configuration_reads_of_all_widths_agree(self, function: PciFunction) -> None:
        config = function.config
        for offset in range(0, 64, 4):
            word = config.read32(offset)
            assert [config.read8(offset + i) for i in range(4)] == list(struct.pack("<I", word))
            assert config.read16(offset) | config.read16(offset + 2) << 16 == word

    def test_configuration_space_ends_where_it_says(self, function: PciFunction) -> None:
        config = function.config
        assert config.size in (256, 4096)
        config.read32(config.size - 4)
        for offset in (config.size, -4, 2):
            with pytest.raises(ValueError, match=r"0x|-"):
                config.read32(offset)

    def test_bus_mastering_is_a_bit_of_the_command_register(self, function: PciFunction) -> None:
        for on in (True, False, True):
            function.set_bus_master(on)
            assert bool(function.config.read16(header.COMMAND) & 4) is on

    def test_nothing_is_on_when_a_function_is_opened(self, function: PciFunction) -> None:
        command = header.Command.of(function.config.read16(header.COMMAND))
        assert command.MEMORY_SPACE
        assert not command.BUS_MASTER

    def test_a_driver_cannot_move_its_windows(self, function: PciFunction) -> None:
        version = function.bar(0).read32(VS)
        before = function.config.read32(header.BASE_ADDRESS)
        function.config.write32(header.BASE_ADDRESS, 0x1234_0000)
        assert function.bar(0).read32(VS) == version
        function.config.write32(header.BASE_ADDRESS, before)

    def test_the_capability_lists_hold_what_the_function_offers(
        self, function: PciFunction
    ) -> None:
        found = {capability.id for capability in capabilities(function.config)}
        assert (CapabilityId.MSIX in found) == bool(function.interrupts.msix)
        assert (CapabilityId.MSI in found) == bool(function.interrupts.msi)
        for capability in extended_capabilities(function.config):
            assert capability.offset >= 0x100

    # -- windows

    def test_a_64_bit_register_reads_as_its_halves(self, function: PciFunction) -> None:
        bar = function.bar(0)
        low, high = bar.read32(CAP), bar.read32(CAP + 4)
        assert bar.read64(CAP) == high << 32 | low
        assert bar.read64(CAP) != 0

    def test_writes_have_the_width_of_the_register(self, function: PciFunction) -> None:
        bar = function.bar(0)
        bar.write64(ASQ, 0x1122_3344_5566_7000)
        bar.write64(ACQ, 0x0011_2233_4455_6000)
        assert bar.read64(ASQ) == 0x1122_3344_5566_7000
        bar.write32(ASQ + 4, 0xABCD)
        assert bar.read64(ASQ) == 0x0000_ABCD_5566_7000
        assert bar.read64(ACQ) == 0x0011_2233_4455_6000

    def test_a_window_refuses_what_is_no_register(self, function: PciFunction) -> None:
        bar = function.bar(0)
        for bad in (bar.size, -4, 2):
            with pytest.raises(ValueError, match=r"0x|-"):
                bar.read32(bad)
            with pytest.raises(ValueError, match=r"0x|-"):
                bar.write32(bad, 0)
        with pytest.raises(ValueError, match=r"0x|-"):
            bar.read64(4)
        with pytest.raises(ValueError, match=r"."):
            bar.write32(ASQ, 1 << 32)

    @pytest.mark.parametrize("index", [-1, 1, 5, 6])
    def test_a_base_address_the_function_lacks_is_an_error(
        self, function: PciFunction, index: int
    ) -> None:
        with pytest.raises(DeviceError, match=str(index)):
            function.bar(index)

    # -- DMA

    def test_dma_memory_is_zeroed_aligned_and_within_its_limit(self, function: PciFunction) -> None:
        first = function.dma.alloc(100, align=64)
        first.view[:] = b"\xff" * 100
        iova = first.iova
        first.free()
        again = function.dma.alloc(100, align=64, limit=1 << 32)
        assert again.iova == iova
        assert bytes(again.view) == bytes(100)
        assert again.iova % 64 == 0
        assert again.iova + again.size <= 1 << 32
        with pytest.raises(MemoryError):
            function.dma.alloc(1 << 40)

    def test_freed_dma_memory_cannot_be_used_or_freed_again(self, function: PciFunction) -> None:
        buffer = function.dma.alloc(4096)
        buffer.free()
        with pytest.raises(ValueError, match="freed"):
            _ = buffer.view
        with pytest.raises(ValueError, match="freed"):
            buffer.free()

    def test_the_device_reads_and_writes_dma_memory(self, function: PciFunction) -> None:
        controller = start(function)
        controller.identify()
        assert controller.admin.completed()
        assert controller.admin.take() == 0
        (version,) = struct.unpack_from("<I", controller.answer.view, 80)
        assert version == function.bar(0).read32(VS)
        assert bytes(controller.answer.view[4:24]).strip(b" \0")  # the serial number

    def test_without_bus_mastering_the_device_touches_no_memory(
        self, function: PciFunction
    ) -> None:
        controller = start(function)
        function.set_bus_master(False)
        controller.identify()
        assert not controller.admin.completed(within=NOT_RUNG)
        assert bytes(controller.answer.view) == bytes(4096)

    # -- interrupts

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_completion_rings_the_eventfd(
        self, function: PciFunction, kind: InterruptKind
    ) -> None:
        if getattr(function.interrupts, kind) == 0:
            with pytest.raises(DeviceError, match=kind):
                function.enable_interrupts(kind)
            return
        controller, (fd,) = start_with(function, kind)
        for _ in range(3):
            controller.identify()
            assert rang(fd)
            assert controller.admin.completed()
            assert controller.admin.take() == 0
            if kind is InterruptKind.INTX:
                function.unmask_intx()
        assert not rang(fd, NOT_RUNG)

    def test_each_vector_has_its_own_eventfd(self, function: PciFunction) -> None:
        controller, fds = start_with(function, InterruptKind.MSIX, 3)
        assert len(set(fds)) == 3
        queue = controller.queue_pair(1, vector=2)
        assert rang(fds[0])
        while rang(fds[0], 10 * NOT_RUNG):
            pass  # two commands made the pair; the interrupt of the second may come late
        queue.submit(FLUSH, 1, 0)
        assert rang(fds[2])
        assert queue.completed()
        assert queue.take() == 0
        assert not rang(fds[0], 0)
        assert not rang(fds[1], 0)

    def test_intx_stays_masked_until_it_is_unmasked(self, function: PciFunction) -> None:
        controller, (fd,) = start_with(function, InterruptKind.INTX)
        controller.identify()
        assert rang(fd)
        controller.identify()
        assert not rang(fd, NOT_RUNG)  # masked: the line is still up and may not ring again

        function.unmask_intx()
        assert rang(fd)  # at once, as the device still holds the line
        for _ in range(2):
            assert controller.admin.completed()
            assert controller.admin.take() == 0
        function.unmask_intx()
        assert not rang(fd, NOT_RUNG)  # the line is down

        controller.identify()
        assert rang(fd)

    def test_disabled_interrupts_do_not_ring(self, function: PciFunction) -> None:
        for kind in (InterruptKind.MSIX, InterruptKind.INTX):
            controller, _ = start_with(function, kind)
            function.disable_interrupts()
            controller.identify()
            assert controller.admin.completed()
            assert controller.admin.take() == 0
            (fd,) = function.enable_interrupts(kind)
            assert not rang(fd, NOT_RUNG)

    def test_enabling_replaces_what_was_enabled(self, function: PciFunction) -> None:
        for kind in (InterruptKind.INTX, InterruptKind.MSIX, InterruptKind.INTX):
            controller, (fd,) = start_with(function, kind)
            controller.identify()
            assert rang(fd)
            assert controller.admin.completed()
            assert controller.admin.take() == 0

    def test_more_vectors_than_there_are_cannot_be_enabled(self, function: PciFunction) -> None:
        offered = function.interrupts
        assert offered.intx <= 1
        for kind in KINDS:
            with pytest.raises(DeviceError, match=kind):
                function.enable_interrupts(kind, getattr(offered, kind) + 1)
        with pytest.raises(ValueError, match="0"):
            function.enable_interrupts(InterruptKind.MSIX, 0)

    def test_only_intx_can_be_unmasked(self, function: PciFunction) -> None:
        function.enable_interrupts(InterruptKind.MSIX)
        with pytest.raises(ValueError, match="INTx"):
            function.unmask_intx()

    # -- the life of a function

    def test_reset_stops_the_controller_and_it_can_be_started_again(
        self, function: PciFunction
    ) -> None:
        controller, _ = start_with(function, InterruptKind.MSIX, 2)
        controller.identify()
        function.reset()
        assert function.bar(0).read32(CC) & 1 == 0
        assert function.bar(0).read32(CSTS) & 1 == 0
        self.test_nothing_is_on_when_a_function_is_opened(function)
        self.test_the_device_reads_and_writes_dma_memory(function)
        self.test_a_completion_rings_the_eventfd(function, InterruptKind.MSIX)

    def test_a_function_that_is_there_is_not_gone(self, function: PciFunction) -> None:
        assert not function.gone
        assert not rang_without_reading(function.gone_fd, 0)

    def test_a_closed_function_cannot_be_used(self, rig: Rig) -> None:
        function = rig.open()
        start_with(function, InterruptKind.MSIX)
        bar = function.bar(0)
        function.close()
        function.close()
        with pytest.raises(ValueError, match=r"."):
            bar.read32(VS)

    def test_a_function_can_be_opened_again_after_it_was_closed(self, rig: Rig) -> None:
        for _ in range(3):
            with closing(rig.open()) as function:
                self.test_the_device_reads_and_writes_dma_memory(function)

    def test_a_successor_takes_over_from_a_killed_daemon(self, rig: Rig) -> None:
        for _ in range(2):
            rig.crash()
            with closing(rig.open()) as function:
                self.test_nothing_is_on_when_a_function_is_opened(function)
                self.test_a_completion_rings_the_eventfd(function, InterruptKind.MSIX)
                # No more of INTx than that it comes: QEMU's model never lowers the line again
                # once it was reset with a completion that nobody had taken.
                controller, (fd,) = start_with(function, InterruptKind.INTX)
                controller.identify()
                assert rang(fd)


class GoneSuite:
    """A function that is pulled out while it is in use."""

    def test_a_pulled_function_reads_as_all_ones_and_says_so(self, rig: Rig) -> None:
        with closing(rig.open()) as function:
            controller, _ = start_with(function, InterruptKind.MSIX)
            rig.pull()
            assert rang_without_reading(function.gone_fd, WITHIN)
            bar = function.bar(0)
            assert function.gone
            assert bar.read8(VS) == 0xFF
            assert bar.read16(VS) == 0xFFFF
            assert bar.read32(VS) == 0xFFFF_FFFF
            assert bar.read64(CAP) == 0xFFFF_FFFF_FFFF_FFFF
            assert function.config.read16(header.VENDOR_ID) == 0xFFFF
            bar.write32(CC, 0)
            controller.identify()
            function.set_bus_master(False)
            function.disable_interrupts()
            assert function.gone

    def test_a_driver_that_polls_sees_it_leave_without_the_descriptor(self, rig: Rig) -> None:
        with closing(rig.open()) as function:
            start(function)
            rig.pull()
            assert function.bar(0).read32(VS) == 0xFFFF_FFFF
            assert function.gone
            assert rang_without_reading(function.gone_fd, WITHIN)

    def test_a_pulled_function_cannot_be_reset(self, rig: Rig) -> None:
        with closing(rig.open()) as function:
            rig.pull()
            with pytest.raises(DeviceError):
                function.reset()


def rang_without_reading(fd: int, within: float) -> bool:
    """Wait for a descriptor to become readable."""
    return bool(select.select([fd], [], [], within)[0])
