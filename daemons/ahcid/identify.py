"""What IDENTIFY says about a device, checked before anyone relies on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from daemons.ahcid.regs import (
    AdditionalSupported,
    Capabilities,
    Dmadir,
    General,
    IdentifyDevice,
    SataCapabilities,
    SectorSize,
    Security,
    Supported,
    Trim,
)
from redbear_host.errors import DeviceError

SIZE: Final = IdentifyDevice.size
BLOCK_SIZES: Final = tuple(1 << shift for shift in range(9, 17))  # 512 bytes to 64 KiB
MOST_BYTES: Final = 1 << 63  # file offsets are signed
_VALID: Final = 1  # bits 15:14 of a word that may be believed
_CHECKED: Final = 0xA5  # the low byte of word 255 when the high one is a checksum


class Unusable(DeviceError):
    """A device this driver does not serve; the message says why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The facts every device states."""

    serial: str
    model: str
    firmware: str
    raw: bytes  # as it came, 512 bytes

    @property
    def who(self) -> tuple[str, str]:
        """What tells one device from another."""
        return self.model, self.serial


@dataclass(frozen=True, slots=True)
class AtaIdentity(Identity):
    """An ATA disk."""

    block_size: int
    blocks: int
    physical: int  # bytes of a physical sector
    lba48: bool
    depth: int  # queued commands it takes; 0 when it has no NCQ
    cache: bool  # it has a volatile write cache; a client's command may switch it on at any time
    flush: bool  # it takes FLUSH CACHE, or FLUSH CACHE EXT with `lba48`
    trim_blocks: int  # blocks of ranges one TRIM may bring; 0 when it has none
    trim_zeroes: bool  # it claims that trimmed blocks read as zero, always
    smart: bool
    logs: bool  # it takes READ LOG EXT


@dataclass(frozen=True, slots=True)
class PacketIdentity(Identity):
    """A packet device."""

    kind: int  # peripheral device type (SPC-4, 6.6.2); 5 is CD/DVD
    packet: int  # bytes of its commands
    dma: bool
    dmadir: bool  # PACKET has to say which way the DMA goes
    removable: bool


def text(raw: bytes, /) -> str:
    """Read an ATA string: two characters a word, the first one in its high byte (ACS-3, 3.4.9)."""
    pairs = bytearray(raw)
    pairs[0::2], pairs[1::2] = raw[1::2], raw[0::2]
    shown = bytes(pairs).rstrip(b"\0 ").decode("ascii", "replace")
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in shown).strip()


def _load(raw: bytes | memoryview) -> tuple[IdentifyDevice, bytes]:
    whole = bytes(raw)
    if len(whole) != SIZE:
        raise Unusable(f"IDENTIFY has {len(whole)} bytes, not {SIZE}")
    if whole[510] == _CHECKED and sum(whole) & 0xFF:
        raise Unusable("the checksum of its IDENTIFY is wrong")
    if not any(whole) or whole == b"\xff" * SIZE:
        raise Unusable("its IDENTIFY is empty")
    return IdentifyDevice.load(whole), whole


def _supported(raw: bytes) -> Supported:
    words = Supported.of(int.from_bytes(raw, "little"))
    return words if words.VALID_83 == _VALID else Supported()


def disk(raw: bytes | memoryview, /) -> AtaIdentity:
    """Read IDENTIFY DEVICE; `Unusable` for what is odd or not believable."""
    it, whole = _load(raw)
    if General.of(it.GENERAL).NOT_ATA:
        raise Unusable(f"word 0 of its IDENTIFY, {it.GENERAL:#06x}, is not that of an ATA device")
    capable = Capabilities.of(it.CAPABILITIES)
    if not capable.LBA or not capable.DMA:
        raise Unusable("it has no logical block addresses or no DMA")
    if Security.of(it.SECURITY).LOCKED:
        raise Unusable("it is locked by a password; unlock it with hdparm before")
    supported = _supported(it.SUPPORTED)
    additional = AdditionalSupported.of(it.ADDITIONAL)
    lba48 = supported.LBA48
    blocks = it.SECTORS_28
    if lba48:
        blocks = it.SECTORS_EXT if additional.EXTENDED_SECTORS else it.SECTORS_48
    blocks &= (1 << 48) - 1 if lba48 else (1 << 28) - 1
    block_size, physical = _sectors(it)
    if not blocks:
        raise Unusable("it claims to have no blocks")
    if blocks * block_size > MOST_BYTES:
        raise Unusable(f"it claims {blocks:#x} blocks, more than a file can have bytes")
    sata = SataCapabilities.of(it.SATA if it.SATA != 0xFFFF else 0)
    trim = Trim.of(it.TRIM).SUPPORTED and lba48
    return AtaIdentity(
        serial=text(it.SERIAL),
        model=text(it.MODEL),
        firmware=text(it.FIRMWARE),
        raw=whole,
        block_size=block_size,
        blocks=blocks,
        physical=physical,
        lba48=lba48,
        depth=(it.QUEUE_DEPTH & 0x1F) + 1 if sata.NCQ and lba48 else 0,
        cache=supported.WRITE_CACHE,
        flush=supported.FLUSH_EXT if lba48 else supported.FLUSH,
        trim_blocks=max(it.TRIM_BLOCKS, 1) if trim else 0,
        trim_zeroes=trim and additional.DETERMINISTIC and additional.ZEROED,
        smart=supported.SMART,
        logs=supported.GENERAL_LOGS and supported.VALID_84 == _VALID,
    )


def _sectors(it: IdentifyDevice) -> tuple[int, int]:
    """Return the bytes of a logical and of a physical sector."""
    sector = SectorSize.of(it.SECTOR)
    if sector.VALID != _VALID:
        return 512, 512
    logical = it.SECTOR_WORDS * 2 if sector.LONG else 512
    if logical not in BLOCK_SIZES:
        raise Unusable(f"it has blocks of {logical} bytes, which no driver here serves")
    return logical, logical << (sector.PHYSICAL if sector.SEVERAL else 0)


def packet_device(raw: bytes | memoryview, /) -> PacketIdentity:
    """Read IDENTIFY PACKET DEVICE; `Unusable` for what is odd or not believable."""
    it, whole = _load(raw)
    general = General.of(it.GENERAL)
    if it.GENERAL >> 14 != 0b10:
        raise Unusable(f"word 0 of its IDENTIFY, {it.GENERAL:#06x}, is not that of a packet device")
    if general.PACKET_SIZE > 1:
        raise Unusable(f"its packets have the reserved size {general.PACKET_SIZE}")
    dmadir = Dmadir.of(it.DMADIR)
    return PacketIdentity(
        serial=text(it.SERIAL),
        model=text(it.MODEL),
        firmware=text(it.FIRMWARE),
        raw=whole,
        kind=general.PACKET_TYPE,
        packet=16 if general.PACKET_SIZE else 12,
        # With DMADIR, word 49 says nothing about DMA (ATA8-ACS, 7.17.7.29).
        dma=Capabilities.of(it.CAPABILITIES).DMA or dmadir.REQUIRED,
        dmadir=dmadir.REQUIRED,
        removable=general.REMOVABLE,
    )
