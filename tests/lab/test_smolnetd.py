"""tcp, udp, icmp and ip over a card, with programs nobody here wrote at the far end."""

from __future__ import annotations

import errno
import hashlib
import os
import select
import socket
import struct
import subprocess
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from network_namespaces import until
from smolnetd_rig import FAR, FAR6, NEAR, NEAR6, networked

from redbear_host import client
from redbear_host.abi import flags as f
from redbear_host.abi.stat import TimeSpec

pytestmark = pytest.mark.timeout(60)

SIZE = 100 << 20
LIBREDOX = Path(__file__).parents[2] / "libredox"
NGINX = """
user root; daemon off; master_process off; error_log {0}/error.log; pid {0}/nginx.pid;
events {{ worker_connections 4096; }}
http {{ access_log off; server {{ listen 80; listen [::]:80; root {0}/www; }} }}
"""


@pytest.fixture(scope="module")
def net():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # other users look at it too
        with networked(Path(folder)) as made:
            yield made


@pytest.fixture(scope="module")
def big(net, tmp_path_factory):
    """100 MiB behind nginx in the far namespace; what they hash to."""
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "www").mkdir()
    data = os.urandom(1 << 20) * (SIZE >> 20)
    (folder / "www" / "big").write_bytes(data)
    (folder / "www" / "small").write_bytes(b"hello from nginx\n")
    (folder / "nginx.conf").write_text(NGINX.format(folder))
    net.stranger("nginx", "-c", folder / "nginx.conf")
    net.listens(80)
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def rings(net, monkeypatch):
    monkeypatch.setenv("REDBEAR_RINGS", str(net.run_dir / "ring"))


def shell(script, timeout=120, **options):
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=timeout, check=False,
        **options,
    )  # fmt: skip


def number(raised):
    return raised.value.errno


# -- downloads -------------------------------------------------------------------------------------


def test_a_shell_downloads_100_mib(net, big):
    script = f"""
        exec 3<>{net.mount}/tcp/{FAR}:80
        printf 'GET /big HTTP/1.0\\r\\n\\r\\n' >&3
        cat <&3 | tail -c {SIZE} | sha256sum
    """
    done = shell(script)
    assert done.stdout.split()[:1] == [big], done.stderr


def test_the_python_client_downloads_100_mib(net, big, rings):
    found = hashlib.sha256()
    head = b""
    with client.open(f"/scheme/tcp/{FAR}:80", f.O_RDWR) as fd:
        fd.write(b"GET /big HTTP/1.0\r\n\r\n")
        while not head.endswith(b"\r\n\r\n"):
            head += fd.read(1)
        while data := fd.read(1 << 20):
            found.update(data)
    assert found.hexdigest() == big


def test_the_c_library_downloads_100_mib(net, big, tmp_path):
    program = tmp_path / "fetcher"
    sources = [Path(__file__).with_name("fetcher.c"), *sorted(LIBREDOX.glob("*.c"))]
    gcc = ["gcc", "-std=gnu11", "-pthread", f"-I{LIBREDOX}", "-o", program, *sources]
    subprocess.run([*map(str, gcc)], check=True, timeout=60)
    done = subprocess.run(
        [program, f"/scheme/tcp/{FAR}:80", "GET /big HTTP/1.0\r\n\r\n"],
        stdout=subprocess.PIPE, timeout=120, check=False,
        env={**os.environ, "REDBEAR_RINGS": str(net.run_dir / "ring")},
    )  # fmt: skip
    assert done.returncode == 0
    assert hashlib.sha256(done.stdout[-SIZE:]).hexdigest() == big


