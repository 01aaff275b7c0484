"""nvmed's tables against a list typed by hand from the specification's figures."""

from __future__ import annotations

import struct

import pytest

from daemons.nvmed import regs
from redbear_host.bits import Bits, Struct

PROPERTIES = {
    "CAP": (0x00, 64),
    "VS": (0x08, 32),
    "INTMS": (0x0C, 32),
    "INTMC": (0x10, 32),
    "CC": (0x14, 32),
    "CSTS": (0x1C, 32),
    "NSSR": (0x20, 32),
    "AQA": (0x24, 32),
    "ASQ": (0x28, 64),
    "ACQ": (0x30, 64),
    "CRTO": (0x68, 32),
}

# Register or dword → field → its bits as a word with only that field all ones.
FIELDS: dict[type[Bits], dict[str, int]] = {
    regs.CAP: {
        "MQES": 0x0000_0000_0000_FFFF,
        "CQR": 0x0000_0000_0001_0000,
        "AMS": 0x0000_0000_0006_0000,
        "TO": 0x0000_0000_FF00_0000,
        "DSTRD": 0x0000_000F_0000_0000,
        "NSSRS": 0x0000_0010_0000_0000,
        "CSS_NVM": 0x0000_0020_0000_0000,
        "CSS_IO": 0x0000_0800_0000_0000,
        "CSS_NONE": 0x0000_1000_0000_0000,
        "BPS": 0x0000_2000_0000_0000,
        "CPS": 0x0000_C000_0000_0000,
        "MPSMIN": 0x000F_0000_0000_0000,
        "MPSMAX": 0x00F0_0000_0000_0000,
        "PMRS": 0x0100_0000_0000_0000,
        "CMBS": 0x0200_0000_0000_0000,
        "NSSS": 0x0400_0000_0000_0000,
        "CRWMS": 0x0800_0000_0000_0000,
        "CRIMS": 0x1000_0000_0000_0000,
    },
    regs.VS: {"TER": 0xFF, "MNR": 0xFF00, "MJR": 0xFFFF_0000},
    regs.IVM: {"IV": 0xFFFF_FFFF},
    regs.CC: {
        "EN": 0x0000_0001,
        "CSS": 0x0000_0070,
        "MPS": 0x0000_0780,
        "AMS": 0x0000_3800,
        "SHN": 0x0000_C000,
        "IOSQES": 0x000F_0000,
        "IOCQES": 0x00F0_0000,
        "CRIME": 0x0100_0000,
    },
    regs.CSTS: {"RDY": 0x01, "CFS": 0x02, "SHST": 0x0C, "NSSRO": 0x10, "PP": 0x20, "ST": 0x40},
    regs.NSSR: {"NSSRC": 0xFFFF_FFFF},
    regs.AQA: {"ASQS": 0x0000_0FFF, "ACQS": 0x0FFF_0000},
    regs.ASQ: {"ASQB": 0xFFFF_FFFF_FFFF_F000},
    regs.ACQ: {"ACQB": 0xFFFF_FFFF_FFFF_F000},
    regs.CRTO: {"CRWMT": 0x0000_FFFF, "CRIMT": 0xFFFF_0000},
    regs.CqeDw2: {"SQHD": 0x0000_FFFF, "SQID": 0xFFFF_0000},
    regs.CqeDw3: {"CID": 0x0000_FFFF, "P": 0x0001_0000, "SF": 0xFFFE_0000},
    regs.Status: {
        "P": 0x0001,
        "SC": 0x01FE,
        "SCT": 0x0E00,
        "CRD": 0x3000,
        "M": 0x4000,
        "DNR": 0x8000,
    },
    regs.QueueDw10: {"QID": 0x0000_FFFF, "QSIZE": 0xFFFF_0000},
    regs.CreateCqDw11: {"PC": 0x1, "IEN": 0x2, "IV": 0xFFFF_0000},
    regs.CreateSqDw11: {"PC": 0x1, "QPRIO": 0x6, "CQID": 0xFFFF_0000},
    regs.AbortDw10: {"SQID": 0x0000_FFFF, "CID": 0xFFFF_0000},
    regs.AbortResult: {"NOT_ABORTED": 0x1},
    regs.IdentifyDw10: {"CNS": 0xFF, "CNTID": 0xFFFF_0000},
    regs.LogDw10: {"LID": 0xFF, "RAE": 0x8000, "NUMDL": 0xFFFF_0000},
    regs.GetFeaturesDw10: {"FID": 0xFF, "SEL": 0x700},
    regs.SetFeaturesDw10: {"FID": 0xFF, "SV": 0x8000_0000},
    regs.NumberOfQueues: {"NSQ": 0x0000_FFFF, "NCQ": 0xFFFF_0000},
    regs.WriteCache: {"WCE": 0x1},
    regs.AsyncConfig: {"SMART": 0xFF, "NAN": 0x100, "FAN": 0x200},
    regs.AsyncEvent: {"AET": 0x7, "AEI": 0xFF00, "LID": 0xFF_0000},
    regs.EntrySizes: {"MIN": 0x0F, "MAX": 0xF0},
    regs.OptionalCommands: {
        "COMPARE": 0x001,
        "WRITE_UNCORRECTABLE": 0x002,
        "DATASET_MANAGEMENT": 0x004,
        "WRITE_ZEROES": 0x008,
        "SAVE_AND_SELECT": 0x010,
        "RESERVATIONS": 0x020,
        "TIMESTAMP": 0x040,
        "VERIFY": 0x080,
        "COPY": 0x100,
    },
    regs.CacheInfo: {"PRESENT": 0x1, "BROADCAST": 0x6},
    regs.FormattedSize: {"LOW": 0x0F, "MTELBA": 0x10, "HIGH": 0x60},
    regs.DeallocateFeatures: {"READS": 0x07, "WRITE_ZEROES_DEAC": 0x08, "GUARD": 0x10},
    regs.NamespaceAttributes: {"WRITE_PROTECTED": 0x01},
    regs.RwDw12: {
        "NLB": 0x0000_FFFF,
        "DEAC": 0x0200_0000,
        "PRINFO": 0x3C00_0000,
        "FUA": 0x4000_0000,
        "LR": 0x8000_0000,
    },
    regs.DsmDw10_11: {
        "NR": 0xFF,
        "IDR": 0x1_0000_0000,
        "IDW": 0x2_0000_0000,
        "AD": 0x4_0000_0000,
    },
    regs.CriticalWarning: {
        "SPARE": 0x01,
        "TEMPERATURE": 0x02,
        "RELIABILITY": 0x04,
        "READ_ONLY": 0x08,
        "BACKUP_FAILED": 0x10,
        "PMR": 0x20,
    },
    regs.FirmwareSlot: {"ACTIVE": 0x07, "NEXT": 0x70},
}

