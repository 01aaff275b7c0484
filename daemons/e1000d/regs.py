"""Registers, descriptors and non-volatile memory of Intel's gigabit Ethernet controllers.

Ref: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, 317453-006
("SDM": 82540, 82545 and their like); sections in parentheses.
Ref: Intel 82574 GbE Controller Family Datasheet, revision 3.4 ("82574"), for what it has besides.
Ref: IEEE Std 802.3-2018, clause 22.2.4 (PHY registers) and 802.1Q-2018 (tags).
"""

from __future__ import annotations

from redbear_host.bits import Bits, Block, SpecEnum, Struct, at, bits, rc, ro, rw, wo

GONE = 0xFFFF_FFFF                # what any register of a card that has left reads as

# -- general (13.4.1 to 13.4.16) -------------------------------------------------------------------


class CTRL(Bits):
    """Device Control (13.4.1)."""

    FD: bool = bits(0)            # Full-Duplex
    GIO_MASTER_DISABLE: bool = bits(2)  # 82574 only: start no more requests on the bus
    LRST: bool = bits(3)          # Link Reset; reserved where the PHY is internal
    ASDE: bool = bits(5)          # Auto-Speed Detection Enable
    SLU: bool = bits(6)           # Set Link Up: let the PHY talk to the MAC
    ILOS: bool = bits(7)          # Invert Loss-of-Signal
    SPEED: int = bits(9, 8)
    FRCSPD: bool = bits(11)       # Force Speed
    FRCDPLX: bool = bits(12)      # Force Duplex
    RST: bool = bits(26)          # Device Reset; clears itself
    RFCE: bool = bits(27)         # Receive Flow Control Enable
    TFCE: bool = bits(28)         # Transmit Flow Control Enable
    VME: bool = bits(30)          # VLAN Mode Enable: tags are taken off, and put in
    PHY_RST: bool = bits(31)


class Speed(SpecEnum):
    """STATUS.SPEED (13.4.2)."""

    MBPS_10 = 0
    MBPS_100 = 1
    MBPS_1000 = 2
    MBPS_1000_TOO = 3


class STATUS(Bits):
    """Device Status (13.4.2)."""

    FD: bool = bits(0)            # Link Full Duplex
    LU: bool = bits(1)            # Link Up
    FUNCTION_ID: int = bits(3, 2)
    TXOFF: bool = bits(4)         # a partner's PAUSE holds transmission
    SPEED: Speed = bits(7, 6)
    GIO_MASTER_ENABLE: bool = bits(19)  # 82574 only: requests may still be outstanding


class EECD(Bits):
    """EEPROM/Flash Control and Data (13.4.3)."""

    EE_PRES: bool = bits(8)       # EEPROM Present
    AUTO_RD: bool = bits(9)       # 82574 only: what is loaded after a reset is loaded


class EERD(Bits):
    """EEPROM Read (13.4.4), of 82540, 82544, 82545 and 82546."""

    START: bool = bits(0)
    DONE: bool = bits(4)
    ADDR: int = bits(15, 8)       # in words
    DATA: int = bits(31, 16)


class EerdWide(Bits):
    """EEPROM Read, as 82541, 82547, 82573 and 82574 have it (13.4.4; 82574 10.2.2.3)."""

    START: bool = bits(0)
    DONE: bool = bits(1)
    ADDR: int = bits(15, 2)       # in words
    DATA: int = bits(31, 16)


class CTRL_EXT(Bits):
    """Extended Device Control (13.4.6; 82574 10.2.2.5)."""

    EE_RST: bool = bits(13)
    SPD_BYPS: bool = bits(15)
    EIAME: bool = bits(24)        # 82574 only: IAM masks when a message is sent
    IAME: bool = bits(27)         # 82574 only: IAM masks when ICR is read
    DRV_LOAD: bool = bits(28)     # 82574 only: a driver is there
    INT_TIMERS_CLEAR_ENA: bool = bits(29)
    PBA_SUPPORT: bool = bits(31)  # 82574 only: pending bits of MSI-X are cleared with causes


