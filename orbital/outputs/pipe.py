"""How pictures get to one CRTC: by atomic commits, or by the calls that came before them.

Both take frame buffers by their ids and answer with `OSError`: EACCES when somebody else has the
screen, EBUSY while a flip is pending, EINVAL or ERANGE for what the card cannot show.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from orbital.drm import uapi
from orbital.drm.atomic import Commit, Request
from orbital.drm.card import Card
from orbital.drm.resources import Mode, Plane
from orbital.outputs.assignment import Plan
from orbital.rect import Rect

_FIXED: Final = 16  # fractional bits of a place in a buffer
_FLIP: Final = uapi.MODE_ATOMIC_NONBLOCK | uapi.MODE_PAGE_FLIP_EVENT

FrameBufferOf = Callable[[int, int], int]  # of a layer by its place in the plan's list, and format


class Parts(NamedTuple):
    """What belongs to one screen."""

    crtc: int
    connector: int
    primary: Plane | None  # None: the driver does not tell
    overlays: Sequence[Plane] = ()
    cursor_height: int | None = None  # `zpos` of the cursor's plane, where it has one


class Pipe(Protocol):
    """One CRTC."""

    def light(self, frame_buffer: int, mode: Mode) -> None:
        """Set a mode and show a frame buffer of its size and nothing else; waits until it has."""
        ...

    def flip(self, frame_buffer: int, damage: Sequence[Rect]) -> None:
        """Show another frame buffer on the primary plane; `Card.read_flips` tells when it is.

        In `damage` it may differ from what was shown before and from what it held when it was
        shown itself; without any, everywhere.
        """
        ...

    def works(self, plan: Plan, frame_buffer_of: FrameBufferOf) -> bool:
        """Ask the card whether it could show that."""
        ...

    def arrange(self, plan: Plan, frame_buffer_of: FrameBufferOf) -> None:
        """Let the next flip also put the overlays as the plan has them."""
        ...

    def dark(self) -> None:
        """Show nothing."""
        ...


class AtomicPipe:
    """A CRTC of a driver with atomic commits."""

    def __init__(self, card: Card, parts: Parts, primary: Plane) -> None:
        self._card: Final = card
        self._parts: Final = parts
        self._primary: Final = primary
        self._crtc: Final = card.properties(parts.crtc, uapi.MODE_OBJECT_CRTC)
        self._connector: Final = card.properties(parts.connector, uapi.MODE_OBJECT_CONNECTOR)
        self._fb: Final = primary.properties["FB_ID"].id
        clips = primary.properties.get("FB_DAMAGE_CLIPS")
        self._clips: Final = 0 if clips is None else clips.id
        self._size = (0, 0)
        self._pending: Request | None = None  # goes with the next flip
        self._flip: Final = self._prepared()

    def _prepared(self) -> Commit:
        request = Request()
        request.set(self._primary.id, self._fb, 0)
        if self._clips:
            request.set(self._primary.id, self._clips, 0)
        return request.frozen()

    def light(self, frame_buffer: int, mode: Mode) -> None:
        """Set a mode, in one commit with everything else of the screen."""
        self._size = (mode.width, mode.height)
        blob = self._card.blob(bytes(mode.info))
        try:
            request = Request()
            request.set(self._parts.connector, self._connector["CRTC_ID"].id, self._parts.crtc)
            request.set(self._parts.crtc, self._crtc["MODE_ID"].id, blob)
            request.set(self._parts.crtc, self._crtc["ACTIVE"].id, 1)
            self._put(request, self._primary, frame_buffer, Rect(0, 0, *self._size))
            for plane in self._parts.overlays:
                self._take_off(request, plane)
            self._card.commit(request.frozen(), uapi.MODE_ATOMIC_ALLOW_MODESET)
        finally:
            self._card.free_blob(blob)  # the CRTC has its own hold of it
        self._pending = None

    def flip(self, frame_buffer: int, damage: Sequence[Rect]) -> None:
        """Commit one property, and what was arranged."""
        blob = self._card.blob(_rectangles(damage)) if self._clips and damage else 0
        try:
            if self._pending is None:
                commit = self._flip
            else:
                self._pending.set(self._primary.id, self._fb, frame_buffer)
                if self._clips:
                    self._pending.set(self._primary.id, self._clips, blob)
                commit = self._pending.frozen()
            commit.put(self._primary.id, self._fb, frame_buffer)
            if self._clips:
                commit.put(self._primary.id, self._clips, blob)
            self._card.commit(commit, _FLIP, self._parts.crtc)
            self._pending = None
        finally:
            if blob:
                self._card.free_blob(blob)

    def works(self, plan: Plan, frame_buffer_of: FrameBufferOf) -> bool:
        """Try the commit without doing it."""
        try:
            request = self._arranged(plan, frame_buffer_of)
            if plan.direct is not None:
                shown = frame_buffer_of(plan.direct, uapi.FORMAT_XRGB8888)
                self._put(request, self._primary, shown, Rect(0, 0, *self._size))
            self._card.commit(request.frozen(), uapi.MODE_ATOMIC_TEST_ONLY)
        except OSError:
            return False
        return True

    def arrange(self, plan: Plan, frame_buffer_of: FrameBufferOf) -> None:
        """Prepare the commit; the primary plane's frame buffer comes with the flip."""
        self._pending = self._arranged(plan, frame_buffer_of)

    def dark(self) -> None:
        """Take the mode away, and all planes off."""
        request = Request()
        request.set(self._parts.connector, self._connector["CRTC_ID"].id, 0)
        request.set(self._parts.crtc, self._crtc["MODE_ID"].id, 0)
        request.set(self._parts.crtc, self._crtc["ACTIVE"].id, 0)
        for plane in (self._primary, *self._parts.overlays):
            self._take_off(request, plane)
        self._card.commit(request.frozen(), uapi.MODE_ATOMIC_ALLOW_MODESET)

    def _arranged(self, plan: Plan, frame_buffer_of: FrameBufferOf) -> Request:
        request = Request()
        on = {shown.sheet: shown for shown in plan.overlays}
        for plane in self._parts.overlays:
            shown = on.get(plane.id)
            if shown is None:
                self._take_off(request, plane)
                continue
            frame_buffer = frame_buffer_of(shown.layer, shown.format)
            self._put(request, plane, frame_buffer, shown.place, shown.x, shown.y)
            zpos = plane.properties.get("zpos")
            if zpos is not None and not zpos.immutable and shown.height is not None:
                request.set(plane.id, zpos.id, shown.height)
        return request

    def _put(
        self, request: Request, plane: Plane, frame_buffer: int, place: Rect, x: int = 0, y: int = 0
    ) -> None:
        values = {
            "FB_ID": frame_buffer, "CRTC_ID": self._parts.crtc,
            "CRTC_X": place.x, "CRTC_Y": place.y, "CRTC_W": place.width, "CRTC_H": place.height,
            "SRC_X": x << _FIXED, "SRC_Y": y << _FIXED,
            "SRC_W": place.width << _FIXED, "SRC_H": place.height << _FIXED,
        }  # fmt: skip
        for name, value in values.items():
            request.set(plane.id, plane.properties[name].id, value)

    def _take_off(self, request: Request, plane: Plane) -> None:
        request.set(plane.id, plane.properties["FB_ID"].id, 0)
        request.set(plane.id, plane.properties["CRTC_ID"].id, 0)


