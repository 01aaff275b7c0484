"""e1000d's tables against a list typed by hand from the manuals' tables."""

from __future__ import annotations

import struct

import pytest

from daemons.e1000d import regs
from redbear_host.bits import Bits

REGISTERS = {
    "CTRL": 0x00000, "STATUS": 0x00008, "EECD": 0x00010, "EERD": 0x00014, "CTRL_EXT": 0x00018,
    "MDIC": 0x00020, "FCAL": 0x00028, "FCAH": 0x0002C, "FCT": 0x00030, "VET": 0x00038,
    "ICR": 0x000C0, "ITR": 0x000C4, "ICS": 0x000C8, "IMS": 0x000D0, "IMC": 0x000D8,
    "RCTL": 0x00100, "FCTTV": 0x00170, "TCTL": 0x00400, "TIPG": 0x00410, "PBA": 0x01000,
    "FCRTL": 0x02160, "FCRTH": 0x02168, "RDBAL": 0x02800, "RDBAH": 0x02804, "RDLEN": 0x02808,
    "RDH": 0x02810, "RDT": 0x02818, "RDTR": 0x02820, "RXDCTL": 0x02828, "RADV": 0x0282C,
    "TDBAL": 0x03800, "TDBAH": 0x03804, "TDLEN": 0x03808, "TDH": 0x03810, "TDT": 0x03818,
    "TIDV": 0x03820, "TXDCTL": 0x03828, "TADV": 0x0382C, "RXCSUM": 0x05000,
}  # fmt: skip
EXPRESS = {
    "EERD": 0x00014, "ICR": 0x000C0, "EIAC": 0x000DC, "IAM": 0x000E0, "IVAR": 0x000E4,
    "EITR0": 0x000E8, "RFCTL": 0x05008,
}  # fmt: skip
COUNTERS = {
    "CRCERRS": 0x04000, "ALGNERRC": 0x04004, "SYMERRS": 0x04008, "RXERRC": 0x0400C,
    "MPC": 0x04010, "SCC": 0x04014, "ECOL": 0x04018, "MCC": 0x0401C, "LATECOL": 0x04020,
    "COLC": 0x04028, "DC": 0x04030, "TNCRS": 0x04034, "SEC": 0x04038, "CEXTERR": 0x0403C,
    "RLEC": 0x04040, "XONRXC": 0x04048, "XONTXC": 0x0404C, "XOFFRXC": 0x04050,
    "XOFFTXC": 0x04054, "FCRUC": 0x04058, "PRC64": 0x0405C, "PRC127": 0x04060,
    "PRC255": 0x04064, "PRC511": 0x04068, "PRC1023": 0x0406C, "PRC1522": 0x04070,
    "GPRC": 0x04074, "BPRC": 0x04078, "MPRC": 0x0407C, "GPTC": 0x04080, "GORCL": 0x04088,
    "GORCH": 0x0408C, "GOTCL": 0x04090, "GOTCH": 0x04094, "RNBC": 0x040A0, "RUC": 0x040A4,
    "RFC": 0x040A8, "ROC": 0x040AC, "RJC": 0x040B0, "TORL": 0x040C0, "TORH": 0x040C4,
    "TOTL": 0x040C8, "TOTH": 0x040CC, "TPR": 0x040D0, "TPT": 0x040D4, "PTC64": 0x040D8,
    "PTC127": 0x040DC, "PTC255": 0x040E0, "PTC511": 0x040E4, "PTC1023": 0x040E8,
    "PTC1522": 0x040EC, "MPTC": 0x040F0, "BPTC": 0x040F4,
}  # fmt: skip

