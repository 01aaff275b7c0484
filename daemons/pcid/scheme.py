"""The scheme `pci`: a directory for each function, named as Redox names it.

```
/scheme/pci/lspci                       all functions, for `lspci -F`     (root only)
/scheme/pci/0000--00--04.0/config       configuration space, 256 or 4096 bytes  (root only)
                          /name         what it is, in words
                          /ids          vendor:device class, in hexadecimal
                          /driver       who drives it; empty when nobody does
```

On Redox configuration space is behind `channel`, which only root may open; so are the files here
that show it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias, TypeVar

from daemons.pcid.dump import dump, dump_size
from daemons.pcid.functions import Function, of_lab, of_machine
from redbear_host.abi import errno as e
from redbear_host.abi import flags as f
from redbear_host.abi.stat import MODE_DIR, MODE_FILE, Stat
from redbear_host.bdf import Bdf
from redbear_host.errors import ConfigError, Gone, Refused
from redbear_host.hostpci import SYS
from redbear_host.pciids import PciNames
from redbear_host.scheme.request import Request
from redbear_host.scheme.scheme import POSITIONED, ROOT, Entry, Opened, Scheme

T = TypeVar("T")

_READABLE: Final = 0o444
_ROOT_ONLY: Final = 0o400
_BLOCK: Final = 4096


_Read: TypeAlias = Callable[[int, int], bytes]  # offset, size


class _File(NamedTuple):
    """A file: who may read it, how large it is now, and what an open of it reads."""

    mode: int
    size: Callable[[], int]
    open: Callable[[], _Read]


class _Directory(NamedTuple):
    """A directory; only the root's entries come and go."""

    entries: dict[str, _Node]


_Node: TypeAlias = _File | _Directory


class _Handle(NamedTuple):
    path: str
    node: _Node
    inode: int
    read: _Read | None  # None for a directory, and for O_STAT, which only looks


