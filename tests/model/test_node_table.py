"""The table of names against a dictionary, with deaths of its daemon in between."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from redbear_host.abi import errno as e
from redbear_host.errors import Refused
from schemefs.journal import Geometry, Journal
from schemefs.nodes import Nodes
from schemefs.protocol import ROOT_ID

ROWS = 12
NAMES = st.sampled_from([b"a", b"b", b"caf\xe9", b"x" * 255, b"n" * 40])
INDEX = st.integers(0, 1000)


class Death(Exception):
    """The daemon dies at this store."""


class Table(RuleBasedStateMachine):
    """The kernel's view: which node has which name, how often it was mentioned."""

    def __init__(self):
        super().__init__()
        shape = Geometry(requests=4, medium=2, big=2, nodes=ROWS, handles=4)
        self.journal = Journal.create(38, shape)
        self.nodes = Nodes(self.journal)
        self.names = {}  # (parent, name): node
        self.counts = {}  # node: mentions

    def teardown(self):
        self.journal.close()

    def parent(self, index):
        """Choose a node that can have names below it: the root, or one with a name."""
        known = [ROOT_ID, *sorted(self.names.values())]
        return known[index % len(known)]

    def inside(self, node, of):
        """Tell whether `node` is `of` or below it: nothing can be moved into itself."""
        while node != ROOT_ID:
            if node == of:
                return True
            node = next((key[0] for key, n in self.names.items() if n == node), ROOT_ID)
        return False

    def has_children(self, node):
        return any(parent == node for parent, _ in self.names)

    @rule(index=INDEX, name=NAMES)
    def remember(self, index, name):
        parent = self.parent(index)
        known = self.names.get((parent, name))
        try:
            node = self.nodes.remember(parent, name)
        except Refused as refusal:
            self.refused_rightly(refusal.errno, known)
            return
        assert node == known or (known is None and node not in self.counts)
        self.names[parent, name] = node
        self.counts[node] = self.counts.get(node, 0) + 1

    def refused_rightly(self, number, known):
        assert (number, known, len(self.counts)) == (e.ENOMEM, None, ROWS)

    @precondition(lambda self: self.counts)
    @rule(index=INDEX, times=st.integers(1, 3))
    def forget(self, index, times):
        # The kernel forgets a directory after what is in it, and no more than it was told.
        leaves = [node for node in sorted(self.counts) if not self.has_children(node)]
        node = leaves[index % len(leaves)]
        times = min(times, self.counts[node])
        self.nodes.forget(node, times)
        self.counts[node] -= times
        if not self.counts[node]:
            del self.counts[node]
            self.names = {key: n for key, n in self.names.items() if n != node}

    @rule(index=INDEX, name=NAMES)
    def remove(self, index, name):
        parent = self.parent(index)
        node = self.names.get((parent, name))
        if node is None or not self.has_children(node):
            self.nodes.remove(parent, name)
            self.names.pop((parent, name), None)

    @rule(old=INDEX, name=NAMES, new=INDEX, new_name=NAMES, dies=st.integers(0, 6))
    def rename(self, old, name, new, new_name, dies):
        key, target = (self.parent(old), name), (self.parent(new), new_name)
        node, victim = self.names.get(key), self.names.get(target)
        if node is not None and self.inside(target[0], node):
            return
        if victim is not None and (self.has_children(victim) or victim == key[0]):
            return
        if dies and node is not None and key != target:
            self.die_while(lambda: self.nodes.rename(*key, *target), dies)
        self.nodes.rename(*key, *target)
        if node is not None and key != target:
            self.names.pop(target, None)
            self.names[target] = self.names.pop(key)

    def die_while(self, act, stores):
        """Let the daemon die before one of its next stores of a row; its successor takes over."""
        table = self.nodes._table

        class Cut:
            left = stores - 1

            def __setitem__(self, index, value):
                if not self.left:
                    raise Death
                self.left -= 1
                table[index] = value

        self.nodes._table = Cut()
        lookups = self.nodes._lookups

        class CutLookups(Cut):
            def __setitem__(self, index, value):
                if not self.left:
                    raise Death
                self.left -= 1
                lookups[index] = value

            def __getitem__(self, index):
                return lookups[index]

        self.nodes._lookups = CutLookups()
        with suppress(Death, TypeError):
            act()
        self.nodes = Nodes(self.journal)

    @rule()
    def restart(self):
        self.nodes = Nodes(self.journal)

    @invariant()
    def all_names_lead_where_they_should(self):
        assert len(self.nodes) == len(self.counts)
        for node in self.counts:
            expected = self.path_of(node)
            if expected is None:
                assert self.nodes.is_nameless(node)
            else:
                assert self.nodes.path(node).encode("utf-8", "surrogateescape") == expected

    def path_of(self, node):
        parts = []
        while node != ROOT_ID:
            key = next((key for key, n in self.names.items() if n == node), None)
            if key is None:
                return None
            node = key[0]
            parts.append(key[1])
        return b"/".join(reversed(parts))


Table.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestTable = Table.TestCase
