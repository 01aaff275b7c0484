"""Where the modelled registers are, and the bits the model looks at (SDM 13; 82574 10)."""

from __future__ import annotations

from typing import Final

CTRL, STATUS, EECD, EERD, CTRL_EXT, MDIC = 0x0, 0x8, 0x10, 0x14, 0x18, 0x20
ICR, ITR, ICS, IMS, IMC, EIAC, IVAR = 0xC0, 0xC4, 0xC8, 0xD0, 0xD8, 0xDC, 0xE4
RCTL, TCTL = 0x100, 0x400
RDBAL, RDBAH, RDLEN, RDH, RDT = 0x2800, 0x2804, 0x2808, 0x2810, 0x2818
TDBAL, TDBAH, TDLEN, TDH, TDT = 0x3800, 0x3804, 0x3808, 0x3810, 0x3818
GPRC, GPTC = 0x4074, 0x4080
STATISTICS: Final = range(0x4000, 0x4100, 4)
RAL, RAH, VFTA = 0x5400, 0x5404, 0x5600
WINDOW: Final = 0x20000

RST, SLU, VME, MASTER_DISABLE = 1 << 26, 1 << 6, 1 << 30, 1 << 2
LINK_UP, SPEED_1000, MASTER_ENABLE = 1 << 1, 2 << 6, 1 << 19
AUTO_RD: Final = 1 << 9
EN: Final = 1 << 1  # of RCTL and TCTL
UPE, MPE, LPE, BAM, VFE = 1 << 3, 1 << 4, 1 << 5, 1 << 15, 1 << 18
TXDW, LSC, RXO, RXT0, RXQ0, TXQ0, OTHER = 1, 1 << 2, 1 << 6, 1 << 7, 1 << 20, 1 << 22, 1 << 24
MDIC_READ, MDIC_READY = 2 << 26, 1 << 28

DD, EOP, VP, RS, VLE = 1, 2, 8, 8, 0x40
BUFFER: Final = 2048
LONG: Final = 1518  # bytes without FCS, above which RCTL.LPE is needed
