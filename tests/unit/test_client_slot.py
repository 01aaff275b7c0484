"""What the client writes without an object per entry is what the tables of the ABI say."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from redbear_host.abi.cqe import Cqe
from redbear_host.abi.sqe import Sqe
from redbear_host.client.slot import CQE, SQE

words = st.integers(0, (1 << 64) - 1)


@given(
    st.tuples(*[st.integers(0, 255)] * 2),
    st.integers(0, (1 << 32) - 1),
    st.lists(words, min_size=7, max_size=7),
)
def test_an_entry_is_packed_as_the_table_says(head, tag, numbers):
    packed = bytearray(64)
    SQE(packed, 0, *head, tag, *numbers)
    entry = Sqe.load(packed)
    assert (entry.opcode, entry.sqe_flags, entry.tag) == (*head, tag)
    assert [*entry.args, entry.caller] == numbers
    assert bytes(entry) == packed


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, (1 << 32) - 1), words)
def test_an_answer_is_unpacked_as_the_table_says(flags, extra, tag, result):
    answer = Cqe(flags=flags, extra_raw=bytes([extra]) + os.urandom(2), tag=tag, result=result)
    assert CQE(bytes(answer), 0) == (flags, extra, tag, result)
