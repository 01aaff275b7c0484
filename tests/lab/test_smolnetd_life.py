"""What outlives smolnetd and its drivers; netcfg; the SOCKS front; what it cannot reach."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import select
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from network_namespaces import until
from smolnetd_rig import CONFIG, FAR, FAR6, NEAR, NEAR6, networked

from redbear_host import client
from redbear_host.abi import flags as f

pytestmark = pytest.mark.timeout(90)

MIB = 1 << 20
PORTS = CONFIG + "[daemon.smolnetd]\nsocks_port = {}\n"
SERVE = """
import os, socket, sys
size, port = int(sys.argv[1]), int(sys.argv[2])
block = bytes(range(256)) * 4096
s = socket.create_server(("", port))
while True:
    c, _ = s.accept()
    try:
        for _ in range(size >> 20): c.sendall(block)
    except OSError:
        pass
    c.close()
"""
BLOCK = bytes(range(256)) * 4096
# Says its port, and leads whoever calls there through the front.  It passes the end of a connection
# on, which nc does not: iperf3 3.12 waits for that when it has got a part of a block.
RELAY = """
import socket, struct, sys, threading
front, host, port = int(sys.argv[1]), socket.inet_aton(sys.argv[2]), int(sys.argv[3])

def asked(sock, question, size):
    sock.sendall(question)
    answer = sock.recv(size, socket.MSG_WAITALL)
    assert answer[:2] == b"\\5\\0", answer

def carry(one, other):
    try:
        while data := one.recv(1 << 18):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        one.close()

def lead(caller):
    called = socket.create_connection(("127.0.0.1", front))
    asked(called, b"\\5\\1\\0", 2)
    asked(called, b"\\5\\1\\0\\1" + host + struct.pack(">H", port), 10)
    threading.Thread(target=carry, args=(called, caller), daemon=True).start()
    carry(caller, called)

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=lead, args=(listener.accept()[0],), daemon=True).start()
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def port():
    return free_port()


@pytest.fixture(scope="module")
def net(port):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        with networked(Path(folder), config=PORTS.format(port)) as made:
            yield made


# -- netcfg ----------------------------------------------------------------------------------------


def read(net, path):
    return (net.netcfg / path).read_text()


def write(net, path, text):
    fd = os.open(net.netcfg / path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)


def refused(net, path, text):
    with pytest.raises(OSError, match=r".") as raised:
        write(net, path, text)
    return raised.value.errno


def test_the_tree_is_what_it_says(net):
    assert sorted(os.listdir(net.netcfg)) == ["ifaces", "resolv", "route"]
    assert os.listdir(net.netcfg / "ifaces") == ["eth0"]
    mac = read(net, "ifaces/eth0/mac")
    card = next(net.mount.glob("network.*")) / "mac"
    assert bytes.fromhex(mac.strip().replace("-", "")) == card.read_bytes()
    assert read(net, "ifaces/eth0/mtu") == "1500\n"
    assert read(net, "ifaces/eth0/link") == "up\n"
    assert f"192.0.2.0/24  dev eth0 src {NEAR}\n" in read(net, "route/list")
    with pytest.raises(OSError, match=r".") as raised:
        (net.netcfg / "nonsense").read_text()
    assert raised.value.errno == errno.EINVAL
    with pytest.raises(OSError, match=r".") as raised:
        (net.netcfg / "route/list").write_text("x\n")
    assert raised.value.errno == errno.EROFS


def test_addresses_are_set_added_and_removed(net):
    try:
        assert read(net, "ifaces/eth0/addr/list") == f"{NEAR}/24\n{NEAR6}/64\n"
        write(net, "ifaces/eth0/addr/add", "198.51.100.7/24\n")
        assert "198.51.100.7/24" in net.addresses()
        write(net, "ifaces/eth0/addr/rm", "198.51.100.7/24")  # no newline: fsync ends the line
        assert "198.51.100.7/24" not in net.addresses()
        assert refused(net, "ifaces/eth0/addr/rm", "198.51.100.7/24\n") == errno.EADDRNOTAVAIL
        write(net, "ifaces/eth0/addr/set", "192.0.2.9/24\n")
        assert net.addresses() == ["192.0.2.9/24", f"{NEAR6}/64"]
        write(net, "ifaces/eth0/addr/rm", "192.0.2.9/24\n")
        write(net, "ifaces/eth0/addr/rm", f"{NEAR6}/64\n")
        assert read(net, "ifaces/eth0/addr/list") == "Not configured\n"
    finally:
        write(net, "ifaces/eth0/addr/set", f"{NEAR}/24\n")
        write(net, "ifaces/eth0/addr/set", f"{NEAR6}/64\n")


