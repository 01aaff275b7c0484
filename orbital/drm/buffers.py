"""Frame buffers in memory that a processor can draw on: Linux's dumb buffers.

They are write-combined on many cards: written to, never read from.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from ctypes import c_uint32
from typing import Final

from orbital.drm import uapi
from orbital.drm.uapi import call
from orbital.rect import Rect


class DumbBuffer:
    """`width` by `height` words of 32 bits, mapped and zeroed; `close` gives all of it back."""

    def __init__(self, fd: int, width: int, height: int) -> None:
        """Allocate; `OSError` where the card has no memory left, or no such buffers."""
        self.width: Final = width
        self.height: Final = height
        self._fd: Final = fd
        self._frame_buffers: Final[dict[int, int]] = {}  # by format
        self._dmabuf = -1
        made = uapi.drm_mode_create_dumb(width=width, height=height, bpp=32)
        call(fd, uapi.IOCTL_MODE_CREATE_DUMB, made, to=f"make a buffer of {width} by {height}")
        self.handle: Final[int] = made.handle
        self.stride: Final[int] = made.pitch
        try:
            where = uapi.drm_mode_map_dumb(handle=self.handle)
            call(fd, uapi.IOCTL_MODE_MAP_DUMB, where, to="map a buffer")
            access = mmap.PROT_READ | mmap.PROT_WRITE
            self._map: Final = mmap.mmap(
                fd, made.size, mmap.MAP_SHARED, access, offset=where.offset
            )
        except OSError:
            self._destroy()
            raise
        self.pixels: Final = memoryview(self._map)
        # A driver that takes it from the card's own memory may leave there what was drawn before.
        ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(self._map)), 0, made.size)

    def frame_buffer(self, pixel_format: int = uapi.FORMAT_XRGB8888) -> int:
        """Return the id by which planes show it as `pixel_format`."""
        known = self._frame_buffers.get(pixel_format)
        if known is not None:
            return known
        added = uapi.drm_mode_fb_cmd2(
            width=self.width, height=self.height, pixel_format=pixel_format
        )
        added.handles[0], added.pitches[0] = self.handle, self.stride
        call(self._fd, uapi.IOCTL_MODE_ADDFB2, added, to="make a frame buffer")
        self._frame_buffers[pixel_format] = added.fb_id
        return added.fb_id

    def export(self) -> int:
        """Return a dma-buf of it, the buffer's own: who has that, has this memory and no card.

        `OSError` where it cannot be mapped: qxl's can be handed over, and that is all.
        """
        if self._dmabuf < 0:
            handed = uapi.drm_prime_handle(handle=self.handle, flags=os.O_RDWR | os.O_CLOEXEC)
            call(self._fd, uapi.IOCTL_PRIME_HANDLE_TO_FD, handed, to="export a buffer")
            try:
                mmap.mmap(handed.fd, len(self._map)).close()
            except OSError:
                os.close(handed.fd)
                raise
            self._dmabuf = handed.fd
        return self._dmabuf

    def close(self) -> None:
        """Give it back; Linux takes a picture that is on the screen off it."""
        for number in self._frame_buffers.values():
            with suppress(OSError):  # the card has left
                word = c_uint32(number)
                call(self._fd, uapi.IOCTL_MODE_RMFB, word, to="forget a frame buffer")
        self._frame_buffers.clear()
        if self._dmabuf >= 0:
            os.close(self._dmabuf)
            self._dmabuf = -1
        with suppress(BufferError):  # somebody still draws in it: the map goes with the last view
            self.pixels.release()
            self._map.close()
        self._destroy()

    def _destroy(self) -> None:
        with suppress(OSError):
            gone = uapi.drm_mode_destroy_dumb(handle=self.handle)
            call(self._fd, uapi.IOCTL_MODE_DESTROY_DUMB, gone, to="give a buffer back")


class Clips:
    """Room for rectangles that Linux is told have changed, made once."""

    MOST: Final = 256  # DRM_MODE_FB_DIRTY_MAX_CLIPS

    def __init__(self) -> None:
        self._clips: Final = (uapi.drm_clip_rect * self.MOST)()
        self._order: Final = uapi.drm_mode_fb_dirty_cmd(clips_ptr=ctypes.addressof(self._clips))

    def dirty(self, fd: int, frame_buffer: int, damage: Sequence[Rect]) -> None:
        """Tell of at most `MOST` rectangles that lie inside; `OSError`: ENOSYS needs no telling."""
        clips = self._clips
        for clip, rect in zip(clips, damage, strict=False):
            clip.x1, clip.y1, clip.x2, clip.y2 = rect.x, rect.y, rect.right, rect.bottom
        self._order.fb_id = frame_buffer
        self._order.num_clips = min(len(damage), self.MOST)
        call(fd, uapi.IOCTL_MODE_DIRTYFB, self._order, to="tell what has changed")
