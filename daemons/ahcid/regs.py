"""AHCI registers and memory structures, FISes, and the ATA and SCSI commands ahcid sends.

Ref: Serial ATA AHCI 1.3.1 Specification ("AHCI"); ATA/ATAPI Command Set - 3, T13/2161-D revision 5
("ACS-3"); Serial ATA Revision 3.1 ("SATA"); SCSI Primary Commands - 4 ("SPC-4"); MultiMedia Command
Set - 6 ("MMC-6").  Names are the specifications' own; a number in parentheses is the section of
AHCI, unless another document is named.
"""

from __future__ import annotations

from typing import Final

from redbear_host.bits import Bits, Block, SpecEnum, Struct, at, bits, ro, rw

GONE: Final = 0xFFFF_FFFF         # what every register of an adapter that has left reads as
SLOTS: Final = 32                 # command slots a port has at most
PORTS: Final = 32                 # ports an adapter has at most
PORT_BASE: Final = 0x100
PORT_SIZE: Final = 0x80

# -- generic host control (3.1) --------------------------------------------------------------------


class CAP(Bits):
    """HBA Capabilities (3.1.1)."""

    NP: int = bits(4, 0)          # Number of Ports, 0's based
    SXS: bool = bits(5)           # Supports External SATA
    EMS: bool = bits(6)           # Enclosure Management Supported
    CCCS: bool = bits(7)          # Command Completion Coalescing Supported
    NCS: int = bits(12, 8)        # Number of Command Slots, 0's based
    PSC: bool = bits(13)          # Partial State Capable
    SSC: bool = bits(14)          # Slumber State Capable
    PMD: bool = bits(15)          # PIO Multiple DRQ Block
    FBSS: bool = bits(16)         # FIS-based Switching Supported
    SPM: bool = bits(17)          # Supports Port Multiplier
    SAM: bool = bits(18)          # Supports AHCI mode only
    ISS: int = bits(23, 20)       # Interface Speed Support
    SCLO: bool = bits(24)         # Supports Command List Override
    SAL: bool = bits(25)          # Supports Activity LED
    SALP: bool = bits(26)         # Supports Aggressive Link Power Management
    SSS: bool = bits(27)          # Supports Staggered Spin-up
    SMPS: bool = bits(28)         # Supports Mechanical Presence Switch
    SSNTF: bool = bits(29)        # Supports SNotification Register
    SNCQ: bool = bits(30)         # Supports Native Command Queuing
    S64A: bool = bits(31)         # Supports 64-bit Addressing


class GHC(Bits):
    """Global HBA Control (3.1.2)."""

    HR: bool = bits(0)            # HBA Reset; the adapter clears it when it is done
    IE: bool = bits(1)            # Interrupt Enable
    MRSM: bool = bits(2)          # MSI Revert to Single Message
    AE: bool = bits(31)           # AHCI Enable


class PortMask(Bits):
    """One bit per port: Interrupt Status (3.1.3), Ports Implemented (3.1.4)."""

    PORTS: int = bits(31, 0)


class VS(Bits):
    """AHCI Version (3.1.5): 0x00010301 is 1.3.1."""

    MNR: int = bits(15, 0)
    MJR: int = bits(31, 16)


class CAP2(Bits):
    """HBA Capabilities Extended (3.1.10)."""

    BOH: bool = bits(0)           # BIOS/OS Handoff
    NVMP: bool = bits(1)
    APST: bool = bits(2)
    SDS: bool = bits(3)
    SADM: bool = bits(4)
    DESO: bool = bits(5)


class BOHC(Bits):
    """BIOS/OS Handoff Control and Status (3.1.11)."""

    BOS: bool = bits(0)           # BIOS Owned Semaphore
    OOS: bool = bits(1)           # OS Owned Semaphore
    SOOE: bool = bits(2)          # SMI on OS Ownership Change Enable
    OOC: bool = bits(3, w1c=True)  # OS Ownership Change
    BB: bool = bits(4)            # BIOS Busy