@pytest.mark.parametrize("host", [FAR, f"[{FAR6}]"])
def test_curl_downloads_100_mib_by_socks(net, big, tmp_path, host):
    proxy = f"socks5h://localhost{net.socks}"
    got = tmp_path / "got"
    words = ["curl", "-gsS", "--proxy", proxy, "-o", got, f"http://{host}/big"]
    done = subprocess.run([*map(str, words)], capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(got.read_bytes()).hexdigest() == big


def test_an_upload_of_a_shell_arrives_whole(net, tmp_path):
    data = os.urandom(1 << 20) * (SIZE >> 20)
    (tmp_path / "data").write_bytes(data)
    with open(tmp_path / "hash", "wb") as out:
        far = net.stranger("bash", "-c", "nc -l 5001 | sha256sum", stdout=out)
        net.listens(5001)
        done = shell(f"cat {tmp_path}/data > {net.mount}/tcp/{FAR}:5001")
        assert done.returncode == 0, done.stderr
        far.wait(60)
    assert (tmp_path / "hash").read_text().split()[0] == hashlib.sha256(data).hexdigest()


# -- listening -------------------------------------------------------------------------------------


def far_socket(net, script, *arguments, **options):
    """Run Python in the far namespace."""
    return net.stranger("python3", "-c", script, *arguments, **options)


def test_a_stranger_calls_a_listener_of_a_shell(net):
    with open(net.mount / f"tcp/0.0.0.0:{8080}", "r+b", buffering=0):
        net.stranger("bash", "-c", f"echo one | nc -N {NEAR} 8080")
        net.stranger("bash", "-c", f"sleep 0.2; echo two | nc -N {NEAR} 8080")
        got = [
            shell(f"exec 4<>{net.mount}/tcp/.listen/0.0.0.0:8080; cat <&4").stdout for _ in range(2)
        ]
    assert sorted(got) == ["one\n", "two\n"]


def test_a_listener_that_is_read_is_the_connection(net):
    caller = net.stranger(
        "bash",
        "-c",
        f"until nc -z {NEAR} 8081 2>/dev/null; do :; done; echo hi | nc -N {NEAR} 8081",
    )
    with open(net.mount / "tcp/0.0.0.0:8081", "r+b", buffering=0) as listener:
        assert listener.read(10) == b""  # nc -z, which closes at once
    caller.wait(10)


def test_accept_by_libredox_over_ipv6(net, rings):
    with client.open("/scheme/tcp/[::]:8082", f.O_RDWR | f.O_NONBLOCK) as listener:
        with pytest.raises(BlockingIOError):
            listener.dup(b"listen")
        with client.EventQueue() as queue:
            queue.subscribe(listener, f.EVENT_READ, 1)
            net.stranger("bash", "-c", f"echo six | nc -N {NEAR6} 8082")
            assert queue.next_event(10) is not None
        with listener.dup(b"listen") as served:
            assert client.fpath(served).startswith(f"/scheme/tcp/[{FAR6}]:")
            assert client.fpath(served).endswith(f"/[{NEAR6}]:8082")
            got = [until(lambda: arrived(served)) for _ in range(2)]
            assert got == [[b"six\n"], [b""]]


def arrived(fd):
    """What a handle has, in a list; nothing while it would wait: it has the listener's flags."""
    try:
        return [fd.read(10)]
    except BlockingIOError:
        return []


def test_redox_spells_a_listener_with_an_empty_remote(net, rings):
    with client.open("/scheme/tcp//0.0.0.0:8083", f.O_RDWR) as listener:
        assert client.fpath(listener) == "/scheme/tcp/0.0.0.0:8083"
        with pytest.raises(OSError, match="in use") as raised:
            client.open("/scheme/tcp/0.0.0.0:8083", f.O_RDWR)
        assert number(raised) == errno.EADDRINUSE


def test_who_closes_a_listener_ends_who_waits_for_a_call(net):
    listener = os.open(net.mount / "tcp/0.0.0.0:8084", os.O_RDWR)
    waits = subprocess.Popen(
        ["bash", "-c", f"exec 3<>{net.mount}/tcp/.listen/0.0.0.0:8084"], stderr=subprocess.PIPE
    )
    until(lambda: "wait" in wchan(waits.pid))
    os.close(listener)
    assert b"abort" in waits.communicate(timeout=10)[1]
    with pytest.raises(FileNotFoundError):
        os.open(net.mount / "tcp/.listen/0.0.0.0:8084", os.O_RDWR)


def wchan(pid):
    return Path(f"/proc/{pid}/wchan").read_text()


def test_a_thousand_connections_at_once(net):
    script = f"""
import socket
socks = []
for _ in range(1000):
    s = socket.socket(); s.connect(("{NEAR}", 8085)); s.send(b"x"); socks.append(s)
for s in socks:
    while s.recv(64): pass
print("done")
"""
    with ExitStack() as stack:
        listener = os.open(net.mount / "tcp/0.0.0.0:8085", os.O_RDWR)
        stack.callback(os.close, listener)
        far = far_socket(net, script, stdout=subprocess.PIPE)
        served = []
        for _ in range(1000):
            fd = os.open(net.mount / "tcp/.listen/0.0.0.0:8085", os.O_RDWR)
            served.append(fd)
        poll = select.poll()
        for fd in served:
            poll.register(fd, select.POLLIN)
        waiting = set(served)
        while waiting:
            for fd, _ in poll.poll(5000):
                assert os.read(fd, 10) == b"x"
                os.write(fd, b"y")
                poll.unregister(fd)
                waiting.discard(fd)
                os.close(fd)
        assert far.communicate(timeout=30)[0] == b"done\n"


# -- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"tcp/{FAR}:9", errno.ECONNREFUSED),
        (f"tcp/[{FAR6}]:9", errno.ECONNREFUSED),
        ("tcp/203.0.113.1:80", errno.ENETUNREACH),
        ("tcp/nonsense", errno.EINVAL),
        ("tcp/1.2.3.4", errno.EINVAL),
        ("tcp/1.2.3.4:99999", errno.EINVAL),
        (f"tcp/{FAR}:80,[::]:80", errno.EINVAL),
        (f"tcp/{FAR}:80,203.0.113.7:5000", errno.EADDRNOTAVAIL),
        (f"tcp/{FAR}:80%nowhere", errno.ENODEV),
        ("tcp/.listen/0.0.0.0:1", errno.ENOENT),
        ("udp/nonsense", errno.EINVAL),
        ("icmp/echo/nonsense", errno.EINVAL),
        ("icmp/other/1.2.3.4", errno.EINVAL),
        ("ip/xyz", errno.EINVAL),
    ],
)
def test_errors_are_redox_s(net, path, expected):
    with pytest.raises(OSError, match=r".") as raised:
        os.close(os.open(net.mount / path, os.O_RDWR))
    assert number(raised) == expected


