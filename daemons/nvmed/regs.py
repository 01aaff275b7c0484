"""NVMe controller registers, queue entries, commands and the records they return.

Ref: NVM Express Base Specification, revision 2.0c, and NVM Command Set Specification, revision
1.0c; what revision 1.4 already had keeps its place there.  Names are the specifications' own; a
number in parentheses is the section of the Base Specification.
"""

from __future__ import annotations

from typing import Final

from redbear_host.bits import Bits, Block, SpecEnum, Struct, at, bits, ro, rw, wo

# -- controller properties, BAR0 (3.1.3) -----------------------------------------------------------


class CAP(Bits, width=64):
    """Controller Capabilities (3.1.3.1)."""

    MQES: int = bits(15, 0)       # Maximum Queue Entries Supported, 0's based
    CQR: bool = bits(16)          # Contiguous Queues Required
    AMS: int = bits(18, 17)       # Arbitration Mechanism Supported
    TO: int = bits(31, 24)        # worst-case wait for CSTS.RDY, in 500 ms units
    DSTRD: int = bits(35, 32)     # Doorbell Stride, 4 << DSTRD bytes
    NSSRS: bool = bits(36)        # NVM Subsystem Reset Supported
    CSS_NVM: bool = bits(37)      # CSS bit 0: the NVM command set
    CSS_IO: bool = bits(43)       # CSS bit 6: one or more I/O command sets
    CSS_NONE: bool = bits(44)     # CSS bit 7: no I/O command set, admin only
    BPS: bool = bits(45)          # Boot Partition Support
    CPS: int = bits(47, 46)       # Controller Power Scope
    MPSMIN: int = bits(51, 48)    # Memory Page Size Minimum, 4 KiB << MPSMIN
    MPSMAX: int = bits(55, 52)    # Memory Page Size Maximum, 4 KiB << MPSMAX
    PMRS: bool = bits(56)         # Persistent Memory Region Supported
    CMBS: bool = bits(57)         # Controller Memory Buffer Supported
    NSSS: bool = bits(58)         # NVM Subsystem Shutdown Supported
    CRWMS: bool = bits(59)        # CRMS: Controller Ready With Media Support
    CRIMS: bool = bits(60)        # CRMS: Controller Ready Independent of Media Support


class VS(Bits):
    """Version (3.1.3.2)."""

    TER: int = bits(7, 0)
    MNR: int = bits(15, 8)
    MJR: int = bits(31, 16)


class IVM(Bits):
    """Interrupt Mask Set and Clear (3.1.3.3, 3.1.3.4), one bit per vector; not for MSI-X."""

    IV: int = bits(31, 0)


class CommandSet(SpecEnum):
    """CC.CSS, the I/O command set selected."""

    NVM = 0b000
    ALL_SUPPORTED = 0b110
    ADMIN_ONLY = 0b111


class Shutdown(SpecEnum):
    """CC.SHN, Shutdown Notification."""

    NONE = 0b00
    NORMAL = 0b01
    ABRUPT = 0b10


class ShutdownStatus(SpecEnum):
    """CSTS.SHST, Shutdown Status."""

    NORMAL_OPERATION = 0b00
    OCCURRING = 0b01
    COMPLETE = 0b10


class CC(Bits):
    """Controller Configuration (3.1.3.5)."""

    EN: bool = bits(0)
    CSS: CommandSet = bits(6, 4)
    MPS: int = bits(10, 7)        # Memory Page Size, 4 KiB << MPS
    AMS: int = bits(13, 11)
    SHN: Shutdown = bits(15, 14)
    IOSQES: int = bits(19, 16)    # log2 of the submission entry size
    IOCQES: int = bits(23, 20)    # log2 of the completion entry size
    CRIME: bool = bits(24)        # Controller Ready Independent of Media Enable


class CSTS(Bits):
    """Controller Status (3.1.3.6)."""

    RDY: bool = bits(0)
    CFS: bool = bits(1)           # Controller Fatal Status
    SHST: ShutdownStatus = bits(3, 2)
    NSSRO: bool = bits(4, w1c=True)  # NVM Subsystem Reset Occurred
    PP: bool = bits(5)            # Processing Paused
    ST: bool = bits(6)            # Shutdown Type