class Host(Block):
    """Generic Host Control, at the start of base address register 5 (3.1)."""

    CAP = ro(0x00, CAP)
    GHC = rw(0x04, GHC)
    IS = rw(0x08, PortMask)       # write one to clear
    PI = rw(0x0C, PortMask)       # to be written only where a reset has lost it
    VS = ro(0x10, VS)
    CAP2 = ro(0x24, CAP2)
    BOHC = rw(0x28, BOHC)


# -- port registers (3.3) --------------------------------------------------------------------------


class Address(Bits):
    """Half of an address: PxCLB, PxCLBU, PxFB, PxFBU (3.3.1 to 3.3.4)."""

    ADDR: int = bits(31, 0)


class PxIS(Bits):
    """Port x Interrupt Status and Interrupt Enable (3.3.5, 3.3.6); same bits in both."""

    DHRS: bool = bits(0)          # Device to Host Register FIS
    PSS: bool = bits(1)           # PIO Setup FIS
    DSS: bool = bits(2)           # DMA Setup FIS
    SDBS: bool = bits(3)          # Set Device Bits FIS
    UFS: bool = bits(4)           # Unknown FIS; cleared through PxSERR.DIAG.F
    DPS: bool = bits(5)           # Descriptor Processed
    PCS: bool = bits(6)           # Port Connect Change; cleared through PxSERR.DIAG.X
    DMPS: bool = bits(7)          # Device Mechanical Presence
    PRCS: bool = bits(22)         # PhyRdy Change; cleared through PxSERR.DIAG.N
    IPMS: bool = bits(23)         # Incorrect Port Multiplier
    OFS: bool = bits(24)          # Overflow
    INFS: bool = bits(26)         # Interface Non-fatal Error
    IFS: bool = bits(27)          # Interface Fatal Error
    HBDS: bool = bits(28)         # Host Bus Data Error
    HBFS: bool = bits(29)         # Host Bus Fatal Error
    TFES: bool = bits(30)         # Task File Error
    CPDS: bool = bits(31)         # Cold Port Detect


class PxCMD(Bits):
    """Port x Command and Status (3.3.7)."""

    ST: bool = bits(0)            # Start: process the command list
    SUD: bool = bits(1)           # Spin-Up Device
    POD: bool = bits(2)           # Power On Device
    CLO: bool = bits(3)           # Command List Override
    FRE: bool = bits(4)           # FIS Receive Enable
    CCS: int = bits(12, 8)        # Current Command Slot
    MPSS: bool = bits(13)         # Mechanical Presence Switch State
    FR: bool = bits(14)           # FIS Receive Running
    CR: bool = bits(15)           # Command List Running
    CPS: bool = bits(16)          # Cold Presence State
    PMA: bool = bits(17)          # Port Multiplier Attached
    HPCP: bool = bits(18)         # Hot Plug Capable Port
    MPSP: bool = bits(19)         # Mechanical Presence Switch Attached to Port
    CPD: bool = bits(20)          # Cold Presence Detection
    ESP: bool = bits(21)          # External SATA Port
    FBSCP: bool = bits(22)
    APSTE: bool = bits(23)
    ATAPI: bool = bits(24)        # Device is ATAPI: for the activity LED only
    DLAE: bool = bits(25)
    ALPE: bool = bits(26)         # Aggressive Link Power Management Enable
    ASP: bool = bits(27)
    ICC: int = bits(31, 28)       # Interface Communication Control; 1 is Active


class TaskStatus(Bits, width=8):
    """The ATA Status register, PxTFD.STS (ACS-3, 6.2)."""

    ERR: bool = bits(0)           # for PACKET it is called CHK
    SENSE: bool = bits(1)
    ALIGN: bool = bits(2)
    DRQ: bool = bits(3)
    SERV: bool = bits(4)
    DF: bool = bits(5)            # Device Fault
    DRDY: bool = bits(6)
    BSY: bool = bits(7)


class TaskError(Bits, width=8):
    """The ATA Error register, PxTFD.ERR (ACS-3, 6.3)."""

    AMNF: bool = bits(0)
    EOM: bool = bits(1)
    ABRT: bool = bits(2)          # the command was aborted: the device does not know it
    IDNF: bool = bits(4)          # ID Not Found: outside the device, or a bad place on it
    UNC: bool = bits(6)           # Uncorrectable Error
    ICRC: bool = bits(7)          # Interface CRC


