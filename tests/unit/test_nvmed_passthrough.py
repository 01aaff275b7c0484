"""Clients' commands among nvmed's own, on the Python model."""

from __future__ import annotations

from nvmed_bench import TIMEOUT, Bench

from daemons.nvmed.state import State
from redbear_host.abi import errno as e
from redbear_host.classes.commands import NvmeCommand, NvmeResult

IDENTIFY = NvmeCommand(True, 0x06, cdw10=1)


class Told(list[NvmeResult]):
    def __call__(self, result: NvmeResult) -> None:
        assert not self, "it ended twice"
        self.append(result)


def send(
    bench: Bench, command: NvmeCommand, size: int = 0, data: bytes = b""
) -> tuple[Told, bytes]:
    """Send a command; return how it ended, if it has, and what is in its memory."""
    disk = bench.controller.namespaces[0]
    chunk = disk.chunk(size) if size else None
    if chunk is not None:
        chunk.view[: len(data)] = data
    told = Told()
    disk.nvme(command, chunk, size, told)
    disk.flush_queue()
    bench.deliver()
    return told, b"" if chunk is None else bytes(chunk.view[:size])


def test_an_admin_command_comes_back_with_its_data() -> None:
    bench = Bench()
    bench.start()
    told, data = send(bench, IDENTIFY, 4096)
    assert told == [NvmeResult(0)]
    assert data[24:64].decode().strip() == bench.controller.identity.model
    assert bench.model.violations == []


def test_a_failed_command_brings_its_status_and_harms_nobody() -> None:
    bench = Bench()
    bench.start()
    (admin,), _ = send(bench, NvmeCommand(True, 0xFE), 4096)
    assert (admin.errno, admin.status & 0x7FF) == (0, 0x001)  # INVALID OPCODE
    (io,), _ = send(bench, NvmeCommand(False, 0x02, nsid=1, cdw10=1 << 31, cdw11=1), 512)
    assert (io.errno, io.status & 0x7FF) == (0, 0x080)  # LBA OUT OF RANGE
    assert bench.controller.state is State.RUNNING
    assert bench.controller.counters.errors == 0  # they are the client's


def test_blocks_are_read_and_written_through_the_io_queue() -> None:
    bench = Bench()
    bench.start()
    assert send(bench, NvmeCommand(False, 0x01, nsid=1, cdw10=3), 512, b"w" * 512)[0] == [
        NvmeResult(0)
    ]
    assert bench.read(3, 1) == (0, b"w" * 512)
    assert send(bench, NvmeCommand(False, 0x02, nsid=1, cdw10=3), 512)[1] == b"w" * 512


def test_what_an_io_queue_cannot_carry_is_refused() -> None:
    bench = Bench()
    bench.start()
    for command in (
        NvmeCommand(False, 0x02, nsid=1, cdw13=1),
        NvmeCommand(False, 0x02, nsid=1, cdw2=1),
        NvmeCommand(False, 0x7F, nsid=1),
    ):
        assert send(bench, command, 512)[0] == [NvmeResult(e.EOPNOTSUPP)]


def test_a_client_may_be_more_patient_than_the_driver_and_not_less() -> None:
    for timeout_ms, waits in ((1, 1.2 * TIMEOUT), (5 * 1000 * TIMEOUT, 5.2 * TIMEOUT)):
        bench = Bench(automatic=False)
        bench.start()
        told, _ = send(bench, NvmeCommand(False, 0x02, nsid=1, timeout_ms=int(timeout_ms)), 512)
        bench.wait(waits - 0.5 * TIMEOUT)
        assert told == []
        assert bench.controller.counters.aborts == 0
        bench.wait(2.5 * TIMEOUT)
        assert bench.controller.counters.aborts == 1
        assert len(told) == 1


def test_a_reset_ends_an_admin_command_and_issues_the_others_again() -> None:
    bench = Bench(automatic=False)
    bench.start()
    read, _ = send(bench, NvmeCommand(False, 0x02, nsid=1), 512)
    told = Told()
    disk = bench.controller.namespaces[0]
    disk.nvme(IDENTIFY, disk.chunk(4096), 4096, told)
    assert told == []  # it has been answered, and nobody has looked yet
    bench.controller.reset()
    bench.deliver()
    assert told == [NvmeResult(e.EIO)]
    assert read == []
    assert bench.controller.state is State.RUNNING


def test_commands_to_a_controller_that_has_left_end_at_once() -> None:
    bench = Bench()
    bench.start()
    bench.controller.gone()
    assert send(bench, IDENTIFY, 4096)[0][0].errno in (e.EIO, e.ENODEV)
    assert send(bench, NvmeCommand(False, 0x02, nsid=1), 512)[0] == [NvmeResult(e.ENODEV)]