class PciScheme(Scheme):
    """Shows `functions` with the names `names` has for them.

    Texts are made when a file is opened, configuration space is read when it is asked for.  Nothing
    else is kept but the names, so a successor serves the handles of its predecessor, and any read
    may be done twice.
    """

    name = "pci"
    replays: ClassVar[bool] = True
    reopens: ClassVar[bool] = True

    def __init__(self, functions: Sequence[Function], names: PciNames) -> None:
        self._names: Final = names
        self._titles: Final[dict[Bdf, tuple[Function, str]]] = {}
        self._root: Final = _Directory({})
        self._numbers: Final = count(1)  # of inodes; the root has 1, as the kernel expects
        self._nodes: Final[dict[str, tuple[int, _Node]]] = {}
        self._put("", self._root)
        self._put_below("lspci", _File(_ROOT_ONLY, self._lspci_size, self._open_lspci))
        for function in functions:
            if function.address in self._titles:
                raise ConfigError(f"there are two PCI functions at {function.address}")
            self.add(function)
        self._handles: Final[dict[int, _Handle]] = {}
        self._next = ROOT + 1

    def close(self) -> None:
        """Let go of all functions; nothing can be read after it."""
        for function, _ in self._titles.values():
            function.close()

    # -- functions ---------------------------------------------------------------------------------

    def add(self, function: Function) -> None:
        """Show another function; it takes the place of one at the same address."""
        self.remove(function.address)
        title = self._names.line(function.ids)
        self._titles[function.address] = function, title
        self._put_below(function.address.pcid_name, _function(function, title))

    def remove(self, address: Bdf) -> None:
        """Show a function no longer, if there is one."""
        if address not in self._titles:
            return
        function, _ = self._titles.pop(address)
        directory = self._root.entries.pop(address.pcid_name)
        del self._nodes[address.pcid_name]
        if isinstance(directory, _Directory):
            for name in directory.entries:
                del self._nodes[f"{address.pcid_name}/{name}"]
        function.close()

    def at(self, address: Bdf) -> Function | None:
        """Return the function at an address, if there is one."""
        found = self._titles.get(address)
        return None if found is None else found[0]

    def _put(self, path: str, node: _Node) -> None:
        self._nodes[path] = next(self._numbers), node

    def _put_below(self, name: str, node: _Node) -> None:
        """Put a file or a directory into the root, whose entries stay in order."""
        entries = sorted([*self._root.entries.items(), (name, node)], key=itemgetter(0))
        self._root.entries.clear()
        self._root.entries.update(entries)
        self._put(name, node)
        if isinstance(node, _Directory):
            for inner, file in node.entries.items():
                self._put(f"{name}/{inner}", file)

    def _open_lspci(self) -> _Read:
        return _reader(self._lspci())

    def _lspci(self) -> str:
        shown = []
        for address, (function, title) in sorted(self._titles.items()):
            try:
                shown.append(dump(address, title, function.config(0, function.config_size)))
            except Gone:
                continue
        return "".join(shown)

    def _lspci_size(self) -> int:
        return sum(
            dump_size(address, title, function.config_size)
            for address, (function, title) in self._titles.items()
        )

    # -- names -------------------------------------------------------------------------------------

    def openat(
        self, parent: int, path: str, flags: int, fcntl_flags: int, request: Request
    ) -> Opened:
        """Open a directory or a file; a file that shows configuration space for root only."""
        full = self._below(parent, path)
        if full not in self._nodes:
            raise Refused(e.ENOENT)
        inode, node = self._nodes[full]
        read = None
        if not flags & f.O_STAT:
            _check_open(node, flags, request.caller.uid)
            if isinstance(node, _File):
                read = _unless_gone(node.open)
        elif flags & f.O_DIRECTORY and isinstance(node, _File):
            raise Refused(e.ENOTDIR)
        handle, self._next = self._next, self._next + 1
        self._handles[handle] = _Handle(full, node, inode, read)
        return Opened(handle, POSITIONED)

    def _below(self, parent: int, path: str) -> str:
        path = path.strip("/")
        if parent == ROOT:
            return path
        above = self._handle(parent)
        if isinstance(above.node, _File):
            raise Refused(e.ENOTDIR)
        return "/".join(part for part in (above.path, path) if part)

    def fpath(self, handle: int) -> str:
        """Return `/scheme/pci/…`."""
        return f"/scheme/{self.name}/{self._handle(handle).path}"

    def getdents(self, handle: int, request: Request) -> Sequence[Entry]:
        """List a directory."""
        opened = self._handle(handle)
        if isinstance(opened.node, _File):
            raise Refused(e.ENOTDIR)
        prefix = f"{opened.path}/" if opened.path else ""
        return [
            Entry(
                name,
                f.DT_DIR if isinstance(node, _Directory) else f.DT_REG,
                self._nodes[prefix + name][0],
            )
            for name, node in opened.node.entries.items()
        ]

    def on_close(self, handle: int) -> None:
        """Forget the handle."""
        del self._handles[handle]

    # -- bytes -------------------------------------------------------------------------------------

    def read(
        self, handle: int, size: int, offset: int, fcntl_flags: int, request: Request
    ) -> bytes:
        """Read what the file holds now; ENODEV once its function has left."""
        opened = self._handle(handle)
        read = opened.read
        if read is None:
            raise Refused(e.EISDIR if isinstance(opened.node, _Directory) else e.EBADF)
        return _unless_gone(lambda: read(offset, size))

    # -- facts -------------------------------------------------------------------------------------

    def fstat(self, handle: int) -> Stat:
        """Describe a file or a directory; all of them are root's."""
        opened = self._handle(handle)
        if isinstance(opened.node, _Directory):
            return Stat(
                st_ino=opened.inode, st_mode=MODE_DIR | 0o555, st_nlink=2, st_blksize=_BLOCK
            )
        size = _unless_gone(opened.node.size)
        return Stat(
            st_ino=opened.inode,
            st_mode=MODE_FILE | opened.node.mode,
            st_nlink=1,
            st_size=size,
            st_blksize=_BLOCK,
            st_blocks=-(-size // _BLOCK),
        )

    def fsize(self, handle: int) -> int:
        """Return the file's size in bytes."""
        return self.fstat(handle).st_size

    def _handle(self, handle: int) -> _Handle:
        try:
            return self._handles[handle]
        except KeyError:
            raise Refused(e.EBADF) from None


def _check_open(node: _Node, flags: int, uid: int) -> None:
    """Refuse an open for what the node or the caller cannot do."""
    if flags & f.O_WRONLY:
        # Not EACCES, which would send root looking for permissions.
        raise Refused(e.EISDIR if isinstance(node, _Directory) else e.EROFS)
    if isinstance(node, _Directory):
        if not flags & f.O_DIRECTORY:
            raise Refused(e.EISDIR)
    elif flags & f.O_DIRECTORY:
        raise Refused(e.ENOTDIR)
    elif node.mode == _ROOT_ONLY and uid != 0:
        raise Refused(e.EACCES)


def _function(function: Function, title: str) -> _Directory:
    ids = function.ids
    numbers = f"{ids.vendor:04x}:{ids.device:04x} {ids.class_code:06x}\n"

    def driver() -> str:
        name = function.driver()
        return f"{name}\n" if name else ""

    return _Directory(
        {
            "config": _File(_ROOT_ONLY, lambda: function.config_size, lambda: function.config),
            "driver": _text(driver),
            "ids": _text(lambda: numbers),
            "name": _text(lambda: f"{title}\n"),
        }
    )


def _text(now: Callable[[], str]) -> _File:
    return _File(_READABLE, lambda: len(now().encode()), lambda: _reader(now()))


def _reader(text: str) -> _Read:
    content = text.encode()
    return lambda offset, size: content[offset : offset + size]


def _unless_gone(read: Callable[[], T]) -> T:
    try:
        return read()
    except Gone as gone:
        raise Refused(e.ENODEV, str(gone)) from gone


def build(facts: Mapping[str, Any], sys: Path = SYS, root: Path = Path("/")) -> PciScheme:
    """Make the scheme from what the shim tells pcid at its start.

    `facts["host"]` says whether to show the machine's functions, `facts["drivers"]` which daemon
    drives which of them (`{"0000:04:00.0": "nvmed"}`), and `facts["lab"]` describes the lab's as
    `functions.of_lab` takes them.  All three may be left out.

    The lab's buses are not the machine's, and both may have a function at one address: the lab's
    is shown then, as it is the one that was asked for.
    """
    functions: list[Function] = list(of_lab(facts.get("lab", ())))
    if facts.get("host", True):
        taken = {function.address for function in functions}
        functions += of_machine(facts.get("drivers", {}), taken, sys)
    return PciScheme(functions, PciNames.of_machine(root))