def test_a_host_that_is_not_there_is_unreachable(net):
    with pytest.raises(OSError, match=r".") as raised:
        os.open(net.mount / "tcp/192.0.2.77:80", os.O_RDWR)
    assert number(raised) == errno.EHOSTUNREACH


def test_who_waits_for_a_connection_can_be_interrupted(net):
    """A silent host: nft drops what comes, so nothing is ever answered."""
    rule = "add table t; add chain t c { type filter hook input priority 0; };"
    rule += " add rule t c tcp dport 7777 drop"
    subprocess.run(["ip", "netns", "exec", net.far, "nft", rule], check=True, timeout=10)
    try:
        done = shell(f"timeout -s INT 0.5 bash -c 'exec 3<>{net.mount}/tcp/{FAR}:7777'", 10)
        assert done.returncode == 124
        descriptor = os.open(net.mount / f"tcp/{FAR}:7777", os.O_RDWR | os.O_NONBLOCK)
        with pytest.raises(BlockingIOError):
            os.write(descriptor, b"not yet")
        os.close(descriptor)
    finally:
        subprocess.run(
            ["ip", "netns", "exec", net.far, "nft", "flush", "ruleset"], check=True, timeout=10
        )


def test_low_ports_and_raw_packets_are_root_s(net):
    script = """
import os, sys
for path in sys.argv[1:]:
    try:
        os.close(os.open(path, os.O_RDWR)); print(0)
    except OSError as error:
        print(error.errno)
"""
    paths = ["tcp/0.0.0.0:1024", "udp/0.0.0.0:53", "ip/11", "tcp/0.0.0.0:1025", "netcfg/route/add"]
    done = subprocess.run(
        ["python3", "-c", script, *(str(net.mount / path) for path in paths)],
        user=65534, group=65534, extra_groups=[], capture_output=True, text=True, check=True,
    )  # fmt: skip
    denied = str(errno.EACCES)
    assert done.stdout.split() == [denied, denied, denied, "0", denied]
    os.close(os.open(net.mount / "tcp/0.0.0.0:1024", os.O_RDWR))


