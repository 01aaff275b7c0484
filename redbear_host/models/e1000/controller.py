"""The modelled card: registers, rings, interrupts."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from redbear_host.hw.ports import InterruptKind, PciIds
from redbear_host.models.e1000 import registers as r
from redbear_host.models.e1000.faults import Fault, Misdeed
from redbear_host.models.function import Host, Slot

MAC: Final = bytes.fromhex("525242000001")
_DESCRIPTOR: Final = struct.Struct("<QHHBBH")
_BROADCAST: Final = b"\xff" * 6
_ALL: Final = 0xFFFF_FFFF


def memory_with(mac: bytes) -> list[int]:
    """Return an EEPROM's 64 words, that add up."""
    words = [*struct.unpack("<3H", mac), *range(60)]
    return [*words, (0xBABA - sum(words)) % (1 << 16)]


class E1000Model:
    """A card of the 82540's kind, or, with `express`, of the 82574's.

    What the driver sends is in `sent`; `receive` is the wire.  `violations` collects what it
    did against the manual.  `masks` lets causes that clear themselves be masked as well, as QEMU's
    82574 does.
    """

    window_size: int = r.WINDOW

    def __init__(
        self, *, express: bool = False, masks: bool = False, words: Sequence[int] | None = None
    ) -> None:
        self.express: Final = express
        self.vectors: Final = 3 if express else 0
        device = 0x10D3 if express else 0x100E
        self.ids: Final = PciIds(0x8086, device, 0x8086, device, 0x020000, 2)
        self.words: Final = list(memory_with(MAC) if words is None else words)
        self.violations: Final[list[str]] = []
        self.faults: Final[list[Fault]] = []
        self.sent: Final[list[bytes]] = []
        self.missed = 0  # frames there was no buffer for
        self.link = True
        self.resets = 0
        self._masks: Final = masks
        self._host: Host | None = None
        self._phy = {0: 0x1000, 1: 0x0024, 2: 0x0141, 3: 0x0CB1}
        self._regs: dict[int, int] = {}
        self.reset()

    def plug(self, host: Host, /) -> None:
        """Sit in a slot."""
        self._host = host

    @property
    def host(self) -> Host:
        """The slot this sits in."""
        if self._host is None:
            raise ValueError("the model is in no slot")
        return self._host

    @property
    def messages(self) -> bool:
        """Whether it interrupts by MSI-X."""
        return isinstance(self._host, Slot) and self._host.kind is InterruptKind.MSIX

    def reset(self) -> None:
        """Start over with the registers' defaults; the address comes from the EEPROM."""
        self._regs = {r.EECD: r.AUTO_RD}
        low, high = struct.unpack("<IH", struct.pack("<3H", *self.words[:3]))
        self._regs[r.RAL], self._regs[r.RAH] = low, high | 1 << 31
        self.hangs = False
        self._half = b""  # of a frame that is being sent
        self.resets += 1
        if self._host is not None:
            self._host.line(False)

    def __getitem__(self, register: int) -> int:
        return self._regs.get(register, 0)

    # -- registers ---------------------------------------------------------------------------------

    def read(self, offset: int, width: int, /) -> int:
        """Read a register: 32 bits, always."""
        if width != 4:
            self.violations.append(f"{offset:#x} is read with {width} bytes")
        value = self[offset]
        if offset == r.STATUS:
            value = r.SPEED_1000 | (r.LINK_UP if self.link and self[r.CTRL] & r.SLU else 0)
            if self.express and not self[r.CTRL] & r.MASTER_DISABLE:
                value |= r.MASTER_ENABLE
        elif offset == r.ICR and not self.messages:
            self._regs[r.ICR] = 0
            self._interrupt()
        elif offset in r.STATISTICS:
            self._regs[offset] = 0
        return value

    def write(self, offset: int, value: int, width: int, /) -> None:
        """Write a register: 32 bits, always."""
        if width != 4:
            self.violations.append(f"{offset:#x} is written with {width} bytes")
        if offset in (r.RDH, r.RDBAL, r.RDBAH, r.RDLEN) and self[r.RCTL] & r.EN:
            self.violations.append(f"{offset:#x} is written while the receiver is enabled")
        if offset in (r.TDH, r.TDBAL, r.TDBAH, r.TDLEN) and self[r.TCTL] & r.EN:
            self.violations.append(f"{offset:#x} is written while the transmitter is enabled")
        match offset:
            case r.CTRL if value & r.RST:
                self.reset()
            case r.EERD:
                self._regs[offset] = self._eerd(value)
            case r.MDIC:
                self._regs[offset] = self._mdic(value)
            case r.ICR:
                self._regs[r.ICR] = self[r.ICR] & ~value
            case r.ICS:
                self.cause(value)
            case r.IMS:
                self._regs[r.IMS] = self[r.IMS] | value
            case r.IMC:
                self._regs[r.IMS] = self[r.IMS] & ~value
            case r.STATUS:
                self.violations.append("STATUS is written")
            case _:
                self._regs[offset] = value
        if offset in (r.ICR, r.IMS, r.IMC):
            self._interrupt()
        if offset in (r.TDT, r.TCTL):
            self.transmit()

    def _eerd(self, value: int) -> int:
        if self.express:
            return self.words[value >> 2 & 0x3F] << 16 | 2
        return self.words[value >> 8 & 0x3F] << 16 | 0x10

    def _mdic(self, value: int) -> int:
        register = value >> 16 & 0x1F
        if value & r.MDIC_READ:
            return value & ~0xFFFF | self._phy.get(register, 0) | r.MDIC_READY
        self._phy[register] = value & 0xFFFF
        return value | r.MDIC_READY

    # -- interrupts --------------------------------------------------------------------------------

    def cause(self, bits: int) -> None:
        """Let causes be set."""
        self._regs[r.ICR] = self[r.ICR] | bits
        self._interrupt()

    def _interrupt(self) -> None:
        if self._host is None:
            return
        if not self.messages:
            self._host.line(bool(self[r.ICR] & self[r.IMS]))
            return
        pending = self[r.ICR] & self[r.IMS]
        for bit, shift in ((r.RXQ0, 0), (r.TXQ0, 8), (r.OTHER, 16)):
            entry = self[r.IVAR] >> shift
            if pending & bit and entry & 8:
                self._host.message(entry & 7)
                if self[r.EIAC] & bit:
                    self._regs[r.ICR] &= ~bit
                    if self._masks:
                        self._regs[r.IMS] &= ~bit

    def set_link(self, up: bool) -> None:
        """Plug the cable in, or pull it."""
        self.link = up
        self.cause(r.LSC | r.OTHER)

    # -- sending -----------------------------------------------------------------------------------

    def transmit(self) -> None:
        """Send what lies between head and tail."""
        size = self[r.TDLEN] // 16
        while self[r.TCTL] & r.EN and size and self[r.TDH] != self[r.TDT]:
            if self.hangs or self._fault(Misdeed.HANG):
                self.hangs = True
                return
            where = self[r.TDBAH] << 32 | self[r.TDBAL] + 16 * self[r.TDH]
            memory = self.host.memory(where, 16, "fetching a transmit descriptor")
            if memory is None:
                return
            address, length, offset, _, _, special = _DESCRIPTOR.unpack(memory)
            command = offset >> 8
            data = self.host.memory(address, length, "fetching a frame") if length else b""
            if data is None:
                return
            self._half += bytes(data)
            if command & 1 and self._half:
                self._out(special if command & r.VLE and self[r.CTRL] & r.VME else 0)
            self._regs[r.TDH] = (self[r.TDH] + 1) % size
            if command & r.RS and not self._fault(Misdeed.NO_REPORT):
                memory[12] |= r.DD
                self.cause(r.TXDW | r.TXQ0)

    def _out(self, tag: int) -> None:
        frame, self._half = self._half, b""
        if tag:
            frame = frame[:12] + struct.pack(">HH", 0x8100, tag) + frame[12:]
        self.sent.append(frame)
        self._regs[r.GPTC] = self[r.GPTC] + 1

    # -- receiving ---------------------------------------------------------------------------------

    def receive(self, frame: bytes) -> bool:
        """Take a frame off the wire; False when it is dropped."""
        rctl = self[r.RCTL]
        long = len(frame) > r.LONG and not rctl & r.LPE
        if not rctl & r.EN or long or not self._is_ours(frame[:6], rctl):
            return False
        special, status = 0, 0
        if self[r.CTRL] & r.VME and frame[12:14] == b"\x81\x00":
            (special,) = struct.unpack(">H", frame[14:16])
            vlan = special & 0xFFF
            if rctl & r.VFE and not self[r.VFTA + vlan // 32 * 4] >> vlan % 32 & 1:
                return False
            frame, status = frame[:12] + frame[16:], r.VP
        frame = frame.ljust(60, b"\0")
        pieces = [frame[at : at + r.BUFFER] for at in range(0, len(frame), r.BUFFER)]
        size = self[r.RDLEN] // 16
        if not size or (self[r.RDT] - self[r.RDH]) % size < len(pieces):
            self.missed += 1
            self.cause(r.RXO | r.OTHER)
            return False
        for number, piece in enumerate(pieces, 1):
            last = number == len(pieces)
            self._in(piece, status | (r.EOP if last else 0), special)
        self._regs[r.GPRC] = self[r.GPRC] + 1
        if self._fault(Misdeed.VANISH) and isinstance(self._host, Slot):
            self._host.pull()
        elif not self._fault(Misdeed.LOSE_INTERRUPT):
            self.cause(r.RXT0 | r.RXQ0)
        return True

    def _is_ours(self, to: bytes, rctl: int) -> bool:
        if to == _BROADCAST:
            return bool(rctl & r.BAM)
        if to[0] & 1:
            return bool(rctl & r.MPE)
        own = struct.pack("<IH", self[r.RAL], self[r.RAH] & 0xFFFF)
        return bool(rctl & r.UPE) or to == own

    def _in(self, piece: bytes, status: int, special: int) -> None:
        """Fill one buffer."""
        size = self[r.RDLEN] // 16
        if self._fault(Misdeed.SKIP):
            self._regs[r.RDH] = (self[r.RDH] + 1) % size
        where = self[r.RDBAH] << 32 | self[r.RDBAL] + 16 * self[r.RDH]
        self._regs[r.RDH] = (self[r.RDH] + 1) % size
        memory = self.host.memory(where, 16, "fetching a receive descriptor")
        if memory is None:
            return
        (address,) = struct.unpack_from("<Q", memory)
        if memory[12]:
            self.violations.append("a receive descriptor was given back as it was")
        data = self.host.memory(address, r.BUFFER, "filling a receive buffer")
        if data is not None:
            data[: len(piece)] = piece
        length, errors, status = len(piece), 0, status | r.DD
        if fault := self._fault(Misdeed.LENGTH):
            length = fault.value
        if fault := self._fault(Misdeed.ERRORS):
            errors = fault.value
        if self._fault(Misdeed.NO_END):
            status &= ~r.EOP
        if fault := self._fault(Misdeed.STATUS):
            status = fault.value
        _DESCRIPTOR.pack_into(memory, 0, address, length, 0, status, errors, special)

    def _fault(self, misdeed: Misdeed) -> Fault | None:
        for fault in self.faults:
            if fault.misdeed is misdeed and fault.times:
                fault.times -= 1
                return fault
        return None