class PxTFD(Bits):
    """Port x Task File Data (3.3.8)."""

    STS: int = bits(7, 0)         # decode with TaskStatus.of()
    ERR: int = bits(15, 8)        # decode with TaskError.of()


class Signature(SpecEnum):
    """PxSIG (3.3.9): what kind of device answered a reset (SATA, 11.2)."""

    ATA = 0x0000_0101
    ATAPI = 0xEB14_0101
    SEMB = 0xC33C_0101            # Serial ATA Enclosure Management Bridge
    PORT_MULTIPLIER = 0x9669_0101


class PxSIG(Bits):
    """Port x Signature (3.3.9)."""

    SIG: Signature = bits(31, 0)


class Detection(SpecEnum):
    """PxSSTS.DET, Device Detection (3.3.10)."""

    NOTHING = 0
    PRESENT = 1                   # a device, but no communication with it
    READY = 3                     # a device, and the Phy communicates
    OFFLINE = 4


class PxSSTS(Bits):
    """Port x Serial ATA Status, SStatus (3.3.10)."""

    DET: Detection = bits(3, 0)
    SPD: int = bits(7, 4)         # generation of the speed in use
    IPM: int = bits(11, 8)


class PxSCTL(Bits):
    """Port x Serial ATA Control, SControl (3.3.11)."""

    DET: int = bits(3, 0)         # 1 sends COMRESET until 0 is written
    SPD: int = bits(7, 4)         # 0: no limit
    IPM: int = bits(11, 8)        # 3: neither Partial nor Slumber


class PxSERR(Bits):
    """Port x Serial ATA Error, SError (3.3.12); all bits write one to clear."""

    RDI: bool = bits(0, w1c=True)  # I: Recovered Data Integrity Error
    M: bool = bits(1, w1c=True)   # Recovered Communications Error
    T: bool = bits(8, w1c=True)   # Transient Data Integrity Error
    C: bool = bits(9, w1c=True)   # Persistent Communication or Data Integrity Error
    P: bool = bits(10, w1c=True)  # Protocol Error
    E: bool = bits(11, w1c=True)  # Internal Error
    N: bool = bits(16, w1c=True)  # PhyRdy Change
    W: bool = bits(18, w1c=True)  # Comm Wake
    B: bool = bits(19, w1c=True)  # 10B to 8B Decode Error
    D: bool = bits(20, w1c=True)  # Disparity Error
    CRC: bool = bits(21, w1c=True)
    H: bool = bits(22, w1c=True)  # Handshake Error
    S: bool = bits(23, w1c=True)  # Link Sequence Error
    TS: bool = bits(24, w1c=True)  # Transport state transition error
    F: bool = bits(25, w1c=True)  # Unknown FIS Type
    X: bool = bits(26, w1c=True)  # Exchanged


class SlotMask(Bits):
    """One bit per command slot: PxSACT, PxCI (3.3.13, 3.3.14)."""

    SLOTS: int = bits(31, 0)


class Port(Block):
    """The registers of one port, at PORT_BASE + n * PORT_SIZE (3.3)."""

    CLB = rw(0x00, Address)       # Command List Base Address, 1 KiB aligned
    CLBU = rw(0x04, Address)
    FB = rw(0x08, Address)        # FIS Base Address, 256 bytes aligned
    FBU = rw(0x0C, Address)
    IS = rw(0x10, PxIS)           # write one to clear
    IE = rw(0x14, PxIS)
    CMD = rw(0x18, PxCMD)
    TFD = ro(0x20, PxTFD)
    SIG = ro(0x24, PxSIG)
    SSTS = ro(0x28, PxSSTS)
    SCTL = rw(0x2C, PxSCTL)
    SERR = rw(0x30, PxSERR)
    SACT = rw(0x34, SlotMask)     # Serial ATA Active: queued commands
    CI = rw(0x38, SlotMask)       # Command Issue


# -- memory structures (4.2) -----------------------------------------------------------------------

