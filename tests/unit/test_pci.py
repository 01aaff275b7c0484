from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redbear_host.bdf import Bdf
from redbear_host.errors import ConfigError, DeviceError, Gone
from redbear_host.hw.pci.bar import Bar, BarKind, decode_bars, probe_bars
from redbear_host.hw.pci.capability import (
    Capability,
    CapabilityId,
    DeviceCapabilities,
    Msi64,
    MsiControl,
    Msix,
    MsixControl,
    MsixLocation,
    capabilities,
    extended_capabilities,
    find_capability,
)
from redbear_host.hw.pci.header import (
    Command,
    ConfigWindow,
    Header,
    display_name,
    parse_address,
    read_ids,
)
from redbear_host.hw.ports import PciIds


class Space:
    """Configuration space in memory; `masks` says which bits of a base address can be written."""

    def __init__(self, content: bytes | bytearray, masks: dict[int, int] | None = None) -> None:
        self.bytes = bytearray(content)
        self.size = len(content)
        self.masks = masks or {}
        self.written: list[int] = []

    def read8(self, offset: int, /) -> int:
        return self.bytes[offset]

    def read16(self, offset: int, /) -> int:
        return int.from_bytes(self.bytes[offset : offset + 2], "little")

    def read32(self, offset: int, /) -> int:
        return int.from_bytes(self.bytes[offset : offset + 4], "little")

    def write8(self, offset: int, value: int, /) -> None:
        self.bytes[offset] = value

    def write16(self, offset: int, value: int, /) -> None:
        self.written.append(offset)
        struct.pack_into("<H", self.bytes, offset, value)

    def write32(self, offset: int, value: int, /) -> None:
        self.written.append(offset)
        mask = self.masks.get(offset, 0xFFFF_FFFF)
        struct.pack_into("<I", self.bytes, offset, self.read32(offset) & ~mask | value & mask)


def space(size: int = 256, **words: int) -> Space:
    """Make a space with 32-bit words at offsets given as `x34=…`, and a capability list."""
    content = bytearray(size)
    struct.pack_into("<H", content, 6, 0x10)
    for name, word in words.items():
        struct.pack_into("<I", content, int(name[1:], 16), word)
    return Space(content)


def test_identity_is_read_from_the_header() -> None:
    config = space(x0=0x0010_1B36, x8=0x0108_0202, x2c=0x1100_1AF4)
    assert read_ids(config) == PciIds(0x1B36, 0x0010, 0x1AF4, 0x1100, 0x010802, 2)


def test_a_bridge_has_no_subsystem_identity() -> None:
    config = space(x0=0x000C_1B36, x8=0x0604_0000, xc=0x0001_0000, x2c=0xFFFF_FFFF)
    assert read_ids(config)[2:4] == (0, 0)


def test_nobody_home_is_gone() -> None:
    with pytest.raises(Gone):
        read_ids(Space(b"\xff" * 256))


def test_the_command_register_has_the_bits_of_the_specification() -> None:
    assert Command(IO_SPACE=True).raw == 1
    assert Command(MEMORY_SPACE=True).raw == 2
    assert Command(BUS_MASTER=True).raw == 4
    assert Command(INTERRUPT_DISABLE=True).raw == 0x400


def test_editing_status_clears_no_error_bit_by_accident() -> None:
    config = space(x4=0xF910_0000)
    with Header(ConfigWindow(config)).STATUS.edit():
        pass
    assert config.read16(6) == 0x0010


def test_capabilities_are_listed_in_the_devices_order() -> None:
    config = space(x34=0x80, x80=0x0000_4011, x40=0x0000_6005, x60=0x0000_0001)
    assert capabilities(config) == [
        Capability(0x11, 0x80),
        Capability(0x05, 0x40),
        Capability(0x01, 0x60),
    ]
    assert find_capability(config, CapabilityId.MSI) == 0x40
    assert find_capability(config, CapabilityId.PCI_EXPRESS) is None


def test_the_same_capability_may_come_twice() -> None:
    config = space(x34=0x40, x40=0x0000_5009, x50=0x0000_0009)
    assert [capability.id for capability in capabilities(config)] == [9, 9]


