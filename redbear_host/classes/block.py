"""The scheme of a disk driver: `N` is a disk, `NpM` partition M of it (Redox's driver-block)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, MODE_FILE, Stat, StatVfs
from redbear_host.classes.disk import Disk
from redbear_host.classes.diskio import DiskIo
from redbear_host.classes.ioctl.answers import Ioctls
from redbear_host.classes.opens import Listing, OpenDisk, ParkedOpen
from redbear_host.classes.parts import Durable
from redbear_host.classes.volumes import ROOT_INODE, WHOLE, Volume, Volumes
from redbear_host.errors import Refused
from redbear_host.scheme.request import LATER, Later, Request
from redbear_host.scheme.scheme import POSITIONED, ROOT, Bytes, Entry, Opened, Scheme

__all__ = ["DiskScheme"]

FALLOC_KEEP_SIZE: Final = 0x01  # linux/falloc.h
FALLOC_PUNCH_HOLE: Final = 0x02
FALLOC_ZERO_RANGE: Final = 0x10

_DIRECTORY_BLOCK: Final = 4096

_log = logging.getLogger(__name__)


class DiskScheme(Scheme):
    """Disks and their partitions as files, for root only.

    The scheme is made from the driver's disks, with `make_io` to decide how much DMA memory each
    gets; `load_partitions` must run before it is served, and `end_batch` at the end of every round
    of the event loop.

    Plain programs may read and write any bytes; a handle that `hold_to_redox` was called for
    follows Redox's rule instead.  Whoever reads in order finds that the disk was read ahead of him
    (`classes.readahead`).  Opening is exclusive, as on Redox: a disk, any of its partitions, or
    several different partitions, else ENOLCK; handles opened with O_STAT do not count.  A disk that
    cannot be written answers EROFS to an open for writing: EACCES would send root looking for
    permissions.

    With `destructive` programs may send the disks commands that could destroy data or the disk.

    When a disk was written as a whole and is closed, its partition table is read again; opens wait
    for that, so that `sgdisk` followed by `ls` shows what sgdisk did.
    """

    replays: ClassVar[bool] = True
    reopens: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        disks: Sequence[Disk],
        *,
        exclusive: bool = True,
        destructive: bool = False,
        make_io: Callable[[Disk], DiskIo] = DiskIo,
    ) -> None:
        if not name.startswith("disk"):
            raise ValueError(f"the name of a disk scheme starts with disk, not {name!r}")
        self.name = name
        self.exclusive = exclusive  # False lets several handles share a disk
        self._volumes: Final = Volumes(name, [make_io(disk) for disk in disks])
        self._ios: Final = self._volumes.ios
        self._files: Final[dict[int, OpenDisk]] = {}
        self._listings: Final[dict[int, Listing]] = {}
        self._parked: list[ParkedOpen] = []
        self._next = ROOT + 1
        self._ioctls: Final = Ioctls(name, destructive, self._reread)

    # -- for the daemon and its doors --------------------------------------------------------------

    def load_partitions(self, ready: Callable[[], None]) -> None:
        """Read every disk's partition table; call `ready` when all are known."""

        def known() -> None:
            self._open_parked()
            ready()

        self._volumes.read_tables(self._ios, known)

    def end_batch(self) -> None:
        """Ring the doorbell of every disk that was given commands since the last call."""
        for io in self._ios:
            while io.queued:  # a disk may end commands in here, and their successors are queued
                io.queued = False
                io.ahead.feed()
                io.disk.flush_queue()

    def hold_to_redox(self, handle: int) -> None:
        """Hold `handle` to Redox's rule: EINVAL unless a read or write is made of whole blocks.

        Redox rounds a crooked offset down; it is EINVAL here as well, as nobody means to write to
        another place than he says.
        """
        file = self._files.get(handle)
        if file is not None:
            file.strict = True

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened | Later:
        """Open the directory "" (text lines when read), a disk or a partition.

        O_CREAT is ignored where the file exists, O_TRUNC is as `ftruncate` to no bytes.
        """
        if parent != ROOT and parent not in self._listings:
            raise Refused(e.ENOTDIR if parent in self._files else e.EBADF)
        if request.caller.uid != 0:
            raise Refused(e.EACCES)
        if self._volumes.settled:
            return self._open(path, flags)
        self._parked.append(ParkedOpen(path, flags, request))
        request.on_cancel = self._forget
        return LATER

    def _open(self, path: str, flags: int) -> Opened:
        path = path.strip("/")
        if not path:
            if flags & f.O_WRONLY or not flags & (f.O_DIRECTORY | f.O_STAT):
                raise Refused(e.EISDIR)
            entries = self._volumes.entries()
            text = "".join(f"{entry.name}\n" for entry in entries).encode()
            self._listings[self._next] = Listing(entries, text)
            return self._opened()
        volume = self._volumes.get(path)
        if volume is None:
            raise Refused(e.ENOENT)
        if flags & f.O_DIRECTORY:
            raise Refused(e.ENOTDIR)
        if not flags & f.O_STAT:
            self._may_use(volume, flags)
        self._files[self._next] = OpenDisk(volume, flags)
        return self._opened()

    def _may_use(self, volume: Volume, flags: int) -> None:
        if flags & f.O_CREAT and flags & f.O_EXCL:
            raise Refused(e.EEXIST)
        if flags & f.O_WRONLY and not volume.io.disk.writable:
            raise Refused(e.EROFS)
        if self.exclusive and any(
            volume.conflicts(other.volume)
            for other in self._files.values()
            if not other.flags & f.O_STAT
        ):
            raise Refused(e.ENOLCK)

    def _opened(self) -> Opened:
        handle, self._next = self._next, self._next + 1
        return Opened(handle, POSITIONED)

    def _forget(self, request: Request) -> None:
        kept = [one for one in self._parked if one.request is not request]
        if len(kept) != len(self._parked):
            self._parked = kept
            request.refuse(e.ECANCELED)

    def _open_parked(self) -> None:
        if not self._volumes.settled:
            return
        parked, self._parked = self._parked, []
        for path, flags, request in parked:
            try:
                opened = self._open(path, flags)
            except Refused as refused:
                request.refuse(refused.errno)
            else:
                request.answer(opened)

    def on_close(self, handle: int) -> None:
        """Forget the handle; the last one that could change the partition table has it read."""
        self._listings.pop(handle, None)
        closed = self._files.pop(handle, None)
        if closed is not None:
            closed.let_go()
        if closed is None or not closed.wrote or closed.volume.part != WHOLE:
            return
        for other in self._files.values():
            if other.io is closed.io and other.volume.part == WHOLE and other.writable:
                other.wrote = True
                return
        self._volumes.read_tables([closed.io], self._open_parked)

    def fpath(self, handle: int) -> str:
        """Return `/scheme/NAME/N` and the like."""
        path = "" if self._is_directory(handle) else self._file(handle).volume.name
        return f"/scheme/{self.name}/{path}"

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List `0`, `0p0`, …; upstream has no getdents, only the text."""
        if handle == ROOT:
            return self._volumes.entries()
        listing = self._listings.get(handle)
        if listing is None:
            self._file(handle)
            raise Refused(e.ENOTDIR)
        return listing.entries

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> Bytes | Later:
        """Read any bytes; short at the end of the disk or partition."""
        file = self._files.get(handle)
        if file is None:
            return self._read_listing(handle, size, offset)
        io = file.io
        if offset != file.expected and file.stream is None:  # it does not read in order
            file.expected = offset + size
            file.run = 0
        else:
            found = file.read_on(size, offset, request)
            if found is not None:
                return found
        small = io.small
        if (
            not (offset | size) & io.mask
            and 0 < size <= small.size
            and offset + size <= file.read_end
            and small.free
        ):
            transfer = small.free.pop()
            transfer.request = request
            transfer.size = size
            io.queued = True
            io.disk.read(
                file.first + (offset >> io.shift),
                size >> io.shift,
                transfer.chunk,
                transfer.read_done,
            )
            return LATER
        if not file.readable:
            raise Refused(e.EBADF)
        if file.strict and (offset | size) & io.mask:
            raise Refused(e.EINVAL)
        size = min(size, file.size - offset)
        if size <= 0:
            return b""
        io.read((file.first << io.shift) + offset, size, request, request)
        return LATER

    def _read_listing(self, handle: int, size: int, offset: int) -> bytes:
        listing = self._listings.get(handle)
        if listing is None:
            raise Refused(e.EISDIR if handle == ROOT else e.EBADF)
        return listing.text[offset : offset + size]

    def write(
        self, handle: int, data: memoryview, offset: int, fcntl_flags: int, request: Request
    ) -> int | Later:
        """Write any bytes; short at the end of the disk or partition, ENOSPC past it.

        EOPNOTSUPP for a write that leaves a hole in a file that its client has cut.
        """
        file = self._file(handle)
        io, size = file.io, len(data)
        small = io.small
        if (
            not (offset | size) & io.mask
            and 0 < size <= small.size
            and offset + size <= file.write_end
            and small.free
            and not io.edits
            and not io.stalled
            and not io.read_ahead
            and not fcntl_flags & f.O_FSYNC
        ):
            file.wrote = True
            transfer = small.free.pop()
            transfer.request = request
            transfer.size = size
            transfer.first = lba = file.first + (offset >> io.shift)
            transfer.end = lba + (blocks := size >> io.shift)
            transfer.view[:size] = data
            io.queued = True
            io.disk.write(lba, blocks, transfer.chunk, transfer.write_done)
            return LATER
        if not file.writable:
            raise Refused(e.EBADF)
        if file.strict and (offset | size) & io.mask:
            raise Refused(e.EINVAL)
        if not size:
            return 0
        if offset >= file.size:
            raise Refused(e.ENOSPC)
        data = data[: file.size - offset]
        if not file.grow(offset, len(data)):
            raise self._no_hole(file)
        file.wrote = True
        durable = file.durable or fcntl_flags & f.O_FSYNC
        io.write(
            (file.first << io.shift) + offset,
            data,
            Durable(io, request) if durable else request,
            request,
        )
        return LATER

    def fsync(self, handle: int, request: Request) -> Later | None:
        """Make what was answered as written durable."""
        if self._is_directory(handle):
            return None
        self._file(handle).io.flush(request)
        return LATER

    def ftruncate(self, handle: int, length: int, request: Request) -> None:
        """Change nothing on the disk, which keeps its length.

        The file looks like a regular one, so `dd` without conv=notrunc and an open with O_TRUNC cut
        it first and give up if they cannot; on a Linux block device they get away with it.  But
        `cp` of a file with holes cuts and then leaves them out, and would find there what was there
        before: behind a cut the file grows by what is written, and by nothing else (EOPNOTSUPP).
        A length the disk does not have is EFBIG.
        """
        file = self._file(handle)
        if not file.writable:
            raise Refused(e.EBADF)
        if length > file.size:
            raise Refused(e.EFBIG)
        if length > file.end:
            raise self._no_hole(file)
        file.cut(length)

    def _no_hole(self, file: OpenDisk) -> Refused:
        _log.warning(
            "%s/%s: a program leaves holes in a disk it has cut, and is refused: tell it not to, "
            "as with cp --sparse=never or dd conv=notrunc",
            *(self.name, file.volume.name),
        )
        return Refused(e.EOPNOTSUPP)

    def fallocate(
        self, handle: int, mode: int, offset: int, length: int, request: Request
    ) -> Later | None:
        """Punch a hole (the device may drop the storage) or zero a range (it may not).

        Either way the bytes read as zero; a disk that cannot zero has zeroes written.  Other modes
        are EOPNOTSUPP.  With KEEP_SIZE the range is cut at the end, without it ENOSPC.
        """
        file = self._file(handle)
        if not file.writable:
            raise Refused(e.EBADF)
        keep = mode & FALLOC_KEEP_SIZE
        what = mode & ~FALLOC_KEEP_SIZE
        if what != FALLOC_ZERO_RANGE and (what != FALLOC_PUNCH_HOLE or not keep):
            raise Refused(e.EOPNOTSUPP)
        if offset < 0 or length <= 0:
            raise Refused(e.EINVAL)
        if offset + length > file.size and not keep:
            raise Refused(e.ENOSPC)
        length = min(length, file.size - offset)
        if length <= 0:
            return None
        file.wrote = True
        file.grow(offset, length)  # zeroes are as good as written
        start = (file.first << file.io.shift) + offset
        file.io.zero(start, length, what == FALLOC_PUNCH_HOLE, request, request)
        return LATER

    # -- Linux's own -------------------------------------------------------------------------------

    def ioctl(
        self, handle: int, command: int, data: bytes, out_size: int, request: Request
    ) -> bytes | int | Later:
        """Answer the ioctls of block devices, SCSI, ATA and NVMe (`classes.ioctl`)."""
        if self._is_directory(handle):
            raise Refused(e.ENOTTY)
        file = self._file(handle)
        if not file.readable and not file.writable:
            raise Refused(e.EBADF)
        return self._ioctls.answer(file, command, request)

    def _reread(self, file: OpenDisk, done: Callable[[], None]) -> None:
        def known() -> None:
            self._open_parked()
            done()

        self._volumes.read_tables([file.io], known)

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe a disk (a regular file, as Redox has no other) or the directory."""
        if self._is_directory(handle):
            return Stat(
                st_ino=ROOT_INODE,
                st_mode=MODE_DIR | 0o700,
                st_nlink=2,
                st_size=self.fsize(handle),
                st_blksize=_DIRECTORY_BLOCK,
            )
        volume = self._file(handle).volume
        return Stat(
            st_ino=volume.inode,
            st_mode=MODE_FILE | 0o600,
            st_nlink=1,
            st_size=volume.size,
            st_blksize=volume.io.block_size,
            st_blocks=volume.blocks,
        )

    def fstatvfs(self, handle: int) -> StatVfs:
        """Count the blocks of a disk or partition, of the directory those of all disks."""
        if self._is_directory(handle):
            total = sum(io.block_count << io.shift for io in self._ios)
            return StatVfs(f_bsize=_DIRECTORY_BLOCK, f_blocks=total // _DIRECTORY_BLOCK)
        volume = self._file(handle).volume
        return StatVfs(f_bsize=volume.io.block_size, f_blocks=volume.blocks)

    def fsize(self, handle: int) -> int:
        """Return the disk's or partition's size in bytes, or the length of the text."""
        if handle == ROOT:
            return sum(len(entry.name) + 1 for entry in self._volumes.entries())
        listing = self._listings.get(handle)
        return self._file(handle).size if listing is None else len(listing.text)

    def fevent(self, handle: int, mask: int) -> int:
        """Answer that a disk is always ready: no read or write waits for anybody else."""
        if not self._is_directory(handle):
            self._file(handle)
        return mask & (f.EVENT_READ | f.EVENT_WRITE)

    def _file(self, handle: int) -> OpenDisk:
        file = self._files.get(handle)
        if file is None:
            raise Refused(e.EBADF)
        return file

    def _is_directory(self, handle: int) -> bool:
        return handle == ROOT or handle in self._listings