# Record → size, and member → (offset, bytes).
RECORDS: dict[type[Struct], tuple[int, dict[str, tuple[int, int]]]] = {
    regs.SQE: (
        64,
        {
            "OPC": (0, 1),
            "FUSE_PSDT": (1, 1),
            "CID": (2, 2),
            "NSID": (4, 4),
            "CDW2": (8, 4),
            "CDW3": (12, 4),
            "MPTR": (16, 8),
            "PRP1": (24, 8),
            "PRP2": (32, 8),
            "CDW10": (40, 4),
            "CDW11": (44, 4),
            "CDW12": (48, 4),
            "CDW13": (52, 4),
            "CDW14": (56, 4),
            "CDW15": (60, 4),
        },
    ),
    regs.NvmSQE: (
        64,
        {
            "OPC": (0, 2),
            "CID": (2, 2),
            "NSID": (4, 4),
            "PRP1": (24, 8),
            "PRP2": (32, 8),
            "CDW10_11": (40, 8),
            "CDW12": (48, 4),
        },
    ),
    regs.CQE: (
        16,
        {
            "DW0": (0, 4),
            "DW1": (4, 4),
            "SQHD": (8, 2),
            "SQID": (10, 2),
            "CID": (12, 2),
            "STATUS": (14, 2),
        },
    ),
    regs.IdentifyController: (
        4096,
        {
            "VID": (0, 2),
            "SSVID": (2, 2),
            "SN": (4, 20),
            "MN": (24, 40),
            "FR": (64, 8),
            "RAB": (72, 1),
            "IEEE": (73, 3),
            "CMIC": (76, 1),
            "MDTS": (77, 1),
            "CNTLID": (78, 2),
            "VER": (80, 4),
            "RTD3R": (84, 4),
            "RTD3E": (88, 4),
            "OAES": (92, 4),
            "CTRATT": (96, 4),
            "CNTRLTYPE": (111, 1),
            "OACS": (256, 2),
            "ACL": (258, 1),
            "AERL": (259, 1),
            "FRMW": (260, 1),
            "LPA": (261, 1),
            "ELPE": (262, 1),
            "NPSS": (263, 1),
            "WCTEMP": (266, 2),
            "CCTEMP": (268, 2),
            "TNVMCAP": (280, 16),
            "SQES": (512, 1),
            "CQES": (513, 1),
            "MAXCMD": (514, 2),
            "NN": (516, 4),
            "ONCS": (520, 2),
            "FUSES": (522, 2),
            "FNA": (524, 1),
            "VWC": (525, 1),
            "AWUN": (526, 2),
            "AWUPF": (528, 2),
            "SGLS": (536, 4),
            "SUBNQN": (768, 256),
        },
    ),
    regs.IdentifyNamespace: (
        4096,
        {
            "NSZE": (0, 8),
            "NCAP": (8, 8),
            "NUSE": (16, 8),
            "NSFEAT": (24, 1),
            "NLBAF": (25, 1),
            "FLBAS": (26, 1),
            "MC": (27, 1),
            "DPC": (28, 1),
            "DPS": (29, 1),
            "NMIC": (30, 1),
            "RESCAP": (31, 1),
            "FPI": (32, 1),
            "DLFEAT": (33, 1),
            "NAWUN": (34, 2),
            "NAWUPF": (36, 2),
            "NOIOB": (46, 2),
            "NVMCAP": (48, 16),
            "NPWG": (64, 2),
            "NPWA": (66, 2),
            "NPDG": (68, 2),
            "NPDA": (70, 2),
            "NSATTR": (99, 1),
            "NVMSETID": (100, 2),
            "ENDGID": (102, 2),
            "NGUID": (104, 16),
            "EUI64": (120, 8),
            "LBAFS": (128, 256),
        },
    ),
    regs.LbaFormat: (4, {"MS": (0, 2), "LBADS": (2, 1), "RP": (3, 1)}),
    regs.NamespaceList: (4096, {"NSIDS": (0, 4096)}),
    regs.DsmRange: (16, {"ATTRIBUTES": (0, 4), "LENGTH": (4, 4), "SLBA": (8, 8)}),
    regs.ErrorEntry: (
        64,
        {
            "ERROR_COUNT": (0, 8),
            "SQID": (8, 2),
            "CID": (10, 2),
            "STATUS": (12, 2),
            "PARAMETER_LOCATION": (14, 2),
            "LBA": (16, 8),
            "NSID": (24, 4),
            "VENDOR_PAGE": (28, 1),
            "TRTYPE": (29, 1),
            "COMMAND_SPECIFIC": (32, 8),
        },
    ),
    regs.SmartLog: (
        512,
        {
            "CRITICAL_WARNING": (0, 1),
            "COMPOSITE_TEMPERATURE": (1, 2),
            "AVAILABLE_SPARE": (3, 1),
            "AVAILABLE_SPARE_THRESHOLD": (4, 1),
            "PERCENTAGE_USED": (5, 1),
            "DATA_UNITS_READ": (32, 16),
            "DATA_UNITS_WRITTEN": (48, 16),
            "HOST_READ_COMMANDS": (64, 16),
            "HOST_WRITE_COMMANDS": (80, 16),
            "CONTROLLER_BUSY_TIME": (96, 16),
            "POWER_CYCLES": (112, 16),
            "POWER_ON_HOURS": (128, 16),
            "UNSAFE_SHUTDOWNS": (144, 16),
            "MEDIA_ERRORS": (160, 16),
            "ERROR_LOG_ENTRIES": (176, 16),
            "WARNING_TEMPERATURE_TIME": (192, 4),
            "CRITICAL_TEMPERATURE_TIME": (196, 4),
        },
    ),
    regs.FirmwareLog: (
        512,
        {"AFI": (0, 1)} | {f"FRS{slot}": (8 * slot, 8) for slot in range(1, 8)},
    ),
}

