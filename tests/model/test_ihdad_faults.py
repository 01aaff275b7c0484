"""ihdad on a modelled controller: as it should be, and one fault at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ihdad_bench import PERIOD, Bench, sub_buffer

from daemons.ihdad.driver import Card, State, Wishes
from redbear_host.classes.soundcard import AHEAD, BUFFER, FRAMES
from redbear_host.errors import ConfigError, DeviceError, Gone, Stuck
from redbear_host.models.hda import CodecModel, Fault, Misdeed, NodeModel
from redbear_host.models.hda.codec import (
    ALL_RATES,
    MIXER,
    OUTPUT,
    PIN,
    SELECTOR,
    STEREO,
    desktop,
    laptop,
)

NO_44100 = 0x0002_0040  # 48000 Hz, 16 bits


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.start()
    return bench


def started(*codecs: CodecModel) -> Bench:
    bench = Bench(dict(enumerate(codecs)))
    bench.start()
    return bench


# -- as it should be -------------------------------------------------------------------------------


def test_what_is_written_is_heard_once_and_in_order(bench: Bench) -> None:
    bench.pass_time(1.0, feed=True)
    heard = bench.heard_sound
    assert heard == list(range(len(heard)))
    assert 84 <= len(heard) <= 86
    assert bench.heard[: len(heard)] == heard, "silence came in between"
    counts = bench.card.statistics()
    assert counts["underruns"] == counts["silence"] == 0, counts
    assert counts["DRIVER_LATE_INTERRUPTS"] == counts["DRIVER_NONSENSE"] == 0, counts
    bench.check()


def test_a_codec_that_falls_silent_does_not_silence_the_others() -> None:
    bench = Bench({0: laptop(), 1: laptop()})
    (_, silent) = bench.model.codecs.values()
    answer = silent.answer

    def until_sensed(node: int, verb: int, payload: int) -> int:
        if verb == 0xF09:
            bench.model.codecs.pop(1, None)
        return answer(node, verb, payload)

    silent.answer = until_sensed  # type: ignore[method-assign]
    bench.start()
    assert list(bench.model.codecs) == [0]
    bench.pass_time(0.5, feed=True)
    assert len(bench.heard_sound) > 40


@pytest.mark.parametrize("inputs", [0, 1, 14, 15])
def test_with_however_many_inputs_sound_goes_out(inputs: int) -> None:
    bench = Bench(inputs=inputs)
    bench.start()
    bench.pass_time(0.5, feed=True)
    assert len(bench.heard_sound) > 40
    bench.card.record(True)
    bench.pass_time(0.2, feed=True)
    assert bool(bench.recorded) is (inputs > 0)
    bench.check()


def test_three_sub_buffers_are_ahead_and_not_one_more(bench: Bench) -> None:
    assert bench.write(10) == AHEAD
    assert bench.card.room() == 0
    bench.pass_time(1.1 * PERIOD)
    assert bench.card.room() == 1
    assert bench.card.written - bench.card.played == 2 * FRAMES


def test_a_short_sound_begins_soon_and_is_followed_by_silence_not_by_itself(bench: Bench) -> None:
    bench.write(1)
    bench.pass_time(0.6)
    assert bench.heard[0] == 0
    assert bench.heard_sound == [0]
    assert bench.card.statistics()["underruns"] == 1
    assert bench.card.played == bench.card.written == FRAMES


def test_an_end_that_was_announced_is_no_underrun_and_begins_at_once(bench: Bench) -> None:
    bench.write(2)
    bench.card.finish()
    bench.pass_time(0.1)
    assert bench.heard_sound == [0, 1]
    assert bench.card.statistics()["underruns"] == 0


def test_after_a_silence_the_next_sound_comes_whole(bench: Bench) -> None:
    for gap in (0.03, 0.041, 0.2, 0.5, 0.058):
        before = bench.heard_sound
        bench.write(2)
        bench.card.finish()
        bench.pass_time(4 * PERIOD + gap)
        assert bench.heard_sound == [*before, bench.next - 2, bench.next - 1]
    bench.check()


def test_a_long_silence_stops_the_stream_and_the_next_sound_starts_it(bench: Bench) -> None:
    bench.write(1)
    bench.pass_time(1.0)
    played = len(bench.model.heard)
    bench.pass_time(0.5)
    assert len(bench.model.heard) == played
    bench.write(3)
    bench.pass_time(0.1)
    assert bench.heard_sound == [0, 1, 2, 3]
    bench.check()


def test_what_comes_in_is_recorded_in_order() -> None:
    bench = started(desktop())
    assert bench.card.capture_rate == 44100
    bench.card.record(True)
    bench.pass_time(0.5)
    bench.card.record(False)
    count = len(bench.recorded)
    assert 40 * BUFFER <= count <= 43 * BUFFER
    assert bench.recorded == bytes(it % 251 for it in range(count))
    bench.pass_time(0.1)
    assert len(bench.recorded) == count
    bench.check()


def test_the_ring_goes_round_and_round_while_both_ways_are_used(bench: Bench) -> None:
    bench.card.record(True)
    bench.pass_time(1.5, feed=True)
    assert bench.heard_sound == list(range(len(bench.heard_sound)))
    assert bench.recorded == bytes(it % 251 for it in range(len(bench.recorded)))
    assert len(bench.recorded) > 64 * BUFFER
    bench.check()


def test_a_card_that_knows_48000_only_says_so() -> None:
    codec = desktop()
    codec.nodes[2].parameters[0x0A] = NO_44100
    bench = started(codec)
    assert (bench.card.rate, bench.card.capture_rate) == (48000, 48000)
    assert codec.nodes[2].format == 0x0011
    bench.pass_time(0.5, feed=True)
    assert bench.heard_sound == list(range(len(bench.heard_sound)))
    assert len(bench.heard_sound) >= 45


def test_sound_is_let_through_without_gain() -> None:
    codec = desktop()
    started(codec)
    out, jack, into, line = (codec.nodes[number] for number in (2, 3, 4, 5))
    assert (out.format, jack.control, line.control) == (0x4011, 0x40, 0x20)
    assert out.gains == {(True, True, 0): 0x4A, (True, False, 0): 0x4A}
    assert into.gains == {(False, True, 0): 0x4A, (False, False, 0): 0x4A}
    assert out.stream >> 4 != into.stream >> 4 != 0


def test_a_successor_begins_clean_in_whatever_state_it_finds_the_card(bench: Bench) -> None:
    bench.pass_time(0.2, feed=True)
    bench.open()
    bench.start()
    first = bench.next
    bench.model.heard.clear()
    bench.pass_time(0.3, feed=True)
    heard = bench.heard_sound
    assert heard == list(range(first, first + len(heard)))
    assert len(heard) > 20
    bench.check()


def test_stop_plays_what_was_written_and_switches_off(bench: Bench) -> None:
    bench.write(2)
    pause = bench.clock.pause

    def pass_time(seconds: float) -> None:
        pause(seconds)
        bench.model.run(seconds)

    bench.clock.pause = pass_time  # type: ignore[method-assign]
    bench.card.stop()
    assert bench.heard_sound == [0, 1]
    assert not bench.slot.config.bus_master
    assert bench.card.room() == 0


# -- codecs, ways and jacks ------------------------------------------------------------------------


def test_a_laptops_headphones_mute_its_speakers_and_let_them_go_again() -> None:
    codec = laptop()
    bench = started(codec)
    speaker, phones = codec.nodes[0x14], codec.nodes[0x21]
    assert (speaker.control, phones.control) == (0x40, 0xC0)
    assert speaker.eapd == 2
    assert "0x14 Speaker fixed on" in bench.card.jacks()
    bench.model.plug_in(0, 0x21, True)
    bench.pass_time(0.2)
    assert (speaker.control, phones.control) == (0, 0xC0)
    assert bench.card.jacks().splitlines()[:2] == [
        "0 0x14 Speaker fixed muted",
        "0 0x21 HP Out plugged on",
    ]
    assert bench.jacks == 1
    bench.model.plug_in(0, 0x21, False)
    bench.pass_time(0.2)
    assert speaker.control == 0x40
    assert bench.jacks == 2
    bench.check()


def test_a_microphone_that_is_plugged_in_is_recorded_from() -> None:
    codec = laptop()
    bench = started(codec)
    assert "0x12 Mic fixed recorded" in bench.card.jacks()
    assert codec.nodes[0x23].selected == 1
    bench.model.plug_in(0, 0x18, True)
    bench.pass_time(0.2)
    assert "0x18 Mic plugged recorded" in bench.card.jacks()
    assert codec.nodes[0x23].selected == 0
    assert codec.nodes[0x18].control == 0x24  # in, 80 % of the reference voltage


def test_other_inputs_of_a_mixer_are_muted() -> None:
    codec = laptop()
    started(codec)
    gains = codec.nodes[0x0C].gains
    assert gains[False, True, 0] == 0x17 == gains[False, False, 0]
    assert gains[False, True, 1] == gains[False, False, 1] == 0x80


def test_jacks_that_do_not_tell_are_asked() -> None:
    codec = laptop()
    codec.nodes[0x21].caps &= ~(1 << 7)
    bench = started(codec)
    codec.nodes[0x21].present = True
    bench.pass_time(1.2)
    assert codec.nodes[0x14].control == 0


def test_pins_that_firmware_has_wrong_are_what_the_user_says() -> None:
    codec = laptop()
    codec.nodes[0x14].configuration = 0x4000_0000  # nothing there
    bench = Bench({0: codec}, Wishes("0:0x14=0x90170110"))
    assert "0x14 Speaker" in bench.start().jacks()
    with pytest.raises(ConfigError, match="pins"):
        Bench(wishes=Wishes("0x14=1"))


def test_the_codec_with_the_best_way_is_heard_and_all_are_shown() -> None:
    digital = CodecModel(
        {
            2: NodeModel(OUTPUT, STEREO | 1 << 9),
            3: NodeModel(PIN, connections=[2], parameters={0x0C: 0x94}, configuration=0x1856_0010),
        },
        vendor=0x8086_2809,
    )
    bench = started(digital, desktop())
    assert bench.card.codecs() == [0, 1]
    assert bench.card.jacks().startswith("1 0x03 Line Out")
    assert "Vendor Id: 0x80862809" in bench.card.codec_text(0)
    alone = CodecModel(digital.nodes, vendor=0x8086_2809)
    assert started(alone).card.jacks() == "0 0x03 Digital Out unplugged on\n"
    assert alone.nodes[2].digital == 1


def test_long_lists_and_ranges_are_understood() -> None:
    nodes = {
        0x02: NodeModel(OUTPUT),
        0x10: NodeModel(SELECTOR, connections=[0x20, 0x8025, 0x02], long=True),
        0x11: NodeModel(
            PIN, connections=[0x10], parameters={0x0C: 0x10}, configuration=0x0101_4010
        ),
    }
    codec = CodecModel(nodes)
    text = started(codec).card.codec_text(0)
    assert "  Connection: 7\n     0x20 0x21 0x22 0x23 0x24 0x25 0x02*\n" in text
    assert nodes[0x10].selected == 6


def test_lists_that_lead_in_circles_are_walked_once() -> None:
    nodes = {
        0x02: NodeModel(OUTPUT),
        0x03: NodeModel(MIXER, connections=[0x04, 0x03, 0x05]),
        0x04: NodeModel(SELECTOR, connections=[0x03, 0x04, 0x05]),
        0x05: NodeModel(MIXER, connections=[0x04, 0x03, 0x06]),
        0x06: NodeModel(PIN, connections=[0x03, 0x02], parameters={0x0C: 0x10}),
    }
    bench = started(CodecModel(nodes))
    bench.pass_time(0.1, feed=True)
    assert bench.heard_sound[:3] == [0, 1, 2]
    circle = {number: replace(node) for number, node in nodes.items() if number > 2}
    circle[6] = NodeModel(PIN, connections=[3], parameters={0x0C: 0x10})
    with pytest.raises(DeviceError, match="no codec has a way out"):
        started(CodecModel(circle))


@pytest.mark.parametrize("length", [0x7F, 0x40])
def test_a_list_that_is_longer_than_it_is_harms_nobody(length: int) -> None:
    codec = desktop()
    codec.nodes[3].length = length
    bench = started(codec)
    bench.pass_time(0.1, feed=True)
    assert bench.heard_sound[:3] == [0, 1, 2]


def test_a_codec_that_makes_no_sense_is_left_out() -> None:
    mad = desktop()
    mad.vendor = 0xFFFF_FFFF
    huge = CodecModel({2: NodeModel(MIXER, connections=[0, 0xFFFF], long=True)})
    bench = started(mad, huge, desktop())
    assert bench.card.codecs() == [2]


# -- faults ----------------------------------------------------------------------------------------


def fed(bench: Bench, seconds: float = 0.5) -> list[int]:
    """Go on playing; return what is heard of what is written from now on."""
    bench.pass_time(0.05)
    bench.model.heard.clear()
    first = bench.next
    bench.pass_time(seconds, feed=True)
    heard = bench.heard_sound
    assert heard == list(range(heard[0], heard[0] + len(heard)))
    assert heard[0] == first
    return heard


def test_lost_interrupts_are_made_up_for_by_ticks(bench: Bench) -> None:
    bench.deaf = True
    assert len(fed(bench, 1.0)) > 80
    counts = bench.card.statistics()
    assert counts["DRIVER_LATE_INTERRUPTS"] > 10
    assert counts["DRIVER_RESETS"] == 0


def test_one_lost_interrupt_is_not_noticed(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.LOSE_INTERRUPT))
    assert len(fed(bench)) > 40


@pytest.mark.parametrize("misdeed", [Misdeed.STUCK_INTERRUPT, Misdeed.STUCK_CAUSE])
def test_an_interrupt_that_is_stuck_is_given_up_and_the_card_polled(
    bench: Bench, misdeed: Misdeed
) -> None:
    bench.model.faults.append(Fault(misdeed))
    assert len(fed(bench)) > 40
    assert bench.card.statistics()["DRIVER_VAIN_INTERRUPTS"] > 200
    before = bench.interrupts
    bench.pass_time(0.2, feed=True)
    assert bench.interrupts == before


@pytest.mark.parametrize("misdeed", [Misdeed.STALL, Misdeed.DESCRIPTOR_ERROR])
def test_a_stream_that_stops_is_reset_and_goes_on_with_what_was_not_begun(
    bench: Bench, misdeed: Misdeed
) -> None:
    bench.pass_time(0.3, feed=True)
    bench.model.faults.append(Fault(misdeed, times=1 if misdeed is not Misdeed.STALL else 620))
    bench.pass_time(1.5, feed=True)
    counts = bench.card.statistics()
    assert counts["DRIVER_RESETS"] == 1, counts
    heard = bench.heard_sound
    assert heard == sorted(heard)
    missing = set(range(heard[-1])) - set(heard)
    assert len(missing) <= 1, missing
    assert counts["DRIVER_LOST"] <= 1
    bench.check()


def test_a_fifo_error_is_counted_and_nothing_else(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.FIFO_ERROR, times=3))
    assert len(fed(bench)) > 40
    counts = bench.card.statistics()
    assert (counts["DRIVER_FIFO_ERRORS"], counts["DRIVER_RESETS"]) == (3, 0)


@pytest.mark.parametrize("position", [0x10001, 0xFFFF_FFFF, 0x8000_0000])
def test_a_position_beyond_the_ring_is_not_believed(bench: Bench, position: int) -> None:
    bench.model.faults.append(Fault(Misdeed.POSITION, position, times=2))
    assert len(fed(bench)) > 40
    assert bench.card.statistics()["DRIVER_RESETS"] == 0


def test_positions_that_stay_beyond_the_ring_end_in_a_reset(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.POSITION, 0xFFFF_FFFF, times=120))
    bench.pass_time(1.0, feed=True)
    counts = bench.card.statistics()
    assert counts["DRIVER_NONSENSE"] >= 3
    assert 1 <= counts["DRIVER_RESETS"] <= 5
    assert len(fed(bench)) > 40


def test_a_position_buffer_that_is_not_written_is_not_looked_at(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.UNTOLD, times=1 << 30))
    assert len(fed(bench, 1.0)) > 80
    assert bench.card.statistics()["DRIVER_RESETS"] == 0


def test_a_hung_ring_is_started_again() -> None:
    bench = Bench()
    bench.model.faults.append(Fault(Misdeed.STUCK_CORB, times=1))
    bench.start()
    assert bench.card.statistics()["DRIVER_RING_RESTARTS"] == 1
    assert len(fed(bench)) > 40


def test_a_ring_that_stays_hung_gives_way_to_single_commands() -> None:
    codec = laptop()
    bench = Bench({0: codec})
    bench.model.faults.append(Fault(Misdeed.STUCK_CORB, times=1 << 30))
    bench.start()
    assert len(fed(bench)) > 40
    codec.nodes[0x21].present = True  # nobody can tell that unasked
    bench.pass_time(1.2)
    assert codec.nodes[0x14].control == 0


@pytest.mark.parametrize("misdeed", [Misdeed.NO_ANSWER, Misdeed.WRONG_CODEC])
def test_an_answer_that_is_lost_is_asked_for_again(misdeed: Misdeed) -> None:
    bench = Bench()
    bench.model.faults.append(Fault(misdeed))
    bench.start()
    assert bench.card.statistics()["DRIVER_RING_RESTARTS"] == 1
    assert len(fed(bench)) > 40


@pytest.mark.parametrize("value", [0, 0xFFFF_FFFF, 0x5555_5555, 0xAAAA_AAAA, 0x7F])
@pytest.mark.parametrize("after", [0, 3, 8, 13, 21])
def test_garbage_for_answers_ends_in_an_error_or_in_sound_never_in_a_loop(
    value: int, after: int
) -> None:
    bench = Bench({0: laptop()})
    bench.model.faults.append(Fault(Misdeed.GARBAGE, 0, times=0))
    real = bench.model._do

    def lie(command: int) -> int:
        if bench.model.asked >= after:
            bench.model.faults[0] = Fault(Misdeed.GARBAGE, value, times=1)
        return real(command)

    bench.model._do = lie  # type: ignore[method-assign]
    try:
        bench.start()
    except DeviceError:
        assert not bench.slot.config.bus_master
    else:
        bench.pass_time(0.05, feed=True)
    assert bench.model.asked < 200_000


def test_a_controller_that_stays_in_reset_is_stuck() -> None:
    bench = Bench()
    bench.model.faults.append(Fault(Misdeed.HELD_IN_RESET, times=1 << 30))
    with pytest.raises(Stuck, match="GCTL"):
        bench.start()
    assert not bench.slot.config.bus_master


def test_a_link_with_nobody_on_it_is_an_error() -> None:
    bench = Bench()
    bench.model.faults.append(Fault(Misdeed.NO_CODECS))
    with pytest.raises(DeviceError, match="no codec has come"):
        bench.start()


def test_a_codec_that_never_answers_is_an_error() -> None:
    bench = Bench()
    bench.model.faults.append(Fault(Misdeed.DEAF, times=1 << 30))
    with pytest.raises(DeviceError, match="no codec has a way out"):
        bench.start()


def test_a_codec_that_answers_all_but_too_late_holds_nobody_up() -> None:
    bench = Bench({number: laptop() for number in range(8)})
    real = bench.model._do

    def late(command: int) -> int:
        bench.clock.pause(0.04)
        return real(command)

    bench.model._do = late  # type: ignore[method-assign]
    began = bench.clock.now()
    bench.start()
    assert len(bench.card.codecs()) < 8
    assert bench.clock.now() - began < 15


def test_a_card_that_is_not_there_is_gone(bench: Bench) -> None:
    bench.write(3)
    bench.model.vanish()
    bench.pass_time(0.1)
    assert bench.card.state is State.GONE
    assert bench.card.gone
    assert (bench.card.room(), bench.card.written) == (0, bench.card.played)
    bench.card.stop()
    with pytest.raises(Gone):
        Card(bench.function, bench.clock, Wishes()).start()


def test_a_card_that_resets_do_not_help_is_left_alone_and_tried_again(bench: Bench) -> None:
    bench.model.faults.append(Fault(Misdeed.STALL, times=1 << 30))
    bench.pass_time(8.0, feed=True)
    assert bench.card.failed
    assert bench.card.statistics()["DRIVER_RESETS"] == 6
    assert bench.card.written == bench.card.played
    bench.model.faults.clear()
    bench.clock.pause(30)
    bench.pass_time(1.1)
    assert not bench.card.failed
    assert len(fed(bench)) > 40
    bench.check()


def test_a_reset_in_the_middle_of_recording_goes_on_recording(bench: Bench) -> None:
    bench.card.record(True)
    bench.pass_time(0.2)
    bench.model.faults.append(Fault(Misdeed.DESCRIPTOR_ERROR))
    bench.pass_time(0.2)
    assert bench.card.statistics()["DRIVER_RESETS"] == 1
    before = len(bench.recorded)
    bench.pass_time(0.2)
    assert len(bench.recorded) - before > 14 * BUFFER


def test_who_does_not_read_in_time_loses_the_oldest(bench: Bench) -> None:
    bench.card.on_recorded = lambda: None
    bench.card.record(True)
    bench.pass_time(1.0)
    assert bench.card.statistics()["DRIVER_CAPTURE_LOST"] > 50
    bench._take()
    assert 20 * BUFFER < len(bench.recorded) < 32 * BUFFER


def test_a_way_needs_no_more_than_what_converters_can() -> None:
    codec = desktop()
    codec.nodes[2].parameters[0x0A] = 0x0001_07F0  # 8 bits only
    with pytest.raises(DeviceError, match="no codec has a way out"):
        started(codec)
    assert ALL_RATES & 1 << 17
    assert sub_buffer(0) != sub_buffer(1)
