"""What nvmed makes of Identify data, also of data no controller should send."""

from __future__ import annotations

import random
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.nvmed import identify
from daemons.nvmed.regs import CAP, IdentifyController, IdentifyNamespace, Status
from daemons.nvmed.status import describe, errno_of
from redbear_host.abi import errno as e
from redbear_host.errors import DeviceError
from redbear_host.models.nvme import Media


def controller(**members: object) -> bytes:
    return bytes(IdentifyController(**{"SQES": 0x66, "CQES": 0x44} | members))  # type: ignore[arg-type]


def namespace(lbaf: tuple[int, int] = (0, 9), **members: object) -> bytes:
    formats = struct.pack("<HBB", *lbaf, 0).ljust(256, b"\0")
    plain = {"NSZE": 100, "NCAP": 100, "LBAFS": formats}
    return bytes(IdentifyNamespace(**plain | members))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"SER-42".ljust(20), "SER-42"),
        (b"SER-42".ljust(20, b"\0"), "SER-42"),
        (b"  padded in front   ", "padded in front"),
        (b"a\x00b\x1b[31mc", "a?b?[31mc"),
        (b"\xff\xfe\xe4", "???"),
        (b"\0" * 20, ""),
        (b"what? ", "what?"),
    ],
)
def test_text_is_readable_whatever_the_bytes(raw: bytes, text: str) -> None:
    assert identify.text(raw) == text


@pytest.mark.parametrize(
    ("mdts", "mpsmin", "limit"),
    [(0, 0, 0), (1, 0, 8192), (5, 0, 131072), (5, 2, 524288), (20, 0, 1 << 32), (255, 15, 0)],
)
def test_mdts_counts_in_pages_of_mpsmin(mdts: int, mpsmin: int, limit: int) -> None:
    assert identify.controller(controller(MDTS=mdts), CAP(MPSMIN=mpsmin)).max_transfer == limit


@pytest.mark.parametrize(
    ("rtd3e", "seconds"), [(0, 5.0), (1_000_000, 1.0), (0xFFFF_FFFF, 30.0), (250_000, 0.25)]
)
def test_a_shutdown_may_take_what_the_controller_says_within_reason(
    rtd3e: int, seconds: float
) -> None:
    assert identify.controller(controller(RTD3E=rtd3e), CAP()).shutdown_s == seconds


@pytest.mark.parametrize(
    "sizes", [{"SQES": 0x77}, {"SQES": 0x55}, {"CQES": 0x55}, {"CQES": 0x33}, {"SQES": 0}]
)
def test_queue_entries_of_another_size_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(DeviceError, match="SQES"):
        identify.controller(controller(**sizes), CAP())


def test_the_format_in_use_decides_the_block_size() -> None:
    formats = struct.pack("<HBBHBBHBB", 0, 9, 2, 0, 12, 0, 8, 12, 0).ljust(256, b"\0")
    assert identify.namespace(1, namespace(LBAFS=formats, NLBAF=2, FLBAS=0)).shift == 9
    assert identify.namespace(1, namespace(LBAFS=formats, NLBAF=2, FLBAS=1)).shift == 12
    with pytest.raises(identify.Unusable, match="8 bytes of metadata"):
        identify.namespace(1, namespace(LBAFS=formats, NLBAF=2, FLBAS=2))
    with pytest.raises(identify.Unusable, match="block format 3"):
        identify.namespace(1, namespace(LBAFS=formats, NLBAF=2, FLBAS=3))


def test_more_than_16_formats_need_the_upper_bits() -> None:
    formats = bytearray(256)
    formats[17 * 4 + 2] = 12
    formats[1 * 4 + 2] = 9
    raw = bytes(formats)
    assert identify.namespace(1, namespace(LBAFS=raw, NLBAF=20, FLBAS=1 | 1 << 5)).shift == 12
    # With 16 or fewer the upper bits are reserved.
    assert identify.namespace(1, namespace(LBAFS=raw, NLBAF=15, FLBAS=1 | 1 << 5)).shift == 9


@pytest.mark.parametrize("shift", [0, 1, 8, 17, 63, 255])
def test_blocks_of_a_strange_size_are_refused(shift: int) -> None:
    with pytest.raises(identify.Unusable, match=r"2\^"):
        identify.namespace(1, namespace((0, shift)))


@pytest.mark.parametrize("blocks", [(1 << 54) + 1, 1 << 63, (1 << 64) - 1])
def test_a_namespace_larger_than_any_file_is_refused(blocks: int) -> None:
    with pytest.raises(identify.Unusable, match="file"):
        identify.namespace(1, namespace(NSZE=blocks))


def test_identifiers_are_empty_when_they_were_not_assigned() -> None:
    assert identify.namespace(1, namespace()).eui64 == ""
    assert identify.namespace(1, namespace(EUI64=bytes(range(8)))).eui64 == "0001020304050607"
    assert identify.namespace(1, Media().identify()).eui64 == Media().eui64.hex()


@pytest.mark.parametrize(
    ("nsids", "above", "most"),
    [([2, 1], 0, 9), ([1, 1], 0, 9), ([3], 3, 9), ([10], 0, 9), ([0xFFFF_FFFF], 0, 9)],
)
def test_a_namespace_list_out_of_order_or_range_is_refused(
    nsids: list[int], above: int, most: int
) -> None:
    raw = struct.pack(f"<{len(nsids)}I", *nsids).ljust(4096, b"\0")
    with pytest.raises(DeviceError, match="active namespace list"):
        identify.active_list(raw, above, most)


def test_a_namespace_list_ends_at_the_first_zero() -> None:
    raw = struct.pack("<4I", 1, 5, 0, 7).ljust(4096, b"\0")
    assert identify.active_list(raw, 0, 9) == [1, 5]


@given(st.integers(0, 1 << 32), st.integers(0, (1 << 64) - 1))
def test_no_bytes_at_all_bring_identify_down(seed: int, cap: int) -> None:
    raw = random.Random(seed).randbytes(4096)
    good = controller() if seed & 1 else namespace()
    for start in range(0, 4096, 512):  # also half good data
        mixed = good[:start] + raw[start:]
        for parse in (
            lambda: identify.controller(mixed, CAP.of(cap)),  # noqa: B023  called at once
            lambda: identify.namespace(1, mixed),  # noqa: B023
            lambda: identify.active_list(mixed, 0, 1 << 20),  # noqa: B023
        ):
            with suppress(DeviceError):
                assert parse() is not None


@given(st.integers(0, 0xFFFF))
def test_every_status_has_an_errno_and_a_name(raw: int) -> None:
    status = Status.of(raw)
    assert (errno_of(status) == 0) == (raw & 0x0FFE == 0)
    assert 0 <= errno_of(status) <= e.ECANCELED
    assert describe(status)