def test_routes_come_and_go(net):
    write(net, "route/add", f"default via {FAR}\n")
    write(net, "route/add", f"203.0.113.0/24 via {FAR} dev eth0\n")
    listed = read(net, "route/list").splitlines()
    assert f"default via {FAR} dev eth0 src {NEAR}" in listed
    assert f"203.0.113.0/24 via {FAR} dev eth0 src {NEAR}" in listed
    write(net, "route/rm", "203.0.113.0/24\n")
    write(net, "route/rm", "default\n")
    assert "203.0.113.0" not in read(net, "route/list")
    assert refused(net, "route/rm", "203.0.113.0/24\n") == errno.ENOENT
    assert refused(net, "route/add", "default via nobody\n") == errno.EINVAL
    assert refused(net, "route/add", f"10.0.0.0/8 via {FAR} dev eth7\n") == errno.ENODEV
    assert refused(net, "route/add", "default via 10.9.9.9\n") in (
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
    )


def test_a_writing_has_one_value_and_then_no_more(net):
    fd = os.open(net.netcfg / "ifaces/eth0/addr/add", os.O_RDWR)
    try:
        os.write(fd, b"198.51.100.8/24\n")
        with pytest.raises(OSError, match=r".") as raised:
            os.write(fd, b"198.51.100.9/24\n")
        assert raised.value.errno == errno.EINVAL
        assert "198.51.100.8/24" not in net.addresses()
        os.fsync(fd)
        assert net.addresses()[1] == "198.51.100.8/24"
        with pytest.raises(OSError, match=r".") as raised:
            os.write(fd, b"198.51.100.9/24\n")
        assert raised.value.errno == errno.EBADF
    finally:
        os.close(fd)
        write(net, "ifaces/eth0/addr/rm", "198.51.100.8/24\n")


def test_a_shell_writes_with_a_redirection(net):
    script = f"echo 9.9.9.9 > {net.netcfg}/resolv/nameserver; cat {net.netcfg}/resolv/nameserver"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=10)
    assert done.stdout == "9.9.9.9\n", done.stderr
    write(net, "resolv/nameserver", f"{FAR}\n{FAR6}\n")
    assert read(net, "resolv/nameserver") == f"{FAR}\n{FAR6}\n"
    assert refused(net, "resolv/nameserver", "nobody\n") == errno.EINVAL


def test_whoever_waits_for_news_of_addresses_hears_of_them(net):
    with open(net.netcfg / "ifaces/eth0/addr/list", "rb", buffering=0) as file:
        before = file.read()
        poll = select.poll()
        poll.register(file, select.POLLIN)
        assert poll.poll(0) == []
        write(net, "ifaces/eth0/addr/add", "198.51.100.10/24\n")
        assert poll.poll(5000)
        file.seek(0)
        assert file.read() != before
    write(net, "ifaces/eth0/addr/rm", "198.51.100.10/24\n")


def test_a_card_gets_another_address_by_netcfg(net):
    card = next(net.mount.glob("network.*")) / "mac"
    before = read(net, "ifaces/eth0/mac")
    try:
        write(net, "ifaces/eth0/mac", "02-00-00-00-00-42\n")
        assert read(net, "ifaces/eth0/mac") == "02-00-00-00-00-42\n"
        until(lambda: card.read_bytes() == bytes.fromhex("020000000042"))
        net.kill("e1000d")
        assert card.read_bytes() == bytes.fromhex("020000000042")
        assert pings(net)
    finally:
        write(net, "ifaces/eth0/mac", before)


# -- deaths ----------------------------------------------------------------------------------------


def pings(net, tries=20):
    fd = os.open(net.mount / f"icmp/echo/{FAR}", os.O_RDWR)
    try:
        for sequence in range(tries):
            os.write(fd, sequence.to_bytes(2, "big") + b"ping")
            if select.select([fd], [], [], 0.5)[0]:
                return os.read(fd, 100)[2:] == b"ping"
    finally:
        os.close(fd)
    return False