class MdicOp(SpecEnum):
    """MDIC.OP (13.4.7)."""

    WRITE = 1
    READ = 2


class MDIC(Bits):
    """MDI Control: the way to the PHY's registers (13.4.7)."""

    DATA: int = bits(15, 0)
    REGADD: int = bits(20, 16)
    PHYADD: int = bits(25, 21)    # 1 is the internal one
    OP: MdicOp = bits(27, 26)
    R: bool = bits(28)            # Ready: it is done
    I: bool = bits(29)            # noqa: E741 (the data sheet's name) interrupt when done
    E: bool = bits(30)            # Error


class Word(Bits):
    """A register whose 32 bits are one number."""

    VALUE: int = bits(31, 0)


class Half(Bits):
    """A register whose lower 16 bits are one number."""

    VALUE: int = bits(15, 0)


class Causes(Bits):
    """ICR, ICS, IMS and IMC: interrupt causes (13.4.17; 82574 10.2.4.1)."""

    TXDW: bool = bits(0)          # Transmit Descriptor Written Back
    TXQE: bool = bits(1)          # Transmit Queue Empty
    LSC: bool = bits(2)           # Link Status Change
    RXSEQ: bool = bits(3)         # Receive Sequence Error
    RXDMT0: bool = bits(4)        # Receive Descriptor Minimum Threshold reached
    RXO: bool = bits(6)           # Receiver Overrun
    RXT0: bool = bits(7)          # Receiver Timer: a frame is there
    MDAC: bool = bits(9)          # MDI/O Access Complete
    RXCFG: bool = bits(10)
    PHYINT: bool = bits(12)
    TXD_LOW: bool = bits(15)
    SRPD: bool = bits(16)         # Small Receive Packet Detected
    ACK: bool = bits(17)          # 82574 only: a TCP acknowledgement was received
    MNG: bool = bits(18)          # 82574 only: a management event
    RXQ0: bool = bits(20)         # 82574 only: receive queue 0, in MSI-X
    RXQ1: bool = bits(21)
    TXQ0: bool = bits(22)
    TXQ1: bool = bits(23)
    OTHER: bool = bits(24)        # 82574 only: any cause that is not a queue's, in MSI-X
    INT_ASSERTED: bool = bits(31)  # 82574 only: this function asserts its interrupt


class ITR(Bits):
    """Interrupt Throttling (13.4.18)."""

    INTERVAL: int = bits(15, 0)   # between two interrupts, in units of 256 ns; 0 for none


ITR_UNIT_NS = 256


class IVAR(Bits):
    """Interrupt Vector Allocation, of MSI-X (82574 10.2.4.9)."""

    RXQ0: int = bits(2, 0)
    RXQ0_VALID: bool = bits(3)
    RXQ1: int = bits(6, 4)
    RXQ1_VALID: bool = bits(7)
    TXQ0: int = bits(10, 8)
    TXQ0_VALID: bool = bits(11)
    TXQ1: int = bits(14, 12)
    TXQ1_VALID: bool = bits(15)
    OTHER: int = bits(18, 16)
    OTHER_VALID: bool = bits(19)
    ON_ALL_WB: bool = bits(31)    # interrupt on every write-back


# -- receive (13.4.22 to 13.4.31) ------------------------------------------------------------------


class RCTL(Bits):
    """Receive Control (13.4.22)."""

    EN: bool = bits(1)            # Receiver Enable
    SBP: bool = bits(2)           # Store Bad Packets
    UPE: bool = bits(3)           # Unicast Promiscuous Enabled
    MPE: bool = bits(4)           # Multicast Promiscuous Enabled
    LPE: bool = bits(5)           # Long Packet Reception Enable: above 1522 bytes with FCS
    LBM: int = bits(7, 6)         # Loopback Mode
    RDMTS: int = bits(9, 8)       # Receive Descriptor Minimum Threshold Size
    MO: int = bits(13, 12)        # Multicast Offset: which address bits index the MTA
    BAM: bool = bits(15)          # Broadcast Accept Mode
    BSIZE: int = bits(17, 16)     # Receive Buffer Size, 0 for 2048 bytes
    VFE: bool = bits(18)          # VLAN Filter Enable
    CFIEN: bool = bits(19)
    CFI: bool = bits(20)
    DPF: bool = bits(22)          # Discard Pause Frames
    PMCF: bool = bits(23)         # Pass MAC Control Frames
    BSEX: bool = bits(25)         # Buffer Size Extension
    SECRC: bool = bits(26)        # Strip Ethernet CRC


