"""The scheme `orbital` called directly: windows, their owners, and nobody's friends."""

from __future__ import annotations

import mmap
import os
import random
import struct

import pytest
from asked import Asked, Posted, errno_of
from fuzzing import rounds
from orbital_desk import Desk
from orbital_rig import Memory

from orbital.clients import OF_A_PROGRAM, OF_A_USER, WINDOWS_MOST
from orbital.events import MOST
from orbital.window import MAX_TITLE
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.orbital import PRESSED, EventCode, OrbitalEvent
from redbear_host.abi.stat import MODE_DIR, MODE_TYPE
from redbear_host.errors import Refused
from redbear_host.scheme.request import Caller, Unheard
from redbear_host.scheme.scheme import ROOT

RED = struct.pack("<I", 0xFFFF0000)


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.close()


def events(desk, handle):
    if not desk.scheme.fevent(handle, f.EVENT_READ):
        return []
    data = desk.read(handle)
    return [OrbitalEvent.load(data, at) for at in range(0, len(data), 24)]


def typed(desk):
    """Press and release a key."""
    for pressed in (PRESSED, 0):
        desk.desktop.input(OrbitalEvent(code=EventCode.KEY, a=0, b=0x1E | pressed))


# -- windows ---------------------------------------------------------------------------------------


def test_a_window_is_opened_where_it_is_wanted_and_says_so(desk):
    handle = desk.open("al/10/20/64/48/A title")
    assert desk.scheme.fpath(handle) == "al/10/20/64/48/A title"
    assert desk.scheme.fstat(handle).st_size == 64 * 48 * 4


def test_pixels_written_whole_are_shown(desk):
    handle = desk.open("l/10/20/4/4/x")
    assert desk.write(handle, RED * 16) == 64
    rows = desk.shown()
    assert [row[9:15] for row in rows[19:25]] == [
        [0] * 6,
        *([0] + [0xFF0000] * 4 + [0] for _ in range(4)),
        [0] * 6,
    ]


def test_rgba_is_turned_where_the_title_says_so(desk):
    handle = desk.open("l/0/0/2/1/x.rgba")
    desk.write(handle, bytes((1, 2, 3, 255, 4, 5, 6, 255)))
    assert desk.shown()[0][:2] == [0x010203, 0x040506]


def test_a_read_takes_whole_events_and_waits_for_more(desk):
    handle = desk.open("l/10/20/64/48/x")
    assert errno_of(desk.read, handle, 23) == e.EINVAL
    first = OrbitalEvent.load(desk.read(handle, 32))
    assert (first.code, first.a) == (EventCode.FOCUS, 1)
    assert errno_of(desk.read, handle, 32) == e.EWOULDBLOCK
    assert desk.scheme.fevent(handle, f.EVENT_READ) == 0
    posted = Posted(desk.scheme)
    desk.desktop.input(OrbitalEvent(code=EventCode.KEY, a=ord("q"), b=0x10 | 0x100))
    assert (handle, f.EVENT_READ) in posted.take()
    assert desk.scheme.fevent(handle, f.EVENT_READ) == f.EVENT_READ
    codes = [event.code for event in events(desk, handle)]
    assert codes == [EventCode.TEXT_INPUT, EventCode.KEY]


def test_an_asynchronous_read_returns_at_once(desk):
    handle = desk.open("al/10/20/64/48/x")
    events(desk, handle)
    assert desk.read(handle, 24) == b""
    desk.write(handle, b"A,0")
    assert errno_of(desk.read, handle, 24) == e.EWOULDBLOCK


def test_commands_change_a_window(desk):
    handle = desk.open("l/10/20/64/48/x")
    for text in (b"T,new, title\n", b"P,5,", b"F,rt,1"):
        assert desk.write(handle, text) == len(text)
    assert desk.scheme.fpath(handle) == "lrt/5/20/64/48/new, title"
    assert errno_of(desk.write, handle, b"nonsense") == e.EINVAL
    assert errno_of(desk.write, handle, b"\xff\xfe") == e.EINVAL


def test_from_redox_programs_a_piece_of_a_picture_is_nothing(desk):
    handle = desk.open("l/10/20/64/48/x")
    desk.scheme.hold_to_redox(handle)
    assert errno_of(desk.write, handle, bytes(8192)) == e.EINVAL
    assert desk.write(handle, bytes(64 * 48 * 4)) == 64 * 48 * 4