def test_a_socket_that_is_nothing_yet_is_not_connected(net, rings):
    with client.open("/scheme/tcp", f.O_RDWR) as fd:
        for act in (lambda: fd.read(1), lambda: fd.write(b"x")):
            with pytest.raises(OSError, match=r".") as raised:
                act()
            assert number(raised) == errno.ENOTCONN
        net.stranger("nc", "-l", "5002")
        net.listens(5002)
        with fd.dup(f"{FAR}:5002".encode()) as connected:
            assert connected.write(b"hello") == 5


# -- settings and calls ----------------------------------------------------------------------------


@pytest.fixture
def echoing(net):
    """A port that echoes, by socat."""
    net.stranger("socat", "TCP-LISTEN:5003,fork,reuseaddr", "EXEC:cat")
    net.listens(5003)
    return f"{FAR}:5003"


BIND, CONNECT, SET, GET, SEND, RECV, UNBIND, TOKEN, PEER, SHUTDOWN = range(10)


def call(fd, verb, payload=b"", *words):
    room = bytearray(payload)
    count = fd.call_rw(room, 0, (verb, *words))
    return bytes(room[:count])


def test_settings_calls_and_half_a_connection(net, rings):
    net.stranger("socat", "TCP-LISTEN:5004,fork,reuseaddr", "EXEC:cat")
    net.listens(5004)
    with client.open("/scheme/tcp", f.O_RDWR) as fd:
        call(fd, BIND, b"/scheme/tcp/0.0.0.0:50000")
        call(fd, CONNECT, f"{FAR}:5004".encode())
        assert call(fd, PEER, bytes(64)) == f"/scheme/tcp/{FAR}:5004".encode()
        assert client.fpath(fd) == f"/scheme/tcp/{FAR}:5004/{NEAR}:50000"
        assert setting(fd, b"nodelay") == b"\0"
        assert setting(fd, b"nodelay", b"\1") == b"\1"
        assert setting(fd, b"hop_limit", b"\7") == b"\7"
        short = bytes(TimeSpec(tv_sec=0, tv_nsec=50_000_000))
        assert setting(fd, b"read_timeout", short) == short
        with pytest.raises(TimeoutError):
            fd.read(1)
        assert setting(fd, b"read_timeout", b"\0") == b""
        assert struct.unpack("=i", call(fd, GET, bytes(4), 7))[0] > 0
        message = b"/scheme/tcp/x"[:0]
        assert (
            call_count(fd, SEND, struct.pack("=Q", len(message)) + message + packed(b"ping")) == 4
        )
        got = call(fd, RECV, struct.pack("=QQQ", 64, 64, 0) + bytes(200))
        name, rest = unpacked(got)
        assert name == f"/scheme/tcp/{FAR}:5004".encode()
        assert unpacked(rest)[0] == b"ping"
        call(fd, SHUTDOWN, b"", 1)
        assert fd.read(10) == b""
        with pytest.raises(BrokenPipeError):
            fd.write(b"more")


def setting(fd, name, value=b""):
    """Set it, if there is a value; return what it is then."""
    if value:
        with fd.dup(name) as given:
            given.write(value)
    with fd.dup(name) as given:
        return given.read(16)


def call_count(fd, verb, payload):
    return fd.call_rw(bytearray(payload), 0, (verb,))


def packed(data):
    return struct.pack("=Q", len(data)) + data


def unpacked(data):
    (size,) = struct.unpack_from("=Q", data)
    return data[8 : 8 + size], data[8 + size :]


# -- datagrams -------------------------------------------------------------------------------------


UDP_ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
while True:
    data, who = s.recvfrom(65536)
    s.sendto(data, who)
