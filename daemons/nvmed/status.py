"""What a completion's status means to the client that waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from daemons.nvmed.regs import CommandSpecific, Generic, Media, Status, StatusCodeType
from redbear_host.abi import errno as e
from redbear_host.bits import SpecEnum

_NAMES: Final[Mapping[StatusCodeType, type[SpecEnum]]] = {
    StatusCodeType.GENERIC: Generic,
    StatusCodeType.COMMAND: CommandSpecific,
    StatusCodeType.MEDIA: Media,
}

# One table per type: codes of two types share numbers.  Media errors, transfer errors, aborts,
# path errors and everything vendor specific are EIO.
_ERRNO: Final[Mapping[StatusCodeType, Mapping[int, int]]] = {
    StatusCodeType.GENERIC: {
        Generic.SUCCESS: 0,
        Generic.INVALID_OPCODE: e.EOPNOTSUPP,
        Generic.INVALID_FIELD: e.EINVAL,
        Generic.INVALID_NAMESPACE_OR_FORMAT: e.ENXIO,
        Generic.ATOMIC_WRITE_UNIT_EXCEEDED: e.EINVAL,
        Generic.OPERATION_DENIED: e.EACCES,
        Generic.SANITIZE_IN_PROGRESS: e.EBUSY,
        Generic.NAMESPACE_IS_WRITE_PROTECTED: e.EROFS,
        Generic.LBA_OUT_OF_RANGE: e.ENXIO,
        Generic.CAPACITY_EXCEEDED: e.ENOSPC,
        Generic.NAMESPACE_NOT_READY: e.EBUSY,
        Generic.RESERVATION_CONFLICT: e.EBUSY,
        Generic.FORMAT_IN_PROGRESS: e.EBUSY,
    },
    StatusCodeType.COMMAND: {
        CommandSpecific.INVALID_LOG_PAGE: e.EOPNOTSUPP,
        CommandSpecific.FEATURE_NOT_SAVEABLE: e.EINVAL,
        CommandSpecific.FEATURE_NOT_CHANGEABLE: e.EPERM,
        CommandSpecific.FEATURE_NOT_NAMESPACE_SPECIFIC: e.EINVAL,
        CommandSpecific.CONFLICTING_ATTRIBUTES: e.EINVAL,
        CommandSpecific.INVALID_PROTECTION_INFORMATION: e.EINVAL,
        CommandSpecific.WRITE_TO_READ_ONLY_RANGE: e.EROFS,
        CommandSpecific.COMMAND_SIZE_LIMIT_EXCEEDED: e.EINVAL,
    },
    StatusCodeType.MEDIA: {
        Media.ACCESS_DENIED: e.EACCES,
    },
}


def errno_of(status: Status, /) -> int:
    """Return the errno a client shall see: 0 for success, EIO for whatever has no better number."""
    return _ERRNO.get(status.SCT, {}).get(status.SC, e.EIO)


def describe(status: Status, /) -> str:
    """Put a status in the specification's words, for a log line."""
    names = _NAMES.get(status.SCT)
    name = f"{status.SCT.name} {status.SC:#04x}" if names is None else names(status.SC).name
    return name + ", do not retry" * status.DNR
