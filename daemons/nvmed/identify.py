"""What Identify says about a controller and its namespaces, checked before anyone relies on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from daemons.nvmed.regs import (
    CAP,
    CQE,
    PAGE,
    SQE,
    VS,
    AsyncConfig,
    CacheInfo,
    DeallocateFeatures,
    EntrySizes,
    FormattedSize,
    IdentifyController,
    IdentifyNamespace,
    LbaFormat,
    NamespaceAttributes,
    OptionalCommands,
)
from redbear_host.errors import DeviceError

SHUTDOWN_S: Final = 5.0  # how long a shutdown may take where RTD3E says nothing
SHUTDOWN_MOST_S: Final = 30.0  # RTD3E can name more than an hour
BLOCK_SHIFTS: Final = range(9, 17)  # 512 bytes to 64 KiB
MOST_BYTES: Final = 1 << 63  # file offsets are signed


class Unusable(DeviceError):
    """A namespace this driver does not serve; the message says why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The facts of Identify Controller that matter here."""

    vendor: int
    serial: str
    model: str
    firmware: str
    version: str
    max_transfer: int  # bytes; 0 when the controller sets no limit
    abort_limit: int  # Abort commands that may be outstanding
    error_entries: int
    events: AsyncConfig  # optional asynchronous events
    commands: OptionalCommands
    volatile_cache: bool
    shutdown_s: float
    namespace_count: int  # the largest namespace identifier
    warning_temperature: int  # kelvin; 0 when not reported
    critical_temperature: int


@dataclass(frozen=True, slots=True)
class Geometry:
    """The facts of Identify Namespace that matter here."""

    nsid: int
    shift: int  # log2 of the block size
    blocks: int
    writable: bool
    zeroes_deallocate: bool  # Write Zeroes may be asked to deallocate
    eui64: str  # hexadecimal; empty when not assigned
    nguid: str


def text(raw: bytes, /) -> str:
    """Read an ASCII field of Identify without its padding; what is not printable becomes `?`."""
    shown = raw.rstrip(b"\0 ").decode("ascii", "replace")
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in shown).strip()


def version(vs: VS, /) -> str:
    """`1.4` or, where there is a tertiary number, `1.2.1`."""
    return f"{vs.MJR}.{vs.MNR}" + f".{vs.TER}" * (vs.TER > 0)


def _identifier(raw: bytes) -> str:
    return raw.hex() if any(raw) else ""


def _takes(sizes: EntrySizes, size: int) -> bool:
    return sizes.MIN <= size.bit_length() - 1 <= sizes.MAX


def controller(raw: bytes | memoryview, cap: CAP, /) -> Identity:
    """Read Identify Controller; `DeviceError` for a controller that cannot be driven."""
    it = IdentifyController.load(raw)
    if not (_takes(EntrySizes.of(it.SQES), SQE.size) and _takes(EntrySizes.of(it.CQES), CQE.size)):
        raise DeviceError(
            f"the controller's queue entries are not {SQE.size} and {CQE.size} bytes: "
            f"SQES {it.SQES:#04x}, CQES {it.CQES:#04x}"
        )
    # Above 2**20 pages MDTS limits nothing that a command can express.
    limit = (PAGE << cap.MPSMIN) << it.MDTS if 0 < it.MDTS <= 20 else 0
    return Identity(
        vendor=it.VID,
        serial=text(it.SN),
        model=text(it.MN),
        firmware=text(it.FR),
        version=version(VS.of(it.VER)),
        max_transfer=limit,
        abort_limit=it.ACL + 1,
        error_entries=it.ELPE + 1,
        events=AsyncConfig.of(it.OAES),
        commands=OptionalCommands.of(it.ONCS),
        volatile_cache=CacheInfo.of(it.VWC).PRESENT,
        shutdown_s=min(it.RTD3E / 1e6, SHUTDOWN_MOST_S) or SHUTDOWN_S,
        namespace_count=it.NN,
        warning_temperature=it.WCTEMP,
        critical_temperature=it.CCTEMP,
    )


def namespace(nsid: int, raw: bytes | memoryview, /) -> Geometry:
    """Read Identify Namespace; `Unusable` for one that is inactive, odd or not believable."""
    it = IdentifyNamespace.load(raw)
    name = f"namespace {nsid}"
    if not it.NSZE:
        raise Unusable(f"{name} is inactive")
    flbas = FormattedSize.of(it.FLBAS)
    index = flbas.LOW + (flbas.HIGH * 16 if it.NLBAF > 16 else 0)
    if index > it.NLBAF:
        raise Unusable(f"{name} uses block format {index}, but its last one is {it.NLBAF}")
    lbaf = LbaFormat.load(it.LBAFS, index * LbaFormat.size)
    if lbaf.LBADS not in BLOCK_SHIFTS:
        raise Unusable(f"{name} has blocks of 2^{lbaf.LBADS} bytes, which no driver here serves")
    if lbaf.MS:
        raise Unusable(
            f"{name} carries {lbaf.MS} bytes of metadata with each block; "
            "format it without metadata to use it"
        )
    if it.NSZE << lbaf.LBADS > MOST_BYTES:
        raise Unusable(f"{name} claims {it.NSZE:#x} blocks, more than a file can have bytes")
    return Geometry(
        nsid=nsid,
        shift=lbaf.LBADS,
        blocks=it.NSZE,
        writable=not NamespaceAttributes.of(it.NSATTR).WRITE_PROTECTED,
        zeroes_deallocate=DeallocateFeatures.of(it.DLFEAT).WRITE_ZEROES_DEAC,
        eui64=_identifier(it.EUI64),
        nguid=_identifier(it.NGUID),
    )


def active_list(raw: bytes | memoryview, above: int, most: int, /) -> list[int]:
    """Read an active namespace list: ascending, above `above`, at most `most`, ended by zero."""
    nsids: list[int] = []
    for nsid in memoryview(raw).cast("B").cast("I"):
        if not nsid:
            break
        if not above < nsid <= most:
            raise DeviceError(f"the active namespace list names {nsid} after {above} (of {most})")
        nsids.append(nsid)
        above = nsid
    return nsids
