"""`network.*` of e1000d over QEMU's card, with a peer in Python: what programs do with it."""

from __future__ import annotations

import errno
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from background import in_thread
from card_rig import MAC, NAME, PEER, Carded, frame
from network_namespaces import has_carrier, inside, namespace, until
from up_rig import COMMAND, redbear

from redbear_host import client
from redbear_host.abi import flags as f
from redbear_host.client.frames import Frames

pytestmark = pytest.mark.timeout(120)

ARP_TYPE, ARP_REPLY = b"\x08\x06", b"\x00\x02"
NOBODY = 65534


@pytest.fixture(scope="module")
def card():
    """One card for all tests here; each leaves it as it was."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        made = Carded(Path(folder))
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(autouse=True)
def quiet(card):
    """Let nothing of the test before be left on the wire, at either end."""
    with open(card.card / "data", "rb", buffering=0) as data:
        for number in range(1 << 31, 1 << 32):  # the last to come in; again where the link was down
            card.peer.send(frame(number))
            if came_in(data, frame(number)):
                break
    card.drain()


def came_in(data, wanted):
    """Read frames until that one came; False when none comes any more."""
    while select.select([data], [], [], 1)[0]:
        if data.read(2048) == wanted:
            return True
    return False


@pytest.fixture
def libredox(card, monkeypatch):
    for name, value in card.environment.items():
        monkeypatch.setenv(name, value)
    return f"/scheme/{NAME}"


def arp_request():
    """Who has 192.0.2.1?  As a program without any library would write it."""
    return (
        b"\xff" * 6
        + MAC
        + ARP_TYPE
        + bytes.fromhex("0001080006040001")
        + MAC
        + bytes([192, 0, 2, 2])
        + bytes(6)
        + bytes([192, 0, 2, 1])
    )


# -- files -----------------------------------------------------------------------------------------


def test_dd_sends_an_arp_request_and_reads_the_answer(card, tmp_path):
    (tmp_path / "frame").write_bytes(arp_request())
    reader = subprocess.Popen(
        ["dd", f"if={card.card}/data", "bs=2048", "count=1", "status=none"], stdout=subprocess.PIPE
    )
    dd = ["dd", f"if={tmp_path}/frame", f"of={card.card}/data", "bs=42", "count=1", "status=none"]
    until_opened(reader.pid, "data")
    subprocess.run(dd, check=True, timeout=20)
    (seen,) = card.came(1)
    assert seen == arp_request().ljust(60, b"\0")  # padded by the card
    answer = MAC + PEER + ARP_TYPE + seen[14:20] + ARP_REPLY + PEER + seen[38:42] + seen[22:32]
    card.peer.send(answer.ljust(60, b"\0"))
    assert reader.communicate(timeout=20)[0] == answer.ljust(60, b"\0")


def until_opened(pid, name):
    """Wait until a process has a file of this name open."""

    def opened():
        for one in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                if os.readlink(one).endswith(f"/{name}"):
                    return True
        return False

    until(opened)


def test_select_wakes_for_a_frame_and_for_a_change_of_the_link(card):
    data = os.open(card.card / "data", os.O_RDWR | os.O_NONBLOCK)
    link = os.open(card.card / "link", os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            os.read(data, 2048)
        assert os.pread(link, 100, 0) == b"1000\n"
        assert select.select([data, link], [data], [], 0) == ([], [data], [])
        card.peer.send(frame(1))
        assert select.select([data, link], [], [], 10)[0] == [data]
        assert os.read(data, 2048) == frame(1)
        card.set_link(False)
        assert select.select([data, link], [], [], 10)[0] == [link]
        assert os.pread(link, 100, 0) == b"down\n"
        assert select.select([link], [], [], 0)[0] == []
        card.set_link(True)
        assert select.select([link], [], [], 10)[0] == [link]
        assert os.pread(link, 100, 0) == b"1000\n"
    finally:
        card.set_link(True)
        os.close(data)
        os.close(link)


def test_the_address_is_read_and_set_from_a_shell(card):
    mac = card.card / "mac"
    other = "020000000007"
    try:
        assert mac.read_bytes() == MAC
        shell = f"printf '\\x02\\x00\\x00\\x00\\x00\\x07' > {mac}"
        subprocess.run(["bash", "-c", shell], check=True, capture_output=True, timeout=20)
        assert mac.read_bytes().hex() == other
        with open(card.card / "data", "rb", buffering=0) as data:
            card.peer.send(frame(1, to=MAC))
            card.peer.send(frame(2, to=bytes.fromhex(other)))
            assert data.read(2048) == frame(2, to=bytes.fromhex(other))
        done = subprocess.run(
            ["bash", "-c", f"echo wrong > {mac}"], capture_output=True, check=False
        )
        assert b"Invalid argument" in done.stderr
    finally:
        mac.write_bytes(MAC)
    assert mac.read_bytes() == MAC


def test_nobody_but_root_may_do_anything(card):
    script = (
        "import os,sys\n"
        "for name in ('', 'data', 'mac', 'stats', 'monitor'):\n"
        "    try:\n"
        "        os.close(os.open(sys.argv[1] + '/' + name, os.O_RDONLY))\n"
        "        print(name, 'open')\n"
        "    except OSError as error:\n"
        "        print(error.errno)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, card.card],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stdout.split() == [str(errno.EACCES)] * 5


def test_a_frame_that_is_none_is_an_error_of_the_writers(card):
    data = os.open(card.card / "data", os.O_WRONLY)
    try:
        for size, error in ((13, errno.EINVAL), (1519, errno.EMSGSIZE)):
            with pytest.raises(OSError, match=os.strerror(error)):
                os.write(data, bytes(size))
    finally:
        os.close(data)


# -- rings -----------------------------------------------------------------------------------------


def test_redoxs_own_spelling_is_one_frame_a_call(card, libredox):
    with client.open(libredox, f.O_RDWR) as fd:
        card.peer.send(frame(1, 1514))
        assert fd.read(4096) == frame(1, 1514)
        assert fd.write(frame(2, to=PEER, source=MAC)) == 60
        assert card.came(1) == [frame(2, to=PEER, source=MAC)]
    with client.open(f"{libredox}/mac") as mac:
        assert mac.read(100) == MAC
    with pytest.raises(OSError, match="Invalid argument"):
        client.open(f"{libredox}/absent")
    with client.open(libredox, f.O_RDWR | f.O_NONBLOCK) as fd, pytest.raises(BlockingIOError):
        fd.read(100)


def test_batches_carry_every_length_both_ways(card, libredox):
    lengths = range(60, 1519)
    sent = [frame(n, n, to=PEER, source=MAC) for n in lengths]
    came: list[bytes] = []
    with Frames(libredox) as frames:
        peer = threading.Thread(target=lambda: came.extend(card.came(len(lengths))))
        peer.start()
        assert frames.send(sent) == len(lengths)
        peer.join(20)
        assert came == sent
        for start in range(0, len(lengths), 64):
            some = [frame(n, n) for n in lengths[start : start + 64]]
            for one in some:
                card.peer.send(one)
            got: list[bytes] = []
            while len(got) < len(some):
                got += frames.receive(len(some) - len(got))
            assert got == some
        for wrong, error in (([bytes(13)], errno.EINVAL), ([bytes(1519)], errno.EMSGSIZE)):
            with pytest.raises(OSError, match=os.strerror(error)):
                frames.send(wrong)


def test_a_sender_waits_while_the_ring_is_full_and_loses_nothing(card, libredox):
    count = 2000
    sent = [frame(n, 1514, to=PEER, source=MAC) for n in range(count)]
    came: list[bytes] = []
    with Frames(libredox) as frames:
        peer = threading.Thread(target=lambda: came.extend(card.came(count, 60)))
        peer.start()
        frames.send(sent)
        peer.join(60)
    assert came == sent


def test_a_slow_reader_costs_the_others_nothing(card, libredox):
    before = card.stats()["reader_dropped"]
    with Frames(libredox), Frames(libredox) as quick:
        for start in range(0, 1280, 64):
            for number in range(start, start + 64):
                card.peer.send(frame(number))
            got: list[bytes] = []
            while len(got) < 64:
                got += quick.receive(64)
            assert got == [frame(number) for number in range(start, start + 64)]
    assert card.stats()["reader_dropped"] - before == 1280 - 1024


def test_batches_over_the_ring_and_their_speed(card, libredox, capsys):
    """A figure for people; what is checked is that nothing is lost."""
    count, size = 20000, 60
    sent = [frame(n, size, to=PEER, source=MAC) for n in range(256)]
    done = threading.Event()

    def take():
        for _ in range(0, count, 256):
            card.came(256, 60)
        done.set()

    with Frames(libredox) as frames:
        taker = threading.Thread(target=take)
        taker.start()
        began = time.monotonic()
        for _ in range(0, count, 256):
            frames.send(sent)
        assert done.wait(60)
        took = time.monotonic() - began
        taker.join()
    with capsys.disabled():
        print(f"\n  ring batches through QEMU: {count / took / 1000:.0f} kpps of {size} bytes")


# -- a driver that dies, a card that is joined -----------------------------------------------------


def test_handles_of_files_go_on_with_the_next_driver(card):
    data = os.open(card.card / "data", os.O_RDWR)
    try:
        card.kill()
        card.peer.send(frame(1))
        assert os.read(data, 2048) == frame(1)
        os.write(data, frame(2, to=PEER, source=MAC))
        assert frame(2, to=PEER, source=MAC) in card.came(1)
    finally:
        os.close(data)


class Tap:
    """`redbear-host net tap` in the background."""

    def __init__(self, card, *arguments):
        where = ("--mount", card.mount, "--run-dir", card.run_dir)
        self.process = subprocess.Popen(
            [*COMMAND, "net", "tap", *map(str, where), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.first = self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        self.out, self.err = self.process.communicate(timeout=20)


def test_a_tap_has_a_carrier_while_the_card_has_a_link(card):
    with namespace() as where, Tap(card, "--netns", where, "--name", "wire0") as tap:
        assert tap.first == f"wire0 in the network namespace {where} is {NAME} ({MAC.hex(':')})\n"
        until(lambda: has_carrier("wire0", where))
        try:
            card.set_link(False)
            until(lambda: not has_carrier("wire0", where))
        finally:
            card.set_link(True)
        until(lambda: has_carrier("wire0", where))
        listed = json.loads(redbear("net", "list", "--json", *card.where).stdout)
        assert [one["name"] for one in listed] == [NAME]
        assert (listed[0]["mac"], listed[0]["link"]) == (MAC.hex(":"), 1000)
        assert listed[0]["joins"] == [f"wire0 pid {tap.process.pid}"]
        text = redbear("net", "list", *card.where).stdout
        assert "1000 Mb/s" in text
        assert f"wire0 pid {tap.process.pid}" in text
    assert tap.process.returncode == 0
    assert tap.out == f"wire0 in the network namespace {where} is taken back\n"
    until(lambda: (card.card / "joins").read_text() == "")


def test_a_tap_that_is_killed_leaves_nothing(card):
    with namespace() as where:
        with Tap(card, "--netns", where) as tap:
            assert tap.first
            tap.process.kill()
        until(lambda: (card.card / "joins").read_text() == "")
        assert "rb0" not in inside(where, "ip", "link").stdout


def test_dump_shows_lines_and_ends_after_a_count(card):
    process = subprocess.Popen(
        [*COMMAND, "net", "dump", *map(str, card.where), "-c", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until_opened(process.pid, "monitor")
    card.peer.send(frame(1))
    (card.card / "data").write_bytes(arp_request())
    out, err = process.communicate(timeout=20)
    first, second = sorted(out.splitlines(), key=lambda line: " out " in line)
    assert f" in  {PEER.hex(':')} > {MAC.hex(':')} 0x88b5 60 bytes" in first
    assert f" out {MAC.hex(':')} > ff:ff:ff:ff:ff:ff ARP 42 bytes" in second
    assert (process.returncode, err) == (0, "2 frames, 0 lost\n")
    card.came(1)


def test_dump_writes_what_tshark_reads_without_a_doubt(card, tmp_path):
    file = tmp_path / "dump.pcapng"
    arguments = ["-w", file, "-s", "100", NAME.removeprefix("network.")]
    process = subprocess.Popen(
        [*COMMAND, "net", "dump", *map(str, (*card.where, *arguments))],
        stderr=subprocess.PIPE,
        text=True,
    )
    until_opened(process.pid, "monitor")
    until(lambda: file.exists() and file.stat().st_size)
    (card.card / "data").write_bytes(arp_request())
    for number in range(5):
        card.peer.send(frame(number, 200))
    card.came(1)
    until(lambda: file.stat().st_size > 6 * 120)
    process.terminate()
    assert process.communicate(timeout=20)[1] == "6 frames, 0 lost\n"
    fields = ("frame.len", "frame.cap_len", "frame.packet_flags_direction", "_ws.malformed")
    asked = ["tshark", "-r", file, "-T", "fields", *(w for name in fields for w in ("-e", name))]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    ways = [[int(way, 0) for way in row[2:3]] for row in rows]
    assert [row[:2] for row in rows] == [["42", "42"], *[["200", "100"]] * 5]
    assert ways == [[2], *[[1]] * 5]
    assert all(not row[3] for row in rows)
    info = subprocess.run(
        ["capinfos", file], capture_output=True, text=True, timeout=60, check=True
    )
    assert "nanoseconds (9)" in info.stdout


def test_dump_promiscuously_sees_what_is_for_others(card):
    process = subprocess.Popen(
        [
            *COMMAND,
            *("net", "dump", "-p", "-c", "1", "-w", "-", "--run-dir", str(card.run_dir)),
            *map(str, card.where),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    head = process.stdout.read(120)
    until_opened(process.pid, "monitor")
    stranger = frame(9, to=bytes.fromhex("020000000099"))

    def ended():
        card.peer.send(stranger)  # again: nobody tells when the card has become promiscuous
        return process.poll() is not None

    until(ended, within=20)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert stranger in head + out


def test_a_dump_that_finds_no_room_says_so(card):
    process = subprocess.Popen(
        [*COMMAND, "net", "dump", *map(str, card.where), "-w", "/dev/full"],
        stderr=subprocess.PIPE,
        text=True,
    )
    _, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert "/dev/full is written no more: No space left on device" in err
    assert "Traceback" not in err


# -- what a user mistypes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["tap", "network.pci-0000-00-05.0_e1000"], "there is no network card", NAME),
        (["tap", "--netns", "nowhere"], "no network namespace 'nowhere'", "ip netns add nowhere"),
        (["tap", "--address", "192.0.2.1"], "no address with a prefix length", "192.0.2.1/24"),
        (["tap", "--address", "192.0.2.300/24"], "no address with a prefix length", "192.0.2.1/24"),
        (["tap", "--name", "a/b"], "cannot be an interface's name", "15 characters"),
        (["dump", "-c", "0"], "at least one frame", "-c 1"),
        (["dump", "-s", "4"], "cuts addresses off", "14"),
        (["dump", "-w", "/nowhere/file"], "/nowhere/file cannot be written", "-w"),
        (["dump", "wlan0"], "there is no network card 'wlan0'", ""),
        (["tape"], "invalid choice", "--help"),
    ],
)
def test_what_cannot_be_is_a_sentence_and_a_hint(card, arguments, message, hint):
    what, *rest = arguments
    done = redbear("net", what, *([] if what == "tape" else card.where), *rest)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_user_is_told_that_it_takes_root(card):
    done = redbear("net", "tap", *card.where, user=NOBODY, group=NOBODY, extra_groups=[])
    assert done.returncode == 2
    assert "only root may join a network card" in done.stderr
    assert "hint: run it with sudo" in done.stderr


# -- the end of a card -----------------------------------------------------------------------------


def test_a_card_that_leaves_is_enodev_for_all_who_wait(tmp_path):
    hosted = Carded(tmp_path)
    try:
        with namespace() as where, Tap(hosted, "--netns", where):
            until(lambda: has_carrier("rb0", where))
            data = os.open(hosted.card / "data", os.O_RDWR)
            read = in_thread(lambda: os.read(data, 2048))
            hosted.machine.kill()
            error = read()
            assert isinstance(error, OSError)
            assert error.errno == errno.ENODEV
            with pytest.raises(OSError, match="No such device"):
                os.write(data, frame(1))
            os.close(data)
            until(lambda: not has_carrier("rb0", where))
        assert hosted.running.life == 1
    finally:
        hosted.close()