class NSSR(Bits):
    """NVM Subsystem Reset (3.1.3.7)."""

    NSSRC: int = bits(31, 0)      # 4E564D65h ("NVMe") starts the reset


class AQA(Bits):
    """Admin Queue Attributes (3.1.3.8); both sizes are 0's based."""

    ASQS: int = bits(11, 0)
    ACQS: int = bits(27, 16)


class ASQ(Bits, width=64):
    """Admin Submission Queue Base Address (3.1.3.9), a page number."""

    ASQB: int = bits(63, 12)


class ACQ(Bits, width=64):
    """Admin Completion Queue Base Address (3.1.3.10), a page number."""

    ACQB: int = bits(63, 12)


class CRTO(Bits):
    """Controller Ready Timeouts (3.1.3.20), in 500 ms units."""

    CRWMT: int = bits(15, 0)      # Controller Ready With Media Timeout
    CRIMT: int = bits(31, 16)     # Controller Ready Independent of Media Timeout


class NvmeRegs(Block):
    """Controller properties, BAR0 (3.1.3)."""

    CAP = ro(0x00, CAP)
    VS = ro(0x08, VS)
    INTMS = rw(0x0C, IVM)
    INTMC = rw(0x10, IVM)
    CC = rw(0x14, CC)
    CSTS = ro(0x1C, CSTS)
    NSSR = wo(0x20, NSSR)
    AQA = rw(0x24, AQA)
    ASQ = rw(0x28, ASQ)
    ACQ = rw(0x30, ACQ)
    CRTO = ro(0x68, CRTO)


GONE: Final = 0xFFFF_FFFF         # what a register of a device that has left reads as
PAGE: Final = 4096                # what MPSMIN, MPS and MDTS count powers of two of
DOORBELLS: Final = 0x1000         # SQ0TDBL; the others follow (PCIe Transport 1.0, 3.1.2)


def tail_doorbell(qid: int, cap: CAP, /) -> int:
    """Offset of SQyTDBL, Submission Queue y Tail Doorbell."""
    return DOORBELLS + 2 * qid * (4 << cap.DSTRD)


def head_doorbell(qid: int, cap: CAP, /) -> int:
    """Offset of CQyHDBL, Completion Queue y Head Doorbell."""
    return DOORBELLS + (2 * qid + 1) * (4 << cap.DSTRD)


# -- queue entries (3.3.3) -------------------------------------------------------------------------


class SQE(Struct, size=64):
    """Submission Queue Entry, common command format (3.3.3.1)."""

    OPC: int = at(0, "B")
    FUSE_PSDT: int = at(1, "B")   # FUSE 1:0, PSDT 7:6
    CID: int = at(2, "H")
    NSID: int = at(4, "I")
    CDW2: int = at(8, "I")
    CDW3: int = at(12, "I")
    MPTR: int = at(16, "Q")
    PRP1: int = at(24, "Q")
    PRP2: int = at(32, "Q")
    CDW10: int = at(40, "I")
    CDW11: int = at(44, "I")
    CDW12: int = at(48, "I")
    CDW13: int = at(52, "I")
    CDW14: int = at(56, "I")
    CDW15: int = at(60, "I")


class NvmSQE(Struct, size=64):
    """The same entry as the I/O queues write it: what an NVM command never sets is left zero."""

    OPC: int = at(0, "H")         # FUSE and PSDT, the upper byte, are zero: no fusing, PRPs
    CID: int = at(2, "H")
    NSID: int = at(4, "I")
    PRP1: int = at(24, "Q")
    PRP2: int = at(32, "Q")
    CDW10_11: int = at(40, "Q")   # SLBA, or what the command puts there
    CDW12: int = at(48, "I")


class CQE(Struct, size=16):
    """Completion Queue Entry (3.3.3.2)."""

    DW0: int = at(0, "I")
    DW1: int = at(4, "I")
    SQHD: int = at(8, "H")
    SQID: int = at(10, "H")
    CID: int = at(12, "H")
    STATUS: int = at(14, "H")     # decode with Status.of()


