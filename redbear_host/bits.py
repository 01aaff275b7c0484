"""The register language: words and records, declared once and checked by the type checker.

`Bits` is one machine word with named bit ranges, `Struct` a fixed-size little-endian record in
memory that a device can see, `Block` the registers of one window.  Declarations are turned into
slots and properties when their class is made, so nothing is looked up by name while a driver runs,
and a table with an overlap, an overrun or a name out of order does not import.

Touching the bus is always a verb (`read`, `write`, `edit`, `wait`), never an attribute: some
registers change by being read.
"""

from __future__ import annotations

import builtins
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from typing import (
    Any,
    ClassVar,
    Final,
    Generic,
    Protocol,
    Self,
    TypeVar,
    cast,
    dataclass_transform,
    runtime_checkable,
)

from redbear_host.errors import DeviceError, Stuck

__all__ = [
    "RC",
    "RO",
    "RW",
    "WO",
    "Bits",
    "Block",
    "Clock",
    "Mmio",
    "SpecEnum",
    "Struct",
    "at",
    "bits",
    "rc",
    "ro",
    "rw",
    "wo",
]

POLL_S: Final = 0.001  # how long `wait` pauses between two looks at a register


class Mmio(Protocol):
    """A window onto device registers; every call is one bus access of exactly that width.

    Offsets are in bytes from the start of the window and aligned to the width.  A device that has
    left reads as all ones, and writes to it are lost.
    """

    @property
    def size(self) -> int: ...
    def read8(self, offset: int, /) -> int: ...
    def read16(self, offset: int, /) -> int: ...
    def read32(self, offset: int, /) -> int: ...
    def read64(self, offset: int, /) -> int: ...
    def write8(self, offset: int, value: int, /) -> None: ...
    def write16(self, offset: int, value: int, /) -> None: ...
    def write32(self, offset: int, value: int, /) -> None: ...
    def write64(self, offset: int, value: int, /) -> None: ...


class Clock(Protocol):
    """Time as a driver sees it, in seconds, so that tests never sleep."""

    def now(self) -> float: ...
    def pause(self, seconds: float, /) -> None: ...


class SpecEnum(IntEnum):
    """Values a specification names; one it does not name becomes a member `RESERVED_0x…`.

    A device that answers with a value from a later revision must not kill its driver.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int) or value < 0:
            return None
        member = int.__new__(cls, value)
        member._name_ = f"RESERVED_{value:#x}"
        member._value_ = value
        # Kept, so that the same reserved value is the same object each time it is read.
        cls._value2member_map_[value] = member
        return member


class _Range:
    def __init__(self, hi: int, lo: int, w1c: bool) -> None:
        if not 0 <= lo <= hi:
            raise TypeError(f"bits {hi}:{lo}: give the higher bit first, both from 0 on")
        self.hi, self.lo, self.top, self.w1c = hi, lo, (1 << hi - lo + 1) - 1, w1c


class _Member:
    def __init__(self, offset: int, fmt: str) -> None:
        self.offset, self.fmt, self.end = offset, fmt, offset + struct.calcsize("<" + fmt)
        values = struct.unpack("<" + fmt, bytes(self.end - offset))
        if len(values) != 1:
            raise TypeError(f"format {fmt!r} holds {len(values)} values; a member is exactly one")
        self.blank = values[0]  # what the member reads as in a record of zeroes


# `bits` and `at` return Any so that `EN: bool = bits(0)` reads as a field with a default.  They are
# not PEP 681 field specifiers on purpose: one without `default=` would make its keyword mandatory.


def bits(hi: int, lo: int | None = None, /, *, w1c: bool = False) -> Any:
    """Bits `hi:lo`, both ends included, in the order a data sheet prints them.

    `w1c` marks bits that are cleared by writing one to them; `RW.edit` writes those as zero.
    """
    return _Range(hi, hi if lo is None else lo, w1c)


def at(offset: int, fmt: str, /) -> Any:
    """Place a record's member `offset` bytes in, in `struct` format `fmt`."""
    return _Member(offset, fmt)


