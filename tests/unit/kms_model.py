"""A card with planes, as Linux's DRM core and drivers treat one; pictures are really composed.

It has what no card of the lab has: overlays with heights and limits, damage that is believed, and
drivers that promise what they do not keep.  Rules from Linux, Documentation/gpu/drm-kms.rst, and
from what the drivers of virtual cards were seen to do.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from itertools import count

from orbital.drm import uapi
from orbital.drm.resources import Connector, Mode, Plane, PlaneKind, Property
from orbital.outputs.pipe import Parts

CRTC, CONNECTOR = 10, 20
EXTENTS = ("CRTC_X", "CRTC_Y", "CRTC_W", "CRTC_H", "SRC_X", "SRC_Y", "SRC_W", "SRC_H")
XR24, AR24 = uapi.FORMAT_XRGB8888, uapi.FORMAT_ARGB8888


def fail(number):
    raise OSError(number, os.strerror(number))


@dataclass
class Traits:
    """What kind of card it is."""

    driver: str = "model"
    overlays: tuple = ()  # of each: (least, most) of zpos, or None; and formats
    at_once: int = 9  # overlays that can be on at the same time
    narrowest: int = 0  # pixels an overlay must be wide
    lies: bool = False  # TEST_ONLY knows nothing of the last two
    clips: bool = False  # it has FB_DAMAGE_CLIPS
    shows: str = "memory"  # "memory", or a "copy" of each frame buffer, kept by commits and DIRTYFB
    cursor_height: int | None = None


class ModelBuffer:
    """Memory that can be scanned out."""

    def __init__(self, card, width, height):
        self.card, self.width, self.height = card, width, height
        self.stride, self.handle = width * 4, next(card.numbers)
        self.memory = bytearray(self.stride * height)
        self.pixels = memoryview(self.memory)
        self.ids = {}

    def frame_buffer(self, pixel_format=XR24):
        if pixel_format not in self.ids:
            self.ids[pixel_format] = next(self.card.numbers)
            copy = bytearray(len(self.memory))
            self.card.frame_buffers[self.ids[pixel_format]] = (self, pixel_format, copy)
        return self.ids[pixel_format]

    def export(self):
        return 1000 + self.handle

    def close(self):
        for number in self.ids.values():
            del self.card.frame_buffers[number]
            for plane in self.card.state.values():
                assert plane.get("FB_ID") != number or self.card.closing, "on the screen"


@dataclass
class Model:
    """The card, with one CRTC and one connector."""

    traits: Traits
    size: tuple = (24, 16)
    name: str = "card7"
    atomic: bool = True
    exports: bool = True
    cursor_limits: tuple = (8, 8)
    numbers: object = field(default_factory=lambda: count(100))
    frame_buffers: dict = field(default_factory=dict)
    blobs: dict = field(default_factory=dict)
    closing: bool = False
    master: bool = True
    pending: bool = False  # a flip whose event has not been read
    flips: int = 0
    tests: int = 0
    fd: int = -1

    def __post_init__(self):
        self.driver = self.traits.driver
        self.ids = {}  # of properties: (object, name)
        self.state = {}  # values: by object, by name
        self.kinds = {CRTC: "crtc", CONNECTOR: "connector"}
        self.planes = [self._plane(31, PlaneKind.PRIMARY, None, {XR24})]
        for number, (heights, formats) in enumerate(self.traits.overlays):
            self.planes.append(self._plane(32 + number, PlaneKind.OVERLAY, heights, set(formats)))
        for name in ("MODE_ID", "ACTIVE"):
            self._property(CRTC, name)
        self._property(CONNECTOR, "CRTC_ID")

    def _property(self, target, name, value=0, limits=(), immutable=False):
        number = self.ids.setdefault((target, name), 1000 + len(self.ids))
        self.state.setdefault(target, {})[name] = value
        return Property(number, value, limits, immutable)

    def _plane(self, number, kind, heights, formats):
        self.kinds[number] = "plane"
        names = ("FB_ID", "CRTC_ID", *EXTENTS)
        properties = {name: self._property(number, name) for name in names}
        if heights is not None:
            fixed = heights[0] == heights[1]
            properties["zpos"] = self._property(number, "zpos", heights[0], heights, fixed)
        if kind is PlaneKind.PRIMARY and self.traits.clips:
            properties["FB_DAMAGE_CLIPS"] = self._property(number, "FB_DAMAGE_CLIPS")
        return Plane(number, kind, 1, frozenset(formats), properties)

    @property
    def parts(self):
        height = self.traits.cursor_height
        return Parts(CRTC, CONNECTOR, self.planes[0], self.planes[1:], height)

    def connector(self, *sizes):
        sizes = sizes or (self.size, (16, 12))
        modes = []
        for index, (width, height) in enumerate(sizes):
            info = uapi.drm_mode_modeinfo(hdisplay=width, vdisplay=height)
            modes.append(Mode(width, height, 60.0, index == 0, info))
        return Connector(CONNECTOR, "Virtual-1", True, modes, 1, (0, 0))

    # -- what orbital.drm.card.Card does -----------------------------------------------------------

    def properties(self, number, kind):
        return {
            name: Property(identity, self.state[number][name], (), False)
            for (target, name), identity in self.ids.items()
            if target == number
        }

    def buffer(self, width, height):
        return ModelBuffer(self, width, height)

    def blob(self, data):
        number = next(self.numbers)
        self.blobs[number] = data
        return number

    def free_blob(self, number):
        self.blobs.pop(number)

    def commit(self, commit, flags=0, user_data=0):
        if not self.master:
            fail(errno.EACCES)
        testing = bool(flags & uapi.MODE_ATOMIC_TEST_ONLY)
        self.tests += testing
        names = {identity: name for (_, name), identity in self.ids.items()}
        fresh = {target: dict(values) for target, values in self.state.items()}
        for target, values in commit.values().items():
            for identity, value in values.items():
                assert self.ids[target, names[identity]] == identity, "another object's property"
                fresh[target][names[identity]] = value
        self._check(fresh, flags, testing and self.traits.lies)
        if testing:
            return
        if flags & uapi.MODE_ATOMIC_NONBLOCK:
            if self.pending:
                fail(errno.EBUSY)
            self.pending = True
            self.flips += 1
        self._copy(fresh)
        mode = self.blobs.get(fresh[CRTC]["MODE_ID"])
        if mode is not None:
            info = uapi.drm_mode_modeinfo.from_buffer_copy(mode)
            self.size = (info.hdisplay, info.vdisplay)
        for plane in self.planes:
            fresh[plane.id].pop("FB_DAMAGE_CLIPS", None)  # Linux forgets it after each commit
        self.state = fresh
        if self.traits.clips:
            self.state[31]["FB_DAMAGE_CLIPS"] = 0

    def _check(self, state, flags, lenient):
        modeset = any(
            state[target][name] != self.state[target][name]
            for target, name in ((CRTC, "MODE_ID"), (CRTC, "ACTIVE"), (CONNECTOR, "CRTC_ID"))
        )
        if modeset and not flags & uapi.MODE_ATOMIC_ALLOW_MODESET:
            fail(errno.EINVAL)
        size = self.size
        if state[CRTC]["MODE_ID"] in self.blobs:
            raw = self.blobs[state[CRTC]["MODE_ID"]]
            info = uapi.drm_mode_modeinfo.from_buffer_copy(raw)
            size = (info.hdisplay, info.vdisplay)
        on = [plane for plane in self.planes if state[plane.id]["FB_ID"]]
        if on and not state[CRTC]["ACTIVE"]:
            fail(errno.EINVAL)
        for plane in on:
            self._check_plane(plane, state[plane.id], size, lenient)
        overlays = [plane for plane in on if plane.kind is PlaneKind.OVERLAY]
        if len(overlays) > self.traits.at_once and not lenient:
            fail(errno.EINVAL)

    def _check_plane(self, plane, values, size, lenient):
        if values["FB_ID"] not in self.frame_buffers:
            fail(errno.ENOENT)
        buffer, pixel_format, _ = self.frame_buffers[values["FB_ID"]]
        x, y, width, height = (values[name] for name in EXTENTS[:4])
        sx, sy, sw, sh = (values[name] >> 16 for name in EXTENTS[4:])
        if pixel_format not in plane.formats or values["CRTC_ID"] != CRTC:
            fail(errno.EINVAL)
        if (sw, sh) != (width, height):
            fail(errno.ERANGE)
        if sx + sw > buffer.width or sy + sh > buffer.height:
            fail(errno.ENOSPC)
        if plane.kind is PlaneKind.PRIMARY and (x, y, width, height) != (0, 0, *size):
            fail(errno.EINVAL)
        assert x + width <= size[0], "some hardware cannot clip"
        assert y + height <= size[1], "some hardware cannot clip"
        narrow = plane.kind is PlaneKind.OVERLAY and width < self.traits.narrowest
        if narrow and not lenient:
            fail(errno.EINVAL)

    def _copy(self, state):
        """Bring the driver's copy of the primary frame buffer up to date, as told."""
        number = state[31]["FB_ID"]
        if number not in self.frame_buffers:
            return
        clips = self.blobs.get(state[31].get("FB_DAMAGE_CLIPS", 0))
        if clips is None:
            buffer = self.frame_buffers[number][0]
            self._transfer(number, [(0, 0, buffer.width, buffer.height)])
        else:
            rects = (uapi.drm_mode_rect * (len(clips) // 16)).from_buffer_copy(clips)
            self._transfer(number, [(r.x1, r.y1, r.x2, r.y2) for r in rects])

    def _transfer(self, number, rects):
        buffer, _, copy = self.frame_buffers[number]
        for x1, y1, x2, y2 in rects:
            assert 0 <= x1 < x2 <= buffer.width
            assert 0 <= y1 < y2 <= buffer.height
            for row in range(y1, y2):
                at, end = row * buffer.stride + x1 * 4, row * buffer.stride + x2 * 4
                copy[at:end] = buffer.memory[at:end]

    def dirty(self, frame_buffer, damage):
        if not self.master:
            fail(errno.EACCES)
        self._transfer(frame_buffer, [(r.x, r.y, r.right, r.bottom) for r in damage])
        return True

    def set_cursor(self, crtc, buffer):
        self.cursor = buffer

    def move_cursor(self, crtc, x, y):
        self.cursor_at = (x, y)

    # -- the screen --------------------------------------------------------------------------------

    def shown(self):
        """Return the frame buffers that are scanned out now."""
        return {self.state[plane.id]["FB_ID"] for plane in self.planes} - {0}

    def screen(self):
        """Return what somebody before it sees: rows of colours without alpha."""
        width, height = self.size
        picture = [[None] * width for _ in range(height)]
        on = [plane for plane in self.planes if self.state[plane.id]["FB_ID"]]
        heights = {plane.id: self.state[plane.id].get("zpos") for plane in on}
        heights[31] = -1
        taken = [z for z in heights.values() if z is not None]
        assert len(taken) == len(set(taken)), "two planes at one height"
        ceiling = self.traits.cursor_height
        assert ceiling is None or all(z < ceiling for z in taken), "above the cursor"
        unknown = set()  # pixels of overlays whose order is not known
        for plane in sorted(on, key=lambda plane: heights[plane.id] or 0):
            values = self.state[plane.id]
            buffer, pixel_format, copy = self.frame_buffers[values["FB_ID"]]
            memory = copy if self.traits.shows == "copy" and plane.id == 31 else buffer.memory
            x, y, wide, high = (values[name] for name in EXTENTS[:4])
            sx, sy = values["SRC_X"] >> 16, values["SRC_Y"] >> 16
            for row in range(high):
                for column in range(wide):
                    at = (sy + row) * buffer.stride + (sx + column) * 4
                    if plane.id != 31 and heights[plane.id] is None:
                        assert (x + column, y + row) not in unknown, "an order nobody knows"
                        unknown.add((x + column, y + row))
                    if pixel_format == XR24 or memory[at + 3]:
                        picture[y + row][x + column] = bytes(memory[at : at + 3])
        return picture
