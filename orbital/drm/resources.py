"""What a card has, read into plain records: connectors, CRTCs, planes and their properties.

Ref: linux uapi drm/drm_mode.h; Linux, Documentation/gpu/drm-kms.rst.  Linux is asked twice for each
list, first for its length; one that has grown in between (a cable was plugged in) is asked again.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from ctypes import c_uint32, c_uint64
from enum import IntEnum
from typing import Any, Final, NamedTuple

from orbital.drm import uapi
from orbital.drm.uapi import call

_CONNECTED: Final = 1  # drm_mode.h, enum drm_connector_status as `connection` has it

_CONNECTOR_TYPES: Final = (
    "Unknown", "VGA", "DVI-I", "DVI-D", "DVI-A", "Composite", "SVIDEO", "LVDS", "Component", "DIN",
    "DP", "HDMI-A", "HDMI-B", "TV", "eDP", "Virtual", "DSI", "DPI", "Writeback", "SPI", "USB",
)  # fmt: skip
"""By DRM_MODE_CONNECTOR_…, spelt as /sys/class/drm has them."""


class PlaneKind(IntEnum):
    """What a plane is for: the values of its property `type`."""

    OVERLAY = 0
    PRIMARY = 1
    CURSOR = 2


class Property(NamedTuple):
    """A property of one object: its id, and the value it had when it was read."""

    id: int
    value: int
    limits: tuple[int, ...]  # least and most of a range; empty for other kinds
    immutable: bool


class Mode(NamedTuple):
    """A size and a timing."""

    width: int
    height: int
    refresh: float  # hertz
    preferred: bool
    info: uapi.drm_mode_modeinfo


class Connector(NamedTuple):
    """A socket for a monitor, and what is plugged in."""

    id: int
    name: str  # as `Virtual-1`
    connected: bool
    modes: Sequence[Mode]
    crtcs: int  # bit N: the card's CRTC N can feed it
    millimetres: tuple[int, int]


class Plane(NamedTuple):
    """A picture that the hardware lays over others."""

    id: int
    kind: PlaneKind
    crtcs: int  # bit N: it can be on the card's CRTC N
    formats: frozenset[int]
    properties: Mapping[str, Property]


class Resources(NamedTuple):
    """The ids of a card's parts, and how large a frame buffer may be."""

    frame_buffers: Sequence[int]  # those of this descriptor
    crtcs: Sequence[int]
    connectors: Sequence[int]
    most: tuple[int, int]


def read_resources(fd: int) -> Resources:
    """List the parts of a card."""
    while True:
        asked = uapi.drm_mode_card_res()
        call(fd, uapi.IOCTL_MODE_GETRESOURCES, asked, to="list what the card has")
        room = asked.count_fbs, asked.count_crtcs, asked.count_connectors
        fbs, crtcs, connectors = ((c_uint32 * count)() for count in room)
        asked = uapi.drm_mode_card_res(
            fb_id_ptr=ctypes.addressof(fbs), count_fbs=room[0],
            crtc_id_ptr=ctypes.addressof(crtcs), count_crtcs=room[1],
            connector_id_ptr=ctypes.addressof(connectors), count_connectors=room[2],
        )  # fmt: skip
        call(fd, uapi.IOCTL_MODE_GETRESOURCES, asked, to="list what the card has")
        found = asked.count_fbs, asked.count_crtcs, asked.count_connectors
        if any(now > had for now, had in zip(found, room, strict=True)):
            continue
        return Resources(
            frame_buffers=list(fbs)[: found[0]],
            crtcs=list(crtcs)[: found[1]],
            connectors=list(connectors)[: found[2]],
            most=(asked.max_width, asked.max_height),
        )


def read_connector(fd: int, number: int) -> Connector:
    """Look at a connector; Linux looks at the plug, which may take a while on a real card."""
    to = f"look at connector {number}"
    while True:
        asked = uapi.drm_mode_get_connector(connector_id=number)
        call(fd, uapi.IOCTL_MODE_GETCONNECTOR, asked, to=to)
        infos = (uapi.drm_mode_modeinfo * max(1, asked.count_modes))()  # none: it would probe again
        encoders = (c_uint32 * asked.count_encoders)()
        again = uapi.drm_mode_get_connector(
            connector_id=number,
            modes_ptr=ctypes.addressof(infos), count_modes=len(infos),
            encoders_ptr=ctypes.addressof(encoders), count_encoders=len(encoders),
        )  # fmt: skip
        call(fd, uapi.IOCTL_MODE_GETCONNECTOR, again, to=to)
        if again.count_modes <= len(infos) and again.count_encoders <= len(encoders):
            break
    kind = again.connector_type
    word = _CONNECTOR_TYPES[kind] if kind < len(_CONNECTOR_TYPES) else "Unknown"
    return Connector(
        id=number,
        name=f"{word}-{again.connector_type_id}",
        connected=again.connection == _CONNECTED,
        modes=_modes(list(infos)[: again.count_modes]),
        crtcs=_crtcs_of(fd, list(encoders)[: again.count_encoders]),
        millimetres=(again.mm_width, again.mm_height),
    )


