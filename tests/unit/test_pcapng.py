"""Captures: byte for byte as the draft has them, and as others read them."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys

import pytest

from redbear_host.pcapng import Writer

MAC = bytes.fromhex("525400524204")
TIME = 1_790_000_000_123_456_789
ARP = bytes.fromhex(
    "ffffffffffff525400524204080600010800060400015254005242040a0000010000000000000a000002"
)

GOLDEN = """
    0a0d0d0a 3c000000 4d3c2b1a 0100 0000 ffffffffffffffff
        0400 1500 72656462656172 2d686f7374 206e6574 2064756d70 000000
        0000 0000 3c000000
    01000000 3c000000 0100 0000 00000000
        0200 0c00 6e6574776f726b2e74657374
        0600 0600 525400524204 0000
        0900 0100 09 000000
        0000 0000 3c000000
    06000000 64000000 00000000 845bd718 15cd4e2b 2a000000 2a000000
        ffffffffffff 525400524204 0806 0001 0800 06 04 0001
        525400524204 0a000001 000000000000 0a000002
        0000
        0200 0400 02000000
        0400 0800 0300000000000000
        0000 0000 64000000
    05000000 4c000000 00000000 845bd718 15cd4e2b
        0200 0800 845bd718 15cd4e2b
        0300 0800 845bd718 15cd4e2b
        0400 0800 0400000000000000
        0500 0800 0300000000000000
        0000 0000 4c000000
"""


def capture(**options) -> bytes:
    out = bytearray()
    writer = Writer(out.extend, "network.test", MAC, **options)
    writer.packet(TIME, ARP, sent=True, lost=3)
    writer.end(TIME, 4, 3)
    return bytes(out)


def blocks(data):
    """Take a capture apart, by the lengths at both ends of each block."""
    found = []
    while data:
        kind, size = struct.unpack_from("=II", data)
        assert size % 4 == 0
        assert struct.unpack_from("=I", data, size - 4) == (size,)
        found.append((kind, data[8 : size - 4]))
        data = data[size:]
    return found


@pytest.mark.skipif(sys.byteorder != "little", reason="the golden bytes are little-endian")
def test_a_capture_is_what_it_was_byte_for_byte():
    assert capture() == bytes.fromhex(GOLDEN)


def test_every_block_has_its_length_at_both_ends_whatever_the_frame():
    out = bytearray()
    writer = Writer(out.extend, "network.test", MAC)
    for size in range(14, 30):
        writer.packet(TIME, bytes(size))
    writer.end(TIME, 16, 0)
    assert [kind for kind, _ in blocks(bytes(out))] == [0x0A0D0D0A, 1, *[6] * 16, 5]


def test_a_frame_is_cut_to_the_snap_length_and_says_how_long_it_was():
    _, (_, interface), (_, packet), _ = blocks(capture(snaplen=20))
    assert struct.unpack_from("=HHI", interface) == (1, 0, 20)
    assert struct.unpack_from("=II", packet, 12) == (20, 42)
    assert packet[20:40] == ARP[:20]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_times_directions_and_drops(tmp_path):
    file = tmp_path / "dump.pcapng"
    file.write_bytes(capture())
    asked = [
        *("tshark", "-r", file, "-T", "json", "-e", "frame.time_epoch", "-e", "arp.dst.proto_ipv4"),
        *("-e", "frame.interface_name", "-e", "frame.packet_flags_direction"),
    ]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
    (found,) = json.loads(done.stdout)
    layers = found["_source"]["layers"]
    assert layers["frame.time_epoch"] == ["1790000000.123456789"]
    assert layers["arp.dst.proto_ipv4"] == ["10.0.0.2"]
    assert layers["frame.interface_name"] == ["network.test"]
    assert [int(one, 0) for one in layers["frame.packet_flags_direction"]] == [2]  # outbound


@pytest.mark.skipif(shutil.which("capinfos") is None, reason="capinfos is not installed")
def test_capinfos_finds_one_whole_section(tmp_path):
    file = tmp_path / "dump.pcapng"
    file.write_bytes(capture())
    done = subprocess.run(
        ["capinfos", file], capture_output=True, text=True, check=True, timeout=60
    )
    said = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in (
        "Number of packets: 1",
        "File timestamp precision: nanoseconds (9)",
        "Capture application: redbear-host net dump",
        "Name = network.test",
        "Number of stat entries = 1",
    ):
        assert line in said
