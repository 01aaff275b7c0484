"""e1000d when its card misbehaves: one fault at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from e1000d_bench import MAC, PEER, Bench, frame

from daemons.e1000d.driver import Card, State, Wishes
from redbear_host.errors import DeviceError, Gone
from redbear_host.hw.ports import InterruptKind
from redbear_host.models.e1000 import Fault, Misdeed
from redbear_host.models.e1000 import registers as r

KINDS = [
    (InterruptKind.INTX, {}),
    (InterruptKind.INTX, {"express": True}),
    (InterruptKind.MSIX, {"express": True}),
    (InterruptKind.MSIX, {"express": True, "masks": True}),
]


@pytest.fixture(params=KINDS, ids=["intx", "express-intx", "msix", "msix-masks"])
def bench(request: pytest.FixtureRequest) -> Bench:
    kind, model = request.param
    bench = Bench(kind, **model)
    bench.start()
    return bench


def test_frames_go_both_ways(bench: Bench) -> None:
    assert bench.card.mac == MAC
    assert bench.card.link == 1000
    sent = [frame(length) for length in (60, 61, 700, 1518)]
    assert bench.send(*sent) == 4
    assert bench.model.sent == sent
    for content in sent:
        assert bench.model.receive(content)
    bench.deliver()
    assert bench.frames == sent
    assert bench.card.counters.late_interrupts == 0
    bench.check()


def test_short_frames_are_padded_with_zeroes_whatever_lay_there(bench: Bench) -> None:
    for slot in bench.card.slots(63):
        slot[:] = b"\xff" * len(slot)
    bench.send(frame(14), frame(59), frame(100))
    bench.send(frame(20))
    assert [len(it) for it in bench.model.sent] == [60, 60, 100, 60]
    assert bench.model.sent[0] == frame(14) + bytes(46)
    assert bench.model.sent[3] == frame(20) + bytes(40)


def test_a_full_ring_tells_when_there_is_room(bench: Bench) -> None:
    bench.model.write(r.TCTL, 0, 4)  # the card is slow
    assert bench.send(*[frame(60, n) for n in range(100)]) == 63
    assert list(bench.card.slots(1)) == []
    assert bench.rooms == 0
    bench.model.write(r.TCTL, r.EN, 4)
    bench.deliver()
    assert bench.rooms == 1
    assert bench.send(frame(61)) == 1
    assert bench.model.sent == [frame(60, n) for n in range(63)] + [frame(61)]
    bench.check()


def test_a_lost_interrupt_is_made_up_for_by_a_tick(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.LOSE_INTERRUPT))
    bench.model.receive(frame(100))
    bench.deliver()
    assert bench.frames == []
    bench.pass_time(0.6)
    assert bench.frames == [frame(100)]
    assert bench.card.counters.late_interrupts == 1
    assert bench.card.counters.resets == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Misdeed.LENGTH, 2049),
        Fault(Misdeed.LENGTH, 0xFFFF),
        Fault(Misdeed.LENGTH, 0),
        Fault(Misdeed.NO_END),
        Fault(Misdeed.SKIP),
        Fault(Misdeed.STATUS, r.DD),
    ],
    ids=str,
)
def test_nonsense_in_a_descriptor_ends_in_a_reset_and_the_card_goes_on(
    bench: Bench, fault: Fault
) -> None:
    for number in range(70):  # somewhere past the wrap
        bench.model.receive(frame(90, number))
        bench.deliver()
    bench.frames.clear()
    bench.model.faults.append(replace(fault))
    bench.model.receive(frame(100))
    bench.deliver()
    bench.pass_time(2.1)
    assert bench.card.counters.resets == 1
    assert bench.card.counters.nonsense == 1
    assert bench.frames == []
    for number in range(70):
        assert bench.model.receive(frame(101, number))
        bench.deliver()
    assert bench.frames == [frame(101, number) for number in range(70)]
    bench.check()


@pytest.mark.parametrize(
    "fault",
    [Fault(Misdeed.ERRORS, 0x01), Fault(Misdeed.ERRORS, 0x80), Fault(Misdeed.LENGTH, 13)],
    ids=str,
)
def test_a_damaged_frame_is_dropped_and_its_neighbours_are_not(bench: Bench, fault: Fault) -> None:
    bench.model.receive(frame(100, 1))
    bench.model.faults.append(replace(fault))
    bench.model.receive(frame(100, 2))
    bench.model.receive(frame(100, 3))
    bench.deliver()
    assert bench.frames == [frame(100, 1), frame(100, 3)]
    assert bench.card.statistics()["DRIVER_RX_DROPPED"] == 1
    assert bench.card.counters.resets == 0
    bench.check()


def test_a_wrong_checksum_above_ethernet_is_no_reason_to_drop(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.ERRORS, 0x60))  # TCPE and IPE
    bench.model.receive(frame(100))
    bench.deliver()
    assert bench.frames == [frame(100)]


def test_transmission_that_hangs_is_reset_and_counted(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.HANG))
    bench.send(frame(60), frame(61))
    bench.pass_time(1.9)
    assert bench.card.counters.resets == 0
    bench.pass_time(1.2)
    assert bench.card.counters.tx_hangs == 1
    assert bench.card.counters.tx_lost == 2
    bench.send(frame(62))
    assert bench.model.sent == [frame(62)]
    bench.check()


def test_a_writer_that_waits_for_a_hanging_card_is_called_after_the_reset(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.HANG))
    bench.send(*[frame(60)] * 63)
    assert not bench.card.slots(1)
    bench.pass_time(4)
    assert bench.rooms == 1
    assert len(bench.card.slots(100)) == 63


def test_a_partner_that_asks_to_pause_is_no_hang(bench: Bench) -> None:
    read = bench.model.read
    bench.model.read = lambda o, w: read(o, w) | (0x10 if o == r.STATUS else 0)  # type: ignore[method-assign]
    bench.model.hangs = True
    bench.send(frame(60))
    bench.pass_time(20)
    assert bench.card.counters.resets == 0


def test_what_waits_while_there_is_no_link_is_dropped_in_time(bench: Bench) -> None:
    bench.model.set_link(False)
    bench.deliver()
    assert bench.links == [0]
    bench.model.hangs = True
    bench.send(frame(60))
    bench.pass_time(3.1)
    assert bench.card.counters.tx_hangs == 0
    assert bench.card.counters.resets == 1
    bench.model.set_link(True)
    bench.deliver()
    bench.send(frame(61))
    assert bench.model.sent == [frame(61)]


def test_a_card_that_always_hangs_is_left_alone_and_tried_again(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.HANG, times=8))
    for _ in range(6):
        bench.send(frame(60))
        bench.pass_time(3)
    assert bench.card.state is State.FAILED
    assert bench.card.link == 0
    assert bench.links[-1] == 0
    assert list(bench.card.received(8)) == []
    while bench.card.slots(64):  # nobody waits for ever in a loop of ours
        bench.card.commit([60])
    bench.model.faults.clear()
    bench.pass_time(31)
    assert bench.card.state is State.RUNNING
    assert bench.card.link == 1000
    bench.model.sent.clear()
    bench.send(frame(64))
    assert bench.model.sent == [frame(64)]


def test_a_card_that_reads_all_ones_has_left(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.VANISH))
    bench.model.receive(frame(60))
    bench.card.on_interrupt(0)
    bench.pass_time(1)
    assert bench.card.state is State.GONE
    assert bench.links == [0]
    bench.card.tick(bench.clock.now())
    bench.card.statistics()
    bench.card.set_promiscuous(True)
    bench.card.stop()
    with pytest.raises(Gone):
        bench.card.start()


def test_frames_of_many_buffers_are_one_piece_also_at_the_rings_end() -> None:
    bench = Bench(wishes=Wishes(receive=64, transmit=64, max_frame=16124))
    bench.start()
    lengths = [2048, 2049, 4096, 9000, 16124, 60, 15000, 16110] * 8
    for number, length in enumerate(lengths):
        assert bench.model.receive(frame(length, number))
        bench.deliver()
    assert bench.frames == [frame(length, n) for n, length in enumerate(lengths)]
    for length in lengths:
        bench.send(frame(length))
    assert [len(it) for it in bench.model.sent] == lengths
    bench.check()


def test_a_card_limits_the_longest_frame_to_what_it_can() -> None:
    bench = Bench(wishes=Wishes(64, 64, max_frame=16124), express=True)
    assert bench.card.max_frame == 9014


def test_rings_that_do_not_fit_into_dma_memory_are_made_smaller() -> None:
    bench = Bench(wishes=Wishes(receive=1000, transmit=4096, max_frame=16124))
    bench.start()
    assert len(bench.card.slots(9999)) == 255  # of 8 MiB, 2 are for receiving
    bench.send(frame(16124))
    assert bench.model.sent == [frame(16124)]


def test_a_vlan_is_put_in_and_taken_off() -> None:
    bench = Bench(wishes=Wishes(64, 64, vlan=77))
    bench.start()
    bench.send(frame(100))
    assert bench.model.sent == [frame(100)[:12] + b"\x81\x00\x00\x4d" + frame(100)[12:]]
    for tag in (77, 78, None):
        content = frame(100, tag or 0)
        mark = b"" if tag is None else b"\x81\x00" + tag.to_bytes(2, "big")
        bench.model.receive(content[:12] + mark + content[12:])
    bench.deliver()
    assert bench.frames == [frame(100, 77)]
    bench.check()


def test_tags_pass_as_they_are_without_a_vlan(bench: Bench) -> None:
    tagged = frame(100)[:12] + b"\x81\x00\x00\x4d" + frame(100)[12:]
    bench.send(tagged)
    assert bench.model.sent == [tagged]
    bench.model.receive(tagged)
    bench.deliver()
    assert bench.frames == [tagged]


def test_the_card_takes_its_own_address_groups_and_others_only_if_asked(bench: Bench) -> None:
    group, others = bytes.fromhex("01005e000001"), bytes.fromhex("525242000099")
    for to in (MAC, b"\xff" * 6, group, others):
        bench.model.receive(frame(60, to=to))
    bench.card.set_promiscuous(True)
    bench.model.receive(frame(61, to=others))
    bench.card.set_promiscuous(False)
    bench.model.receive(frame(62, to=others))
    bench.card.set_mac(others)
    bench.model.receive(frame(63, to=others))
    bench.model.receive(frame(64, to=MAC))
    bench.deliver()
    assert [len(it) for it in bench.frames] == [60, 60, 60, 61, 63]
    with pytest.raises(ValueError, match="no hardware address"):
        bench.card.set_mac(group)


def test_address_and_filter_outlive_a_reset(bench: Bench) -> None:
    other = bytes.fromhex("525242000099")
    bench.card.set_mac(other)
    bench.card.set_promiscuous(True)
    bench.model.faults.append(Fault(Misdeed.LENGTH, 0xFFFF))
    bench.model.receive(frame(60))
    bench.deliver()
    assert bench.card.counters.resets == 1
    bench.model.receive(frame(70, to=other))
    bench.model.receive(frame(71, to=PEER))
    bench.deliver()
    assert bench.frames == [frame(70, to=other), frame(71, to=PEER)]


def test_counters_add_up_though_reading_clears_them(bench: Bench) -> None:
    for _ in range(3):
        bench.send(frame(60))
        bench.model.receive(frame(60))
        bench.card.statistics()
    found = bench.card.statistics()
    assert (found["GPTC"], found["GPRC"]) == (3, 3)


# -- what is committed and given back --------------------------------------------------------------


@pytest.mark.parametrize("lengths", [[13], [1519], [60, 13], [60, 0x1_0000], [-1], [60, 60, 1519]])
def test_lengths_that_cannot_be_are_refused(bench: Bench, lengths: list[int]) -> None:
    bench.card.slots(8)
    with pytest.raises(ValueError, match="a frame has 14 to 1518 bytes"):
        bench.card.commit(lengths)
    bench.send(frame(66))
    assert bench.model.sent == [frame(66)]


def test_more_than_there_is_cannot_be_committed_or_given_back(bench: Bench) -> None:
    with pytest.raises(ValueError, match="64 frames"):
        bench.card.commit([60] * 64)
    bench.reads = False
    bench.model.receive(frame(60))
    bench.deliver()
    assert len(bench.card.received(5)) == 1
    with pytest.raises(ValueError, match="2 frames"):
        bench.card.release(2)
    assert bytes(bench.card.received(5)[0]) == frame(60), "the same again until it is given back"


# -- starting --------------------------------------------------------------------------------------


def test_a_memory_that_does_not_add_up_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    words = [0x5452, 0x1200, 0x5634, *[0xFFFF] * 61]
    bench = Bench(words=words)
    bench.start()
    assert bench.card.mac == bytes.fromhex("525400123456")
    assert "add up" in caplog.text


def test_without_a_memory_the_address_is_the_cards_register() -> None:
    bench = Bench()
    bench.model._eerd = lambda value: 0  # type: ignore[method-assign]
    bench.start()
    assert bench.card.mac == MAC


@pytest.mark.parametrize("word", [0, 0xFFFF])
def test_a_card_without_any_address_is_refused(word: int) -> None:
    bench = Bench(words=[word] * 64)
    with pytest.raises(DeviceError, match="no hardware address"):
        bench.card.start()
    assert not bench.slot.config.bus_master


def test_a_reset_that_never_ends_is_an_error_after_its_deadline() -> None:
    bench = Bench()
    read = bench.model.read
    bench.model.read = lambda o, w: r.RST if o == r.CTRL else read(o, w)  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="RST=True"):
        bench.card.start()


def test_a_phy_that_does_not_answer_is_left_alone() -> None:
    bench = Bench()
    bench.model._mdic = lambda value: value  # type: ignore[method-assign]
    bench.start()
    bench.send(frame(60))
    assert bench.model.sent == [frame(60)]


def test_stop_sends_what_was_committed_and_leaves_the_bus(bench: Bench) -> None:
    for slot in bench.card.slots(1):
        slot[:60] = frame(60)
    bench.card.commit([60])
    bench.card.stop()
    assert bench.model.sent == [frame(60)]
    assert not bench.slot.config.bus_master
    assert bench.model[r.RCTL] == bench.model[r.TCTL] == bench.model[r.IMS] == 0
    bench.card.stop()
    bench.start()
    bench.send(frame(61))
    assert bench.model.sent[-1] == frame(61)


# -- after a kill ----------------------------------------------------------------------------------


def killed(bench: Bench) -> Card:
    """Let the driver be killed, and the shim quiesce the card."""
    bench.frames.clear()
    bench.open()
    return bench.card


def test_a_card_that_runs_is_taken_over_without_a_reset(bench: Bench) -> None:
    other = bytes.fromhex("525242000099")
    bench.card.set_mac(other)
    for number in range(70):
        bench.model.receive(frame(60, number, to=other))
        bench.deliver()
        bench.send(frame(60, number))
    resets = bench.model.resets
    card = killed(bench)
    for number in range(20):  # these go nowhere: the card is off the bus
        bench.model.receive(frame(70, number, to=other))
    bench.model.violations.clear()
    bench.start(inherited=True)
    assert bench.model.resets == resets
    assert (card.counters.adopted, card.mac, card.link) == (1, other, 1000)
    bench.model.sent.clear()
    for number in range(200):
        assert bench.model.receive(frame(80, number, to=other))
        bench.send(frame(81, number))
        bench.deliver()
    assert bench.frames == [frame(80, number, to=other) for number in range(200)]
    assert bench.model.sent == [frame(81, number) for number in range(200)]
    bench.pass_time(5)
    assert card.counters.resets == 0
    bench.check()


def test_a_card_that_has_something_to_send_is_reset(bench: Bench) -> None:
    bench.model.hangs = True
    bench.send(frame(60))
    card = killed(bench)
    bench.start(inherited=True)
    assert card.counters.adopted == 0
    assert bench.send(frame(62)) == 1
    assert bench.model.sent == [frame(62)]


@pytest.mark.parametrize(
    "register",
    [r.RCTL, r.TCTL, r.RDBAL, r.RDBAH, r.RDLEN, r.TDBAL, r.TDBAH, r.TDLEN, r.TDT, r.CTRL],
)
def test_a_card_that_is_not_as_it_was_told_is_reset(bench: Bench, register: int) -> None:
    card = killed(bench)
    bench.model._regs[register] = bench.model[register] ^ 0x40
    bench.start(inherited=True)
    assert card.counters.adopted == 0
    bench.model.receive(frame(60))
    bench.deliver()
    assert bench.frames == [frame(60)]


def test_an_inherited_promiscuous_mode_that_nobody_wants_ends(bench: Bench) -> None:
    bench.card.set_promiscuous(True)
    killed(bench)
    bench.start(inherited=True)
    assert bench.model[r.RCTL] & r.UPE
    bench.pass_time(3)
    assert not bench.model[r.RCTL] & r.UPE


def test_an_inherited_promiscuous_mode_that_is_asked_for_again_stays(bench: Bench) -> None:
    bench.card.set_promiscuous(True)
    card = killed(bench)
    bench.start(inherited=True)
    card.set_promiscuous(True)
    bench.pass_time(3)
    assert bench.model[r.RCTL] & r.UPE


def test_a_card_that_sends_and_does_not_say_so_is_reset_for_who_waits(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.NO_REPORT, times=1000))
    sent = bench.send(*[frame(60, number) for number in range(100)])
    assert len(bench.model.sent) == sent == 63
    assert list(bench.card.slots(1)) == []
    bench.pass_time(1)
    assert bench.rooms == 0
    bench.model.faults.clear()
    bench.pass_time(3)
    assert bench.rooms == 1
    assert bench.card.counters.resets == bench.card.counters.tx_hangs == 1
    assert bench.send(frame(61)) == 1
    assert bench.model.sent[63:] == [frame(61)]
    bench.check()