LIST_SIZE: Final = 1024           # the command list: 32 headers of 32 bytes
RECEIVED_SIZE: Final = 256
HEADER_SIZE: Final = 32
TABLE_PRDT: Final = 0x80          # the PRDT's offset in a command table (4.2.3)
PRD_SIZE: Final = 16
PRD_MOST: Final = 4 << 20         # bytes one PRD can name
TABLE_PRDS: Final = 8             # entries our tables have room for
TABLE_SIZE: Final = TABLE_PRDT + TABLE_PRDS * PRD_SIZE  # a multiple of 128, as tables need


class HeaderDw0(Bits):
    """Command header, dword 0 (4.2.2)."""

    CFL: int = bits(4, 0)         # Command FIS Length, dwords
    A: bool = bits(5)             # ATAPI: ACMD is valid
    W: bool = bits(6)             # Write: to the device
    P: bool = bits(7)             # Prefetchable
    R: bool = bits(8)             # Reset
    B: bool = bits(9)             # BIST
    C: bool = bits(10)            # Clear Busy upon R_OK
    PMP: int = bits(15, 12)       # Port Multiplier Port
    PRDTL: int = bits(31, 16)     # entries of the PRDT


class CommandHeader(Struct, size=HEADER_SIZE):
    """Command header (4.2.2)."""

    DW0: int = at(0, "I")         # decode with HeaderDw0.of()
    PRDBC: int = at(4, "I")       # Physical Region Descriptor Byte Count: what was moved
    CTBA: int = at(8, "Q")        # Command Table Base Address, 128 bytes aligned


class CommandTable(Struct, size=TABLE_PRDT + PRD_SIZE):
    """A command table with one PRD and no ACMD (4.2.3), as one packed store."""

    FIS0: int = at(0x00, "I")     # Register FIS - Host to Device, five dwords
    FIS1: int = at(0x04, "I")
    FIS2: int = at(0x08, "I")
    FIS3: int = at(0x0C, "I")
    FIS4: int = at(0x10, "I")
    DBA: int = at(0x80, "Q")      # Data Base Address, 2 bytes aligned
    RESERVED: int = at(0x88, "I")
    DBC: int = at(0x8C, "I")      # Data Byte Count, 0's based, odd; bit 31 interrupts


TABLE_ACMD: Final = 0x40          # the ATAPI command's offset in a command table
RECEIVED_PSFIS: Final = 0x20      # PIO Setup FIS in the received FIS structure (4.2.1)
RECEIVED_RFIS: Final = 0x40       # D2H Register FIS
RECEIVED_SDBFIS: Final = 0x58     # Set Device Bits FIS


# -- frame information structures (SATA, 10.3) -----------------------------------------------------


class FisType(SpecEnum):
    """The first byte of every FIS (SATA, 10.3.1)."""

    REGISTER_H2D = 0x27
    REGISTER_D2H = 0x34
    DMA_SETUP = 0x41
    PIO_SETUP = 0x5F
    SET_DEVICE_BITS = 0xA1


H2D_COMMAND: Final = 0x80         # byte 1, C: the Command register was written


class RegisterD2H(Struct, size=20):
    """Register FIS - Device to Host (SATA, 10.3.5)."""

    TYPE: int = at(0, "B")
    FLAGS: int = at(1, "B")       # bit 6: interrupt
    STATUS: int = at(2, "B")
    ERROR: int = at(3, "B")
    LBA_LOW: int = at(4, "I")     # LBA 23:0, Device in bits 31:24
    LBA_HIGH: int = at(8, "I")    # LBA 47:24
    COUNT: int = at(12, "H")


class PioSetup(Struct, size=20):
    """PIO Setup FIS - Device to Host (SATA, 10.3.11)."""

    TYPE: int = at(0, "B")
    FLAGS: int = at(1, "B")       # bit 5: to the host
    STATUS: int = at(2, "B")
    ERROR: int = at(3, "B")
    LBA_LOW: int = at(4, "I")     # as in RegisterD2H
    LBA_HIGH: int = at(8, "I")
    COUNT: int = at(12, "H")
    E_STATUS: int = at(15, "B")   # Status after the transfer
    TRANSFER_COUNT: int = at(16, "H")