class CqeDw2(Bits):
    """Dword 2 of a completion queue entry."""

    SQHD: int = bits(15, 0)
    SQID: int = bits(31, 16)


class CqeDw3(Bits):
    """Dword 3 of a completion queue entry.

    The controller writes it whole: one read sees phase, status and identifier of one completion.
    """

    CID: int = bits(15, 0)
    P: bool = bits(16)
    SF: int = bits(31, 17)        # the 15 bits of Status above the phase


class StatusCodeType(SpecEnum):
    """Status.SCT (3.3.3.2.1)."""

    GENERIC = 0
    COMMAND = 1
    MEDIA = 2
    PATH = 3
    VENDOR = 7


class Status(Bits, width=16):
    """Phase Tag and Status Field, upper half of completion dword 3 (3.3.3.2.1)."""

    P: bool = bits(0)             # toggles each time the queue wraps
    SC: int = bits(8, 1)          # Status Code
    SCT: StatusCodeType = bits(11, 9)
    CRD: int = bits(13, 12)       # Command Retry Delay
    M: bool = bits(14)            # More: the error log has an entry
    DNR: bool = bits(15)          # Do Not Retry


class Generic(SpecEnum):
    """Status codes of type GENERIC (3.3.3.2.1, figures 93 and 94)."""

    SUCCESS = 0x00
    INVALID_OPCODE = 0x01
    INVALID_FIELD = 0x02
    COMMAND_ID_CONFLICT = 0x03
    DATA_TRANSFER_ERROR = 0x04
    ABORTED_POWER_LOSS = 0x05
    INTERNAL_ERROR = 0x06
    ABORT_REQUESTED = 0x07
    ABORTED_SQ_DELETION = 0x08
    ABORTED_FAILED_FUSED = 0x09
    ABORTED_MISSING_FUSED = 0x0A
    INVALID_NAMESPACE_OR_FORMAT = 0x0B
    COMMAND_SEQUENCE_ERROR = 0x0C
    PRP_OFFSET_INVALID = 0x13
    ATOMIC_WRITE_UNIT_EXCEEDED = 0x14
    OPERATION_DENIED = 0x15
    SANITIZE_FAILED = 0x1C
    SANITIZE_IN_PROGRESS = 0x1D
    NAMESPACE_IS_WRITE_PROTECTED = 0x20
    COMMAND_INTERRUPTED = 0x21
    TRANSIENT_TRANSPORT_ERROR = 0x22
    LBA_OUT_OF_RANGE = 0x80
    CAPACITY_EXCEEDED = 0x81
    NAMESPACE_NOT_READY = 0x82
    RESERVATION_CONFLICT = 0x83
    FORMAT_IN_PROGRESS = 0x84


class CommandSpecific(SpecEnum):
    """Status codes of type COMMAND (3.3.3.2.1, figures 95 and 96)."""

    COMPLETION_QUEUE_INVALID = 0x00
    INVALID_QUEUE_IDENTIFIER = 0x01
    INVALID_QUEUE_SIZE = 0x02
    ABORT_COMMAND_LIMIT_EXCEEDED = 0x03
    ASYNC_EVENT_LIMIT_EXCEEDED = 0x05
    INVALID_INTERRUPT_VECTOR = 0x08
    INVALID_LOG_PAGE = 0x09
    INVALID_FORMAT = 0x0A
    INVALID_QUEUE_DELETION = 0x0C
    FEATURE_NOT_SAVEABLE = 0x0D
    FEATURE_NOT_CHANGEABLE = 0x0E
    FEATURE_NOT_NAMESPACE_SPECIFIC = 0x0F
    CONFLICTING_ATTRIBUTES = 0x80
    INVALID_PROTECTION_INFORMATION = 0x81
    WRITE_TO_READ_ONLY_RANGE = 0x82
    COMMAND_SIZE_LIMIT_EXCEEDED = 0x83


class Media(SpecEnum):
    """Status codes of type MEDIA (3.3.3.2.1, figures 97 and 98)."""

    WRITE_FAULT = 0x80
    UNRECOVERED_READ_ERROR = 0x81
    GUARD_CHECK_ERROR = 0x82
    APPLICATION_TAG_CHECK_ERROR = 0x83
    REFERENCE_TAG_CHECK_ERROR = 0x84
    COMPARE_FAILURE = 0x85
    ACCESS_DENIED = 0x86
    DEALLOCATED_OR_UNWRITTEN = 0x87