# Register → field → its bits as a word with only that field all ones.
FIELDS: dict[type[Bits], dict[str, int]] = {
    regs.CTRL: {
        "FD": 0x1, "GIO_MASTER_DISABLE": 0x4, "LRST": 0x8, "ASDE": 0x20, "SLU": 0x40,
        "ILOS": 0x80, "SPEED": 0x300, "FRCSPD": 0x800, "FRCDPLX": 0x1000, "RST": 0x0400_0000,
        "RFCE": 0x0800_0000, "TFCE": 0x1000_0000, "VME": 0x4000_0000, "PHY_RST": 0x8000_0000,
    },
    regs.STATUS: {
        "FD": 0x1, "LU": 0x2, "FUNCTION_ID": 0xC, "TXOFF": 0x10, "SPEED": 0xC0,
        "GIO_MASTER_ENABLE": 0x8_0000,
    },
    regs.EECD: {"EE_PRES": 0x100, "AUTO_RD": 0x200},
    regs.EERD: {"START": 0x1, "DONE": 0x10, "ADDR": 0xFF00, "DATA": 0xFFFF_0000},
    regs.EerdWide: {"START": 0x1, "DONE": 0x2, "ADDR": 0xFFFC, "DATA": 0xFFFF_0000},
    regs.CTRL_EXT: {
        "EE_RST": 0x2000, "SPD_BYPS": 0x8000, "EIAME": 0x0100_0000, "IAME": 0x0800_0000,
        "DRV_LOAD": 0x1000_0000, "INT_TIMERS_CLEAR_ENA": 0x2000_0000, "PBA_SUPPORT": 0x8000_0000,
    },
    regs.MDIC: {
        "DATA": 0xFFFF, "REGADD": 0x1F_0000, "PHYADD": 0x03E0_0000, "OP": 0x0C00_0000,
        "R": 0x1000_0000, "I": 0x2000_0000, "E": 0x4000_0000,
    },
    regs.Causes: {
        "TXDW": 0x1, "TXQE": 0x2, "LSC": 0x4, "RXSEQ": 0x8, "RXDMT0": 0x10, "RXO": 0x40,
        "RXT0": 0x80, "MDAC": 0x200, "RXCFG": 0x400, "PHYINT": 0x1000, "TXD_LOW": 0x8000,
        "SRPD": 0x1_0000, "ACK": 0x2_0000, "MNG": 0x4_0000, "RXQ0": 0x10_0000, "RXQ1": 0x20_0000,
        "TXQ0": 0x40_0000, "TXQ1": 0x80_0000, "OTHER": 0x100_0000, "INT_ASSERTED": 0x8000_0000,
    },
    regs.ITR: {"INTERVAL": 0xFFFF},
    regs.IVAR: {
        "RXQ0": 0x7, "RXQ0_VALID": 0x8, "RXQ1": 0x70, "RXQ1_VALID": 0x80, "TXQ0": 0x700,
        "TXQ0_VALID": 0x800, "TXQ1": 0x7000, "TXQ1_VALID": 0x8000, "OTHER": 0x7_0000,
        "OTHER_VALID": 0x8_0000, "ON_ALL_WB": 0x8000_0000,
    },
    regs.RCTL: {
        "EN": 0x2, "SBP": 0x4, "UPE": 0x8, "MPE": 0x10, "LPE": 0x20, "LBM": 0xC0, "RDMTS": 0x300,
        "MO": 0x3000, "BAM": 0x8000, "BSIZE": 0x3_0000, "VFE": 0x4_0000, "CFIEN": 0x8_0000,
        "CFI": 0x10_0000, "DPF": 0x40_0000, "PMCF": 0x80_0000, "BSEX": 0x0200_0000,
        "SECRC": 0x0400_0000,
    },
    regs.RXDCTL: {
        "PTHRESH": 0x3F, "HTHRESH": 0x3F00, "WTHRESH": 0x3F_0000, "GRAN": 0x0100_0000,
    },
    regs.RXCSUM: {"PCSS": 0xFF, "IPOFLD": 0x100, "TUOFLD": 0x200},
    regs.RFCTL: {"EXSTEN": 0x8000},
    regs.RxStatus: {
        "DD": 0x01, "EOP": 0x02, "IXSM": 0x04, "VP": 0x08, "TCPCS": 0x20, "IPCS": 0x40, "PIF": 0x80,
    },
    regs.RxErrors: {
        "CE": 0x01, "SE": 0x02, "SEQ": 0x04, "CXE": 0x10, "TCPE": 0x20, "IPE": 0x40, "RXE": 0x80,
    },
    regs.TCTL: {
        "EN": 0x2, "PSP": 0x8, "CT": 0xFF0, "COLD": 0x3F_F000, "SWXOFF": 0x40_0000,
        "RTLC": 0x0100_0000, "MULR": 0x1000_0000,
    },
    regs.TIPG: {"IPGT": 0x3FF, "IPGR1": 0xF_FC00, "IPGR2": 0x3FF0_0000},
    regs.TXDCTL: {
        "PTHRESH": 0x3F, "HTHRESH": 0x3F00, "WTHRESH": 0x3F_0000, "COUNT_DESC": 0x40_0000,
        "GRAN": 0x0100_0000, "LWTHRESH": 0xFE00_0000,
    },
    regs.PBA: {"RXA": 0xFFFF},
    regs.TxCommand: {
        "EOP": 0x01, "IFCS": 0x02, "IC": 0x04, "RS": 0x08, "DEXT": 0x20, "VLE": 0x40, "IDE": 0x80,
    },
    regs.TxStatus: {"DD": 0x1, "EC": 0x2, "LC": 0x4},
    regs.RAH: {"RAH": 0xFFFF, "AS": 0x3_0000, "AV": 0x8000_0000},
    regs.BMCR: {
        "ISOLATE": 0x0400, "POWER_DOWN": 0x0800, "AUTO_NEGOTIATION": 0x1000, "LOOPBACK": 0x4000,
        "RESET": 0x8000, "RESTART": 0x0200,
    },
    regs.BMSR: {"LINK": 0x0004, "COMPLETE": 0x0020},
    regs.Word: {"VALUE": 0xFFFF_FFFF},
    regs.Half: {"VALUE": 0xFFFF},
}  # fmt: skip