CODES = {
    regs.AdminOpcode: {
        "DELETE_IO_SQ": 0x00,
        "CREATE_IO_SQ": 0x01,
        "GET_LOG_PAGE": 0x02,
        "DELETE_IO_CQ": 0x04,
        "CREATE_IO_CQ": 0x05,
        "IDENTIFY": 0x06,
        "ABORT": 0x08,
        "SET_FEATURES": 0x09,
        "GET_FEATURES": 0x0A,
        "ASYNCHRONOUS_EVENT_REQUEST": 0x0C,
    },
    regs.NvmOpcode: {
        "FLUSH": 0x00,
        "WRITE": 0x01,
        "READ": 0x02,
        "WRITE_UNCORRECTABLE": 0x04,
        "COMPARE": 0x05,
        "WRITE_ZEROES": 0x08,
        "DATASET_MANAGEMENT": 0x09,
        "VERIFY": 0x0C,
        "RESERVATION_REPORT": 0x0E,
    },
    regs.Structure: {"NAMESPACE": 0, "CONTROLLER": 1, "ACTIVE_NAMESPACES": 2},
    regs.LogPage: {
        "ERROR_INFORMATION": 1,
        "SMART_HEALTH": 2,
        "FIRMWARE_SLOT": 3,
        "CHANGED_NAMESPACES": 4,
    },
    regs.Feature: {
        "ARBITRATION": 0x01,
        "POWER_MANAGEMENT": 0x02,
        "TEMPERATURE_THRESHOLD": 0x04,
        "ERROR_RECOVERY": 0x05,
        "VOLATILE_WRITE_CACHE": 0x06,
        "NUMBER_OF_QUEUES": 0x07,
        "INTERRUPT_COALESCING": 0x08,
        "INTERRUPT_VECTOR_CONFIGURATION": 0x09,
        "WRITE_ATOMICITY": 0x0A,
        "ASYNCHRONOUS_EVENT_CONFIGURATION": 0x0B,
        "TIMESTAMP": 0x0E,
    },
    regs.Shutdown: {"NONE": 0, "NORMAL": 1, "ABRUPT": 2},
    regs.ShutdownStatus: {"NORMAL_OPERATION": 0, "OCCURRING": 1, "COMPLETE": 2},
    regs.CommandSet: {"NVM": 0, "ALL_SUPPORTED": 6, "ADMIN_ONLY": 7},
    regs.AsyncEventType: {
        "ERROR": 0,
        "SMART_HEALTH": 1,
        "NOTICE": 2,
        "IMMEDIATE": 3,
        "IO_COMMAND_SPECIFIC": 6,
        "VENDOR": 7,
    },
    regs.StatusCodeType: {"GENERIC": 0, "COMMAND": 1, "MEDIA": 2, "PATH": 3, "VENDOR": 7},
    regs.Media: {
        "WRITE_FAULT": 0x80,
        "UNRECOVERED_READ_ERROR": 0x81,
        "GUARD_CHECK_ERROR": 0x82,
        "APPLICATION_TAG_CHECK_ERROR": 0x83,
        "REFERENCE_TAG_CHECK_ERROR": 0x84,
        "COMPARE_FAILURE": 0x85,
        "ACCESS_DENIED": 0x86,
        "DEALLOCATED_OR_UNWRITTEN": 0x87,
    },
    regs.Generic: {
        "SUCCESS": 0x00,
        "INVALID_OPCODE": 0x01,
        "INVALID_FIELD": 0x02,
        "COMMAND_ID_CONFLICT": 0x03,
        "DATA_TRANSFER_ERROR": 0x04,
        "ABORTED_POWER_LOSS": 0x05,
        "INTERNAL_ERROR": 0x06,
        "ABORT_REQUESTED": 0x07,
        "ABORTED_SQ_DELETION": 0x08,
        "ABORTED_FAILED_FUSED": 0x09,
        "ABORTED_MISSING_FUSED": 0x0A,
        "INVALID_NAMESPACE_OR_FORMAT": 0x0B,
        "COMMAND_SEQUENCE_ERROR": 0x0C,
        "PRP_OFFSET_INVALID": 0x13,
        "ATOMIC_WRITE_UNIT_EXCEEDED": 0x14,
        "OPERATION_DENIED": 0x15,
        "SANITIZE_FAILED": 0x1C,
        "SANITIZE_IN_PROGRESS": 0x1D,
        "NAMESPACE_IS_WRITE_PROTECTED": 0x20,
        "COMMAND_INTERRUPTED": 0x21,
        "TRANSIENT_TRANSPORT_ERROR": 0x22,
        "LBA_OUT_OF_RANGE": 0x80,
        "CAPACITY_EXCEEDED": 0x81,
        "NAMESPACE_NOT_READY": 0x82,
        "RESERVATION_CONFLICT": 0x83,
        "FORMAT_IN_PROGRESS": 0x84,
    },
    regs.CommandSpecific: {
        "COMPLETION_QUEUE_INVALID": 0x00,
        "INVALID_QUEUE_IDENTIFIER": 0x01,
        "INVALID_QUEUE_SIZE": 0x02,
        "ABORT_COMMAND_LIMIT_EXCEEDED": 0x03,
        "ASYNC_EVENT_LIMIT_EXCEEDED": 0x05,
        "INVALID_INTERRUPT_VECTOR": 0x08,
        "INVALID_LOG_PAGE": 0x09,
        "INVALID_FORMAT": 0x0A,
        "INVALID_QUEUE_DELETION": 0x0C,
        "FEATURE_NOT_SAVEABLE": 0x0D,
        "FEATURE_NOT_CHANGEABLE": 0x0E,
        "FEATURE_NOT_NAMESPACE_SPECIFIC": 0x0F,
        "CONFLICTING_ATTRIBUTES": 0x80,
        "INVALID_PROTECTION_INFORMATION": 0x81,
        "WRITE_TO_READ_ONLY_RANGE": 0x82,
        "COMMAND_SIZE_LIMIT_EXCEEDED": 0x83,
    },
}