def _refuse_heirs(name: str, bases: tuple[type, ...]) -> None:
    # An heir would get half of its parent's generated code; a layout is cheap to write again.
    for base in bases:
        if getattr(base, "fields", ()):
            raise TypeError(f"{name}: {base.__name__} is a finished table and has no subclasses")


def _function(owner: str, name: str, source: str, scope: dict[str, Any]) -> Any:
    exec(compile(source, f"<{owner}.{name}>", "exec"), scope)
    return scope[name]


# Closures, not generated code: a table has hundreds of these, and compiling them would be most of a
# driver's start.


def _getter(field: _Range, kind: Callable[[int], object]) -> Callable[[Any], object]:
    lo, top = field.lo, field.top
    if kind is int:
        return lambda s: s.raw >> lo & top
    return lambda s: kind(s.raw >> lo & top)


def _setter(field: _Range, name: str, word: int) -> Callable[[Any, int], None]:
    lo, top = field.lo, field.top
    keep = ~(top << lo) & word

    def put(s: Any, v: int) -> None:
        if not 0 <= v <= top:
            raise ValueError(f"{name} cannot hold {v:#x}")
        s.raw = s.raw & keep | v << lo

    return put


class _BitsMeta(type):
    def __new__(
        cls, name: str, bases: tuple[type, ...], ns: dict[str, Any], width: int = 32
    ) -> Any:
        _refuse_heirs(name, bases)
        if width not in (8, 16, 32, 64):
            raise TypeError(f"{name}: a register is 8, 16, 32 or 64 bits wide, not {width}")
        ranges = {n: r for n, r in ns.items() if isinstance(r, _Range)}
        used = 0
        for n, r in ranges.items():
            if r.hi >= width:
                raise TypeError(f"{name}.{n}: bits {r.hi}:{r.lo} do not fit in {width}")
            if used & r.top << r.lo:
                raise TypeError(f"{name}.{n}: bits {r.hi}:{r.lo} overlap another field")
            used |= r.top << r.lo
        scope = vars(builtins) | vars(sys.modules[ns["__module__"]])
        kinds = ns.get("__annotations__", {})
        for n, r in ranges.items():
            called = kinds.get(n, "")
            kind = scope.get(called)
            if not callable(kind):
                raise TypeError(f"{name}.{n}: its type {called!r} is not known in this module yet")
            ns[n] = property(_getter(r, kind), _setter(r, f"{name}.{n}", (1 << width) - 1))
        taken = "".join(f", {n}=0" for n in ranges)
        init = f"def __init__(s{', *' * bool(ranges)}{taken}):\n s.raw = 0"
        init += "".join(f"\n if {n}: s.{n} = {n}" for n in ranges)
        ns["__init__"] = _function(name, "__init__", init, scope)
        ns.setdefault("__slots__", ())
        keep = ~sum(r.top << r.lo for r in ranges.values() if r.w1c) & (1 << width) - 1
        return super().__new__(
            cls, name, bases, ns | {"width": width, "fields": tuple(ranges), "keep": keep}
        )


@dataclass_transform(kw_only_default=True)
class Bits(metaclass=_BitsMeta):
    """One register value, built from field names or (`of`) from the raw word."""

    __slots__ = ("raw",)
    raw: int
    width: ClassVar[int]
    fields: ClassVar[tuple[str, ...]]
    keep: ClassVar[int]  # mask of the bits that are not write-one-to-clear

    @classmethod
    def of(cls, raw: int, /) -> Self:
        """Take a word as the bus delivered it."""
        self = cls.__new__(cls)
        self.raw = raw
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bits) and type(other) is type(self) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash((type(self), self.raw))

    def __repr__(self) -> str:
        shown = " ".join(f"{n}={getattr(self, n)!r}" for n in self.fields)
        return f"<{type(self).__name__} {self.raw:#0{2 + self.width // 4}x} {shown}>"


B = TypeVar("B", bound=Bits)


