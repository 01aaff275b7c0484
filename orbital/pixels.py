"""Pictures in memory, and drawing one onto another: libpixman by ctypes, and nothing else.

Pixels are 32-bit words in the machine's byte order: 0xAARRGGBB with alpha premultiplied, or
0xXXRRGGBB.  Coordinates are pixels from the top left corner.  What lies outside a picture that is
drawn on is left out; what is drawn *from* must lie within it.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

from orbital.rect import Rect
from orbital.region import Box
from redbear_host.errors import ConfigError

__all__ = ["MAX_SIDE", "Image", "Job", "Mask", "Plan", "address_of", "premultiplied", "require"]

MAX_SIDE: Final = 32767  # pixman's coordinates are 16.16

_A8R8G8B8: Final = 0x20028888
_X8R8G8B8: Final = 0x20020888
_A8: Final = 0x08018000
_SRC: Final = 1
_OVER: Final = 3
_FILTER_BILINEAR: Final = 4
_REPEAT_PAD: Final = 2
_ONE: Final = 1 << 16  # in 16.16


class _Transform(ctypes.Structure):
    _fields_ = [("matrix", ctypes.c_int32 * 9)]


class _Color(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint16) for name in ("red", "green", "blue", "alpha")]


@functools.cache
def _library() -> Any:
    try:
        library = ctypes.CDLL("libpixman-1.so.0")
    except OSError as error:
        raise ConfigError(
            "Orbital draws with libpixman-1.so.0, which is not installed",
            "apt install libpixman-1-0",
        ) from error
    integer, pointer = ctypes.c_int, ctypes.c_void_p
    for name, result, arguments in (
        ("pixman_image_create_bits", pointer, [integer, integer, integer, pointer, integer]),
        ("pixman_image_create_solid_fill", pointer, [ctypes.POINTER(_Color)]),
        ("pixman_image_unref", integer, [pointer]),
        # No types of arguments: the handles are pointers already, and numbers are taken as they are
        # in half the time.
        ("pixman_image_composite32", None, None),
        ("pixman_image_set_transform", integer, [pointer, ctypes.POINTER(_Transform)]),
        ("pixman_image_set_filter", integer, [pointer, integer, pointer, integer]),
        ("pixman_image_set_repeat", None, [pointer, integer]),
        ("pixman_fill", integer, None),
        ("pixman_image_fill_boxes", integer, None),
    ):
        function = getattr(library, name)
        function.restype = result
        if arguments is not None:
            function.argtypes = arguments
    return library


def require() -> None:
    """Load libpixman now; `ConfigError` with what to install where it is missing."""
    _library()


def address_of(memory: memoryview) -> int:
    """Return where writable memory is, without holding it there."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def premultiplied(colour: int) -> int:
    """Return 0xAARRGGBB with the three colours times the alpha, as pictures have it."""
    alpha = colour >> 24 & 0xFF
    red, green, blue = (((colour >> shift & 0xFF) * alpha + 127) // 255 for shift in (16, 8, 0))
    return alpha << 24 | red << 16 | green << 8 | blue


class _Bits:
    """Memory that pixman may draw from or on; held until `close`."""

    __slots__ = ("_composite", "_held", "_unref", "address", "handle", "height", "stride", "width")

    def __init__(self, kind: int, width: int, height: int, memory: Any, stride: int) -> None:
        least = width if kind == _A8 else width * 4
        if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
            raise ValueError(f"a picture of {width} by {height} pixels")
        if stride < least or stride % 4 or stride > 4 * (MAX_SIDE + 1):
            raise ValueError(f"rows of {stride} bytes for {width} pixels")
        # Keeps the exporter alive and its memory where it is: a mapping that is in use by an
        # exported buffer refuses to be closed.
        view = memoryview(memory)
        if view.nbytes < stride * height or view.readonly or not view.contiguous:
            raise ValueError(f"{view.nbytes} bytes for {height} rows of {stride}")
        self._held: memoryview | None = view
        self.address: int = address_of(view)
        self.width, self.height, self.stride = width, height, stride
        self.handle: ctypes.c_void_p | None = None
        self._make(kind)

    def _make(self, kind: int) -> None:
        library = _library()
        self.close_handle()
        made = library.pixman_image_create_bits(
            kind, self.width, self.height, self.address, self.stride
        )
        if not made:
            raise MemoryError(f"no memory for a picture of {self.width} by {self.height}")
        self.handle = ctypes.c_void_p(made)
        self._composite = library.pixman_image_composite32
        # Kept, because a picture may outlive this module when the interpreter ends.
        self._unref = library.pixman_image_unref

    def close(self) -> None:
        """Let the memory go; the picture must not be used any more."""
        self.close_handle()
        if self._held is not None:
            self._held.release()
            self._held = None

    def close_handle(self) -> None:
        """Let pixman forget the picture, not its memory."""
        if self.handle is not None:
            self._unref(self.handle)
            self.handle = None

    def __del__(self) -> None:
        if getattr(self, "handle", None) is not None:
            self.close_handle()


class Mask(_Bits):
    """A picture of alphas only, a byte each: a run of letters."""

    def __init__(self, width: int, height: int, memory: Any, stride: int) -> None:
        super().__init__(_A8, width, height, memory, stride)


Job = tuple["Image", bool, int, int, list[Box]]
"""A picture, whether it is blended, its left and top, and the boxes of it that are painted."""


class Image(_Bits):
    """A picture over memory that someone else owns: a window's, a frame's.

    `memory` is anything writable with the buffer interface: at least `stride` times `height` bytes
    (else `ValueError`); it is held until `close`.
    """

    __slots__ = ("_fill", "alpha")

    def __init__(
        self, width: int, height: int, memory: Any, stride: int = 0, *, alpha: bool = True
    ) -> None:
        self.alpha = alpha
        super().__init__(
            _A8R8G8B8 if alpha else _X8R8G8B8, width, height, memory, stride or width * 4
        )
        self._fill = _library().pixman_fill

    def set_alpha(self, alpha: bool) -> None:
        """Say whether the highest byte of each word is alpha, or nothing."""
        self.alpha = alpha
        self._make(_A8R8G8B8 if alpha else _X8R8G8B8)

    @classmethod
    def at(cls, address: int, width: int, height: int, stride: int) -> Image:
        """Return a picture without alpha at an address.

        It does not hold the memory: whoever draws on it knows that it is still there.
        """
        image = cls.__new__(cls)
        image._held = None
        image.address, image.alpha, image.handle = address, False, None
        image.width, image.height, image.stride = width, height, stride
        image._fill = _library().pixman_fill
        image._make(_X8R8G8B8)
        return image

    @classmethod
    def new(cls, width: int, height: int, *, alpha: bool = True) -> Image:
        """Return a picture of zeroes with memory of its own."""
        return cls(width, height, bytearray(width * height * 4), alpha=alpha)

    def copied(self) -> bytes:
        """Return a copy of its pixels, rows without gaps."""
        rows = ctypes.string_at(self.address, self.stride * self.height)
        if self.stride == self.width * 4:
            return rows
        starts = range(0, len(rows), self.stride)
        return b"".join(rows[start : start + self.width * 4] for start in starts)

    def fill(self, place: Rect, word: int) -> None:
        """Put `word` into every pixel of `place`, whatever was there."""
        place &= Rect(0, 0, self.width, self.height)
        if place:
            x, y, width, height = place
            start = ctypes.c_void_p(self.address)
            self._fill(start, self.stride // 4, 32, x, y, width, height, word)

    def copy(self, source: Image, x: int, y: int, place: Rect) -> None:
        """Put what `source` has from (`x`, `y`) on into `place`."""
        left, top, width, height = place
        self._composite(
            _SRC, source.handle, None, self.handle, x, y, 0, 0, left, top, width, height
        )

    def over(self, source: Image, x: int, y: int, place: Rect) -> None:
        """Blend what `source` has from (`x`, `y`) on over what is in `place`."""
        left, top, width, height = place
        self._composite(
            _OVER, source.handle, None, self.handle, x, y, 0, 0, left, top, width, height
        )

    def plan(self, ground: Sequence[Box], word: int, jobs: Sequence[Job]) -> Plan:
        """Return how to put `word` into all of `ground`, then do `jobs` from the last to the first.

        All boxes are within this picture, and those of a job within the job's.
        """
        return Plan(self, ground, word, jobs)

    def write(self, mask: Mask, x: int, y: int, place: Rect, colour: int) -> None:
        """Blend `colour`, not premultiplied, over `place` where `mask` from (`x`, `y`) on says."""
        left, top, width, height = place
        solid = _solid(colour).handle
        self._composite(
            _OVER, solid, mask.handle, self.handle, 0, 0, x, y, left, top, width, height
        )

    def scaled(self, width: int, height: int) -> Image:
        """Return the same pixels as a picture to draw *from* that is `width` by `height`.

        It shares the memory, and has to be closed before the memory can go.
        """
        return _Scaled(self, width, height)


class Plan:
    """What is done to a picture, ready to be done again; only while nothing of it is closed.

    Everything is worked out beforehand: between two calls that move megabytes, what runs Python has
    left the processor's caches, and each step of it costs microseconds.
    """

    __slots__ = ("_calls", "_composite", "_fill", "_fills", "_held")

    def __init__(self, on: Image, ground: Sequence[Box], word: int, jobs: Sequence[Job]) -> None:
        library = _library()
        self._held: Final = (on, jobs)
        self._composite: Final = library.pixman_image_composite32
        self._fill: Final = library.pixman_image_fill_boxes
        self._fills: tuple[Any, ...] | None = None
        if ground:
            boxes = _box_array(4 * len(ground))(*chain.from_iterable(ground))
            self._fills = (_SRC, on.handle, _color(word), len(ground), boxes)
        self._calls: Final = [
            (
                *(_OVER if blended else _SRC, image.handle, None, on.handle),
                *(x - left, y - top, 0, 0, x, y, right - x, bottom - y),
            )
            for image, blended, left, top, boxes in reversed(jobs)
            for x, y, right, bottom in boxes
        ]

    def run(self) -> None:
        """Do it."""
        if self._fills is not None:
            self._fill(*self._fills)
        composite = self._composite
        for call in self._calls:
            composite(*call)


class _Scaled(Image):
    __slots__ = ()

    def __init__(self, source: Image, width: int, height: int) -> None:
        super().__init__(
            source.width, source.height, source._held, source.stride, alpha=source.alpha
        )
        library = _library()
        across, down = (source.width << 16) // width, (source.height << 16) // height
        transform = _Transform((ctypes.c_int32 * 9)(across, 0, 0, 0, down, 0, 0, 0, _ONE))
        library.pixman_image_set_transform(self.handle, ctypes.byref(transform))
        library.pixman_image_set_filter(self.handle, _FILTER_BILINEAR, None, 0)
        # Else the outermost pixels would be blended with nothing, and an opaque window be seen
        # through at its edges.
        library.pixman_image_set_repeat(self.handle, _REPEAT_PAD)
        self.width, self.height = width, height


@functools.lru_cache(maxsize=64)
def _box_array(numbers: int) -> Any:
    return ctypes.c_int32 * numbers


@functools.lru_cache(maxsize=16)
def _color(word: int) -> Any:
    return ctypes.byref(_Color(*((word >> shift & 0xFF) * 0x101 for shift in (16, 8, 0, 24))))


class _Solid:
    __slots__ = ("_unref", "handle")

    def __init__(self, colour: int) -> None:
        word = premultiplied(colour)
        self._unref: Any = _library().pixman_image_unref
        made = _library().pixman_image_create_solid_fill(_color(word))
        if not made:
            raise MemoryError("no memory for a colour")
        self.handle = ctypes.c_void_p(made)

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self._unref(self.handle)


_solid: Final = functools.lru_cache(maxsize=64)(_Solid)