BSIZE = 2048                      # bytes of a receive buffer, with RCTL.BSIZE and BSEX 0
LONGEST_WITHOUT_LPE = 1518        # bytes of a frame without FCS


class RXDCTL(Bits):
    """Receive Descriptor Control (13.4.33)."""

    PTHRESH: int = bits(5, 0)
    HTHRESH: int = bits(13, 8)
    WTHRESH: int = bits(21, 16)
    GRAN: bool = bits(24)         # thresholds count descriptors, not cache lines


class RXCSUM(Bits):
    """Receive Checksum Control (13.4.37)."""

    PCSS: int = bits(7, 0)
    IPOFLD: bool = bits(8)        # look at IP checksums
    TUOFLD: bool = bits(9)        # look at TCP and UDP checksums


class RFCTL(Bits):
    """Receive Filter Control (82574 10.2.5.14)."""

    EXSTEN: bool = bits(15)       # extended status: other descriptors than the legacy ones


class RxStatus(Bits, width=8):
    """Status of a receive descriptor (3.2.3.1)."""

    DD: bool = bits(0)            # Descriptor Done
    EOP: bool = bits(1)           # End of Packet
    IXSM: bool = bits(2)          # Ignore Checksum Indication
    VP: bool = bits(3)            # the frame had an 802.1Q tag, which was taken off
    TCPCS: bool = bits(5)         # TCP or UDP checksum was looked at
    IPCS: bool = bits(6)          # IP checksum was looked at
    PIF: bool = bits(7)           # Passed In-exact Filter


class RxErrors(Bits, width=8):
    """Errors of a receive descriptor (3.2.3.2)."""

    CE: bool = bits(0)            # CRC Error or Alignment Error
    SE: bool = bits(1)            # Symbol Error
    SEQ: bool = bits(2)           # Sequence Error
    CXE: bool = bits(4)           # Carrier Extension Error
    TCPE: bool = bits(5)          # the TCP or UDP checksum is wrong
    IPE: bool = bits(6)           # the IP checksum is wrong
    RXE: bool = bits(7)           # RX Data Error


class RxDescriptor(Struct, size=16):
    """Legacy receive descriptor (3.2.3); the card writes all but the address."""

    ADDRESS: int = at(0, "Q")
    LENGTH: int = at(8, "H")      # of the bytes in this buffer
    CHECKSUM: int = at(10, "H")
    STATUS: int = at(12, "B")     # RxStatus
    ERRORS: int = at(13, "B")     # RxErrors
    SPECIAL: int = at(14, "H")    # the tag that was taken off


RX_LENGTH_AT = 8                  # bytes into a descriptor, for columns over a whole ring
RX_STATUS_AT = 12
RX_ERRORS_AT = 13
RX_LONGEST = 16384                # bytes of the longest frame that is received with RCTL.LPE


# -- transmit (13.4.34 to 13.4.45) -----------------------------------------------------------------


class TCTL(Bits):
    """Transmit Control (13.4.34)."""

    EN: bool = bits(1)
    PSP: bool = bits(3)           # Pad Short Packets
    CT: int = bits(11, 4)         # Collision Threshold
    COLD: int = bits(21, 12)      # Collision Distance
    SWXOFF: bool = bits(22)
    RTLC: bool = bits(24)         # Re-transmit on Late Collision
    MULR: bool = bits(28)         # 82574 only: several requests at a time


class TIPG(Bits):
    """Transmit Inter Packet Gap (13.4.35)."""

    IPGT: int = bits(9, 0)
    IPGR1: int = bits(19, 10)
    IPGR2: int = bits(29, 20)