def test_reserved_bits_of_a_capability_pointer_are_masked() -> None:
    config = space(x34=0x43, x40=0x0000_0301)
    assert capabilities(config) == [Capability(1, 0x40)]


def test_without_the_status_bit_there_is_no_list() -> None:
    config = space(x34=0x40, x40=0x0000_0001)
    config.bytes[6] = 0
    assert capabilities(config) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"x34": 0x40, "x40": 0x0000_4001}, "0x40 after 0x40"),
        ({"x34": 0x40, "x40": 0x0000_5001, "x50": 0x0000_4005}, "0x40 after 0x40, 0x50"),
        ({"x34": 0x3C}, "0x3c"),
        ({"x34": 0x40, "x40": 0x0000_1001}, "0x10 after 0x40"),
    ],
)
def test_a_broken_capability_list_is_an_error(words: dict[str, int], says: str) -> None:
    with pytest.raises(DeviceError, match=f"it goes to {says}$"):
        capabilities(space(**words))


def test_a_capability_list_of_all_ones_is_gone() -> None:
    with pytest.raises(Gone):
        capabilities(Space(b"\xff" * 256))


def test_extended_capabilities_have_versions() -> None:
    config = space(4096, x100=0x1402_0001, x140=0x0001_0003)
    assert extended_capabilities(config) == [
        Capability(0x0001, 0x100, 2),
        Capability(0x0003, 0x140, 1),
    ]


@pytest.mark.parametrize("first", [0, 0xFFFF_FFFF])
def test_a_function_may_have_no_extended_capabilities(first: int) -> None:
    assert extended_capabilities(space(4096, x100=first)) == []


def test_a_conventional_function_has_no_extended_capabilities() -> None:
    assert extended_capabilities(space(256)) == []


@pytest.mark.parametrize(
    "words",
    [
        {"x100": 0x1001_0001},
        {"x100": 0x1401_0001, "x140": 0x1001_0002},
        {"x100": 0x0401_0001},
    ],
)
def test_a_broken_extended_list_is_an_error(words: dict[str, int]) -> None:
    with pytest.raises(DeviceError, match="extended capability list is broken"):
        extended_capabilities(space(4096, **words))


@settings(deadline=None)  # the machine may be busy
@given(st.binary(min_size=256, max_size=256), st.binary(min_size=256, max_size=256))
def test_any_bytes_at_all_end_the_walks(low: bytes, high: bytes) -> None:
    config = Space(low + high * 15)
    for walk in (capabilities, extended_capabilities):
        try:
            found = walk(config)
        except DeviceError:
            continue
        assert len({capability.offset for capability in found}) == len(found)
        assert all(0x40 <= capability.offset < 4096 for capability in found)


def test_an_msi_capability_reads_by_its_layout() -> None:
    config = space(x40=0x0186_0005, x44=0xFEE0_0000, x48=0x1, x4c=0x4021)
    msi = Msi64(ConfigWindow(config), 0x40)
    assert msi.CONTROL.read() == MsiControl(
        MULTIPLE_MESSAGE_CAPABLE=3, ADDRESS_64=True, PER_VECTOR_MASKING=True
    )
    assert msi.ADDRESS.read().ADDRESS == 0xFEE0_0000
    assert msi.UPPER_ADDRESS.read().ADDRESS == 1
    assert msi.DATA.read().DATA == 0x4021


def test_an_msix_capability_reads_by_its_layout() -> None:
    config = space(x40=0x8040_0011, x44=0x0000_2003, x48=0x0000_3004)
    msix = Msix(ConfigWindow(config), 0x40)
    assert msix.CONTROL.read() == MsixControl(TABLE_SIZE=64, MSIX_ENABLE=True)
    assert msix.TABLE.read() == MsixLocation(BIR=3, OFFSET=0x2000 >> 3)
    assert msix.PENDING.read() == MsixLocation(BIR=4, OFFSET=0x3000 >> 3)


def test_function_level_reset_is_bit_28() -> None:
    assert DeviceCapabilities(FUNCTION_LEVEL_RESET=True).raw == 1 << 28


