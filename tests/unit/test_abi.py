"""Redox's numbers and wire formats, byte for byte."""

from __future__ import annotations

import errno as linux
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redbear_host.abi import call, cqe, dirent, event, flags, map, proc, registration, sqe, stat
from redbear_host.abi import errno as redox
from redbear_host.bits import Struct
from redbear_host.errors import ProtocolError, Refused

GOLDEN = Path(__file__).parents[1] / "golden" / "abi"

RECORDS: dict[str, Struct] = {
    "sqe": sqe.Sqe(
        opcode=sqe.Opcode.OPEN_AT,
        sqe_flags=sqe.SqeFlags.MULTIPLE_IDS,
        tag=0x12345678,
        arg0=1,
        arg1=0x7FFF_FFA0_1000,
        arg2=3,
        arg3=flags.O_RDONLY,
        arg4=flags.O_NONBLOCK,
        arg5=100 << 32 | 1000,
        caller=4242,
    ),
    "cqe": cqe.Cqe(
        flags=cqe.CqeOpcode.RESPOND_AND_NOTIFY_ON_DETACH,
        extra_raw=b"\x01\x02\x03",
        tag=0x12345678,
        result=cqe.mux(-redox.ENOENT),
    ),
    "stat": stat.Stat(
        st_dev=0x0102030405060708,
        st_ino=0x1112131415161718,
        st_mode=stat.MODE_FILE | 0o600,
        st_nlink=0x21222324,
        st_uid=0x25262728,
        st_gid=0x292A2B2C,
        st_size=0x3132333435363738,
        st_blksize=0x41424344,
        st_blocks=0x5152535455565758,
        st_mtime=0x6162636465666768,
        st_mtime_nsec=0x71727374,
        st_atime=0x8182838485868788,
        st_atime_nsec=0x91929394,
        st_ctime=0xA1A2A3A4A5A6A7A8,
        st_ctime_nsec=0xB1B2B3B4,
    ),
    "statvfs": stat.StatVfs(
        f_bsize=4096,
        f_blocks=0x1112131415161718,
        f_bfree=0x2122232425262728,
        f_bavail=0x3132333435363738,
    ),
    "timespec": stat.TimeSpec(tv_sec=-1, tv_nsec=500_000_000),
    "itimerspec": event.ITimerSpec(
        it_interval_sec=2, it_interval_nsec=3, it_value_sec=1, it_value_nsec=1
    ),
    "event": event.Event(id=7, flags=flags.EVENT_READ | flags.EVENT_WRITE, data=0x2122232425262728),
    "map": map.Map(
        offset=0x3000,
        length=0x2000,
        flags=flags.PROT_READ | flags.PROT_WRITE | flags.MAP_FIXED | flags.MAP_SHARED,
        address=0x7F00_4000_0000,
    ),
    "stdfscallmeta": call.StdFsCallMeta(
        kind=call.StdFsCallKind.FTRUNCATE, arg1=0x1122334455667788, arg2=0x2122232425262728
    ),
    "direntheader": dirent.DirentHeader(
        inode=0x1112131415161718,
        next_opaque_id=0x2122232425262728,
        record_len=288,
        kind=flags.DT_LNK,
    ),
    "newfdparams": registration.NewFdParams(
        offset=0x2122232425262728,
        number=0x1112131415161718,
        flags=cqe.NewFdFlags.POSITIONED,
        internal_flags=0x7F,
    ),
    "kernelschemeinfo": registration.KernelSchemeInfo(scheme_id=7, fd=0x1112131415161718),
    "procmeta": proc.ProcMeta(
        pid=4242,
        pgid=4241,
        ppid=1,
        ruid=1000,
        euid=1001,
        suid=1002,
        rgid=100,
        egid=101,
        sgid=102,
        ens=2,
        rns=0xFFFF_FFFF,
    ),
    "procschemeattrs": proc.ProcSchemeAttrs(
        pid=4242, euid=1000, egid=100, prio=20, debug_name=b"nvmed".ljust(32, b"\0")
    ),
    "grantdesc": proc.GrantDesc(
        base=0x7F00_4000_1000,
        length=0x2000,
        flags=proc.GrantFlags.READ
        | proc.GrantFlags.WRITE
        | proc.GrantFlags.SHARED
        | proc.GrantFlags.SCHEME,
        offset=0x2122232425262728,
    ),
}