def test_addresses_routes_and_name_servers_outlive_the_daemon(net):
    write(net, "route/add", f"default via {FAR}\n")
    write(net, "resolv/nameserver", f"{FAR}\n")
    before = [read(net, path) for path in ("ifaces/eth0/addr/list", "route/list")]
    mac = read(net, "ifaces/eth0/mac")
    seconds = net.kill("smolnetd")
    assert seconds < 5
    assert [read(net, path) for path in ("ifaces/eth0/addr/list", "route/list")] == before
    assert read(net, "resolv/nameserver") == f"{FAR}\n"
    assert read(net, "ifaces/eth0/mac") == mac
    assert pings(net)
    write(net, "route/rm", "default\n")


def test_a_connection_ends_with_the_daemon_and_says_so(net):
    net.stranger("python3", "-c", SERVE, 64 * MIB, 5010)
    net.listens(5010)
    fd = os.open(net.mount / f"tcp/{FAR}:5010", os.O_RDWR)
    try:
        assert os.read(fd, 100)
        net.kill("smolnetd")
        with pytest.raises(OSError, match=r".") as raised:
            os.read(fd, 100)
        assert raised.value.errno == errno.EIO
    finally:
        os.close(fd)
    fd = os.open(net.mount / f"tcp/{FAR}:5010", os.O_RDWR)  # the successor connects again
    assert os.read(fd, 100)
    os.close(fd)


def test_a_transfer_survives_the_driver_s_death(net):
    """kill -9 of e1000d in the middle of 64 MiB: TCP sends again what was lost."""
    net.stranger("python3", "-c", SERVE, 64 * MIB, 5011)
    net.listens(5011)
    want = hashlib.sha256(BLOCK * 64).hexdigest()
    found, outage, last = hashlib.sha256(), 0.0, 0.0
    killer = threading.Thread(target=net.kill, args=("e1000d",))
    fd = os.open(net.mount / f"tcp/{FAR}:5011", os.O_RDWR)
    try:
        size = 0
        while data := os.read(fd, MIB):
            now = time.monotonic()
            outage = max(outage, now - last) if last else 0.0
            last = now
            found.update(data)
            size += len(data)
            if size > 8 * MIB and killer.ident is None:
                killer.start()
        killer.join(20)
    finally:
        os.close(fd)
    print(f"outage {outage * 1000:.0f} ms")
    assert killer.ident is not None
    assert found.hexdigest() == want
    assert outage < 5


# -- SOCKS -----------------------------------------------------------------------------------------


def curl(proxy, url, *more):
    words = ["curl", "-gsS", "-m", "20", "--proxy", proxy, *more, url]
    return subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture(scope="module")