# -- ATA commands (ACS-3, 7) -----------------------------------------------------------------------


class Ata(SpecEnum):
    """The Command register (ACS-3, table A.2)."""

    NOP = 0x00
    DATA_SET_MANAGEMENT = 0x06
    READ_DMA_EXT = 0x25
    READ_LOG_EXT = 0x2F
    WRITE_DMA_EXT = 0x35
    READ_LOG_DMA_EXT = 0x47
    READ_FPDMA_QUEUED = 0x60
    WRITE_FPDMA_QUEUED = 0x61
    NCQ_QUEUE_MANAGEMENT = 0x63
    SEND_FPDMA_QUEUED = 0x64
    RECEIVE_FPDMA_QUEUED = 0x65
    PACKET = 0xA0
    IDENTIFY_PACKET_DEVICE = 0xA1
    SMART = 0xB0
    READ_DMA = 0xC8
    WRITE_DMA = 0xCA
    STANDBY_IMMEDIATE = 0xE0
    FLUSH_CACHE = 0xE7
    FLUSH_CACHE_EXT = 0xEA
    IDENTIFY_DEVICE = 0xEC
    SET_FEATURES = 0xEF


DEVICE_LBA: Final = 0x40          # Device bit 6: the address is an LBA
DSM_TRIM: Final = 0x01            # DATA SET MANAGEMENT, Feature
PACKET_DMA: Final = 0x01          # PACKET, Feature: move the data by DMA
PACKET_DMADIR: Final = 0x04       # PACKET, Feature: the DMA goes to the host
LOG_NCQ_ERROR: Final = 0x10       # READ LOG EXT: NCQ Command Error log


class NcqErrorLog(Struct, size=512):
    """NCQ Command Error log (ACS-3, A.14)."""

    TAG: int = at(0, "B")         # decode with NcqTag.of()
    STATUS: int = at(2, "B")
    ERROR: int = at(3, "B")
    CHECKSUM: int = at(511, "B")  # makes the sum of all bytes 0


class NcqTag(Bits, width=8):
    """Byte 0 of the NCQ Command Error log."""

    TAG: int = bits(4, 0)
    UNL: bool = bits(6)           # the error was caused by an IDLE or the like
    NQ: bool = bits(7)            # the command was not a queued one


# -- IDENTIFY (ACS-3, 7.12.7; for packet devices ATA8-ACS, 7.17) -----------------------------------


class IdentifyDevice(Struct, size=512):
    """IDENTIFY DEVICE and IDENTIFY PACKET DEVICE data; member n is named by its word."""

    GENERAL: int = at(0, "H")     # decode with General.of()
    SERIAL: bytes = at(20, "20s")  # words 10 to 19; two characters a word, the first one high
    FIRMWARE: bytes = at(46, "8s")  # words 23 to 26
    MODEL: bytes = at(54, "40s")  # words 27 to 46
    CAPABILITIES: int = at(98, "H")  # word 49, decode with Capabilities.of()
    SECTORS_28: int = at(120, "I")  # words 60 and 61
    DMADIR: int = at(124, "H")    # word 62, decode with Dmadir.of()
    ADDITIONAL: int = at(138, "H")  # word 69, decode with AdditionalSupported.of()
    QUEUE_DEPTH: int = at(150, "H")  # word 75, bits 4:0, 0's based
    SATA: int = at(152, "H")      # word 76, decode with SataCapabilities.of()
    SUPPORTED: bytes = at(164, "6s")  # words 82 to 84
    SECTORS_48: int = at(200, "Q")  # words 100 to 103
    TRIM_BLOCKS: int = at(210, "H")  # word 105: blocks of ranges one command may bring
    SECTOR: int = at(212, "H")    # word 106, decode with SectorSize.of()
    SECTOR_WORDS: int = at(234, "I")  # words 117 and 118: a logical sector, in words
    SECURITY: int = at(256, "H")  # word 128, decode with Security.of()
    TRIM: int = at(338, "H")      # word 169, decode with Trim.of()
    ROTATION: int = at(434, "H")  # word 217: 1 is not rotating
    SECTORS_EXT: int = at(460, "Q")  # words 230 to 233
    INTEGRITY: int = at(510, "H")  # word 255: checksum high, A5h low where there is one