class LegacyPipe:
    """A CRTC of a driver without atomic commits; it has no overlays for us."""

    def __init__(self, card: Card, parts: Parts) -> None:
        self._card: Final = card
        self._parts: Final = parts
        self._flip: Final = card.flipper(parts.crtc)

    def light(self, frame_buffer: int, mode: Mode) -> None:
        """Set a mode."""
        self._card.set_crtc(self._parts.crtc, frame_buffer, [self._parts.connector], mode)

    def flip(self, frame_buffer: int, damage: Sequence[Rect]) -> None:
        """Flip; where it differs cannot be said."""
        self._flip(frame_buffer)

    def works(self, plan: Plan, frame_buffer_of: FrameBufferOf) -> bool:
        """Allow what is a flip and no more: a window that covers the screen."""
        return not plan.overlays

    def arrange(self, plan: Plan, frame_buffer_of: FrameBufferOf) -> None:
        """Arrange nothing: there are no overlays."""

    def dark(self) -> None:
        """Switch the CRTC off."""
        self._card.switch_off(self._parts.crtc)


def open_pipe(card: Card, parts: Parts) -> Pipe:
    """Return the better way to a CRTC."""
    if card.atomic and parts.primary is not None:
        return AtomicPipe(card, parts, parts.primary)
    return LegacyPipe(card, parts)


def _rectangles(damage: Sequence[Rect]) -> bytes:
    clips = (uapi.drm_mode_rect * len(damage))()
    for clip, rect in zip(clips, damage, strict=True):
        clip.x1, clip.y1, clip.x2, clip.y2 = rect.x, rect.y, rect.right, rect.bottom
    return ctypes.string_at(ctypes.addressof(clips), ctypes.sizeof(clips))
