"""ihdad under clients that come when they please: all is heard, once, in order, no more."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from ihdad_bench import Bench

from redbear_host.classes.soundcard import FRAMES
from redbear_host.models.hda import Fault, Misdeed

# How long nobody writes, in milliseconds; how many are written then; whether an end is announced.
VISITS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 5), st.booleans()), min_size=1, max_size=25
)
# What goes wrong without a reset: at which visit, and what.
MISDEEDS = st.dictionaries(
    st.integers(0, 25),
    st.sampled_from([Misdeed.LOSE_INTERRUPT, Misdeed.FIFO_ERROR, Misdeed.UNTOLD]),
    max_size=5,
)


def visit(bench: Bench, visits: list[tuple[int, int, bool]], misdeeds: dict[int, Misdeed]) -> None:
    for number, (wait, count, ends) in enumerate(visits):
        if number in misdeeds:
            bench.model.faults.append(Fault(misdeeds[number]))
        bench.pass_time(wait / 1000)
        left = count
        for _ in range(200):
            left -= bench.write(left)
            if not left:
                break
            bench.pass_time(0.001)
        assert not left, "there was no room for 200 ms"
        if ends:
            bench.card.finish()
    bench.pass_time(0.2)


@settings(deadline=None, max_examples=40)
@given(visits=VISITS, misdeeds=MISDEEDS)
def test_everything_is_heard_once_and_in_order_whenever_it_is_written(
    visits: list[tuple[int, int, bool]], misdeeds: dict[int, Misdeed]
) -> None:
    bench = Bench()
    bench.start()
    visit(bench, visits, misdeeds)
    assert bench.heard_sound == list(range(bench.next))
    assert bench.card.written == bench.card.played == bench.next * FRAMES
    assert bench.card.statistics()["DRIVER_RESETS"] == 0
    bench.check()


@settings(deadline=None, max_examples=40)
@given(visits=VISITS, when=st.integers(0, 25), what=st.sampled_from(list(Misdeed)))
def test_whatever_goes_wrong_the_rest_is_heard_in_order_and_the_books_are_right(
    visits: list[tuple[int, int, bool]], when: int, what: Misdeed
) -> None:
    bench = Bench()
    bench.start()
    for number, (wait, count, ends) in enumerate(visits):
        if number == when:
            times = 700 if what in (Misdeed.STALL, Misdeed.POSITION) else 1
            bench.model.faults.append(Fault(what, 0xFFFF_FFF0, times))
        bench.pass_time(wait / 1000)
        bench.write(count)
        if ends:
            bench.card.finish()
    bench.pass_time(1.5)
    heard = bench.heard_sound
    assert heard == sorted(set(heard))
    lost = bench.next - len(heard)
    assert lost <= 3 * bench.card.statistics()["DRIVER_RESETS"]
    assert bench.card.written == bench.card.played == bench.next * FRAMES
    bench.check()
