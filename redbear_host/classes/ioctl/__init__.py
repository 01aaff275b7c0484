"""What a disk's file answers to Linux's ioctls: those of block devices, SCSI, ATA and NVMe."""

from __future__ import annotations
