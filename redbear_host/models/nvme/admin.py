"""Admin commands of the modelled controller (section 5)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from redbear_host.models.nvme.rings import Completion, Sqe, Submission

if TYPE_CHECKING:
    from redbear_host.models.nvme.controller import NvmeModel

DELETE_SQ, CREATE_SQ, GET_LOG, DELETE_CQ, CREATE_CQ, IDENTIFY = 0x00, 0x01, 0x02, 0x04, 0x05, 0x06
ABORT, SET_FEATURES, GET_FEATURES = 0x08, 0x09, 0x0A
INVALID_OPCODE, INVALID_FIELD, INVALID_NAMESPACE, TRANSFER_ERROR = 0x01, 0x02, 0x0B, 0x04
CQ_INVALID, QID_INVALID, QSIZE_INVALID, VECTOR_INVALID = 0x100, 0x101, 0x102, 0x108
LOG_INVALID, DELETION_INVALID = 0x109, 0x10C
WRITE_CACHE, QUEUES, EVENT_CONFIG = 0x06, 0x07, 0x0B

Outcome = tuple[int, int]  # status, completion dword 0


class AdminCommands:
    """Executes admin commands; keeps features, logs and events."""

    serial: bytes = b"MODEL0001"
    name: bytes = b"redbear-host NVMe model"

    def __init__(self, model: NvmeModel) -> None:
        """Made by `NvmeModel`."""
        self._model: Final = model
        self.critical_warning = 0
        self.errors: list[tuple[int, int, int]] = []  # SQID, CID, status
        self.forget()

    def forget(self) -> None:
        """Start over after a controller reset."""
        self.features = {WRITE_CACHE: int(self._model.volatile_cache), EVENT_CONFIG: 0}
        self.events: list[int] = []  # dword 0 of events nobody was told of yet
        self._unread: set[int] = set()  # event types whose log page was not read yet
        self._queue_count = self._model.queues

    def execute(self, sqe: Sqe) -> Outcome:
        """Do it; return status and dword 0."""
        match sqe.opcode:
            case 0x06:
                return self._identify(sqe)
            case 0x05:
                return self._create_cq(sqe), 0
            case 0x01:
                return self._create_sq(sqe), 0
            case 0x00 | 0x04:
                return self._delete(sqe), 0
            case 0x02:
                return self._log(sqe), 0
            case 0x08:
                dw10 = sqe.dwords[0]
                return 0, int(not self._model.abort(dw10 & 0xFFFF, dw10 >> 16))
            case 0x09:
                return self._set_feature(sqe)
            case 0x0A:
                value = self.features.get(sqe.dwords[0] & 0xFF)
                return (INVALID_FIELD, 0) if value is None else (0, value)
        return INVALID_OPCODE, 0

    def report(self) -> None:
        """Complete a waiting Asynchronous Event Request if there is something to say (5.2)."""
        model = self._model
        for event in list(self.events):
            kind = event & 7
            if kind in self._unread or not model.waiting_events:
                continue
            self.events.remove(event)
            self._unread.add(kind)
            model.post(model.waiting_events.pop(0), 0, event)

    def _identify(self, sqe: Sqe) -> Outcome:
        model, cns = self._model, sqe.dwords[0] & 0xFF
        if cns == 1:
            data = self._controller()
        elif cns == 0:
            medium = model.media.get(sqe.nsid)
            data = bytes(4096) if medium is None else medium.identify()
            if not 0 < sqe.nsid <= self._highest():
                return INVALID_NAMESPACE, 0
        elif cns == 2:
            above = [nsid for nsid in sorted(model.media) if nsid > sqe.nsid][:1024]
            data = struct.pack(f"<{len(above)}I", *above).ljust(4096, b"\0")
        else:
            return INVALID_FIELD, 0
        return self._answer(sqe, data), 0

    def _highest(self) -> int:
        return max(self._model.media, default=1) + 1

    def _controller(self) -> bytes:
        model = self._model
        raw = bytearray(4096)
        struct.pack_into("<HH20s40s8s", raw, 0, 0x5242, 0x5242, b"", b"", b"")
        raw[4:24] = self.serial.ljust(20)
        raw[24:64] = self.name.ljust(40)
        raw[64:72] = b"0.1".ljust(8)
        raw[77] = model.mdts
        struct.pack_into("<HI", raw, 78, 1, model.version)
        struct.pack_into("<I", raw, 92, 0x300)  # OAES: namespaces, firmware
        raw[258:261] = bytes((3, 3, 0x02))  # ACL, AERL, FRMW
        raw[262] = 15  # ELPE
        struct.pack_into("<HH", raw, 266, 343, 373)
        raw[512:514] = bytes((0x66, 0x44))
        struct.pack_into("<IH", raw, 516, self._highest(), model.oncs)
        raw[525] = int(model.volatile_cache)
        return bytes(raw)

    def _create_cq(self, sqe: Sqe) -> int:
        model, (dw10, dw11, *_) = self._model, sqe.dwords
        qid, entries = dw10 & 0xFFFF, (dw10 >> 16) + 1
        if not 0 < qid <= self._queue_count or qid in model.cqs:
            return QID_INVALID
        if not 2 <= entries <= model.entries:
            return QSIZE_INVALID
        if dw11 >> 16 >= max(1, model.vectors):
            return VECTOR_INVALID
        if not dw11 & 1 or sqe.prp1 % model.registers.page:
            return INVALID_FIELD
        model.cqs[qid] = Completion(qid, sqe.prp1, entries, dw11 >> 16, bool(dw11 & 2))
        return 0

    def _create_sq(self, sqe: Sqe) -> int:
        model, (dw10, dw11, *_) = self._model, sqe.dwords
        qid, entries, cqid = dw10 & 0xFFFF, (dw10 >> 16) + 1, dw11 >> 16
        if not 0 < qid <= self._queue_count or qid in model.sqs:
            return QID_INVALID
        if cqid == 0 or cqid not in model.cqs:
            return CQ_INVALID
        if not 2 <= entries <= model.entries:
            return QSIZE_INVALID
        if not dw11 & 1 or sqe.prp1 % model.registers.page:
            return INVALID_FIELD
        model.sqs[qid] = Submission(qid, sqe.prp1, entries, cqid)
        return 0

    def _delete(self, sqe: Sqe) -> int:
        model, qid = self._model, sqe.dwords[0] & 0xFFFF
        queues: dict[int, Submission] | dict[int, Completion]
        queues = model.sqs if sqe.opcode == DELETE_SQ else model.cqs
        if qid == 0 or qid not in queues:
            return QID_INVALID
        if sqe.opcode == DELETE_CQ and any(sq.cqid == qid for sq in model.sqs.values()):
            return DELETION_INVALID
        del queues[qid]
        return 0

    def _log(self, sqe: Sqe) -> int:
        dw10 = sqe.dwords[0]
        page, size = dw10 & 0xFF, ((dw10 >> 16 & 0xFFFF) + 1) * 4
        if page == 1:
            data = b"".join(
                struct.pack("<QHHH", len(self.errors) - index, *entry).ljust(64, b"\0")
                for index, entry in enumerate(reversed(self.errors))
            )
        elif page == 2:
            data = struct.pack("<BHBBB", self.critical_warning, 300, 100, 10, 1)
        elif page == 3:
            data = b"\x01".ljust(8, b"\0") + b"0.1".ljust(8)
        elif page == 4:
            data = b""
        else:
            return LOG_INVALID
        if not dw10 >> 15 & 1:
            self._unread -= {{1: 0, 2: 1}.get(page, 2)}
        status = self._answer(sqe, data.ljust(size, b"\0")[:size])
        self.report()
        return status

    def _set_feature(self, sqe: Sqe) -> Outcome:
        model, feature, value = self._model, sqe.dwords[0] & 0xFF, sqe.dwords[1]
        if feature == QUEUES:
            if len(model.sqs) > 1:
                return 0x0C, 0  # Command Sequence Error: queues exist already
            asked = min(value & 0xFFFF, value >> 16) + 1
            self._queue_count = min(asked, model.queues)
            granted = model.queues - 1
            return 0, granted << 16 | granted
        if feature not in self.features:
            return INVALID_FIELD, 0
        self.features[feature] = value
        return 0, 0

    def _answer(self, sqe: Sqe, data: bytes) -> int:
        pieces = self._model.transfer(sqe, len(data))
        if isinstance(pieces, int):
            return pieces
        rest = memoryview(data)
        for piece in pieces:
            piece[:], rest = rest[: len(piece)], rest[len(piece) :]
        return 0
