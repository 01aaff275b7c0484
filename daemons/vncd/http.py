"""As much of HTTP as a page and a WebSocket need.

Ref: RFC 9112, RFC 6455 §4.2.  A browser runs other people's scripts: what it asks for says which
site it means (Host) and which site asks (Origin), and both must be ours.  So a page elsewhere
cannot reach us, not even by a name of its own that leads here (DNS rebinding).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from daemons.vncd.websocket import accept

HEAD_MOST: Final = 8192  # bytes of a request up to its empty line
END: Final = b"\r\n\r\n"
SOCKET_PATH: Final = "/rfb"

_REASONS: Final = {
    200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    421: "Misdirected Request", 426: "Upgrade Required",
}  # fmt: skip
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_KEY_BYTES: Final = 16


class Refusal(Exception):
    """The request is answered with this status, and the connection closed."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status: Final = status


class Request(NamedTuple):
    """A request's head."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    fields: Mapping[str, str]  # by their names in small letters

    def has(self, name: str, word: str) -> bool:
        """Tell whether a field's list has a word, in letters of any size."""
        return word in (part.strip().lower() for part in self.fields.get(name, "").split(","))


def parse(head: bytes) -> Request:
    """Read a head, without the empty line at its end; `Refusal` for what is none."""
    try:
        first, *lines = head.decode("ascii").split("\r\n")
        method, target, version = first.split(" ")
        where = urlsplit(target)
        query = parse_qs(where.query, max_num_fields=8)
    except ValueError:
        raise Refusal(400, "no request") from None
    if not version.startswith("HTTP/1.") or not target.startswith("/"):
        raise Refusal(400, "no request of HTTP/1.1")
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or _NAME.fullmatch(name) is None or name.lower() in fields:
            raise Refusal(400, f"a line {line[:40]!r}")
        fields[name.lower()] = value.strip()
    return Request(method, where.path, query, fields)


def check_host(request: Request, ours: str) -> str:
    """Return the site that a request means; `Refusal` unless that is an address, or our name.

    A number is nobody's name, so nobody can make it lead elsewhere; behind a tunnel the port may be
    another than ours.
    """
    host = request.fields.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if name not in ("localhost", ours) and not _is_address(name):
        raise Refusal(421, "this is no site of ours")
    return host


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def upgrade(request: Request, host: str, opens: Callable[[str], bool]) -> bytes:
    """Return the answer that makes it a WebSocket; `Refusal` where it may not be one.

    `opens` judges the token.
    """
    if request.fields.get("origin") != f"http://{host}":
        raise Refusal(403, "asked for by a page of another site")
    if not request.has("upgrade", "websocket") or not request.has("connection", "upgrade"):
        raise Refusal(426, "only by WebSocket")
    key = request.fields.get("sec-websocket-key", "")
    if request.fields.get("sec-websocket-version") != "13" or not _is_key(key):
        raise Refusal(400, "no WebSocket of version 13")
    if not opens(request.query.get("token", [""])[0]):
        raise Refusal(403, "the token is wrong")
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept(key)}",
    ]
    if request.has("sec-websocket-protocol", "binary"):
        lines.append("Sec-WebSocket-Protocol: binary")
    return "\r\n".join((*lines, "", "")).encode()


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except ValueError:
        return False


class Page:
    """The page and the headers that keep it to itself."""

    def __init__(self, text: bytes) -> None:
        self._text: Final = text
        sources = {
            kind: " ".join(
                f"'sha256-{base64.b64encode(hashlib.sha256(found).digest()).decode()}'"
                for found in re.findall(rb"<%b>(.*?)</%b>" % (tag, tag), text, re.DOTALL)
            )
            for kind, tag in (("script", b"script"), ("style", b"style"))
        }
        self._policy: Final = (
            f"default-src 'none'; script-src {sources['script']}; style-src {sources['style']}; "
            "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )

    def answer(self, request: Request) -> bytes:
        """Answer a request for it; `Refusal` for any other."""
        if request.method not in ("GET", "HEAD"):
            raise Refusal(405, "only GET")
        if request.path != "/":
            raise Refusal(404, "there is one page only: /")
        fields = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": self._policy,
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        return response(200, self._text, fields, request.method == "HEAD")


def response(
    status: int, body: bytes, fields: Mapping[str, str] | None = None, head_only: bool = False
) -> bytes:
    """Return a response, after which the connection is closed."""
    all_fields = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Connection": "close",
        **(fields or {}),
    }
    lines = [f"HTTP/1.1 {status} {_REASONS[status]}"]
    lines += [f"{name}: {value}" for name, value in all_fields.items()]
    head = "\r\n".join((*lines, "", "")).encode()
    return head if head_only else head + body