class _Reg(Generic[B]):
    __slots__ = ("get", "kind", "offset", "put")

    def __init__(self, offset: int, kind: type[B], mmio: Mmio | None = None) -> None:
        self.offset: Final = offset
        self.kind: Final = kind
        if mmio is not None:
            self.get: Callable[[int], int] = getattr(mmio, f"read{kind.width}")
            self.put: Callable[[int, int], None] = getattr(mmio, f"write{kind.width}")

    def bind(self, mmio: Mmio, base: int) -> Self:
        return type(self)(base + self.offset, self.kind, mmio)


class RO(_Reg[B]):
    """A register software may only read."""

    __slots__ = ()

    def read(self) -> B:
        """Read the register once."""
        return self.kind.of(self.get(self.offset))

    def wait(self, ready: Callable[[B], bool], clock: Clock, within: float) -> B:
        """Poll until `ready` holds, for at most `within` seconds; return the value that did.

        Raises `Stuck`, which names the register and what it held.  The register is always read
        once more after the deadline, so a machine that was asleep does not report a false hang.
        """
        deadline = clock.now() + within
        while True:
            late = clock.now() >= deadline
            value = self.read()
            if ready(value):
                return value
            if late:
                raise Stuck(f"{value!r} after {within:g} s")
            clock.pause(POLL_S)


class RC(RO[B]):
    """A register that is cleared by being read: read it once and use the value."""

    __slots__ = ()


class WO(_Reg[B]):
    """A register software may only write."""

    __slots__ = ()

    def write(self, value: B, /) -> None:
        """Write the register once."""
        self.put(self.offset, value.raw)


class RW(RO[B], WO[B]):
    """A register that reads back what was written."""

    __slots__ = ()

    @contextmanager
    def edit(self) -> Iterator[B]:
        """Read once, let the caller change fields, write once; on an error write nothing.

        Bits marked `w1c` are written as zero unless the caller sets them.
        """
        value = self.read()
        value.raw &= value.keep
        yield value
        self.write(value)


def ro(offset: int, kind: type[B], /) -> RO[B]:
    """Declare a read-only register `offset` bytes into its block."""
    return RO(offset, kind)


def rc(offset: int, kind: type[B], /) -> RC[B]:
    """Declare a register that clears when it is read."""
    return RC(offset, kind)


def wo(offset: int, kind: type[B], /) -> WO[B]:
    """Declare a write-only register."""
    return WO(offset, kind)


def rw(offset: int, kind: type[B], /) -> RW[B]:
    """Declare a register that can be read and written."""
    return RW(offset, kind)


class Block:
    """The registers of one window, bound to an `Mmio` when a driver starts.

    A subclass lists its registers in ascending order.  Where a window holds several copies (ports,
    streams), each is a block of its own, bound at its own `base`.
    """

    end: ClassVar[int] = 0  # first byte after the last register
    align: ClassVar[int] = 1  # width of the widest register in bytes

    def __init_subclass__(cls) -> None:
        if cls.__base__ is not Block:
            raise TypeError(f"{cls.__name__}: a block of registers has no subclasses")
        end, align = 0, 1
        for name, reg in vars(cls).items():
            if not isinstance(reg, _Reg):
                continue
            size = cast("_Reg[Bits]", reg).kind.width // 8
            if reg.offset % size:
                raise TypeError(f"{cls.__name__}.{name}: offset {reg.offset:#x} is not aligned")
            # One register may have two readings (a 64-bit one also as halves) only in two blocks.
            if reg.offset < end:
                raise TypeError(f"{cls.__name__}.{name}: offset {reg.offset:#x} is below {end:#x}")
            end = reg.offset + size
            align = max(align, size)
        cls.end, cls.align = end, align

    def __init__(self, mmio: Mmio, base: int = 0) -> None:
        """Bind every register to `mmio`, which must hold the whole block from `base` on.

        `DeviceError` for a window that is too small: how large it is the device says.
        """
        name = type(self).__name__
        if base < 0 or base % self.align:
            raise ValueError(f"{name} at {base:#x} is not aligned to {self.align} bytes")
        if base + self.end > mmio.size:
            raise DeviceError(f"{name} needs {base + self.end:#x} bytes, not {mmio.size:#x}")
        self.mmio: Final = mmio
        for name, reg in vars(type(self)).items():
            if isinstance(reg, _Reg):
                setattr(self, name, cast("_Reg[Bits]", reg).bind(mmio, base))
        if isinstance(mmio, Watched):
            mmio.describe(self.registers(), base)

    @classmethod
    def registers(cls) -> dict[int, tuple[str, type[Bits]]]:
        """Return what lies at which byte of the block: `BLOCK.REGISTER`, and its layout."""
        return {
            reg.offset: (f"{cls.__name__}.{name}", cast("_Reg[Bits]", reg).kind)
            for name, reg in vars(cls).items()
            if isinstance(reg, _Reg)
        }