# -- admin commands (section 5) --------------------------------------------------------------------


class AdminOpcode(SpecEnum):
    """Opcodes for the admin queue (figure 138)."""

    DELETE_IO_SQ = 0x00
    CREATE_IO_SQ = 0x01
    GET_LOG_PAGE = 0x02
    DELETE_IO_CQ = 0x04
    CREATE_IO_CQ = 0x05
    IDENTIFY = 0x06
    ABORT = 0x08
    SET_FEATURES = 0x09
    GET_FEATURES = 0x0A
    ASYNCHRONOUS_EVENT_REQUEST = 0x0C


class QueueDw10(Bits):
    """Create I/O Completion or Submission Queue, dword 10 (5.4, 5.5); deletion uses QID alone."""

    QID: int = bits(15, 0)
    QSIZE: int = bits(31, 16)     # 0's based


class CreateCqDw11(Bits):
    """Create I/O Completion Queue, dword 11 (5.4)."""

    PC: bool = bits(0)            # Physically Contiguous
    IEN: bool = bits(1)           # Interrupts Enabled
    IV: int = bits(31, 16)        # Interrupt Vector


class CreateSqDw11(Bits):
    """Create I/O Submission Queue, dword 11 (5.5)."""

    PC: bool = bits(0)            # Physically Contiguous
    QPRIO: int = bits(2, 1)
    CQID: int = bits(31, 16)


class AbortDw10(Bits):
    """Abort, dword 10 (5.1)."""

    SQID: int = bits(15, 0)
    CID: int = bits(31, 16)


class AbortResult(Bits):
    """Abort, completion dword 0 (5.1.1)."""

    NOT_ABORTED: bool = bits(0)


class Structure(SpecEnum):
    """CNS, Controller or Namespace Structure: what Identify returns (5.17)."""

    NAMESPACE = 0x00
    CONTROLLER = 0x01
    ACTIVE_NAMESPACES = 0x02


class IdentifyDw10(Bits):
    """Identify, dword 10 (5.17)."""

    CNS: Structure = bits(7, 0)
    CNTID: int = bits(31, 16)


class LogPage(SpecEnum):
    """Log Page Identifiers (5.16.1)."""

    ERROR_INFORMATION = 0x01
    SMART_HEALTH = 0x02
    FIRMWARE_SLOT = 0x03
    CHANGED_NAMESPACES = 0x04


class LogDw10(Bits):
    """Get Log Page, dword 10 (5.16)."""

    LID: LogPage = bits(7, 0)
    RAE: bool = bits(15)          # Retain Asynchronous Event
    NUMDL: int = bits(31, 16)     # dwords to return, lower half, 0's based


class Feature(SpecEnum):
    """Feature Identifiers (5.27.1)."""

    ARBITRATION = 0x01
    POWER_MANAGEMENT = 0x02
    TEMPERATURE_THRESHOLD = 0x04
    ERROR_RECOVERY = 0x05
    VOLATILE_WRITE_CACHE = 0x06
    NUMBER_OF_QUEUES = 0x07
    INTERRUPT_COALESCING = 0x08
    INTERRUPT_VECTOR_CONFIGURATION = 0x09
    WRITE_ATOMICITY = 0x0A
    ASYNCHRONOUS_EVENT_CONFIGURATION = 0x0B
    TIMESTAMP = 0x0E


class GetFeaturesDw10(Bits):
    """Get Features, dword 10 (5.15)."""

    FID: Feature = bits(7, 0)
    SEL: int = bits(10, 8)        # 0 current, 1 default, 2 saved, 3 supported capabilities


class SetFeaturesDw10(Bits):
    """Set Features, dword 10 (5.27)."""

    FID: Feature = bits(7, 0)
    SV: bool = bits(31)           # Save


class NumberOfQueues(Bits):
    """Number of Queues, dword 11 and completion dword 0 (5.27.1.5); all 0's based."""

    NSQ: int = bits(15, 0)
    NCQ: int = bits(31, 16)