class TXDCTL(Bits):
    """Transmit Descriptor Control (13.4.44)."""

    PTHRESH: int = bits(5, 0)
    HTHRESH: int = bits(13, 8)
    WTHRESH: int = bits(21, 16)
    COUNT_DESC: bool = bits(22)   # 82574 only: has to be 1 (82574 10.2.6.11)
    GRAN: bool = bits(24)
    LWTHRESH: int = bits(31, 25)


class PBA(Bits):
    """Packet Buffer Allocation (13.4.36): KiB of it for receiving; the rest is for transmitting."""

    RXA: int = bits(15, 0)


class TxCommand(Bits, width=8):
    """Command of a transmit descriptor (3.3.3.1, 3.3.7.1)."""

    EOP: bool = bits(0)           # End of Packet
    IFCS: bool = bits(1)          # Insert FCS
    IC: bool = bits(2)            # legacy: Insert Checksum; otherwise TSE, segmentation
    RS: bool = bits(3)            # Report Status: write DD
    DEXT: bool = bits(5)          # the descriptor is not a legacy one
    VLE: bool = bits(6)           # insert SPECIAL as an 802.1Q tag
    IDE: bool = bits(7)           # Interrupt Delay Enable


class TxStatus(Bits, width=8):
    """Status of a transmit descriptor (3.3.3.2)."""

    DD: bool = bits(0)
    EC: bool = bits(1)            # Excess Collisions
    LC: bool = bits(2)            # Late Collision


class TxDescriptor(Struct, size=16):
    """Legacy transmit descriptor (3.3.3).

    One of length 0 transfers no data and may lie between frames.
    """

    ADDRESS: int = at(0, "Q")
    LENGTH: int = at(8, "H")      # at most 16288
    CSO: int = at(10, "B")        # where a checksum is inserted
    CMD: int = at(11, "B")        # TxCommand
    STA: int = at(12, "B")        # TxStatus
    CSS: int = at(13, "B")        # where that checksum starts
    SPECIAL: int = at(14, "H")    # the tag to insert


TX_LENGTH_AT = 8                  # bytes into a descriptor, for columns over a whole ring
TX_COMMAND_AT = 11
TX_STATUS_AT = 12


# -- filters (13.5) --------------------------------------------------------------------------------


class RAH(Bits):
    """Receive Address High (13.5.3)."""

    RAH: int = bits(15, 0)        # bytes 4 and 5 of the address
    AS: int = bits(17, 16)        # Address Select: 0 for the destination
    AV: bool = bits(31)           # Address Valid


RECEIVE_ADDRESSES = 16            # pairs of RAL and RAH (13.5.2)
MTA_WORDS = 128                   # Multicast Table Array (13.5.1): 4096 bits
VFTA_WORDS = 128                  # VLAN Filter Table Array (13.5.4): a bit for each VLAN
VLAN_ETHER_TYPE = 0x8100          # what VET holds


# -- the window ------------------------------------------------------------------------------------


