"""What the lab hands over with a function: the members of a qtest grant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from redbear_host.errors import TransportError


@dataclass(frozen=True)
class Grant:
    """A grant with its descriptors put in place of their indexes."""

    address: str  # the name of the function, as drivers and schemes show it
    bdf: int  # where it is inside its QEMU: bus << 8 | device << 3 | function
    ecam: int
    bars: tuple[tuple[int, int, int, str], ...]  # number, address, bytes, "mem" or "io"
    doorbell: int  # a 32-bit write of n to this address signals vector n
    iova: int  # where the device sees the first byte of `arena_fd`
    arena_start: int  # bytes at the start of it that are not ours to hand out
    arena_size: int
    cookie: int  # eight bytes of the memory before `arena_start`, for `Wire.resynchronise`
    socket_fd: int
    arena_fd: int
    machine_fd: int  # a pidfd of QEMU
    vector_fds: tuple[int, ...]
    intx_fd: int | None  # None for a function without an interrupt pin
    intx_unmask: tuple[int, int]  # address and 32-bit value of the write that unmasks the line

    @property
    def fds(self) -> frozenset[int]:
        """Every descriptor the function owns."""
        intx = () if self.intx_fd is None else (self.intx_fd,)
        return frozenset((self.socket_fd, self.arena_fd, self.machine_fd, *self.vector_fds, *intx))

    @classmethod
    def of(cls, members: dict[str, Any], fds: Sequence[int]) -> Self:
        """Read the JSON members; `TransportError` names what is missing or out of place."""
        try:
            if members["machine"] != "qtest":
                raise TransportError(f"a grant of machine {members['machine']!r} is not for qtest")
            intx = members["intx_fd"]
            first, second = members["intx_unmask"]
            return cls(
                address=str(members["address"]),
                bdf=int(members["bdf"]),
                ecam=int(members["ecam"]),
                bars=tuple((int(n), int(a), int(s), str(k)) for n, a, s, k in members["bars"]),
                doorbell=int(members["doorbell"]),
                iova=int(members["iova"]),
                arena_start=int(members["arena_start"]),
                arena_size=int(members["arena_size"]),
                cookie=int(members["cookie"]),
                socket_fd=fds[members["socket_fd"]],
                arena_fd=fds[members["arena_fd"]],
                machine_fd=fds[members["machine_fd"]],
                vector_fds=tuple(fds[n] for n in members["vector_fds"]),
                intx_fd=None if intx is None else fds[intx],
                intx_unmask=(int(first), int(second)),
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise TransportError(f"the qtest grant is not complete: {error!r}") from error