def web(net, tmp_path_factory):
    """A web server and a name server in the far namespace."""
    folder = tmp_path_factory.mktemp("web")
    (folder / "page").write_text("a page\n")
    net.stranger(
        "python3", "-m", "http.server", "-b", "::", "8000", "-d", folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    names = [f"--host-record=web.test,{FAR}", f"--host-record=six.test,{FAR6}"]
    names += ["--cname=alias.test,web.test", "--address=/dead.test/192.0.2.66"]
    net.stranger("dnsmasq", "-d", "-R", "-h", "-p", "53", "-u", "root", "--pid-file", *names)
    net.listens(8000)
    net.listens(53, "-lun")
    return folder


@pytest.mark.parametrize("host", ["web.test", "six.test", "alias.test", FAR, f"[{FAR6}]"])
def test_curl_reaches_names_and_addresses(net, web, host):
    write(net, "resolv/nameserver", f"{FAR}\n")
    done = curl(f"socks5h://localhost{net.socks}", f"http://{host}:8000/page")
    assert done.stdout == "a page\n", done.stderr


def test_a_dead_name_server_is_passed_over(net, web):
    write(net, "resolv/nameserver", f"192.0.2.99\n{FAR}\n")
    done = curl(f"socks5h://localhost{net.socks}", "http://web.test:8000/page")
    assert done.stdout == "a page\n", done.stderr


@pytest.mark.parametrize(
    ("where", "reply"),
    [(f"{FAR}:9", "5"), ("none.test:80", "4"), ("203.0.113.9:80", "3"), ("dead.test:80", "4")],
)
def test_the_front_says_what_is_wrong(net, web, where, reply):
    write(net, "resolv/nameserver", f"{FAR}\n")
    done = curl(f"socks5h://localhost{net.socks}", f"http://{where}/")
    assert done.returncode == 97, done.stderr
    assert f"({reply})" in done.stderr


def test_the_front_is_root_s_unless_a_port_is_asked_for(net, web, port):
    assert stat.S_IMODE(net.socks.stat().st_mode) == 0o600
    done = curl(f"socks5h://127.0.0.1:{port}", f"http://{FAR}:8000/page")
    assert done.stdout == "a page\n", done.stderr


def test_iperf3_runs_eight_streams_both_ways_by_socks(net, port):
    """A relay leads each of its connections to the front, as iperf3 knows no proxies."""
    # From the far end, and to it: each a server of its own, as one is busy a moment longer than we.
    for way, far in (("-R", 5201), ("-i1", 5202)):
        server = ("iperf3", "-s", "-1", "-p", far)
        net.stranger(*server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        net.listens(far)
        words = [sys.executable, "-c", RELAY, str(port), FAR, str(far)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as relay:
            try:
                near = relay.stdout.readline().strip()
                words = ["iperf3", "-c", "127.0.0.1", "-p", near, "-P", "8", "-t", "1", way, "-J"]
                done = subprocess.run(words, capture_output=True, timeout=40, check=False)
            finally:
                relay.terminate()
        found = json.loads(done.stdout)
        assert "error" not in found
        assert len(found["end"]["streams"]) == 8
        rate = found["end"]["sum_received"]["bits_per_second"]
        print(f"iperf3 {way}: {rate / 1e6:.0f} Mb/s")
        assert rate > 10e6


def test_the_front_is_there_again_after_a_death(net, web):
    net.kill("smolnetd")
    done = curl(f"socks5h://localhost{net.socks}", f"http://{FAR}:8000/page")
    assert done.stdout == "a page\n", done.stderr


@pytest.mark.parametrize(
    "said", [b"\4\1\0\x50", b"GET / HTTP/1.0\r\n\r\n", b"\5\1\2", b"\5\1\0\5\2\0\1"]
)
def test_who_does_not_speak_socks_is_hung_up_on(net, said):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(15)
        sock.connect(str(net.socks))
        sock.sendall(said)
        answer = b""
        try:
            while data := sock.recv(100):
                answer += data
        except ConnectionResetError:
            pass  # it said more than was read
    assert len(answer) <= 12


def test_those_who_say_nothing_keep_nobody_out(net, web):
    with ExitStack() as silent:
        for _ in range(600):  # more than there may be sessions
            sock = silent.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(str(net.socks))
        done = curl(f"socks5h://localhost{net.socks}", f"http://{FAR}:8000/page")
        assert done.stdout == "a page\n", done.stderr


# -- what it cannot reach --------------------------------------------------------------------------


def test_the_host_s_loopback_is_another(net):
    """Somebody listens on the host's 127.0.0.1 and ::1, and cannot be reached from here."""
    with socket.create_server(("127.0.0.1", 0)) as four:
        where = four.getsockname()[1]
        for path in (f"tcp/127.0.0.1:{where}", f"tcp/[::1]:{where}"):
            with pytest.raises(ConnectionRefusedError):
                os.open(net.mount / path, os.O_RDWR)
        socks = f"socks5h://localhost{net.socks}"
        assert curl(socks, f"http://127.0.0.1:{where}/").returncode == 97
        four.settimeout(0.2)
        with pytest.raises(TimeoutError):
            four.accept()


def test_its_network_is_nobody_else_s(net):
    pid = net.daemon("smolnetd")["pid"]
    own = Path(f"/proc/{pid}/ns/net").readlink()
    others = {Path("/proc/self/ns/net").readlink()} | {
        Path(f"/proc/{daemon['pid']}/ns/net").readlink()
        for daemon in net.status["daemons"]
        if daemon["pid"] not in (None, pid)
    }
    assert own not in others
    links = subprocess.run(
        ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-o", "link"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert len(links.splitlines()) == 2  # lo, eth0
    sockets = subprocess.run(
        ["nsenter", f"--net=/proc/{pid}/ns/net", "ss", "-xlH"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "@" not in sockets  # no abstract socket of the host's


def test_libredox_watches_a_socket_and_netcfg_together(net, monkeypatch):
    monkeypatch.setenv("REDBEAR_RINGS", str(net.run_dir / "ring"))
    net.stranger("python3", "-c", SERVE, MIB, 5012)
    net.listens(5012)
    with client.open(f"/scheme/tcp/{FAR}:5012", f.O_RDWR | f.O_NONBLOCK) as fd:
        with client.EventQueue() as queue:
            queue.subscribe(fd, f.EVENT_READ, 7)
            size = 0
            while size < MIB:
                assert queue.next_event(10).user_data == 7
                try:
                    while data := fd.read(MIB):
                        size += len(data)
                    break
                except BlockingIOError:
                    continue
        assert size == MIB