class WriteCache(Bits):
    """Volatile Write Cache, dword 11 (5.27.1.4)."""

    WCE: bool = bits(0)


class AsyncConfig(Bits):
    """Asynchronous Event Configuration, dword 11 (5.27.1.8); bits 31:8 as in OAES."""

    SMART: int = bits(7, 0)       # one bit per CriticalWarning
    NAN: bool = bits(8)           # Namespace Attribute Notices
    FAN: bool = bits(9)           # Firmware Activation Notices


class AsyncEventType(SpecEnum):
    """Asynchronous Event Type (5.2.1)."""

    ERROR = 0
    SMART_HEALTH = 1
    NOTICE = 2
    IMMEDIATE = 3
    IO_COMMAND_SPECIFIC = 6
    VENDOR = 7


class AsyncEvent(Bits):
    """Asynchronous Event Request, completion dword 0 (5.2.1)."""

    AET: AsyncEventType = bits(2, 0)
    AEI: int = bits(15, 8)        # Asynchronous Event Information
    LID: LogPage = bits(23, 16)   # the log page that says more, and whose reading clears the event


# -- Identify Controller (5.17.2.1) ----------------------------------------------------------------


class IdentifyController(Struct, size=4096):
    """Identify Controller data structure (5.17.2.1, figure 275)."""

    VID: int = at(0, "H")
    SSVID: int = at(2, "H")
    SN: bytes = at(4, "20s")
    MN: bytes = at(24, "40s")
    FR: bytes = at(64, "8s")
    RAB: int = at(72, "B")
    IEEE: bytes = at(73, "3s")
    CMIC: int = at(76, "B")
    MDTS: int = at(77, "B")       # log2 of the largest transfer, in units of CAP.MPSMIN; 0 no limit
    CNTLID: int = at(78, "H")
    VER: int = at(80, "I")        # decode with VS.of()
    RTD3R: int = at(84, "I")      # microseconds
    RTD3E: int = at(88, "I")      # microseconds a shutdown may take; 0 not reported
    OAES: int = at(92, "I")       # Optional Asynchronous Events Supported, bits as AsyncConfig
    CTRATT: int = at(96, "I")
    CNTRLTYPE: int = at(111, "B")
    OACS: int = at(256, "H")
    ACL: int = at(258, "B")       # Abort Command Limit, 0's based
    AERL: int = at(259, "B")      # Asynchronous Event Request Limit, 0's based
    FRMW: int = at(260, "B")
    LPA: int = at(261, "B")
    ELPE: int = at(262, "B")      # Error Log Page Entries, 0's based
    NPSS: int = at(263, "B")
    WCTEMP: int = at(266, "H")    # Warning Composite Temperature Threshold, kelvin
    CCTEMP: int = at(268, "H")    # Critical Composite Temperature Threshold, kelvin
    TNVMCAP: bytes = at(280, "16s")
    SQES: int = at(512, "B")      # decode with EntrySizes.of()
    CQES: int = at(513, "B")
    MAXCMD: int = at(514, "H")
    NN: int = at(516, "I")        # Number of Namespaces: the largest identifier
    ONCS: int = at(520, "H")      # decode with OptionalCommands.of()
    FUSES: int = at(522, "H")
    FNA: int = at(524, "B")
    VWC: int = at(525, "B")       # decode with CacheInfo.of()
    AWUN: int = at(526, "H")
    AWUPF: int = at(528, "H")
    SGLS: int = at(536, "I")
    SUBNQN: bytes = at(768, "256s")


class EntrySizes(Bits, width=8):
    """SQES and CQES: log2 of queue entry sizes."""

    MIN: int = bits(3, 0)
    MAX: int = bits(7, 4)


class OptionalCommands(Bits, width=16):
    """ONCS, Optional NVM Command Support."""

    COMPARE: bool = bits(0)
    WRITE_UNCORRECTABLE: bool = bits(1)
    DATASET_MANAGEMENT: bool = bits(2)
    WRITE_ZEROES: bool = bits(3)
    SAVE_AND_SELECT: bool = bits(4)
    RESERVATIONS: bool = bits(5)
    TIMESTAMP: bool = bits(6)
    VERIFY: bool = bits(7)
    COPY: bool = bits(8)