SIZES = {
    "sqe": 64,
    "cqe": 16,
    "stat": 104,
    "statvfs": 32,
    "timespec": 16,
    "itimerspec": 32,
    "event": 24,
    "map": 32,
    "stdfscallmeta": 24,
    "direntheader": 19,
    "newfdparams": 32,
    "kernelschemeinfo": 16,
    "procmeta": 44,
    "procschemeattrs": 48,
    "grantdesc": 32,
}

LISTING = [
    ("0p0", flags.DT_REG, 0x1112131415161718),
    ("bus1", flags.DT_DIR, 2),
    ("gäbe", flags.DT_UNKNOWN, 0),
]


def golden(name: str) -> bytes:
    """Read the bytes of one golden file; each line must start where the one before ended."""
    found = b""
    for line in (GOLDEN / f"{name}.txt").read_text().splitlines():
        place, _, rest = line.partition("#")[0].strip().partition(" ")
        if place:
            assert int(place) == len(found), line
            found += bytes.fromhex(rest)
    return found


# -- records -----------------------------------------------------------------------------------


def test_every_golden_file_is_compared() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {*RECORDS, "dirents"}
    assert set(SIZES) == set(RECORDS)


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_stored_as_redox_stores_it(name: str) -> None:
    assert bytes(RECORDS[name]).hex(" ") == golden(name).hex(" ")
    assert len(bytes(RECORDS[name])) == RECORDS[name].size == SIZES[name]


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_read_as_redox_means_it(name: str) -> None:
    record = RECORDS[name]
    loaded = type(record).load(golden(name))
    for field in record.fields:
        assert getattr(loaded, field) == getattr(record, field), field


@pytest.mark.parametrize("name", RECORDS)
@given(data=st.data())
def test_bytes_survive_being_read_and_stored_again(name: str, data: st.DataObject) -> None:
    kind = type(RECORDS[name])
    raw = data.draw(st.binary(min_size=kind.size, max_size=kind.size))
    once = bytes(kind.load(raw))  # padding becomes zero here
    assert bytes(kind.load(once)) == once
    assert all(new in (old, 0) for new, old in zip(once, raw, strict=True))


def test_a_submission_shows_arguments_and_credentials() -> None:
    entry = sqe.Sqe.load(golden("sqe"))
    assert entry.args == (1, 0x7FFF_FFA0_1000, 3, 0x10000, 0x40000, 0x64_000003E8)
    assert (entry.uid, entry.gid) == (1000, 100)
    assert sqe.Opcode(entry.opcode) is sqe.Opcode.OPEN_AT


def test_an_opcode_of_a_later_redox_is_no_error() -> None:
    assert sqe.Opcode(200).name == "RESERVED_0xc8"
    assert cqe.Cqe(flags=0xF8 | 7).opcode == 7


def test_a_completion_shows_its_opcode_and_result() -> None:
    entry = cqe.Cqe.load(golden("cqe"))
    assert entry.opcode is cqe.CqeOpcode.RESPOND_AND_NOTIFY_ON_DETACH
    assert cqe.demux(entry.result) == -2


# -- results -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "word"),
    [
        (0, 0),
        (-1, 0xFFFF_FFFF_FFFF_FFFF),
        (-4095, 0xFFFF_FFFF_FFFF_F001),
        (0xFFFF_FFFF_FFFF_F000, 0xFFFF_FFFF_FFFF_F000),
        (1 << 63, 1 << 63),
    ],
)
def test_the_last_4095_words_are_errors(result: int, word: int) -> None:
    assert cqe.mux(result) == word
    assert cqe.demux(word) == result


@pytest.mark.parametrize("result", [-4096, 0xFFFF_FFFF_FFFF_F001, 1 << 64])
def test_what_is_neither_result_nor_error_does_not_travel(result: int) -> None:
    with pytest.raises(ValueError, match="neither a result nor"):
        cqe.mux(result)


@pytest.mark.parametrize("word", [-1, 1 << 64])
def test_what_is_no_word_is_no_result(word: int) -> None:
    with pytest.raises(ValueError, match="no word"):
        cqe.demux(word)


@given(st.integers(0, (1 << 64) - 1))
def test_every_word_means_exactly_one_result(word: int) -> None:
    assert cqe.mux(cqe.demux(word)) == word


# -- directory entries -------------------------------------------------------------------------


def test_a_listing_is_packed_as_redox_packs_it() -> None:
    assert dirent.pack(LISTING, 4096).hex(" ") == golden("dirents").hex(" ")
    assert dirent.DirentHeader.size == 19


