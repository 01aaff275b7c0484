"""The scheme `irq`, called as a door would, with eventfds of the test's own."""

from __future__ import annotations

import os

import pytest
from asked import Asked, Posted, errno_of, opened

from kernel_shim.schemes.interrupts import signals
from kernel_shim.schemes.irq import IrqScheme
from kernel_shim.schemes.kernel import IrqNote
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_CHR, MODE_DIR
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.request import Caller, Unheard
from redbear_host.scheme.scheme import ROOT

SSD, NIC = "0000:04:00.0", "0000:05:00.0"
BOTH = f.EVENT_READ | f.EVENT_WRITE


class Bench:
    def __init__(self, tmp_path):
        (tmp_path / "cpuinfo").write_text("processor\t: 0\napicid\t\t: 6\n")
        self.loop = Loop()
        self.scheme = IrqScheme(self.loop, 2, tmp_path / "cpuinfo")
        self.posted = Posted(self.scheme)
        self.fds = []

    def eventfd(self):
        self.fds.append(os.eventfd(0, os.EFD_NONBLOCK))
        return self.fds[-1]

    def learn(self, device, kind, count=1, line=0, fds=None):
        """Tell of a device; return its eventfds and the one that unmasks."""
        fds = fds or [self.eventfd() for _ in range(count)]
        unmask = self.eventfd() if kind == "intx" else -1
        notes = [IrqNote(device, n, kind, fd, unmask, line) for n, fd in enumerate(fds)]
        self.scheme.learn(device, notes)
        return fds, unmask

    def open(self, path, flags=f.O_RDWR, uid=0):
        return opened(self.scheme, path, flags, uid)

    def count(self, handle):
        data = bytes(self.scheme.read(handle, 8, 0, 0, Asked()))
        return int.from_bytes(data, "little") if data else None

    def acknowledge(self, handle, count):
        data = memoryview(count.to_bytes(8, "little"))
        return self.scheme.write(handle, data, 0, 0, Asked())

    def names(self, path):
        return [x.name for x in self.scheme.getdents(self.open(path, f.O_DIRECTORY), Asked())]


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.loop.close()
    for fd in bench.fds:
        os.close(fd)


def test_a_read_gives_the_count_until_it_is_acknowledged(bench):
    (fd,), _ = bench.learn(SSD, "msix")
    handle = bench.open("cpu-00/16", f.O_RDWR | f.O_CREAT)
    assert bench.count(handle) is None, "it never waits"
    for _ in range(3):
        os.eventfd_write(fd, 1)
    assert (bench.count(handle), bench.count(handle)) == (3, 3)
    assert signals(fd) == 3, "the daemon's eventfd is as it was"
    assert bench.acknowledge(handle, 2) == 0, "out of date"
    assert bench.count(handle) == 3
    assert bench.acknowledge(handle, 3) == 8
    assert bench.count(handle) is None
    os.eventfd_write(fd, 1)
    assert bench.count(handle) == 4
    assert errno_of(bench.scheme.read, handle, 7, 0, 0, Asked()) == e.EINVAL


def test_each_interrupt_is_an_event_while_somebody_has_it_open(bench):
    fds, _ = bench.learn(SSD, "msix", 2)
    handle = bench.open("cpu-00/17")
    assert bench.scheme.fevent(handle, BOTH) == f.EVENT_WRITE
    os.eventfd_write(fds[1], 1)
    bench.loop.run_round()
    assert bench.posted.take() == [(handle, f.EVENT_READ)]
    assert bench.scheme.fevent(handle, BOTH) == BOTH
    bench.acknowledge(handle, 1)
    assert bench.scheme.fevent(handle, BOTH) == f.EVENT_WRITE
    bench.scheme.on_close(handle)
    os.eventfd_write(fds[1], 1)
    os.eventfd_write(fds[0], 1)
    bench.loop.at(bench.loop.now(), lambda: None)
    bench.loop.run_round()
    assert bench.posted.take() == []


def test_an_acknowledgement_unmasks_the_line_and_a_late_one_does_not(bench):
    (fd,), unmask = bench.learn(SSD, "intx", line=5)
    handle = bench.open("5")
    os.eventfd_write(fd, 1)
    assert bench.acknowledge(handle, 0) == 0
    assert signals(unmask) == 0
    assert bench.acknowledge(handle, 1) == 8
    assert signals(unmask) == 1


def test_a_line_is_shared_and_each_handle_acknowledges_for_itself(bench):
    (first,), _ = bench.learn(SSD, "intx", line=10)
    (second,), _ = bench.learn(NIC, "intx", line=10)
    handles = [bench.open("cpu-00/10"), bench.open("10")]
    os.eventfd_write(first, 1)
    os.eventfd_write(second, 1)
    assert [bench.count(handle) for handle in handles] == [2, 2]
    assert bench.acknowledge(handles[0], 2) == 8
    assert [bench.count(handle) for handle in handles] == [None, 2]


@pytest.mark.parametrize("line", [0, 16, 255])
def test_a_line_nobody_set_is_nine(bench, line):
    bench.learn(SSD, "intx", line=line)
    assert bench.open("9")