def test_memory_can_be_mapped_in_whole_pages_and_not_beyond(desk):
    handle = desk.open("l/10/20/30/10/x")  # 1200 bytes
    flags = f.PROT_READ | f.PROT_WRITE | f.MAP_SHARED
    fd, offset = desk.scheme.mmap_prep(handle, 0, 4096, flags, Asked())
    assert errno_of(desk.scheme.mmap_prep, handle, 0, 4097, flags, Asked()) == e.EINVAL
    assert errno_of(desk.scheme.mmap_prep, handle, 4096, 1, flags, Asked()) == e.EINVAL
    with mmap.mmap(fd, 4096, offset=offset) as memory:
        memory[:4] = RED
        desk.scheme.fsync(handle, Asked())
    assert desk.shown()[20][10] == 0xFF0000
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)  # sealed: nobody's memory is pulled away under the compositor


def test_a_resized_window_keeps_what_both_sizes_hold_and_the_old_mapping_is_harmless(desk):
    handle = desk.open("l/0/0/4/4/x")
    desk.write(handle, RED * 16)
    flags = f.PROT_READ | f.PROT_WRITE | f.MAP_SHARED
    fd, _ = desk.scheme.mmap_prep(handle, 0, 4096, flags, Asked())
    with mmap.mmap(fd, 4096) as old:
        desk.write(handle, b"S,8,2")
        assert desk.scheme.fpath(handle) == "l/0/0/8/2/x"
        assert desk.shown()[0][:9] == [0xFF0000] * 4 + [0] * 5
        old[:64] = bytes(64)
        desk.scheme.fsync(handle, Asked())
        assert desk.shown()[1][:5] == [0xFF0000] * 4 + [0]
    new, _ = desk.scheme.mmap_prep(handle, 0, 4096, flags, Asked())
    assert os.pread(new, 4, 0) == RED


def test_the_size_of_a_display_is_in_its_path(desk):
    assert desk.scheme.fpath(desk.open("99.0")) == "orbital:99.0/640/480/1"
    assert errno_of(desk.open, "99.1") == e.EINVAL


def test_closing_the_last_handle_closes_the_window(desk):
    handle = desk.open("l/0/0/4/4/x")
    again = desk.open(f"own/{desk.number(handle)}")
    desk.scheme.on_close(handle)
    assert len(desk.clients) == 1
    desk.scheme.on_close(again)
    assert len(desk.clients) == 0
    assert desk.shim.kept.keys() == {"ledger"}


# -- who may what ----------------------------------------------------------------------------------


def test_a_window_is_reached_again_by_its_own_program_only(desk):
    number = desk.number(desk.open("l/0/0/4/4/x", pid=7, uid=1000))
    pixels = f"own/{number}.bgra"
    assert desk.number(desk.open(pixels, pid=7, uid=1000)) == number
    for pid, uid in ((8, 1000), (7, 1001), (8, 0)):
        for path in (pixels, f"own/{number}"):
            assert errno_of(desk.open, path, pid, uid) == e.EACCES
        assert errno_of(desk.open, "own/last", pid, uid) == e.ENOENT
    assert desk.number(desk.open("own/last.bgra", pid=7, uid=1000)) == number
    folder = desk.open("own", pid=8, uid=1000, flags=f.O_RDONLY | f.O_DIRECTORY)
    assert desk.scheme.getdents(folder, Asked(1000, 8)) == []
    assert [one.name for one in desk.scheme.getdents(folder, Asked(1000, 7))] == [str(number)]


@pytest.mark.parametrize("flags", [f.O_STAT, f.O_SYMLINK, f.O_STAT | f.O_SYMLINK])
@pytest.mark.parametrize("path", ["own/{}.bgra", "own/{}"])
def test_who_only_looks_at_a_window_sees_none_of_its_pixels(desk, path, flags):
    handle = desk.open("l/0/0/4/4/secret", pid=7, uid=1000)
    desk.write(handle, RED * 16)
    looked = desk.open(path.format(desk.number(handle)), 8, 1001, flags | f.O_RDWR)
    assert desk.scheme.fstat(looked).st_uid == 1000
    assert errno_of(desk.read, looked) == e.EBADF
    assert errno_of(desk.write, looked, RED) == e.EBADF
    assert errno_of(desk.scheme.mmap_prep, looked, 0, 4096, 0, Asked(1001, 8)) == e.ENODEV
    assert errno_of(desk.scheme.dup, looked, b"clipboard", Asked(1001, 8)) == e.EINVAL