def test_a_listing_is_read_back_with_where_to_go_on() -> None:
    assert list(dirent.unpack(golden("dirents"))) == [
        (name, kind, inode, number + 1) for number, (name, kind, inode) in enumerate(LISTING)
    ]


names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=80
)
listings = st.lists(st.tuples(names, st.integers(0, 255), st.integers(0, (1 << 64) - 1)))


@given(listings, st.integers(19 + 320 + 8, 2000))
def test_a_listing_read_piece_by_piece_is_the_whole(
    entries: list[tuple[str, int, int]], room: int
) -> None:
    found: list[tuple[str, int, int]] = []
    place = 0
    while piece := dirent.pack(entries, room, place):
        assert len(piece) <= room
        assert len(piece) % 8 == 0
        for entry in dirent.unpack(piece):
            found.append((entry.name, entry.kind, entry.inode))
            place = entry.next_opaque_id
    assert found == entries


def test_only_whole_records_are_delivered() -> None:
    assert len(dirent.pack(LISTING, 48)) == 48
    assert len(dirent.pack(LISTING, 47)) == 24
    assert len(dirent.pack(LISTING, 79)) == 48


@pytest.mark.parametrize("room", [0, 18, 23])
def test_room_for_not_even_one_record_is_refused(room: int) -> None:
    with pytest.raises(Refused) as refusal:
        dirent.pack(LISTING, room)
    assert refusal.value.errno == redox.EINVAL


def test_the_end_of_a_listing_needs_no_room() -> None:
    assert dirent.pack(LISTING, 0, 3) == b""
    assert dirent.pack(LISTING, 4096, 99) == b""
    assert dirent.pack([], 0) == b""


@pytest.mark.parametrize("size", [0, 18, 20, 24])
def test_another_header_than_the_one_defined_is_refused(size: int) -> None:
    with pytest.raises(Refused) as refusal:
        dirent.pack(LISTING, 4096, 0, size)
    assert refusal.value.errno == redox.EINVAL


@pytest.mark.parametrize("name", ["", "a/b", "a\0b"])
def test_what_is_no_name_is_a_bug_of_the_scheme(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        dirent.pack([(name, 0, 0)], 4096)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (16, 0, "length 0"),  # would never end
        (16, 19, "length 19"),  # no room for the NUL
        (16, 25, "length 25"),  # not a multiple of 8
        (64, 40, "length 40"),  # runs off the end
        (69, 0xFF, "not UTF-8"),
    ],
)
def test_a_broken_listing_is_the_peers_fault(place: int, value: int, message: str) -> None:
    raw = bytearray(golden("dirents"))
    raw[place] = value
    with pytest.raises(ProtocolError, match=message):
        list(dirent.unpack(raw))


def test_a_name_without_end_is_the_peers_fault() -> None:
    raw = bytearray(golden("dirents"))[:24]
    raw[19:24] = b"abcde"
    with pytest.raises(ProtocolError, match="no end"):
        list(dirent.unpack(raw))


@given(st.binary(max_size=100))
def test_no_bytes_whatever_break_the_reader(raw: bytes) -> None:
    try:
        read = list(dirent.unpack(raw))
    except ProtocolError:
        return
    assert len(read) <= len(raw) // 24


@pytest.mark.parametrize("keep", [1, 18, 30, 60])
def test_a_listing_cut_off_is_the_peers_fault(keep: int) -> None:
    with pytest.raises(ProtocolError):
        list(dirent.unpack(golden("dirents")[:keep]))


# -- numbers, typed from redox_syscall's tables ------------------------------------------------


def test_errno_numbers_are_linuxs_but_for_two() -> None:
    ours = {name: value for name, value in vars(redox).items() if name.startswith("E")}
    assert sorted(ours.values()) == list(range(1, 132))
    assert {name for name, value in ours.items() if getattr(linux, name) != value} == {
        "EWOULDBLOCK",
        "EDEADLOCK",
    }
    assert (redox.EWOULDBLOCK, redox.EAGAIN, redox.EDEADLOCK) == (41, 11, 58)


def test_opcodes_are_numbered_as_in_redox() -> None:
    order = """OPEN RMDIR UNLINK CLOSE DUP READ WRITE FSIZE FCHMOD FCHOWN FCNTL FEVENT SENDFD FPATH
        FRENAME FSTAT FSTATVFS FSYNC FTRUNCATE FUTIMENS MMAP_PREP REQUEST_MMAP MREMAP MUNMAP MSYNC
        CANCEL GETDENTS CLOSE_MSG CALL OPEN_AT FLINK RECVFD UNLINK_AT STD_FS_CALL DETACH"""
    assert [(op.value, op.name) for op in sqe.Opcode] == list(enumerate(order.split()))