"""


@pytest.mark.parametrize(("host", "name"), [(FAR, FAR), (FAR6, f"[{FAR6}]")])
def test_datagrams_keep_their_boundaries(net, host, name):
    far_socket(net, UDP_ECHO, host, 7)
    net.listens(f"{name}:7", "-lun")
    fd = os.open(net.mount / f"udp/{name}:7", os.O_RDWR)
    try:
        for size in (1, 1472, 20000):
            os.write(fd, bytes(size))
            assert len(os.read(fd, 65536)) == size
        os.write(fd, b"long")
        assert os.read(fd, 2) == b"lo"  # and what was not read is lost
        os.write(fd, b"next")
        assert os.read(fd, 65536) == b"next"
    finally:
        os.close(fd)


def test_a_peer_hears_one_host_and_a_datagram_without_a_peer_goes_nowhere(net, rings):
    with client.open("/scheme/udp/0.0.0.0:6000", f.O_RDWR) as fd:
        with pytest.raises(OSError, match=r".") as raised:
            fd.write(b"to whom?")
        assert number(raised) == errno.EADDRNOTAVAIL
        with pytest.raises(OSError, match=r".") as raised:
            fd.dup(b"listen")
        assert number(raised) == errno.EAFNOSUPPORT
        with fd.dup(f"{FAR}:6001".encode()) as peered:
            for port in (6002, 6001):
                net.stranger(
                    "socat", "-u", f"EXEC:echo {port}", f"UDP:{NEAR}:6000,sourceport={port}"
                ).wait(10)
            assert peered.read(100) == b"6001\n"  # the other was dropped
        with fd.dup(b"disconnect") as anyone:
            net.stranger("socat", "-u", "EXEC:echo x", f"UDP:{NEAR}:6000,sourceport=6003").wait(10)
            got = call(anyone, RECV, struct.pack("=QQQ", 64, 64, 0) + bytes(200))
            assert unpacked(got)[0] == f"/scheme/udp/{FAR}:6003".encode()


def test_a_broadcast_by_one_adapter_needs_no_address(net):
    """What dhcpd does: port 68, bound to eth0, to everybody."""
    far_socket(net, UDP_ECHO, "0.0.0.0", 67)
    net.listens(67, "-lun")
    fd = os.open(net.mount / "udp/255.255.255.255:67,0.0.0.0:68%eth0", os.O_RDWR)
    try:
        os.write(fd, b"discover")
        assert os.read(fd, 100) == b"discover"
    finally:
        os.close(fd)


@pytest.mark.parametrize("host", [FAR, FAR6])
def test_ping(net, host):
    fd = os.open(net.mount / f"icmp/echo/{host}", os.O_RDWR)
    try:
        for sequence in (0, 1, 0xFFFF):
            data = struct.pack(">H", sequence) + os.urandom(1000)
            assert os.write(fd, data) == len(data)
            assert os.read(fd, 2000) == data
        with pytest.raises(OSError, match=r".") as raised:
            os.write(fd, b"x")
        assert number(raised) == errno.EINVAL
    finally:
        os.close(fd)


@pytest.mark.parametrize(("host", "name"), [(FAR, FAR), (FAR6, f"[{FAR6}]")])
def test_a_datagram_to_a_closed_port_is_told_of(net, host, name):
    errors = os.open(net.mount / f"icmp/udp/{host}", os.O_RDONLY)
    fd = os.open(net.mount / f"udp/{name}:9", os.O_RDWR)
    try:
        os.write(fd, b"anybody?")
        packet = os.read(errors, 2000)
        assert packet.endswith(b"anybody?")
        assert packet[0] >> 4 == (6 if ":" in host else 4)
    finally:
        os.close(fd)
        os.close(errors)


def test_whole_packets(net):
    """A UDP datagram made by hand, header and all, and its echo."""
    far_socket(net, UDP_ECHO, FAR, 7007)
    net.listens(7007, "-lun")
    raw = os.open(net.mount / "ip/11", os.O_RDWR)
    try:
        body = struct.pack(">HHHH", 7008, 7007, 13, 0) + b"bytes"
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, 17, 0)
        packet = head + socket.inet_aton(NEAR) + socket.inet_aton(FAR) + body
        assert os.write(raw, packet) == len(packet)
        until(lambda: b"bytes" in os.read(raw, 2000))
        with pytest.raises(OSError, match=r".") as raised:
            os.write(raw, b"\x45")
        assert number(raised) == errno.EINVAL
    finally:
        os.close(raw)


def test_poll_tells_when_there_is_something(net, echoing):
    fd = os.open(net.mount / f"tcp/{echoing}", os.O_RDWR)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        assert poll.poll(0) == []
        threading.Timer(0.1, os.write, (fd, b"x")).start()
        assert poll.poll(5000) == [(fd, select.POLLIN)]
        assert os.read(fd, 10) == b"x"
        assert poll.poll(0) == []
    finally:
        os.close(fd)