def test_pixels_in_place_are_of_the_size_they_were_opened_with(desk):
    handle = desk.open("l/0/0/4/4/x")
    pixels = desk.open(f"own/{desk.number(handle)}.bgra")
    assert desk.scheme.write(pixels, memoryview(RED), 4, 0, Asked()) == 4
    assert desk.read(pixels, 8) == bytes(4) + RED
    assert desk.shown()[0][:3] == [0, 0xFF0000, 0]
    assert errno_of(desk.scheme.write, pixels, memoryview(RED), 64, 0, Asked()) == e.ENOSPC
    desk.write(handle, b"S,8,8")
    assert errno_of(desk.read, pixels) == e.ESTALE


def test_the_clipboard_is_for_the_window_that_has_the_focus(desk):
    ours, theirs = desk.open("l/0/0/4/4/a", pid=1), desk.open("l/0/0/4/4/b", pid=2)
    first, second = (desk.scheme.dup(one, b"clipboard", Asked()).handle for one in (ours, theirs))
    assert desk.write(second, b"tsecret") == 7
    assert desk.scheme.write(second, memoryview(b"s"), 7, 0, Asked()) == 1
    assert desk.read(second, 3, 1) == b"sec"
    assert errno_of(desk.read, first) == e.EPERM
    assert errno_of(desk.write, first, b"t") == e.EPERM
    assert desk.scheme.fstat(first).st_size == 0
    desk.desktop.focus(desk.window(ours))
    typed(desk)
    assert desk.read(first) == b"tsecrets"
    assert errno_of(desk.read, second) == e.EPERM
    assert errno_of(desk.scheme.dup, ours, b"dnd", Asked()) == e.EINVAL


def test_to_come_in_front_is_not_enough_to_read_the_clipboard(desk):
    ours = desk.open("l/0/0/4/4/a", pid=1)
    clip = desk.scheme.dup(ours, b"clipboard", Asked()).handle
    desk.write(clip, b"tsecret")
    assert desk.read(clip) == b"tsecret"  # its own
    theirs = desk.open("l/0/0/4/4/thief", pid=2, uid=1000)
    stolen = desk.scheme.dup(theirs, b"clipboard", Asked()).handle
    assert desk.desktop.focused is desk.window(theirs)
    assert errno_of(desk.read, stolen) == e.EPERM
    assert desk.scheme.fstat(stolen).st_size == 0
    typed(desk)
    assert desk.read(stolen) == b"tsecret"
    desk.desktop.focus(desk.window(ours))
    desk.desktop.focus(desk.window(theirs))
    assert errno_of(desk.read, stolen) == e.EPERM
    for pressed in (1, 0):
        desk.desktop.input(OrbitalEvent(code=EventCode.MOUSE, a=100, b=100))
        desk.desktop.input(OrbitalEvent(code=EventCode.BUTTON, a=pressed, b=0))
    assert desk.read(stolen) == b"tsecret"


def test_captures_are_for_operators():
    desk = Desk(operators=(1000,))
    desk.open("l/0/0/4/4/x", uid=1001)
    for path in ("windows", "screenshot/0.png", "window/1.png", "clipboard", "control", ""):
        flags = f.O_WRONLY if path == "control" else f.O_RDONLY
        opened = (path, 1, 1001, flags, desk.control)
        assert errno_of(desk.open, *opened) == e.EACCES
        for uid in (0, 1000):
            assert desk.open(path, 1, uid, flags, desk.control)


def test_windows_are_listed_and_the_list_tells_when_it_changes(desk):
    handle = desk.open("al/10/20/64/48/A\nname", pid=7)
    listing = desk.open("windows", scheme=desk.control, flags=f.O_RDONLY)
    assert desk.control.fevent(listing, f.EVENT_READ) == f.EVENT_READ
    text = desk.read(listing, scheme=desk.control)
    assert text == b"1 64x48 10,20 al focused A?name\n"
    assert desk.control.fevent(listing, f.EVENT_READ) == 0
    posted = Posted(desk.control)
    desk.write(handle, b"T,other")
    assert (listing, f.EVENT_READ) in posted.take()