def test_properties_are_where_the_specification_puts_them() -> None:
    table = {
        name: (reg.offset, reg.kind.width)
        for name, reg in vars(regs.NvmeRegs).items()
        if hasattr(reg, "offset")
    }
    assert table == PROPERTIES


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_every_field_has_its_bits(kind: type[Bits]) -> None:
    assert set(kind.fields) == set(FIELDS[kind])
    everything = kind.of((1 << kind.width) - 1)
    for name, mask in FIELDS[kind].items():
        word = kind.of(mask)
        assert int(getattr(word, name)) == int(getattr(everything, name)) != 0
        others = set(kind.fields) - {name}
        assert not any(int(getattr(word, other)) for other in others)
        assert not int(getattr(kind.of(everything.raw & ~mask), name))


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_every_member_is_at_its_offset(kind: type[Struct]) -> None:
    size, members = RECORDS[kind]
    assert kind.size == size
    assert set(kind.fields) == set(members)
    for name, (offset, length) in members.items():
        raw = bytearray(size)
        raw[offset : offset + length] = bytes(range(1, 256))[:length].ljust(length, b"\xa5")
        value = getattr(kind.load(raw), name)
        expected = bytes(raw[offset : offset + length])
        assert value in (expected, int.from_bytes(expected, "little"))
        assert bytes(kind(**{name: value})) == bytes(raw)