class CacheInfo(Bits, width=8):
    """VWC, Volatile Write Cache."""

    PRESENT: bool = bits(0)
    BROADCAST: int = bits(2, 1)   # what Flush does with NSID FFFFFFFFh


# -- Identify Namespace (NVM Command Set 4.1.5.1) --------------------------------------------------


class IdentifyNamespace(Struct, size=4096):
    """Identify Namespace data structure (NVM Command Set 4.1.5.1, figure 97)."""

    NSZE: int = at(0, "Q")        # Namespace Size, in logical blocks
    NCAP: int = at(8, "Q")        # Namespace Capacity
    NUSE: int = at(16, "Q")       # Namespace Utilization
    NSFEAT: int = at(24, "B")
    NLBAF: int = at(25, "B")      # Number of LBA Formats, 0's based
    FLBAS: int = at(26, "B")      # decode with FormattedSize.of()
    MC: int = at(27, "B")
    DPC: int = at(28, "B")
    DPS: int = at(29, "B")        # End-to-end Data Protection Type Settings
    NMIC: int = at(30, "B")
    RESCAP: int = at(31, "B")
    FPI: int = at(32, "B")
    DLFEAT: int = at(33, "B")     # decode with DeallocateFeatures.of()
    NAWUN: int = at(34, "H")
    NAWUPF: int = at(36, "H")
    NOIOB: int = at(46, "H")
    NVMCAP: bytes = at(48, "16s")
    NPWG: int = at(64, "H")
    NPWA: int = at(66, "H")
    NPDG: int = at(68, "H")
    NPDA: int = at(70, "H")
    NSATTR: int = at(99, "B")     # decode with NamespaceAttributes.of()
    NVMSETID: int = at(100, "H")
    ENDGID: int = at(102, "H")
    NGUID: bytes = at(104, "16s")
    EUI64: bytes = at(120, "8s")
    LBAFS: bytes = at(128, "256s")  # 64 LBA formats of 4 bytes; see LbaFormat


class FormattedSize(Bits, width=8):
    """FLBAS, Formatted LBA Size: which of the formats is in use."""

    LOW: int = bits(3, 0)
    MTELBA: bool = bits(4)        # metadata is at the end of each data block
    HIGH: int = bits(6, 5)        # only when NLBAF is above 16


class LbaFormat(Struct, size=4):
    """LBA Format data structure."""

    MS: int = at(0, "H")          # Metadata Size, bytes
    LBADS: int = at(2, "B")       # log2 of the block size; 0 when the format is not available
    RP: int = at(3, "B")


class DeallocateFeatures(Bits, width=8):
    """DLFEAT, Deallocate Logical Block Features."""

    READS: int = bits(2, 0)       # 1: deallocated blocks read as zero, 2: as FFh
    WRITE_ZEROES_DEAC: bool = bits(3)
    GUARD: bool = bits(4)


class NamespaceAttributes(Bits, width=8):
    """NSATTR, Namespace Attributes."""

    WRITE_PROTECTED: bool = bits(0)


class NamespaceList(Struct, size=4096):
    """Active Namespace ID list (5.17.2.2): up to 1024 identifiers, ascending, then zeroes."""

    NSIDS: bytes = at(0, "4096s")


# -- NVM commands (NVM Command Set section 3) ------------------------------------------------------


class NvmOpcode(SpecEnum):
    """Opcodes for the I/O queues (NVM Command Set, figure 21)."""

    FLUSH = 0x00
    WRITE = 0x01
    READ = 0x02
    WRITE_UNCORRECTABLE = 0x04
    COMPARE = 0x05
    WRITE_ZEROES = 0x08
    DATASET_MANAGEMENT = 0x09
    VERIFY = 0x0C
    RESERVATION_REPORT = 0x0E


class RwDw12(Bits):
    """Read, Write and Write Zeroes, dword 12 (NVM Command Set 3.2.4, 3.2.6, 3.2.8)."""

    NLB: int = bits(15, 0)        # Number of Logical Blocks, 0's based
    DEAC: bool = bits(25)         # Write Zeroes: Deallocate
    PRINFO: int = bits(29, 26)
    FUA: bool = bits(30)          # Force Unit Access
    LR: bool = bits(31)           # Limited Retry