def _modes(infos: Sequence[uapi.drm_mode_modeinfo]) -> list[Mode]:
    """Return one mode of each size, the quickest of those Linux lists; the preferred one first."""
    found: dict[tuple[int, int], Mode] = {}
    for info in infos:
        dots = info.htotal * info.vtotal
        refresh = info.clock * 1000 / dots if dots else float(info.vrefresh)
        preferred = bool(info.type & uapi.MODE_TYPE_PREFERRED)
        mode = Mode(info.hdisplay, info.vdisplay, refresh, preferred, info)
        other = found.get(mode[:2])
        if other is None or (preferred, refresh) > (other.preferred, other.refresh):
            found[mode[:2]] = mode
    return sorted(found.values(), key=lambda mode: not mode.preferred)


def _crtcs_of(fd: int, encoders: Sequence[int]) -> int:
    crtcs = 0
    for number in encoders:
        encoder = uapi.drm_mode_get_encoder(encoder_id=number)
        call(fd, uapi.IOCTL_MODE_GETENCODER, encoder, to=f"look at encoder {number}")
        crtcs |= encoder.possible_crtcs
    return crtcs


def read_planes(fd: int) -> list[Plane]:
    """Read all planes; without CLIENT_CAP_UNIVERSAL_PLANES Linux shows overlays only."""
    asked = uapi.drm_mode_get_plane_res()
    call(fd, uapi.IOCTL_MODE_GETPLANERESOURCES, asked, to="list planes")
    ids = (c_uint32 * asked.count_planes)()  # planes never come or go
    asked.plane_id_ptr = ctypes.addressof(ids)
    call(fd, uapi.IOCTL_MODE_GETPLANERESOURCES, asked, to="list planes")
    return [_read_plane(fd, number) for number in ids]


def _read_plane(fd: int, number: int) -> Plane:
    plane = uapi.drm_mode_get_plane(plane_id=number)
    call(fd, uapi.IOCTL_MODE_GETPLANE, plane, to=f"look at plane {number}")
    formats = (c_uint32 * plane.count_format_types)()
    plane.format_type_ptr = ctypes.addressof(formats)
    call(fd, uapi.IOCTL_MODE_GETPLANE, plane, to=f"look at plane {number}")
    properties = read_properties(fd, number, uapi.MODE_OBJECT_PLANE)
    kind = properties.get("type")
    return Plane(
        id=number,
        kind=PlaneKind.OVERLAY if kind is None else PlaneKind(kind.value),
        crtcs=plane.possible_crtcs,
        formats=frozenset(formats),
        properties=properties,
    )


def read_properties(fd: int, number: int, kind: int) -> dict[str, Property]:
    """Read the properties of an object of `kind` MODE_OBJECT_…, by their names."""
    to = f"read the properties of {number}"
    asked = uapi.drm_mode_obj_get_properties(obj_id=number, obj_type=kind)
    call(fd, uapi.IOCTL_MODE_OBJ_GETPROPERTIES, asked, to=to)
    ids, values = (c_uint32 * asked.count_props)(), (c_uint64 * asked.count_props)()
    asked = uapi.drm_mode_obj_get_properties(
        obj_id=number, obj_type=kind, count_props=len(ids),
        props_ptr=ctypes.addressof(ids), prop_values_ptr=ctypes.addressof(values),
    )  # fmt: skip
    call(fd, uapi.IOCTL_MODE_OBJ_GETPROPERTIES, asked, to=to)
    found = {}
    for identity, value in zip(ids, values, strict=True):
        name, limits, immutable = _describe(fd, identity)
        found[name] = Property(identity, value, limits, immutable)
    return found


def _describe(fd: int, identity: int) -> tuple[str, tuple[int, ...], bool]:
    told = uapi.drm_mode_get_property(prop_id=identity)
    call(fd, uapi.IOCTL_MODE_GETPROPERTY, told, to=f"look at property {identity}")
    limits: tuple[int, ...] = ()
    flags = told.flags
    if flags & uapi.MODE_PROP_RANGE and told.count_values:
        values = (c_uint64 * told.count_values)()
        again = uapi.drm_mode_get_property(
            prop_id=identity, values_ptr=ctypes.addressof(values), count_values=len(values)
        )
        call(fd, uapi.IOCTL_MODE_GETPROPERTY, again, to=f"look at property {identity}")
        limits = tuple(values)
    return told.name.decode("ascii", "replace"), limits, bool(flags & uapi.MODE_PROP_IMMUTABLE)


def read_blob(fd: int, number: int) -> bytes:
    """Read a value that is bytes, as a monitor's EDID."""
    asked: Any = uapi.drm_mode_get_blob(blob_id=number)
    call(fd, uapi.IOCTL_MODE_GETPROPBLOB, asked, to=f"read blob {number}")
    data = (ctypes.c_char * asked.length)()
    asked.data = ctypes.addressof(data)
    call(fd, uapi.IOCTL_MODE_GETPROPBLOB, asked, to=f"read blob {number}")
    return bytes(data)