@pytest.mark.parametrize("kind", CODES, ids=lambda kind: kind.__name__)
def test_every_code_has_its_number(kind: type[regs.Generic]) -> None:
    assert {member.name: int(member) for member in kind} == CODES[kind]


def test_tables_that_no_list_checks_do_not_exist() -> None:
    here = [
        thing
        for thing in vars(regs).values()
        if isinstance(thing, type) and thing.__module__ == regs.__name__
    ]
    listed = {*FIELDS, *RECORDS, *CODES, regs.NvmeRegs}
    assert [kind.__name__ for kind in here if kind not in listed] == []


def test_doorbells_follow_the_stride() -> None:
    for dstrd, step in ((0, 4), (1, 8), (4, 64)):
        cap = regs.CAP(DSTRD=dstrd)
        assert regs.tail_doorbell(0, cap) == 0x1000
        assert regs.head_doorbell(0, cap) == 0x1000 + step
        assert regs.tail_doorbell(3, cap) == 0x1000 + 6 * step
        assert regs.head_doorbell(3, cap) == 0x1000 + 7 * step


def test_a_controller_is_enabled_with_the_word_the_specification_spells() -> None:
    assert regs.CC(EN=True, IOSQES=6, IOCQES=4).raw == 0x0046_0001


def test_a_read_is_the_64_bytes_a_controller_expects() -> None:
    sqe = regs.NvmSQE(
        OPC=regs.NvmOpcode.READ,
        CID=0x1234,
        NSID=7,
        PRP1=0x1111_0000,
        PRP2=0x2222_0000,
        CDW10_11=0x5_0000_0006,
        CDW12=regs.RwDw12(NLB=8, FUA=True).raw,
    )
    by_hand = struct.pack(
        "<BBHIQQQQIIIIII", 2, 0, 0x1234, 7, 0, 0, 0x11110000, 0x22220000, 6, 5, 0x40000008, 0, 0, 0
    )
    assert bytes(sqe) == by_hand


def test_a_reserved_code_has_a_name_too() -> None:
    status = regs.Status.of(5 << 9 | 0x42 << 1)
    assert status.SCT.name == "RESERVED_0x5"
    assert regs.Generic(0x7F).name == "RESERVED_0x7f"
