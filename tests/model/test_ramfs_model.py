"""ramfs beside a directory of Linux's: the same calls, the same errors, the same tree."""

from __future__ import annotations

import os
import shutil
import tempfile

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from daemons.ramfs.scheme import RamScheme
from redbear_host.abi import flags as f
from redbear_host.errors import Refused
from redbear_host.scheme.request import Caller, Unheard
from redbear_host.scheme.scheme import ROOT

NAMES = ["a", "b", "d", os.fsdecode(b"caf\xe9")]
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
DATA = st.binary(max_size=40)
US = Unheard(Caller(os.getpid(), 0, 0))
LOOK = f.O_STAT | f.O_SYMLINK | f.O_NOFOLLOW


class Same(RuleBasedStateMachine):
    """Each rule does a thing to both, as root."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="ramfs-model")
        self.proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
        self.scheme = RamScheme(1 << 20, self.proc)

    def teardown(self):
        os.close(self.proc)
        shutil.rmtree(self.folder)

    def host(self, path):
        return os.path.join(self.folder, path)

    def both(self, ours, theirs, exact=True):
        """Run a call on each; the errors must be the same numbers, if `exact`."""
        found = []
        for call in (ours, theirs):
            try:
                found.append((0, call()))
            except Refused as refusal:
                found.append((refusal.errno, None))
            except OSError as err:
                found.append((err.errno, None))
        if exact or not found[0][0] or not found[1][0]:
            assert found[0] == found[1]

    def with_open(self, path, flags, act=lambda number: None):
        number = self.scheme.openat(ROOT, path, flags, flags & f.O_FCNTL_MASK, US).handle
        try:
            return act(number)
        finally:
            self.scheme.on_close(number)

    @rule(path=PATHS)
    def mkdir(self, path):
        flags = f.O_CREAT | f.O_EXCL | f.O_DIRECTORY | f.O_RDONLY | 0o755
        self.both(lambda: self.with_open(path, flags), lambda: os.mkdir(self.host(path)))

    @rule(path=PATHS, data=DATA, offset=st.integers(0, 60), more=st.sampled_from(["", "x", "t"]))
    def write(self, path, data, offset, more):
        extra = {"": 0, "x": f.O_EXCL, "t": f.O_TRUNC}[more]
        host_extra = {"": 0, "x": os.O_EXCL, "t": os.O_TRUNC}[more]

        def theirs():
            flags = os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | host_extra
            fd = os.open(self.host(path), flags, 0o644)
            try:
                return os.pwrite(fd, data, offset)
            finally:
                os.close(fd)

        def write(number):
            return self.scheme.write(number, memoryview(data), offset, 0, US)

        flags = f.O_CREAT | f.O_WRONLY | f.O_NOFOLLOW | extra | 0o644
        self.both(lambda: self.with_open(path, flags, write), theirs)

    @rule(path=PATHS, length=st.integers(0, 100))
    def truncate(self, path, length):
        def theirs():
            fd = os.open(self.host(path), os.O_WRONLY | os.O_NOFOLLOW)
            try:
                os.ftruncate(fd, length)
            finally:
                os.close(fd)

        def ours(number):
            self.scheme.ftruncate(number, length, US)

        self.both(lambda: self.with_open(path, f.O_WRONLY | f.O_NOFOLLOW, ours), theirs)

    @rule(path=PATHS, directory=st.booleans())
    def remove(self, path, directory):
        theirs = os.rmdir if directory else os.unlink
        flags = f.AT_REMOVEDIR if directory else 0
        self.both(
            lambda: self.scheme.unlinkat(ROOT, path, flags, US), lambda: theirs(self.host(path))
        )

    @rule(old=PATHS, new=PATHS)
    def rename(self, old, new):
        self.both(
            lambda: self.with_open(old, LOOK, lambda n: self.scheme.frename(n, new, US)),
            lambda: os.rename(self.host(old), self.host(new)),
            exact=os.path.lexists(self.host(old)),  # Linux looks at the new name first
        )

    @rule(old=PATHS, new=PATHS)
    def link(self, old, new):
        self.both(
            lambda: self.with_open(old, LOOK, lambda n: self.scheme.flink(n, new, US)),
            lambda: os.link(self.host(old), self.host(new), follow_symlinks=False),
            exact=os.path.lexists(self.host(old)),
        )

    @rule(path=PATHS, leads_to=PATHS)
    def symlink(self, path, leads_to):
        flags = f.O_CREAT | f.O_EXCL | f.O_SYMLINK | f.O_WRONLY | 0o777
        data = memoryview(os.fsencode(leads_to))
        self.both(
            lambda: self.with_open(
                path, flags, lambda n: self.scheme.write(n, data, 0, 0, US) and None
            ),
            lambda: os.symlink(leads_to, self.host(path)),
        )

    @invariant()
    def the_trees_are_the_same(self):
        assert self.ours("") == self.theirs(self.folder)

    @invariant()
    def nothing_is_kept_that_nobody_can_reach(self):
        room, seen = self.scheme._tree.room, {}
        links = self.weigh(self.scheme._tree.root, seen)
        assert room.used == sum(seen.values()) + 512 * (links + 1)

    def weigh(self, directory, seen):
        links = 0
        for node in directory.entries.values():
            links += 1
            is_directory = hasattr(node, "entries")
            seen[node.inode] = 0 if is_directory else node.size
            links += self.weigh(node, seen) if is_directory else 0
        return links

    def ours(self, path):
        """Return the tree at a path: directories as dicts, files and links with their facts."""
        return self.with_open(path, LOOK, lambda number: self.ours_at(path, number))

    def ours_at(self, path, number):
        found = self.scheme.fstat(number)
        kind = found.st_mode >> 12
        if kind == 4:
            entries = self.with_open(
                path, f.O_RDONLY | f.O_DIRECTORY, lambda n: self.scheme.getdents(n, US)
            )
            return found.st_nlink, {
                entry.name: self.ours(f"{path}/{entry.name}".strip("/")) for entry in entries
            }
        flags = f.O_RDONLY | f.O_NOFOLLOW | f.O_SYMLINK
        data = self.with_open(path, flags, lambda n: self.scheme.read(n, 1000, 0, 0, US))
        return kind, found.st_nlink, found.st_size, data

    def theirs(self, path):
        found = os.lstat(path)
        kind = found.st_mode >> 12
        if kind == 4:
            names = os.listdir(path)
            return found.st_nlink, {name: self.theirs(os.path.join(path, name)) for name in names}
        if kind == 10:
            data = os.fsencode(os.readlink(path))
        else:
            with open(path, "rb") as file:
                data = file.read()
        return kind, found.st_nlink, found.st_size, data


Same.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestSame = Same.TestCase
