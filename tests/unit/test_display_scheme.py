"""The scheme of displays: both dialects, terminals, what outlives the daemon, what is refused."""

from __future__ import annotations

import mmap
import os
import random

import pytest
from asked import Asked, Posted, errno_of, opened
from display_rig import FakeCard, Rig, damage

from redbear_host.abi import display as abi
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.display import Verb
from redbear_host.classes.display import DisplayScheme
from redbear_host.classes.framebuffers import COUNT_MOST, TERMINAL_MOST
from redbear_host.classes.screen import Area
from redbear_host.classes.terminals import TERMINALS_MOST
from redbear_host.scheme.request import LATER
from redbear_host.scheme.scheme import CACHED, POSITIONED, ROOT

W, H = 64, 48
WHOLE = Area(0, 0, W, H)


@pytest.fixture
def rig():
    made = Rig()
    yield made
    made.close()


def v2(rig, vt=1):
    return opened(rig.scheme, f"v2/{vt}", f.O_RDWR)


def buffer(rig, handle, width=W, height=H):
    made = rig.call(
        handle, Verb.CREATE_DUMB_FRAMEBUFFER, abi.CreateFramebuffer(width=width, height=height)
    )
    number = made.record.framebuffer
    found = rig.call(handle, Verb.DUMB_FRAMEBUFFER_MAP_OFFSET, abi.MapOffset(framebuffer=number))
    size = -(-width * height * 4 // mmap.PAGESIZE) * mmap.PAGESIZE
    mapped = rig.scheme.mmap_prep(handle, found.record.offset, size, 0, Asked())
    return number, mmap.mmap(mapped.fd, size, offset=mapped.offset)


def update(rig, handle, number, area=WHOLE, display=0):
    x, y, width, height = area
    plane = abi.UpdatePlane(
        display=display, framebuffer=number, x=x, y=y, width=width, height=height
    )
    return rig.call(handle, Verb.UPDATE_PLANE, plane)


def call_errno(rig, handle, verb, record, more=b""):
    return errno_of(rig.call, handle, verb, record, more)


# -- v2 --------------------------------------------------------------------------------------------


def test_what_a_round_reports_is_one_update_and_is_answered_then(rig):
    handle = v2(rig)
    number, memory = buffer(rig, handle)
    memory[:] = random.Random(1).randbytes(len(memory))
    first = update(rig, handle, number)
    rig.scheme.end_batch()
    assert first.result is LATER
    assert first.request.result == 0
    assert bytes(rig.card.screen) == memory[: W * H * 4]
    rig.card.updates.clear()
    areas = [Area(0, 0, 3, 3), Area(10, 10, 5, 1), Area(60, 40, 4, 8)]
    asked = [update(rig, handle, number, area) for area in areas]
    assert all(one.request.pending for one in asked)
    rig.scheme.end_batch()
    assert rig.card.updates == [(0, areas)]
    assert not any(one.request.pending for one in asked)


def test_a_card_that_is_busy_is_asked_again_when_it_is_ready(rig):
    handle = v2(rig)
    number, _ = buffer(rig, handle)
    rig.card.busy = True
    asked = update(rig, handle, number)
    for _ in range(3):
        rig.scheme.end_batch()
    assert asked.request.pending
    rig.card.busy = False
    rig.scheme.end_batch()
    assert asked.request.pending  # it has not said so
    rig.card.on_ready(0)
    rig.scheme.end_batch()
    assert asked.request.result == 0


def test_damage_is_clipped_and_a_flood_of_it_becomes_one_area(rig):
    handle = v2(rig)
    number, _ = buffer(rig, handle)
    update(rig, handle, number)
    rig.scheme.end_batch()
    rig.card.updates.clear()
    assert update(rig, handle, number, (W, 0, 5, 5)).result == 0
    assert update(rig, handle, number, (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 1)).result == 0
    update(rig, handle, number, (60, 40, 0xFFFFFFFF, 0xFFFFFFFF))
    rig.scheme.end_batch()
    assert rig.card.updates == [(0, [Area(60, 40, 4, 8)])]
    rig.card.updates.clear()
    for n in range(40):
        update(rig, handle, number, (n, n, 1, 1))
    rig.scheme.end_batch()
    ((_, areas),) = rig.card.updates
    assert len(areas) <= 17
    for n in range(40):
        assert any(a.x <= n < a.x + a.width and a.y <= n < a.y + a.height for a in areas)


def test_another_buffer_is_shown_whole_and_a_smaller_one_leaves_nothing_of_the_last(rig):
    handle = v2(rig)
    number, memory = buffer(rig, handle)
    memory[:] = b"\xff" * len(memory)
    update(rig, handle, number)
    rig.scheme.end_batch()
    small, inner = buffer(rig, handle, 10, 5)
    inner[:] = b"\x11" * len(inner)
    update(rig, handle, small, (0, 0, 1, 1))
    rig.scheme.end_batch()
    rows = [bytes(rig.card.screen[y * W * 4 : (y + 1) * W * 4]) for y in range(H)]
    assert rows[0] == b"\x11" * 40 + bytes((W - 10) * 4)
    assert rows[5:] == [bytes(W * 4)] * (H - 5)


def test_buffers_are_bounded_in_size_number_and_memory(rig):
    handle = v2(rig)
    for width, height in ((0, 1), (1, 0), (16385, 1), (0xFFFFFFFF, 0xFFFFFFFF), (16384, 16384)):
        record = abi.CreateFramebuffer(width=width, height=height)
        assert call_errno(rig, handle, Verb.CREATE_DUMB_FRAMEBUFFER, record) == e.EINVAL
    record = abi.CreateFramebuffer(width=8, height=8)
    found = [call_errno(rig, handle, Verb.CREATE_DUMB_FRAMEBUFFER, record) for _ in range(10_000)]
    assert found.count(0) == TERMINAL_MOST
    assert set(found) == {0, e.ENFILE}
    handles = [v2(rig, vt) for vt in range(2, 12)]
    for other in handles:
        for _ in range(TERMINAL_MOST):
            call_errno(rig, other, Verb.CREATE_DUMB_FRAMEBUFFER, record)
    assert len(rig.kept) == COUNT_MOST + 1
    for other in (handle, *handles):
        rig.scheme.on_close(other)
    assert len(rig.kept) == 1
    large = abi.CreateFramebuffer(width=8192, height=8192)
    handle = v2(rig)
    found = [call_errno(rig, handle, Verb.CREATE_DUMB_FRAMEBUFFER, large) for _ in range(4)]
    assert found == [0, 0, e.ENOMEM, e.ENOMEM]


def test_a_client_reaches_no_buffer_of_another_terminal(rig):
    one, two = v2(rig, 1), v2(rig, 2)
    number, _ = buffer(rig, one)
    offset = number * (256 << 20)
    assert call_errno(rig, two, Verb.UPDATE_PLANE, abi.UpdatePlane(framebuffer=number)) == e.ENOENT
    record = abi.DestroyFramebuffer(framebuffer=number)
    assert call_errno(rig, two, Verb.DESTROY_DUMB_FRAMEBUFFER, record) == e.ENOENT
    assert errno_of(rig.scheme.mmap_prep, two, offset, 4096, 0, Asked()) == e.ENOENT
    assert errno_of(rig.scheme.mmap_prep, one, offset, 1 << 20, 0, Asked()) == e.ERANGE
    assert errno_of(rig.scheme.mmap_prep, one, offset + 1, 4096, 0, Asked()) == e.EINVAL


def test_a_buffer_that_is_destroyed_while_it_is_seen_stays_on_the_screen(rig):
    handle = v2(rig)
    number, memory = buffer(rig, handle)
    memory[:] = b"\x55" * len(memory)
    update(rig, handle, number)
    rig.scheme.end_batch()
    rig.call(handle, Verb.DESTROY_DUMB_FRAMEBUFFER, abi.DestroyFramebuffer(framebuffer=number))
    assert (
        call_errno(rig, handle, Verb.UPDATE_PLANE, abi.UpdatePlane(framebuffer=number)) == e.ENOENT
    )
    assert len(rig.kept) == 2
    other, _ = buffer(rig, handle)
    update(rig, handle, other)
    rig.scheme.end_batch()
    assert len(rig.kept) == 2
    assert bytes(rig.card.screen) == bytes(W * H * 4)


def test_sizes_modes_and_edid_are_told(rig):
    handle = v2(rig)
    assert rig.call(handle, Verb.DISPLAY_COUNT, abi.DisplayCount()).record.count == 2
    found = rig.call(handle, Verb.DISPLAY_SIZE, abi.DisplaySize(display=0)).record
    assert (found.width, found.height) == (W, H)
    found = rig.call(handle, Verb.MODES, abi.DisplayId(), bytes(100))
    assert found.result == 3 * abi.Mode.size
    first = abi.Mode.load(found.payload)
    assert (first.width, first.height, first.refresh, first.preferred) == (64, 48, 60000, 1)
    assert rig.call(handle, Verb.EDID, abi.DisplayId(), bytes(120)).result == 128
    assert call_errno(rig, handle, Verb.EDID, abi.DisplayId()) == e.ERANGE
    assert call_errno(rig, handle, Verb.MODES, abi.DisplayId(display=2)) == e.EINVAL
    size = abi.DisplaySize(display=0, width=65, height=48)
    assert call_errno(rig, handle, Verb.SET_MODE, size) == e.EINVAL


def test_a_change_of_size_is_an_event_until_it_is_asked_for(rig):
    handle, text = v2(rig), opened(rig.scheme, "size", f.O_RDONLY)
    posted = Posted(rig.scheme)
    assert rig.scheme.fevent(handle, f.EVENT_READ) == 0
    rig.card.set_mode(0, 32, 24)
    assert {number for number, _ in posted.take()} >= {handle, text}
    assert rig.scheme.fevent(handle, f.EVENT_READ) == f.EVENT_READ
    found = rig.call(handle, Verb.DISPLAY_SIZE, abi.DisplaySize(display=0)).record
    assert (found.width, found.height) == (32, 24)
    assert rig.scheme.fevent(handle, f.EVENT_READ) == 0
    assert rig.scheme.fevent(text, f.EVENT_READ) == f.EVENT_READ
    assert rig.scheme.read(text, 100, 0, 0, Asked()) == b"0 32x24\n1 0x0\n"
    assert rig.scheme.fevent(text, f.EVENT_READ) == 0


# -- v1 --------------------------------------------------------------------------------------------


def test_a_plain_program_writes_pixels_and_they_are_seen(rig):
    answer = rig.scheme.openat(ROOT, "1", f.O_RDWR, 0, Asked())
    handle = answer.handle
    assert answer.flags == POSITIONED | CACHED
    assert rig.scheme.fstat(handle).st_size == W * H * 4
    data = random.Random(2).randbytes(W * H * 4)
    assert rig.scheme.write(handle, memoryview(data), 0, 0, Asked()) == len(data)
    rig.scheme.end_batch()
    assert bytes(rig.card.screen) == data
    assert bytes(rig.scheme.read(handle, len(data), 0, 0, Asked())) == data
    rig.card.updates.clear()
    rig.scheme.write(handle, memoryview(b"\1" * 10), (7 * W + 5) * 4 + 2, 0, Asked())
    rig.scheme.end_batch()
    assert rig.card.updates == [(0, [Area(5, 7, 3, 1)])]
    before = rig.scheme.fstat(handle)
    rig.scheme.write(handle, memoryview(data), 8, 0, Asked())  # as much as there is room for
    after = rig.scheme.fstat(handle)
    assert (after.st_mtime, after.st_mtime_nsec) > (before.st_mtime, before.st_mtime_nsec)
    write = (rig.scheme.write, handle, memoryview(b"x"), len(data), 0, Asked())
    assert errno_of(*write) == e.ENOSPC


def test_fsync_shows_all_and_a_redox_program_writes_damage(rig):
    handle = opened(rig.scheme, "1.0", f.O_RDWR)
    rig.scheme.hold_to_redox(handle)
    assert rig.scheme.fpath(handle) == f"display.test:1.0/{W}/{H}"
    mapped = rig.scheme.mmap_prep(handle, 0, W * H * 4, 0, Asked())
    with mmap.mmap(mapped.fd, W * H * 4) as memory:
        memory[:] = b"\x22" * (W * H * 4)
    asked = Asked()
    assert rig.scheme.fsync(handle, asked) is LATER
    rig.scheme.end_batch()
    assert asked.result == 0
    assert set(rig.card.screen) == {0x22}
    rig.card.updates.clear()
    asked = Asked()
    areas = [Area(1, 2, 3, 4), Area(60, 40, 0xFFFFFFFF, 0xFFFFFFFF)]
    assert rig.scheme.write(handle, damage(*areas), 0, 0, asked) is LATER
    rig.scheme.end_batch()
    assert asked.result == 32
    assert rig.card.updates == [(0, [Area(1, 2, 3, 4), Area(60, 40, 4, 8)])]
    assert errno_of(rig.scheme.write, handle, memoryview(bytes(17)), 0, 0, Asked()) == e.EINVAL
    assert rig.scheme.read(handle, 1, 0, 0, Asked()) == b"\0"


def test_a_picture_without_a_program_stays_until_another_is_seen(rig):
    handle = opened(rig.scheme, "1", f.O_WRONLY)
    rig.scheme.write(handle, memoryview(b"\x33" * (W * H * 4)), 0, 0, Asked())
    rig.scheme.end_batch()
    rig.scheme.on_close(handle)
    rig.scheme.end_batch()
    assert set(rig.card.screen) == {0x33}
    reader = opened(rig.scheme, "1", f.O_RDONLY)
    assert bytes(rig.scheme.read(reader, 4, 0, 0, Asked())) == b"\x33" * 4
    rig.scheme.on_close(reader)
    other = v2(rig, 2)
    number, _ = buffer(rig, other)
    update(rig, other, number)
    rig.scheme.end_batch()
    assert set(rig.card.screen) == {0}
    assert len(rig.kept) == 2  # the state, and the other's buffer


def test_a_file_follows_the_size_of_its_display_with_what_fits_of_its_picture(rig):
    handle = opened(rig.scheme, "1", f.O_RDWR)
    rig.scheme.write(handle, memoryview(bytes(range(256)) * (W * H // 64)), 0, 0, Asked())
    old = rig.scheme.mmap_prep(handle, 0, 4096, 0, Asked())
    with mmap.mmap(old.fd, 4096) as memory:
        rig.card.set_mode(0, 32, 24)
        rig.scheme.end_batch()
        assert rig.scheme.fstat(handle).st_size == 32 * 24 * 4
        assert rig.scheme.fpath(handle).endswith("/32/24")
        row = bytes(range(256))[:128]
        assert bytes(rig.card.screen) == row * 24
        memory[:4] = b"mine"  # an old mapping hurts nobody
    assert bytes(rig.card.screen)[:4] == row[:4]


# -- terminals -------------------------------------------------------------------------------------


def drawn(rig, vt, byte):
    handle = v2(rig, vt)
    number, memory = buffer(rig, handle)
    memory[:] = bytes([byte]) * len(memory)
    update(rig, handle, number)
    rig.scheme.end_batch()
    return handle, number, memory


def test_the_terminal_that_was_opened_last_is_seen_and_the_one_before_it_after_that(rig):
    drawn(rig, 1, 1)
    second, _, _ = drawn(rig, 2, 2)
    assert set(rig.card.screen) == {2}
    rig.scheme.on_close(second)
    rig.scheme.end_batch()
    assert set(rig.card.screen) == {1}


def test_what_an_unseen_terminal_draws_is_kept_until_it_is_activated(rig):
    first, number, memory = drawn(rig, 1, 1)
    drawn(rig, 2, 2)
    memory[:] = b"\x09" * len(memory)
    asked = update(rig, first, number, (0, 0, 1, 1))
    assert asked.result == 0  # at once: nobody waits for what is not seen
    rig.scheme.end_batch()
    assert set(rig.card.screen) == {2}
    rig.scheme.activate(1)
    rig.scheme.end_batch()
    assert set(rig.card.screen) == {9}


def test_inputd_decides_while_what_it_wants_is_open(rig):
    drawn(rig, 2, 2)
    rig.scheme.activate(2)
    third, _, _ = drawn(rig, 3, 3)
    assert set(rig.card.screen) == {2}
    rig.scheme.activate(3)
    rig.scheme.end_batch()
    assert set(rig.card.screen) == {3}
    rig.scheme.activate(4)  # it is not open here: what is seen stays
    rig.scheme.end_batch()
    assert set(rig.card.screen) == {3}
    drawn(rig, 4, 4)
    assert set(rig.card.screen) == {4}
    rig.scheme.unled()
    drawn(rig, 5, 5)
    assert set(rig.card.screen) == {5}
    rig.scheme.activate(3)
    rig.scheme.on_close(third)
    drawn(rig, 6, 6)
    assert set(rig.card.screen) == {6}


def test_the_file_active_is_read_and_written(rig):
    drawn(rig, 1, 1)
    drawn(rig, 2, 2)
    handle = opened(rig.scheme, "active", f.O_RDWR)
    assert rig.scheme.read(handle, 10, 0, 0, Asked()) == b"2\n"
    assert rig.scheme.write(handle, memoryview(b"1\n"), 0, 0, Asked()) == 2
    rig.scheme.end_batch()
    assert set(rig.card.screen) == {1}
    for nonsense in (b"", b"x", b"0", b"-1", b"99999999999999999999", b"000000001999"):
        assert errno_of(rig.scheme.write, handle, memoryview(nonsense), 0, 0, Asked()) == e.EINVAL


def test_terminals_are_bounded(rig):
    for vt in range(1, TERMINALS_MOST + 1):
        v2(rig, vt)
    assert errno_of(v2, rig, TERMINALS_MOST + 1) == e.ENFILE


# -- cursors ---------------------------------------------------------------------------------------


def image(byte):
    return bytes([byte]) * (64 * 64 * 4)


def test_each_terminal_has_its_own_cursor(rig):
    one, two = v2(rig, 1), v2(rig, 2)
    for handle, byte in ((one, 1), (two, 2)):
        rig.call(handle, Verb.CURSOR_IMAGE, abi.CursorImage(hot_x=byte, hot_y=3), image(byte))
        rig.call(handle, Verb.CURSOR_MOVE, abi.CursorMove(x=byte * 10, y=-5, visible=1))
    assert rig.card.cursor == (image(2), 2, 3)
    assert rig.card.place == (20, -5, True)
    rig.scheme.activate(1)
    assert rig.card.cursor == (image(1), 1, 3)
    assert rig.card.place == (10, -5, True)
    short = (rig, one, Verb.CURSOR_IMAGE, abi.CursorImage(), b"short")
    assert call_errno(*short) == e.EINVAL
    outside = (rig, one, Verb.CURSOR_IMAGE, abi.CursorImage(hot_x=64), image(0))
    assert call_errno(*outside) == e.EINVAL
    rig.card.limits = (0, 0)
    assert call_errno(rig, one, Verb.CURSOR_MOVE, abi.CursorMove()) == e.EOPNOTSUPP


# -- lives -----------------------------------------------------------------------------------------


def test_a_successor_shows_what_was_shown_before_anybody_asks(rig):
    handle, number, memory = drawn(rig, 3, 7)
    rig.call(handle, Verb.CURSOR_IMAGE, abi.CursorImage(hot_x=5), image(8))
    rig.call(handle, Verb.CURSOR_MOVE, abi.CursorMove(x=9, y=10, visible=1))
    drawn(rig, 4, 4)
    rig.scheme.activate(3)
    rig.scheme.end_batch()
    rig.die()
    rig.card.screen[:] = bytes(len(rig.card.screen))
    rig.card.cursor = rig.card.place = None
    rig.live()
    rig.scheme.end_batch()
    assert set(rig.card.screen) == {7}
    assert rig.card.cursor == (image(8), 5, 0)
    assert rig.card.place == (9, 10, True)
    memory[:] = b"\x0a" * len(memory)
    handle = v2(rig, 3)  # the client comes again, and knows its buffer's number
    update(rig, handle, number)
    rig.scheme.end_batch()
    assert set(rig.card.screen) == {10}
    rig.scheme.activate(4)  # before its client has come again
    rig.scheme.end_batch()
    assert set(rig.card.screen) == {4}


def test_a_successor_takes_the_size_that_was_set(rig):
    handle = v2(rig)
    rig.call(handle, Verb.SET_MODE, abi.DisplaySize(display=0, width=128, height=64))
    rig.die()
    rig.card = FakeCard()
    rig.live()
    assert rig.card.size(0) == (128, 64)


def test_what_is_kept_and_makes_no_sense_is_let_go(rig):
    rig.die()
    state = rig.kept["state"]
    os.pwrite(state, b'{"active": "x", "shown": 7}', 0)
    rig.keep("1.9999.640.640", state)  # too small for what its name says
    rig.keep("who.knows", state)
    rig.live()
    assert "1.9999.640.640" not in rig.kept
    assert rig.scheme.read(opened(rig.scheme, "active", f.O_RDONLY), 9, 0, 0, Asked()) == b"0\n"


# -- names and refusals ----------------------------------------------------------------------------


def test_a_scheme_of_displays_is_named_so(rig):
    with pytest.raises(ValueError, match=r"starts with display\."):
        DisplayScheme("screen", rig.card, {}, rig.keep, rig.forget)


def test_only_root_may_look(rig):
    asked = Asked(uid=1000)
    assert errno_of(rig.scheme.openat, ROOT, "size", f.O_RDONLY, 0, asked) == e.EACCES


@pytest.mark.parametrize(
    "name",
    ["v2", "v2/", "v2/0", "v2/x", "v2/99999", "0", "1.2", "1.x", "x", "1/2", "edid.2", "v2/1/2"],
)
def test_names_that_make_no_sense_are_refused(rig, name):
    assert errno_of(opened, rig.scheme, name, f.O_RDONLY) == e.EINVAL
    assert errno_of(opened, rig.scheme, name, f.O_STAT) == e.ENOENT


def test_a_display_without_a_monitor_has_no_file(rig):
    assert errno_of(opened, rig.scheme, "1.1", f.O_RDWR) == e.ENODEV
    handle = v2(rig)
    number, _ = buffer(rig, handle)
    asked = update(rig, handle, number, display=1)
    rig.scheme.end_batch()
    assert asked.request.result == 0  # it is kept for when there is one
    assert rig.card.updates == []


def test_a_card_that_has_left_is_no_device(rig):
    handle, screen = v2(rig), opened(rig.scheme, "1", f.O_RDWR)
    rig.scheme.leave()
    assert call_errno(rig, handle, Verb.DISPLAY_COUNT, abi.DisplayCount()) == e.ENODEV
    assert errno_of(rig.scheme.write, screen, memoryview(b"x"), 0, 0, Asked()) == e.ENODEV
    assert errno_of(v2, rig, 2) == e.ENODEV


def test_the_directory_lists_files_and_pictures(rig):
    opened(rig.scheme, "7", f.O_WRONLY)
    root = opened(rig.scheme, "", f.O_RDONLY | f.O_DIRECTORY)
    names = [entry.name for entry in rig.scheme.getdents(root, Asked())]
    assert names == ["size", "modes", "edid", "active", "7.0"]


def test_random_calls_end_in_an_answer_or_an_errno(rig):
    chance = random.Random(4)
    handles = [v2(rig, vt) for vt in (1, 2)]
    verbs = [*Verb, 0, 7, 0x1FF]
    for _ in range(4000):
        payload = bytearray(chance.randbytes(chance.choice((0, 3, 8, 16, 24, 32, 16400))))
        for at in range(0, len(payload) - 7, 8):
            if chance.random() < 0.7:
                payload[at : at + 8] = chance.choice((0, 1, 2, 64, 1 << 32)).to_bytes(8, "little")
        verb, asked = chance.choice(verbs), Asked()
        errno = errno_of(
            rig.scheme.call, chance.choice(handles), memoryview(payload), (verb, 0, 0), asked
        )
        assert errno in (0, e.EINVAL, e.ENOENT, e.ENFILE, e.ERANGE, e.ENOMEM)
        if chance.random() < 0.3:
            rig.scheme.end_batch()
    rig.scheme.end_batch()
    assert rig.call(handles[0], Verb.DISPLAY_COUNT, abi.DisplayCount()).record.count == 2