class General(Bits, width=16):
    """Word 0."""

    PACKET_SIZE: int = bits(1, 0)  # ATAPI: 0 for packets of 12 bytes, 1 for 16
    INCOMPLETE: bool = bits(2)
    REMOVABLE: bool = bits(7)
    PACKET_TYPE: int = bits(12, 8)  # ATAPI: peripheral device type; 5 is CD/DVD
    NOT_ATA: bool = bits(15)
    # Bit 14 and 15 are 10b for ATAPI.


class Capabilities(Bits, width=16):
    """Word 49."""

    DMA: bool = bits(8)
    LBA: bool = bits(9)


class Dmadir(Bits, width=16):
    """Word 62, of ATAPI devices."""

    REQUIRED: bool = bits(15)     # PACKET's DMADIR bit has to be set


class SataCapabilities(Bits, width=16):
    """Word 76; all ones or zero where there is no Serial ATA."""

    NCQ: bool = bits(8)
    READ_LOG_DMA: bool = bits(15)


class Supported(Bits, width=64):
    """Words 82 to 84, and 16 bits of padding."""

    SMART: bool = bits(0)
    WRITE_CACHE: bool = bits(5)
    LBA48: bool = bits(26)        # word 83, bit 10
    FLUSH: bool = bits(28)        # word 83, bit 12
    FLUSH_EXT: bool = bits(29)    # word 83, bit 13
    VALID_83: int = bits(31, 30)  # 1: word 83 is valid
    GENERAL_LOGS: bool = bits(37)  # word 84, bit 5
    VALID_84: int = bits(47, 46)


class AdditionalSupported(Bits, width=16):
    """Word 69."""

    EXTENDED_SECTORS: bool = bits(3)  # words 230 to 233 hold the capacity
    ZEROED: bool = bits(5)        # RZAT: trimmed blocks read as zero
    DETERMINISTIC: bool = bits(14)  # DRAT


class SectorSize(Bits, width=16):
    """Word 106."""

    PHYSICAL: int = bits(3, 0)    # log2 of logical sectors in a physical one
    LONG: bool = bits(12)         # words 117 and 118 hold the logical sector's size
    SEVERAL: bool = bits(13)      # PHYSICAL is valid
    VALID: int = bits(15, 14)     # 1: this word is valid


class Security(Bits, width=16):
    """Word 128."""

    SUPPORTED: bool = bits(0)
    ENABLED: bool = bits(1)
    LOCKED: bool = bits(2)
    FROZEN: bool = bits(3)


class Trim(Bits, width=16):
    """Word 169."""

    SUPPORTED: bool = bits(0)


# -- SCSI, for ATAPI -------------------------------------------------------------------------------


class Scsi(SpecEnum):
    """Operation codes (SPC-4, MMC-6)."""

    TEST_UNIT_READY = 0x00
    REQUEST_SENSE = 0x03
    READ_CAPACITY_10 = 0x25
    READ_10 = 0x28
    READ_12 = 0xA8


class SenseKey(SpecEnum):
    """Sense keys (SPC-4, table 48)."""

    NO_SENSE = 0x0
    RECOVERED_ERROR = 0x1
    NOT_READY = 0x2
    MEDIUM_ERROR = 0x3
    HARDWARE_ERROR = 0x4
    ILLEGAL_REQUEST = 0x5
    UNIT_ATTENTION = 0x6
    DATA_PROTECT = 0x7
    ABORTED_COMMAND = 0xB


SENSE_SIZE: Final = 18            # fixed format sense data (SPC-4, 4.5.3)
SENSE_KEY: Final = 2              # byte, bits 3:0
SENSE_ASC: Final = 12             # Additional Sense Code
ASC_BECOMING_READY: Final = 0x04
ASC_OUT_OF_RANGE: Final = 0x21
ASC_NO_MEDIUM: Final = 0x3A