def test_configuration_space_does_64_bits_in_halves() -> None:
    config = space(x40=0x5566_7788, x44=0x1122_3344)
    window = ConfigWindow(config)
    assert window.read64(0x40) == 0x1122_3344_5566_7788
    window.write64(0x48, 0xAABB_CCDD_EEFF_0011)
    assert (config.read32(0x48), config.read32(0x4C)) == (0xEEFF_0011, 0xAABB_CCDD)


def test_base_addresses_decode_by_kind_and_width() -> None:
    values = [0xFE00_0004, 0x1, 0xE000_0008, 0x0000_C001, 0, 0]
    masks = [0xFFFF_C004, 0xFFFF_FFFF, 0xFF00_0008, 0xFFFF_FFC1, 0, 0]
    assert decode_bars(values, masks) == [
        Bar(0, BarKind.MEM, 0x1_FE00_0000, 0x4000, True, False),
        Bar(2, BarKind.MEM, 0xE000_0000, 0x100_0000, False, True),
        Bar(3, BarKind.IO, 0xC000, 0x40, False, False),
    ]


def test_an_io_base_address_may_leave_out_its_upper_half() -> None:
    assert decode_bars([0x6001], [0xFF01]) == [Bar(0, BarKind.IO, 0x6000, 0x100, False, False)]


@settings(deadline=None)  # the machine may be busy
@given(st.integers(4, 40))
def test_the_size_of_a_64_bit_window_is_the_lowest_bit_of_its_mask(shift: int) -> None:
    mask = -(1 << shift) & (1 << 64) - 1
    (bar,) = decode_bars([4, 0], [mask & 0xFFFF_FFFF | 4, mask >> 32])
    assert bar.size == 1 << shift


@pytest.mark.parametrize(
    ("masks", "says"),
    [
        ([0xFFFF_F002], "reserved type 1"),
        ([0xFFFF_F006], "reserved type 3"),
        ([0xFFFF_F004], "no upper half"),
        ([0xF0FF_0000], "all ones with mask"),
        ([0x0000_0008], "all ones with mask"),
    ],
)
def test_a_base_address_no_specification_allows_is_an_error(masks: list[int], says: str) -> None:
    with pytest.raises(DeviceError, match=says):
        decode_bars([0] * len(masks), masks)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(0, 0xFFFF_FFFF), min_size=6, max_size=6))
def test_any_masks_decode_or_are_refused(masks: list[int]) -> None:
    try:
        bars = decode_bars([0] * 6, masks)
    except DeviceError:
        return
    assert all(bar.size & bar.size - 1 == 0 for bar in bars)


def test_probing_leaves_base_addresses_and_command_as_they_were() -> None:
    config = space(x4=0x0010_0407, x10=0xFE00_0004, x18=0xC001)
    config.masks = {0x10: 0xFFFF_C000, 0x14: 0xFFFF_FFFF, 0x18: 0xFFFF_FFC0}
    config.masks |= dict.fromkeys((0x1C, 0x20, 0x24), 0)  # not there
    before = bytes(config.bytes)
    assert [(bar.number, bar.kind, bar.size) for bar in probe_bars(config)] == [
        (0, BarKind.MEM, 0x4000),
        (2, BarKind.IO, 0x40),
    ]
    assert config.bytes == before
    assert config.written[0] == config.written[-1] == 4  # nothing is decoded in between


@pytest.mark.parametrize("text", ["0001:04:1f.7", "0001-04-1f.7", "0001--04--1f.7"])
def test_an_address_reads_in_each_of_its_forms(text: str) -> None:
    assert parse_address(text) == Bdf(1, 4, 0x1F, 7)


@pytest.mark.parametrize(
    "text", ["", "0000:00-04.0", "0000--00-04.0", "0000---00--04.0", "0000-00-04", "x-y-z.0"]
)
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a PCI address") as caught:
        parse_address(text)
    assert repr(text) in str(caught.value)


def test_drivers_call_a_function_by_its_address() -> None:
    assert display_name(Bdf.parse("0000:00:04.0")) == "pci-0000-00-04.0"