def test_answers_are_numbered_as_in_redox() -> None:
    order = """RESPOND_REGULAR RESPOND_WITH_FD SEND_FEVENT OBTAIN_FD RESPOND_WITH_MULTIPLE_FDS
        RESPOND_AND_NOTIFY_ON_DETACH"""
    assert [(op.value, op.name) for op in cqe.CqeOpcode] == list(enumerate(order.split()))
    assert [flag.value for flag in cqe.NewFdFlags] == [1]


def test_file_calls_are_numbered_as_in_redox() -> None:
    order = "FCHMOD FCHOWN GETDENTS FSTAT FSTATVFS FSYNC FTRUNCATE FUTIMENS"
    assert [kind.name for kind in call.StdFsCallKind][:8] == order.split()
    assert {kind.name: kind.value for kind in list(call.StdFsCallKind)[8:]} == {
        "RELPATHAT": 11,
        "LOCK": 12,
        "UNLOCK": 13,
        "GET_LOCK": 14,
    }


def test_call_flags_are_redoxs_bits() -> None:
    order = "CONSUME WRITE READ FD FD_EXCLUSIVE FD_CLONE FD_UPPER FD_CLOEXEC STD_FS MULTIPLE_FDS"
    assert [(flag.name, flag.value) for flag in call.CallFlags] == [
        (name, 1 << bit) for bit, name in enumerate(order.split(), 8)
    ]
    assert not any(flag & call.METADATA_MASK for flag in call.CallFlags)


def test_open_flags_are_redoxs_bits() -> None:
    order = """NONBLOCK APPEND SHLOCK EXLOCK ASYNC FSYNC CLOEXEC CREAT TRUNC EXCL DIRECTORY STAT
        SYMLINK NOFOLLOW"""
    for bit, name in enumerate(order.split(), 18):
        assert getattr(flags, f"O_{name}") == 1 << bit, name
    assert (flags.O_RDONLY, flags.O_WRONLY) == (0x10000, 0x20000)
    assert flags.O_RDWR == flags.O_ACCMODE == 0x30000
    assert flags.O_FCNTL_MASK == 0x00CC_0000


def test_map_flags_are_redoxs_bits() -> None:
    assert (flags.PROT_EXEC, flags.PROT_WRITE, flags.PROT_READ) == (0x10000, 0x20000, 0x40000)
    assert (flags.MAP_SHARED, flags.MAP_PRIVATE, flags.MAP_FIXED) == (1, 2, 4)
    assert (flags.MAP_FIXED_NOREPLACE, flags.MAP_LAZY) == (0xC, 0x10)
    assert [flag.value for flag in map.MunmapFlags] == [1]
    assert [(f.name, f.value) for f in map.MremapFlags.__members__.values()] == [
        ("FIXED", 1),
        ("FIXED_REPLACE", 3),
        ("KEEP_OLD", 4),
    ]


def test_descriptor_flags_are_redoxs_bits() -> None:
    assert (call.SendFdFlags.EXCLUSIVE, call.SendFdFlags.CLONE) == (1, 2)
    assert [flag.value for flag in call.RecvFdFlags] == [1, 2, 4]
    assert (call.SocketCall.OBTAIN_FD, call.SocketCall.MOVE_FD) == (0, 1)
    assert (sqe.SqeFlags.ONEWAY, sqe.SqeFlags.MULTIPLE_IDS) == (1, 2)


def test_events_and_kinds_are_redoxs_numbers() -> None:
    assert (flags.EVENT_READ, flags.EVENT_WRITE) == (1, 2)
    assert event.EVENT_TIMEOUT_ID == 0xFFFF_FFFF_FFFF_FFFD
    kinds = ("UNKNOWN", "CHR", "DIR", "BLK", "REG", "LNK", "SOCK")
    assert [getattr(flags, f"DT_{kind}") for kind in kinds] == [0, 2, 4, 6, 8, 10, 12]


def test_file_types_are_redoxs_modes() -> None:
    kinds = ("FIFO", "CHR", "DIR", "FILE", "SYMLINK", "SOCK", "TYPE")
    assert [getattr(stat, f"MODE_{kind}") >> 12 for kind in kinds] == [1, 2, 4, 8, 10, 12, 15]