@runtime_checkable
class Watched(Protocol):
    """A window that shows each access to people, and therefore wants to know what lies where."""

    def describe(self, registers: Mapping[int, tuple[str, type[Bits]]], base: int, /) -> None:
        """Learn that these registers start `base` bytes into the window."""
        ...


class _StructMeta(type):
    def __new__(cls, name: str, bases: tuple[type, ...], ns: dict[str, Any], size: int = 0) -> Any:
        _refuse_heirs(name, bases)
        members = {n: m for n, m in ns.items() if isinstance(m, _Member)}
        fmt, end = "<", 0
        for n, m in members.items():
            if m.offset < end:
                raise TypeError(f"{name}.{n}: byte {m.offset} is inside the member before it")
            fmt, end = fmt + f"{m.offset - end}x" * (m.offset > end) + m.fmt, m.end
        if end > size:
            raise TypeError(f"{name}: members end at byte {end} of {size}")
        codec = struct.Struct(fmt + f"{size - end}x" * (size > end))
        if members:
            names = list(members)
            blank = [members[n].blank for n in names]
            scope = {"pack": codec.pack_into, "unpack": codec.unpack_from, "blank": blank}
            each = ", ".join(f"s.{n}" for n in names)
            given = ", ".join(f"{n}=blank[{i}]" for i, n in enumerate(names))
            init = f"def __init__(s, *, {given}):\n {each}, = {', '.join(names)},"
            ns["__init__"] = _function(name, "__init__", init, scope)
            ns["store"] = _function(
                name, "store", f"def store(s, buf, offset=0, /): pack(buf, offset, {each})", scope
            )
            load = "def load(cls, buf, offset=0, /):\n s = cls.__new__(cls)\n"
            load += f" {each}, = unpack(buf, offset)\n return s"
            ns["load"] = classmethod(_function(name, "load", load, scope))
            for n in names:
                del ns[n]
            ns["__slots__"] = tuple(names)
        return super().__new__(
            cls, name, bases, ns | {"size": size, "codec": codec, "fields": tuple(members)}
        )


@dataclass_transform(kw_only_default=True)
class Struct(metaclass=_StructMeta):
    """A fixed-size little-endian record; bytes that no member names are zero."""

    __slots__ = ()
    size: ClassVar[int]
    codec: ClassVar[struct.Struct]
    fields: ClassVar[tuple[str, ...]]

    def store(self, buf: bytearray | memoryview, offset: int = 0, /) -> None:
        """Write the record into `buf`, `offset` bytes in."""
        raise TypeError("a Struct without members has nothing to store")

    @classmethod
    def load(cls, buf: bytes | bytearray | memoryview, offset: int = 0, /) -> Self:
        """Read a record from `buf`, `offset` bytes in."""
        raise TypeError("a Struct without members has nothing to load")

    def __bytes__(self) -> bytes:
        buf = bytearray(self.size)
        self.store(buf)
        return bytes(buf)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bytes(cast("Self", other)) == bytes(self)

    def __hash__(self) -> int:
        return hash(bytes(self))

    def __repr__(self) -> str:
        shown = " ".join(f"{n}={getattr(self, n)!r}" for n in self.fields)
        return f"<{type(self).__name__} {shown}>"