class E1000Regs(Block):
    """Control registers, base address register 0 (13.2, table 13-3)."""

    CTRL = rw(0x0000, CTRL)
    STATUS = ro(0x0008, STATUS)
    EECD = rw(0x0010, EECD)
    EERD = rw(0x0014, EERD)
    CTRL_EXT = rw(0x0018, CTRL_EXT)
    MDIC = rw(0x0020, MDIC)
    FCAL = rw(0x0028, Word)       # Flow Control Address Low
    FCAH = rw(0x002C, Half)
    FCT = rw(0x0030, Half)        # Flow Control Type
    VET = rw(0x0038, Half)        # VLAN Ether Type
    ICR = rc(0x00C0, Causes)      # Interrupt Cause Read
    ITR = rw(0x00C4, ITR)
    ICS = wo(0x00C8, Causes)      # Interrupt Cause Set
    IMS = rw(0x00D0, Causes)      # Interrupt Mask Set/Read
    IMC = wo(0x00D8, Causes)      # Interrupt Mask Clear
    RCTL = rw(0x0100, RCTL)
    FCTTV = rw(0x0170, Half)      # Flow Control Transmit Timer Value
    TCTL = rw(0x0400, TCTL)
    TIPG = rw(0x0410, TIPG)
    PBA = rw(0x1000, PBA)
    FCRTL = rw(0x2160, Word)      # Flow Control Receive Threshold Low
    FCRTH = rw(0x2168, Word)
    RDBAL = rw(0x2800, Word)      # Receive Descriptor Base Address Low
    RDBAH = rw(0x2804, Word)
    RDLEN = rw(0x2808, Word)      # in bytes
    RDH = rw(0x2810, Half)        # Receive Descriptor Head: the card's
    RDT = rw(0x2818, Half)        # Receive Descriptor Tail: the driver's
    RDTR = rw(0x2820, Half)       # Receive Delay Timer, units of 1.024 us
    RXDCTL = rw(0x2828, RXDCTL)
    RADV = rw(0x282C, Half)       # Receive Interrupt Absolute Delay Timer
    TDBAL = rw(0x3800, Word)
    TDBAH = rw(0x3804, Word)
    TDLEN = rw(0x3808, Word)
    TDH = rw(0x3810, Half)
    TDT = rw(0x3818, Half)
    TIDV = rw(0x3820, Half)       # Transmit Interrupt Delay Value
    TXDCTL = rw(0x3828, TXDCTL)
    TADV = rw(0x382C, Half)
    RXCSUM = rw(0x5000, RXCSUM)


class Regs82574(Block):
    """What only PCI Express controllers have, in the same window (82574 10.2)."""

    EERD = rw(0x0014, EerdWide)
    ICR = rw(0x00C0, Causes)      # in MSI-X, a cause is cleared by writing 1
    EIAC = rw(0x00DC, Causes)     # causes that are cleared when their message is sent
    IAM = rw(0x00E0, Word)        # Interrupt Acknowledge Auto Mask
    IVAR = rw(0x00E4, IVAR)
    EITR0 = rw(0x00E8, ITR)       # as ITR, for the first vector of MSI-X
    RFCTL = rw(0x5008, RFCTL)


class ReceiveAddress(Block):
    """One of the `RECEIVE_ADDRESSES`, at `RAL_BASE` and every 8 bytes on (13.5.2, 13.5.3)."""

    RAL = rw(0x0, Word)           # bytes 0 to 3 of the address
    RAH = rw(0x4, RAH)


RAL_BASE = 0x5400
MTA_BASE = 0x5200
VFTA_BASE = 0x5600


