"""vncd's page: who may have it, who may come in by it, and the frames it speaks with."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from pathlib import Path

import pytest

from daemons.vncd import http
from daemons.vncd.http import Page, Refusal, check_host, parse, upgrade
from daemons.vncd.websocket import WebSocket, accept

PAGE = Path(http.__file__).with_name("page.html").read_bytes()


def request(*fields, path="/rfb?token=right", host="127.0.0.1:5980"):
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *fields]
    return parse("\r\n".join(lines).encode())


def socket_fields(origin="http://127.0.0.1:5980", key="dGhlIHNhbXBsZSBub25jZQ=="):
    return (
        f"Origin: {origin}", "Upgrade: websocket", "Connection: keep-alive, Upgrade",
        f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13",
    )  # fmt: skip


def refused(act):
    with pytest.raises(Refusal) as caught:
        act()
    return caught.value.status


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:5980", "localhost:5980", "localhost", "[::1]:5980", "127.0.0.1:8080",
     "192.168.1.4:5980", "desk.example"],
)  # fmt: skip
def test_our_own_names_and_all_addresses_are_sites_of_ours(host):
    assert check_host(request(host=host), "desk.example") == host


@pytest.mark.parametrize(
    "host", ["evil.example:5980", "127.0.0.1.evil.example", "", "[::1", "localhost.evil", "1.2.3"]
)
def test_a_name_that_leads_here_is_no_site_of_ours(host):
    assert refused(lambda: check_host(request(host=host), "127.0.0.1")) == 421


def test_the_page_keeps_to_itself():
    answer = Page(PAGE).answer(request(path="/"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == PAGE
    policy = re.search(rb"Content-Security-Policy: (.*)\r\n", head).group(1).decode()
    (script,) = re.findall(rb"<script>(.*?)</script>", PAGE, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert b"Referrer-Policy: no-referrer" in head
    assert b"http://" not in PAGE.replace(b"ws://", b"")  # nothing is fetched from elsewhere


def test_there_is_one_page_to_be_got():
    page = Page(PAGE)
    assert refused(lambda: page.answer(request(path="/etc/passwd"))) == 404
    assert refused(lambda: page.answer(parse(b"POST / HTTP/1.1\r\nHost: localhost"))) == 405
    head = page.answer(parse(b"HEAD / HTTP/1.1\r\nHost: localhost"))
    assert head.endswith(b"\r\n\r\n")


def test_a_page_of_ours_becomes_a_web_socket():
    answer = upgrade(request(*socket_fields()), "127.0.0.1:5980", lambda token: token == "right")
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer  # RFC 6455 §1.3
    assert accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("fields", "path", "status"),
    [
        (socket_fields(origin="http://evil.example"), "/rfb?token=right", 403),
        (socket_fields(origin="null"), "/rfb?token=right", 403),
        (socket_fields()[1:], "/rfb?token=right", 403),
        (socket_fields(), "/rfb?token=wrong", 403),
        (socket_fields(), "/rfb", 403),
        (socket_fields(key="short"), "/rfb?token=right", 400),
        (socket_fields()[:-1], "/rfb?token=right", 400),
        (socket_fields()[:1], "/rfb?token=right", 426),
    ],
)
def test_all_others_do_not(fields, path, status):
    wanted = request(*fields, path=path)
    right = lambda token: token == "right"  # noqa: E731
    assert refused(lambda: upgrade(wanted, "127.0.0.1:5980", right)) == status


@pytest.mark.parametrize(
    "head",
    [b"", b"GET /", b"GET / HTTP/2", b"GET http://x/ HTTP/1.1", b"\xff / HTTP/1.1",
     b"GET / HTTP/1.1\r\nno colon", b"GET / HTTP/1.1\r\n folded: x",
     b"GET / HTTP/1.1\r\nHost: a\r\nHost: b", b"GET //[ HTTP/1.1"],
)  # fmt: skip
def test_nonsense_is_no_request(head):
    assert refused(lambda: parse(head)) == 400


# -- WebSocket's frames ----------------------------------------------------------------------------


def frame(opcode, payload, fin=True, mask=b"\1\2\3\4", rsv=0):
    head = bytes((opcode | 0x80 * fin | rsv,))
    size, bit = len(payload), 0x80 if mask else 0
    if size < 126:
        head += bytes((bit | size,))
    elif size < 1 << 16:
        head += bytes((bit | 126,)) + size.to_bytes(2, "big")
    else:
        head += bytes((bit | 127,)) + size.to_bytes(8, "big")
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)) if mask else payload
    return head + (mask or b"") + masked


def test_what_a_browser_sends_comes_out_however_it_is_cut():
    payload = os.urandom(70_000)
    data = frame(2, payload[:5]) + frame(2, payload[5:300], fin=False) + frame(9, b"ping")
    data += frame(0, b"", fin=False) + frame(0, payload[300:]) + frame(10, b"")
    for size in (1, 3, 1000, len(data)):
        socket = WebSocket()
        found = b"".join(socket.receive(data[at : at + size]) for at in range(0, len(data), size))
        assert found == payload
        assert socket.out == [frame(10, b"ping", mask=b"")]
        assert not socket.ended


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_what_we_send_is_one_unmasked_frame(size):
    assert WebSocket().wrap(bytes(size)) == frame(2, bytes(size), mask=b"")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(2, b"x", mask=b""), 1002),  # not masked
        (frame(1, b"x"), 1003),  # text
        (frame(2, b"x", rsv=0x40), 1002),  # an extension
        (frame(3, b"x"), 1002),  # no such opcode
        (frame(0, b"x"), 1002),  # continues nothing
        (frame(2, b"x", fin=False) + frame(2, b"x"), 1002),  # begins inside
        (frame(9, bytes(126)), 1002),  # too long for a ping
        (frame(9, b"", fin=False), 1002),  # in pieces
        (b"\x82\xff\xff" + bytes(7), 1002),  # a length without end
        (frame(8, b"\x03\xe8"), 1000),
    ],
)
def test_a_frame_that_may_not_come_closes(data, code):
    for size in (1, len(data)):
        socket = WebSocket()
        for at in range(0, len(data), size):
            socket.receive(data[at : at + size])
        assert socket.ended
        assert socket.out[-1] == b"\x88\2" + code.to_bytes(2, "big")


def test_a_frame_of_many_gigabytes_is_not_kept():
    socket = WebSocket()
    assert socket.receive(b"\x82\xff" + (1 << 40).to_bytes(8, "big") + b"\0\0\0\0") == b""
    for _ in range(10):
        assert len(socket.receive(bytes(8192))) == 8192
    assert len(socket._in) == 0