def test_orders_are_carried_out(desk):
    first, second = desk.open("l/0/0/4/4/a"), desk.open("l/8/0/4/4/b")
    events(desk, first)
    control = desk.open("control", scheme=desk.control, flags=f.O_WRONLY)

    def order(text):
        return errno_of(desk.write, control, text.encode(), desk.control)

    numbers = desk.number(first), desk.number(second)
    assert not order(f"focus {numbers[0]}\nminimise {numbers[1]}\n")
    assert desk.desktop.focused is desk.window(first)
    assert desk.window(second).minimised
    assert not order(f"close {numbers[0]}")
    assert events(desk, first)[-1].code == EventCode.QUIT
    assert not order("mode 0 800x600")
    assert desk.output.size == (800, 600)
    assert order("mode 0 801x600") == e.EINVAL
    assert order("mode 7 800x600") == e.ENOENT
    assert order("focus 99") == e.ENOENT
    assert order("dance") == e.EINVAL


# -- hostile programs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "errno"),
    [
        ("4294967295/4294967295", e.EINVAL),
        ("65536/65536", e.EINVAL),
        ("32768/1", e.EINVAL),
        ("32767/32767", e.ENOMEM),
        ("0/0", 0),
        ("0/5", 0),
        ("32767/1", 0),
    ],
)
def test_sizes_that_cannot_be_are_refused(desk, size, errno):
    assert errno_of(desk.open, f"l/0/0/{size}/x") == errno
    handle = desk.open("l/0/0/4/4/x")
    width, height = size.split("/")
    assert errno_of(desk.write, handle, f"S,{width},{height}".encode()) in (errno, e.EINVAL, 0)
    desk.desktop.draw()