def test_a_vector_is_had_by_one_at_a_time(bench):
    bench.learn(SSD, "msi")
    handle = bench.open("cpu-00/16", f.O_CREAT | f.O_RDWR)
    assert errno_of(bench.open, "cpu-00/16", f.O_CREAT | f.O_RDWR) == e.EEXIST
    assert bench.open("cpu-00/16", f.O_STAT)
    bench.scheme.on_close(handle)
    assert bench.open("cpu-00/16", f.O_CREAT | f.O_RDWR)


def test_numbers_stay_when_a_daemon_starts_again(bench):
    fds, _ = bench.learn(SSD, "msix", 2)
    bench.learn(NIC, "msix", 1)
    assert bench.names("cpu-00") == ["16", "17", "18"]
    handle = bench.open("cpu-00/17")
    os.eventfd_write(fds[1], 5)
    assert bench.acknowledge(handle, 5) == 8
    os.eventfd_read(fds[1])  # the successor drains it
    bench.learn(SSD, "msix", fds=fds)
    assert bench.count(handle) is None
    os.eventfd_write(fds[1], 2)
    bench.loop.run_round()
    assert bench.count(handle) == 7, "a count only grows"
    assert (handle, f.EVENT_READ) in bench.posted.take()


def test_a_device_that_changes_its_kind(bench):
    bench.learn(SSD, "msix", 2)
    bench.learn(SSD, "intx", line=11)
    assert bench.names("cpu-00") == []
    assert bench.open("11")


def test_a_successor_of_this_process_opens_what_nobody_told_it_of_yet(bench):
    handle = bench.scheme.openat(ROOT, "cpu-00/16", f.O_RDWR, 0, Unheard(Caller(7, 0, 0))).handle
    assert bench.count(handle) is None
    (fd,), _ = bench.learn(SSD, "msix")
    os.eventfd_write(fd, 1)
    assert bench.count(handle) == 1
    assert (handle, f.EVENT_READ) in bench.posted.take()


def test_the_directories_and_what_is_in_them(bench):
    (fd,), _ = bench.learn(SSD, "msix")
    bench.learn(NIC, "intx", line=4)
    os.eventfd_write(fd, 2)
    assert bench.names("") == ["bsp", "cpu-00", "cpu-01", "devices"]
    assert bench.names("cpu-00") == ["16"]
    assert bench.names("cpu-01") == []
    devices = bench.open("devices", f.O_RDONLY)
    text = f"4 {NIC} intx 0 0\n16 {SSD} msix 0 2\n".encode()
    assert bench.scheme.read(devices, 100, 0, 0, Asked()) == text
    assert bench.scheme.read(devices, 100, 5, 0, Asked()) == text[5:]
    bsp = bench.open("bsp", f.O_RDONLY)
    assert bench.scheme.read(bsp, 8, 0, 0, Asked()) == (6).to_bytes(8, "little")
    assert bench.scheme.counts() == {4: 0, 16: 2}


def test_stat_and_fpath(bench):
    bench.learn(SSD, "msix")
    handle = bench.open("cpu-00/16")
    stat = bench.scheme.fstat(handle)
    assert (stat.st_mode, stat.st_size, stat.st_ino) == (MODE_CHR | 0o600, 8, 16)
    assert bench.scheme.fpath(handle) == "irq:16"
    assert bench.scheme.fstat(bench.open("", f.O_STAT)).st_mode == MODE_DIR | 0o500


@pytest.mark.parametrize(
    "path",
    [
        *("16", "300", "-1", "x", "cpu-00/17", "cpu-00/224", "cpu-00/x", "cpu-0/1", "cpu-99"),
        *("cpu-01/16", "bsp/1", "8", "9999999999999999999999"),
    ],
)
def test_what_is_not_there(bench, path):
    bench.learn(SSD, "msix")
    assert errno_of(bench.open, path) == e.ENOENT


def test_it_is_roots_and_directories_are_not_read(bench):
    bench.learn(SSD, "msix")
    for path in ("", "bsp", "devices", "cpu-00/16"):
        assert errno_of(bench.open, path, f.O_RDONLY, 1000) == e.EACCES
        assert bench.open(path, f.O_STAT, 1000)
    assert errno_of(bench.open, "") == e.EISDIR
    assert errno_of(bench.open, "cpu-00") == e.EISDIR
    assert errno_of(bench.open, "bsp", f.O_DIRECTORY) == e.ENOTDIR
    assert errno_of(bench.scheme.openat, bench.open("bsp"), "x", 0, 0, Asked()) == e.ENOTDIR
    devices = bench.open("devices")
    assert errno_of(bench.scheme.write, devices, memoryview(bytes(8)), 0, 0, Asked()) == e.EBADF


def test_more_vectors_than_numbers_are_logged(bench, caplog):
    bench.learn(SSD, "msix", 209, fds=[bench.eventfd()] * 209)
    assert bench.names("cpu-00")[-1] == "223"
    assert f"{SSD} msix 208 gets no number" in caplog.text