class Statistics(Block):
    """Statistic registers (13.7): reading clears them, and they stop at all ones."""

    CRCERRS = rc(0x4000, Word)    # CRC Error Count
    ALGNERRC = rc(0x4004, Word)   # Alignment Error Count
    SYMERRS = rc(0x4008, Word)    # Symbol Error Count
    RXERRC = rc(0x400C, Word)     # RX Error Count
    MPC = rc(0x4010, Word)        # Missed Packets Count: no room in the card's buffer
    SCC = rc(0x4014, Word)        # Single Collision Count
    ECOL = rc(0x4018, Word)       # Excessive Collisions Count
    MCC = rc(0x401C, Word)        # Multiple Collision Count
    LATECOL = rc(0x4020, Word)    # Late Collisions Count
    COLC = rc(0x4028, Word)       # Collision Count
    DC = rc(0x4030, Word)         # Defer Count
    TNCRS = rc(0x4034, Word)      # Transmit with No CRS
    SEC = rc(0x4038, Word)        # Sequence Error Count
    CEXTERR = rc(0x403C, Word)    # Carrier Extension Error Count
    RLEC = rc(0x4040, Word)       # Receive Length Error Count
    XONRXC = rc(0x4048, Word)     # XON Received Count
    XONTXC = rc(0x404C, Word)
    XOFFRXC = rc(0x4050, Word)
    XOFFTXC = rc(0x4054, Word)
    FCRUC = rc(0x4058, Word)      # FC Received Unsupported Count
    PRC64 = rc(0x405C, Word)      # Packets Received of 64 bytes
    PRC127 = rc(0x4060, Word)
    PRC255 = rc(0x4064, Word)
    PRC511 = rc(0x4068, Word)
    PRC1023 = rc(0x406C, Word)
    PRC1522 = rc(0x4070, Word)    # of 1024 bytes and more
    GPRC = rc(0x4074, Word)       # Good Packets Received Count
    BPRC = rc(0x4078, Word)       # Broadcast Packets Received Count
    MPRC = rc(0x407C, Word)       # Multicast Packets Received Count
    GPTC = rc(0x4080, Word)       # Good Packets Transmitted Count
    GORCL = rc(0x4088, Word)      # Good Octets Received Count; the upper half clears both
    GORCH = rc(0x408C, Word)
    GOTCL = rc(0x4090, Word)      # Good Octets Transmitted Count
    GOTCH = rc(0x4094, Word)
    RNBC = rc(0x40A0, Word)       # Receive No Buffers Count
    RUC = rc(0x40A4, Word)        # Receive Undersize Count
    RFC = rc(0x40A8, Word)        # Receive Fragment Count
    ROC = rc(0x40AC, Word)        # Receive Oversize Count
    RJC = rc(0x40B0, Word)        # Receive Jabber Count
    TORL = rc(0x40C0, Word)       # Total Octets Received
    TORH = rc(0x40C4, Word)
    TOTL = rc(0x40C8, Word)       # Total Octets Transmitted
    TOTH = rc(0x40CC, Word)
    TPR = rc(0x40D0, Word)        # Total Packets Received
    TPT = rc(0x40D4, Word)        # Total Packets Transmitted
    PTC64 = rc(0x40D8, Word)      # Packets Transmitted of 64 bytes
    PTC127 = rc(0x40DC, Word)
    PTC255 = rc(0x40E0, Word)
    PTC511 = rc(0x40E4, Word)
    PTC1023 = rc(0x40E8, Word)
    PTC1522 = rc(0x40EC, Word)
    MPTC = rc(0x40F0, Word)       # Multicast Packets Transmitted Count
    BPTC = rc(0x40F4, Word)       # Broadcast Packets Transmitted Count


# -- EEPROM and NVM (5.6; 82574 6.1) ---------------------------------------------------------------

NVM_MAC = 0x00                    # three words, the first bytes of the address first
NVM_WORDS = 0x40                  # what the checksum is over, itself included
NVM_SUM = 0xBABA


# -- the PHY (IEEE 802.3, 22.2.4) ------------------------------------------------------------------


class PhyRegister(SpecEnum):
    """The basic registers every PHY has."""

    BMCR = 0                      # Control
    BMSR = 1                      # Status
    ID1 = 2
    ID2 = 3


class BMCR(Bits, width=16):
    """PHY Control (22.2.4.1)."""

    ISOLATE: bool = bits(10)
    POWER_DOWN: bool = bits(11)
    AUTO_NEGOTIATION: bool = bits(12)
    LOOPBACK: bool = bits(14)     # what is sent comes back
    RESET: bool = bits(15)
    RESTART: bool = bits(9)       # Restart Auto-Negotiation; clears itself


class BMSR(Bits, width=16):
    """PHY Status (22.2.4.2)."""

    LINK: bool = bits(2)          # latches low
    COMPLETE: bool = bits(5)      # Auto-Negotiation Complete


PHY_ADDRESS = 1                   # of the internal PHY (13.4.7)


# -- the cards -------------------------------------------------------------------------------------


class DeviceId(SpecEnum):
    """PCI device ids of vendor 8086h (SDM 4.1, table 4-1; 82574 9.1)."""

    I82543GC_COPPER = 0x1004
    I82540EM = 0x100E
    I82545EM_COPPER = 0x100F
    I82573L = 0x109A
    I82574L = 0x10D3
    I82579V = 0x1503
