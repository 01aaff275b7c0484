"""The ring door of a whole instance: daemons that are locked in, killed, and succeeded."""

from __future__ import annotations

import os
import select
import signal
import tempfile
import time
from pathlib import Path

import pytest
from ring_rig import NO_OFFSET, RawClient
from up_rig import Up

from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.sqe import Opcode as Op


@pytest.fixture(scope="module")
def up():
    with tempfile.TemporaryDirectory(prefix="redbear-ring-") as name:
        folder = Path(name)  # pytest's own folders are closed to other users
        folder.chmod(0o755)
        with Up(folder) as instance:
            yield instance


def connect(up, scheme):
    client = RawClient(up.run_dir / "ring" / scheme)
    client.hello()
    assert client.welcome() == 0
    return client


def opened(client, path=b"", flags=f.O_RDONLY):
    kind, _, _, handle = client.ask(Op.OPEN_AT, 1, 0, *client.place(0, path), flags, 0)
    assert kind == 0
    assert handle > 0
    return handle


def cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_a_daemon_that_is_locked_in_serves_rings(up):
    client = connect(up, "rand")
    handle = opened(client)
    assert client.ask(Op.READ, 2, handle, 4096, 1000, NO_OFFSET, 0) == (0, 0, 2, 1000)
    assert len(set(client.payload(4096, 1000))) > 100
    assert client.ask(Op.READ, 3, handle, 65536, 1, NO_OFFSET, 0) == (0, 0, 3, -e.EFAULT)
    assert up.daemon("randd")["restarts"] == 0  # nothing it needed was forbidden
    client.close()


def test_every_scheme_has_a_ring(up):
    for path in (up.run_dir / "ring").iterdir():
        client = connect(up, path.name)
        assert client.ask(Op.FSIZE, 1, 77) == (0, 0, 1, -e.EBADF), path.name
        client.close()


def test_who_calls_again_after_a_death_is_served_by_the_successor(up):
    client = connect(up, "zero")
    assert client.ask(Op.FSTAT, 2, opened(client), 4096, 104) == (0, 0, 2, 0)
    os.kill(up.daemon("zerod")["pid"], signal.SIGKILL)
    ended = select.poll()
    ended.register(client.socket, select.POLLIN)
    assert ended.poll(10_000)
    assert client.is_dropped()
    client.close()
    again = connect(up, "zero")  # the shim's listener holds it until there is a daemon
    assert again.ask(Op.FSTAT, 2, opened(again), 4096, 104) == (0, 0, 2, 0)
    again.close()


def test_a_user_is_known_by_the_socket(up):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgid(65534)
        os.setuid(65534)
        client = connect(up, "pci")
        found = client.ask(Op.OPEN_AT, 1, 0, *client.place(0, b"lspci"), f.O_RDONLY, 0)
        os.write(writer, b"%d" % found[3])
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert int(os.read(reader, 16)) == -e.EACCES
    os.close(reader)
    os.close(writer)


def test_clients_that_say_nothing_cost_nothing(up):
    clients = [connect(up, "zero") for _ in range(50)]
    pid = up.daemon("zerod")["pid"]
    before = cpu_ticks(pid)
    time.sleep(0.5)  # what is measured is that nothing happens
    assert cpu_ticks(pid) - before <= 1  # a hundredth of a second
    for client in clients:
        client.close()


def test_calls_of_rings_are_counted_beside_those_of_files(up):
    def calls():
        lines = (up.mount / "sys" / "schemes").read_text().splitlines()
        return next(line for line in lines if line.split()[0] == "null")

    client = connect(up, "null")
    handle = opened(client, b"", f.O_WRONLY)
    before = calls()
    for _ in range(100):
        assert client.ask(Op.FSTAT, 2, handle, 0, 104) == (0, 0, 2, 0)
    assert calls() != before
    client.close()