@pytest.mark.parametrize(
    ("block", "wanted"),
    [(regs.E1000Regs, REGISTERS), (regs.Regs82574, EXPRESS), (regs.Statistics, COUNTERS)],
)
def test_registers_lie_where_the_manual_has_them(block: type, wanted: dict[str, int]) -> None:
    found = {
        name.partition(".")[2]: offset
        for offset, (name, _) in block.registers().items()  # type: ignore[attr-defined]
    }
    assert found == wanted


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_fields_are_the_manuals(kind: type[Bits]) -> None:
    assert set(kind.fields) == set(FIELDS[kind])
    for name, mask in FIELDS[kind].items():
        word = kind.of(0)
        setattr(word, name, mask // (mask & -mask))
        assert word.raw == mask, name


def test_no_table_is_left_out() -> None:
    tables = {
        it
        for it in vars(regs).values()
        if isinstance(it, type) and issubclass(it, Bits) and it.__module__ == regs.__name__
    }
    assert tables == set(FIELDS)


def test_arrays_start_where_the_manual_has_them() -> None:
    assert (regs.MTA_BASE, regs.RAL_BASE, regs.VFTA_BASE) == (0x5200, 0x5400, 0x5600)
    assert (regs.MTA_WORDS, regs.RECEIVE_ADDRESSES, regs.VFTA_WORDS) == (128, 16, 128)
    assert {r: k.__name__ for r, (_, k) in regs.ReceiveAddress.registers().items()} == {
        0: "Word",
        4: "RAH",
    }


def test_a_receive_descriptor_is_16_bytes_in_the_manuals_order() -> None:
    raw = struct.pack("<QHHBBH", 0x1122_3344_5566_7788, 0x99AA, 0xBBCC, 0xDD, 0xEE, 0xF001)
    it = regs.RxDescriptor.load(raw)
    assert it == regs.RxDescriptor(
        ADDRESS=0x1122_3344_5566_7788, LENGTH=0x99AA, CHECKSUM=0xBBCC, STATUS=0xDD, ERRORS=0xEE,
        SPECIAL=0xF001,
    )  # fmt: skip
    assert raw[regs.RX_STATUS_AT] == 0xDD
    assert raw[regs.RX_ERRORS_AT] == 0xEE
    assert struct.unpack_from("<H", raw, regs.RX_LENGTH_AT) == (0x99AA,)


def test_a_transmit_descriptor_is_16_bytes_in_the_manuals_order() -> None:
    raw = struct.pack("<QHBBBBH", 0x1122_3344_5566_7788, 0x99AA, 0xBB, 0xCC, 0xDD, 0xEE, 0xF001)
    it = regs.TxDescriptor.load(raw)
    assert it == regs.TxDescriptor(
        ADDRESS=0x1122_3344_5566_7788, LENGTH=0x99AA, CSO=0xBB, CMD=0xCC, STA=0xDD, CSS=0xEE,
        SPECIAL=0xF001,
    )  # fmt: skip
    assert raw[regs.TX_COMMAND_AT] == 0xCC
    assert raw[regs.TX_STATUS_AT] == 0xDD
    assert struct.unpack_from("<H", raw, regs.TX_LENGTH_AT) == (0x99AA,)
