"""Atomic commits: many properties of many objects, all of them or none.

A `Request` says what shall change together; a `Commit` is one laid out for Linux, whose values can
be changed in their places: a flip costs no more than that.
"""

from __future__ import annotations

import ctypes
from ctypes import c_uint32, c_uint64
from typing import Final

from orbital.drm import uapi
from orbital.drm.uapi import call

_WORD: Final = (1 << 64) - 1


class Request:
    """What a commit shall change; a property set twice has its last value."""

    def __init__(self) -> None:
        self._values: Final[dict[int, dict[int, int]]] = {}

    def set(self, target: int, identity: int, value: int) -> None:
        """Let property `identity` of object `target` be `value`, negative ones as well."""
        self._values.setdefault(target, {})[identity] = value & _WORD

    def frozen(self) -> Commit:
        """Lay it out as Linux reads it, to be committed as often as one likes."""
        return Commit(self._values)


class Commit:
    """A request in Linux's own form; one value of it can be changed in its place."""

    def __init__(self, values: dict[int, dict[int, int]]) -> None:
        pairs = [(identity, value) for one in values.values() for identity, value in one.items()]
        self._places: Final = {
            place: index
            for index, place in enumerate(
                (target, identity) for target, one in values.items() for identity in one
            )
        }
        self._objects: Final = (c_uint32 * len(values))(*values)
        self._counts: Final = (c_uint32 * len(values))(*map(len, values.values()))
        self._ids: Final = (c_uint32 * len(pairs))(*(identity for identity, _ in pairs))
        self._values: Final = (c_uint64 * len(pairs))(*(value for _, value in pairs))
        self._order: Final = uapi.drm_mode_atomic(
            count_objs=len(values),
            objs_ptr=ctypes.addressof(self._objects),
            count_props_ptr=ctypes.addressof(self._counts),
            props_ptr=ctypes.addressof(self._ids),
            prop_values_ptr=ctypes.addressof(self._values),
        )

    def values(self) -> dict[int, dict[int, int]]:
        """Return what it changes: the values of properties, by the objects' ids."""
        found: dict[int, dict[int, int]] = {}
        for (target, identity), index in self._places.items():
            found.setdefault(target, {})[identity] = self._values[index]
        return found

    def put(self, target: int, identity: int, value: int) -> None:
        """Change a value that is in it."""
        self._values[self._places[target, identity]] = value & _WORD

    def commit(self, fd: int, flags: int = 0, user_data: int = 0) -> None:
        """Commit it; `OSError`: EBUSY while a flip is pending, EINVAL, ERANGE if it cannot be."""
        order = self._order
        order.flags = flags
        order.user_data = user_data
        call(fd, uapi.IOCTL_MODE_ATOMIC, order, to="show that")