class DsmDw10_11(Bits, width=64):
    """Dataset Management, dwords 10 and 11 (NVM Command Set 3.2.3)."""

    NR: int = bits(7, 0)          # Number of Ranges, 0's based
    IDR: bool = bits(32)
    IDW: bool = bits(33)
    AD: bool = bits(34)           # Attribute: Deallocate


class DsmRange(Struct, size=16):
    """Dataset Management range definition (NVM Command Set 3.2.3.1)."""

    ATTRIBUTES: int = at(0, "I")
    LENGTH: int = at(4, "I")      # logical blocks
    SLBA: int = at(8, "Q")


# -- log pages (5.16.1) ----------------------------------------------------------------------------


class ErrorEntry(Struct, size=64):
    """One entry of the Error Information log (5.16.1.2)."""

    ERROR_COUNT: int = at(0, "Q")  # 0 in an entry never written
    SQID: int = at(8, "H")
    CID: int = at(10, "H")
    STATUS: int = at(12, "H")     # decode with Status.of()
    PARAMETER_LOCATION: int = at(14, "H")
    LBA: int = at(16, "Q")
    NSID: int = at(24, "I")
    VENDOR_PAGE: int = at(28, "B")
    TRTYPE: int = at(29, "B")
    COMMAND_SPECIFIC: int = at(32, "Q")


class CriticalWarning(Bits, width=8):
    """SMART / Health Information, byte 0."""

    SPARE: bool = bits(0)         # available spare is below its threshold
    TEMPERATURE: bool = bits(1)
    RELIABILITY: bool = bits(2)
    READ_ONLY: bool = bits(3)
    BACKUP_FAILED: bool = bits(4)  # the volatile memory backup device has failed
    PMR: bool = bits(5)           # the Persistent Memory Region has become unreliable


class SmartLog(Struct, size=512):
    """SMART / Health Information log (5.16.1.3); the 16-byte members are little-endian counters."""

    CRITICAL_WARNING: int = at(0, "B")
    COMPOSITE_TEMPERATURE: int = at(1, "H")  # kelvin
    AVAILABLE_SPARE: int = at(3, "B")  # per cent
    AVAILABLE_SPARE_THRESHOLD: int = at(4, "B")
    PERCENTAGE_USED: int = at(5, "B")
    DATA_UNITS_READ: bytes = at(32, "16s")  # thousands of 512 bytes
    DATA_UNITS_WRITTEN: bytes = at(48, "16s")
    HOST_READ_COMMANDS: bytes = at(64, "16s")
    HOST_WRITE_COMMANDS: bytes = at(80, "16s")
    CONTROLLER_BUSY_TIME: bytes = at(96, "16s")  # minutes
    POWER_CYCLES: bytes = at(112, "16s")
    POWER_ON_HOURS: bytes = at(128, "16s")
    UNSAFE_SHUTDOWNS: bytes = at(144, "16s")
    MEDIA_ERRORS: bytes = at(160, "16s")
    ERROR_LOG_ENTRIES: bytes = at(176, "16s")
    WARNING_TEMPERATURE_TIME: int = at(192, "I")  # minutes
    CRITICAL_TEMPERATURE_TIME: int = at(196, "I")


class FirmwareSlot(Bits, width=8):
    """Active Firmware Info, byte 0 of the Firmware Slot Information log."""

    ACTIVE: int = bits(2, 0)
    NEXT: int = bits(6, 4)        # 0: the same one


class FirmwareLog(Struct, size=512):
    """Firmware Slot Information log (5.16.1.4)."""

    AFI: int = at(0, "B")         # decode with FirmwareSlot.of()
    FRS1: bytes = at(8, "8s")
    FRS2: bytes = at(16, "8s")
    FRS3: bytes = at(24, "8s")
    FRS4: bytes = at(32, "8s")
    FRS5: bytes = at(40, "8s")
    FRS6: bytes = at(48, "8s")
    FRS7: bytes = at(56, "8s")