def test_a_program_has_so_many_windows_and_a_user_so_many_programs(desk):
    for pid in range(1, OF_A_USER // OF_A_PROGRAM + 1):
        for _ in range(OF_A_PROGRAM):
            desk.open("l/0/0/1/1/x", pid, 1000)
        assert errno_of(desk.open, "l/0/0/1/1/x", pid, 1000) == e.EMFILE
    assert errno_of(desk.open, "l/0/0/1/1/x", 99, 1000) == e.EMFILE
    assert desk.open("l/0/0/1/1/x", 99, 1001)


def test_a_user_has_so_many_pixels():
    desk = Desk(memory=1 << 20)
    handle = desk.open("l/0/0/512/508/x", 1, 1000)
    assert errno_of(desk.open, "l/0/0/64/64/x", 2, 1000) == e.ENOMEM
    assert errno_of(desk.write, handle, b"S,512,513") == e.ENOMEM
    assert desk.open("l/0/0/64/64/x", 2, 1001)
    desk.scheme.on_close(handle)
    assert desk.open("l/0/0/512/508/x", 2, 1000)


def test_a_title_of_a_mebibyte_is_cut(desk):
    handle = desk.open("l/0/0/4/4/x")
    desk.scheme.hold_to_redox(handle)
    assert errno_of(desk.write, handle, b"T," + b"x" * (1 << 20)) == e.EINVAL
    assert desk.write(handle, b"T," + b"x" * 60000)
    assert len(desk.window(handle).title) == MAX_TITLE


def test_who_never_reads_loses_the_oldest_and_nothing_else(desk):
    handle = desk.open("l/0/0/4/4/x")
    for number in range(3 * MOST):
        desk.desktop.input(
            OrbitalEvent(code=EventCode.KEY, a=0, b=0x1E | 0x100 * (number % 2 == 0))
        )
    assert len(desk.window(handle).events) <= MOST


def test_damage_outside_is_nothing(desk):
    handle = desk.open("l/10/20/4/4/x")
    for text in (b"Y,-5,-5,2,2", b"Y,100,100,9,9", b"Y,-1000000,-1000000,999999999,999999999"):
        desk.write(handle, text)
        desk.desktop.draw()
    assert errno_of(desk.write, handle, b"Y,99999999999,0,1,1") == e.EINVAL


def _path(chance):
    fields = [
        chance.choice(["", "a", "alr", "x", "-1", "7", "99.0", "own", "M", "mbf"]),
        *(
            chance.choice(
                ["", "0", "-1", "64", "4294967296", "99999999999999999999", "x", "1.bgra"]
            )
            for _ in range(chance.randrange(6))
        ),
        "t" * chance.choice([0, 1, 300]) + chance.choice(["", ".rgba", "\n", "ü"]),
    ]
    return "/".join(fields)


def _command(chance):
    if chance.random() < 0.1:
        return chance.randbytes(chance.choice([1, 4, 64, 256, 5000]))
    numbers = [chance.choice(["", "0", "-1", "8", "70000", "9" * 9, "x"]) for _ in range(8)]
    kind = chance.choice("ATPSFMDYNQ")
    arguments = ",".join(numbers[: chance.randrange(9)])
    letters = chance.choice(["a", "bf", "mM", "rtls", "h", "C", "G", "R", "L"])
    text = f"{kind},{chance.choice([letters + ',1', letters + ',0', arguments, letters])}"
    return text.encode()


@pytest.mark.fuzz
def test_nothing_a_program_says_ends_the_desktop():
    chance = random.Random(4)
    desk = Desk(memory=8 << 20)
    handles = [desk.open("l/10/20/64/48/x")]
    answers = {0: 0}
    for turn in range(rounds(4000)):
        act = chance.randrange(10)
        if act < 2:
            try:
                flags = chance.choice([f.O_RDWR, f.O_RDWR, f.O_RDONLY, f.O_STAT, f.O_DIRECTORY])
                pid, uid = chance.randrange(1, 4), chance.choice([0, 1000])
                handles.append(desk.open(_path(chance), pid, uid, flags))
            except Refused as refusal:
                answers[refusal.errno] = answers.get(refusal.errno, 0) + 1
        elif act < 3 and len(handles) > 1:
            desk.scheme.on_close(handles.pop(chance.randrange(len(handles))))
        elif act < 8:
            errno = errno_of(desk.write, chance.choice(handles), _command(chance))
            answers[errno] = answers.get(errno, 0) + 1
        elif act < 9:
            code = chance.choice(list(EventCode))
            a, b = (chance.choice([0, 1, -1, 0x1E | 0x100, 65535, 1 << 40]) for _ in range(2))
            desk.desktop.input(OrbitalEvent(code=code, a=a, b=b))
        else:
            errno_of(desk.read, chance.choice(handles), chance.choice([24, 32, 4096]))
        if turn % 16 == 0:
            desk.desktop.draw()
        if len(handles) > 100:
            for handle in handles:
                desk.scheme.on_close(handle)
            handles = [desk.open("l/10/20/64/48/x")]
    expected = {0, e.EINVAL, e.EISDIR, e.ENOENT, e.EACCES, e.ENOMEM, e.EMFILE, e.EBADF, e.ENOTDIR}
    assert set(answers) <= expected | {e.ENOSPC, e.ESTALE}
    assert answers[0] > answers.get(e.EMFILE, 0)
    for handle in handles:
        desk.scheme.on_close(handle)
    assert len(desk.clients) == 0


# -- the next life ---------------------------------------------------------------------------------


def test_windows_outlive_the_process(desk):
    back = desk.open("l/100/100/40/40/behind", pid=1)
    front = desk.open("alt/110/110/40/40/front", pid=2, uid=1000)
    desk.write(back, struct.pack("<I", 0xFF00FF00) * 1600)
    desk.write(front, RED * 1600)
    hidden = desk.open("l/0/0/8/8/away", pid=1)
    desk.desktop.minimise(desk.window(hidden))
    desk.desktop.focus(desk.window(back))
    before = desk.shown()
    numbers = [desk.number(one) for one in (back, front, hidden)]
    desk.clients.save()
    after = Desk(desk.shim)
    assert after.shown() == before
    assert [after.clients.get(number).window.title for number in numbers] == [
        *("behind", "front", "away"),
    ]
    assert after.desktop.focused is after.clients.get(numbers[0]).window
    assert after.clients.get(numbers[2]).window.minimised
    again = Unheard(Caller(2, 1000, 1000), numbers[1])
    handle = after.scheme.openat(ROOT, "alt/110/110/40/40/front", f.O_RDWR, 0, again).handle
    assert after.number(handle) == numbers[1]
    stranger = Unheard(Caller(3, 1000, 1000), numbers[0])
    handle = after.scheme.openat(ROOT, "l/100/100/40/40/behind", f.O_RDWR, 0, stranger).handle
    assert after.number(handle) not in numbers
    assert {one.number for one in after.clients.orphans()} == {numbers[0], numbers[2]}


def test_the_window_that_was_opened_first_is_so_in_the_next_life(desk):
    first, second = desk.open("l/0/0/4/4/first"), desk.open("l/0/0/4/4/second")
    desk.desktop.focus(desk.window(first))
    desk.desktop.focus(desk.window(second))
    desk.desktop.focus(desk.window(first))
    numbers = [desk.number(first), desk.number(second)]
    desk.clients.save()
    after = Desk(desk.shim)
    windows = [after.clients.get(number).window for number in numbers]
    assert list(after.desktop.list()) == windows
    assert windows[0].id < windows[1].id
    assert windows[0].seen > windows[1].seen


def test_windows_with_the_longest_names_and_titles_are_all_written_down(desk):
    for pid in range(-(-WINDOWS_MOST // OF_A_PROGRAM)):
        for _ in range(OF_A_PROGRAM):
            handle = desk.open("q" + "\1" * 4000 + "/0/0/t", pid=pid)
            desk.write(handle, b"T," + b"\1" * MAX_TITLE)
    desk.clients.save()
    after = Desk(desk.shim)
    assert len(after.clients) == WINDOWS_MOST
    after.close()


def test_a_window_that_was_not_written_down_comes_back_by_its_handle(desk):
    desk.clients.save()
    handle = desk.open("l/0/0/4/4/late")
    desk.write(handle, RED * 16)
    after = Desk(desk.shim)
    assert len(after.clients) == 0
    asked = Unheard(Caller(1, 0, 0), desk.number(handle))
    again = after.scheme.openat(ROOT, "l/0/0/4/4/late", f.O_RDWR, 0, asked).handle
    after.clients.forget_left()
    assert after.number(again) == desk.number(handle)
    assert after.shown()[3][:5] == [0xFF0000] * 4 + [0]
    assert after.open("l/0/0/4/4/next") != again


def test_a_folder_on_the_way_is_one(desk):
    handle = desk.open("al/10/20", flags=f.O_STAT)
    assert desk.scheme.fstat(handle).st_mode & MODE_TYPE == MODE_DIR
    assert len(desk.clients) == 0
    names = [one.name for one in desk.scheme.getdents(ROOT, Asked())]
    assert names == ["99.0", "own"]


def test_a_window_as_large_as_the_screen_is_in_its_memory_as_long_as_there_is_some():
    desk = Desk(output=Memory(640, 480, planes=1, cursor=(64, 64)))
    handle = desk.open("l/0/0/640/480/full")
    client = desk.scheme._file(handle).client
    assert client.memory.lent.output is desk.output
    assert desk.scheme.mmap_prep(handle, 0, 640 * 480 * 4, 0, Asked()).fd == client.memory.fd
    desk.write(handle, RED * (640 * 480))
    desk.desktop.draw()
    assert desk.output.shown
    events(desk, handle)
    in_place = desk.open(f"own/{desk.number(handle)}.bgra")
    desk.clients.save()
    after = Desk(desk.shim, output=Memory(640, 480, planes=1, cursor=(64, 64)))
    (restored,) = after.clients
    assert restored.window.events.take(1)[:1] == bytes((EventCode.RESIZE,))
    desk.clients.take_back(desk.output)
    assert client.memory.lent is None
    assert client.memory.memory[:4] == RED
    # Whoever has it mapped as a file of Linux's hears of nothing, and must not die of it.
    assert desk.scheme.write(in_place, memoryview(RED), 4, 0, Asked()) == 4
    assert desk.read(in_place, 8) == RED * 2
    assert EventCode.RESIZE in [event.code for event in events(desk, handle)]
    desk.scheme.on_close(handle)
