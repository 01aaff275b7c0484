"""Which layers go to planes: the cases a random search seldom meets."""

from __future__ import annotations

from orbital.output import Buffer, Layer
from orbital.outputs.assignment import (
    BLENDED,
    NOTHING,
    OPAQUE,
    Heights,
    Sheet,
    Stack,
    assign,
)
from orbital.rect import Rect

BOTH = frozenset({OPAQUE, BLENDED})
WHOLE = Rect(0, 0, 100, 80)


def layer(key, place, opaque=True):
    return Layer(Buffer(-1, memoryview(b""), 0, place.width, place.height, key), place, opaque)


def stack(*heights, ceiling=None, formats=BOTH):
    overlays = [Sheet(10 + n, formats, one and Heights(*one)) for n, one in enumerate(heights)]
    return Stack((100, 80), Sheet(1, frozenset({OPAQUE}), None), overlays, ceiling)


def yes(plan):
    return True


def test_planes_whose_order_is_unknown_never_overlap():
    above, below = layer(1, Rect(0, 0, 50, 50)), layer(2, Rect(40, 40, 50, 40))
    beside = layer(3, Rect(60, 0, 10, 10))
    plan = assign([above, below, beside], stack(None, None, None), {1, 2, 3}, yes)
    assert plan.layers == {0, 2}


def test_a_layer_above_is_on_a_higher_plane():
    layers = [layer(1, Rect(0, 0, 50, 50)), layer(2, Rect(10, 10, 50, 50))]
    plan = assign(layers, stack((1, 1), (2, 2)), {1, 2}, yes)
    assert [(shown.layer, shown.sheet, shown.height) for shown in plan.overlays] == [
        (0, 11, 2), (1, 10, 1),
    ]  # fmt: skip


def test_a_window_that_covers_the_screen_takes_the_frames_place():
    assert assign([layer(1, WHOLE)], stack(), {1}, yes).direct == 0
    assert assign([layer(1, WHOLE, opaque=False)], stack(), {1}, yes) == NOTHING
    assert assign([layer(1, WHOLE._replace(x=1))], stack(), {1}, yes) == NOTHING
    assert assign([layer(1, WHOLE)], stack(), {2}, yes) == NOTHING  # another screen's memory


def test_what_lies_on_such_a_window_has_to_be_on_overlays():
    layers = [layer(1, Rect(5, 5, 9, 9), opaque=False), layer(2, WHOLE)]
    plan = assign(layers, stack((1, 3)), {1, 2}, yes)
    assert (plan.direct, [shown.layer for shown in plan.overlays]) == (1, [0])
    assert plan.overlays[0].format == BLENDED
    assert assign(layers, stack(), {1, 2}, yes) == NOTHING
    assert assign(layers, stack((1, 3), formats=frozenset({OPAQUE})), {1, 2}, yes).direct is None


def test_a_layer_below_one_that_stays_in_the_frame_stays_there_too():
    layers = [layer(1, Rect(0, 0, 20, 20)), layer(2, Rect(10, 10, 20, 20))]
    plan = assign(layers, stack((1, 1), (2, 2)), {2}, yes)
    assert plan == NOTHING


def test_overlays_stay_below_the_cursor():
    plan = assign([layer(1, Rect(0, 0, 20, 20))], stack((1, 9), ceiling=4), {1}, yes)
    assert plan.overlays[0].height == 3
    assert assign([layer(1, Rect(0, 0, 20, 20))], stack((4, 9), ceiling=4), {1}, yes) == NOTHING


def test_a_place_beside_the_screen_is_clipped():
    (shown,) = assign([layer(1, Rect(-5, 70, 20, 20))], stack((1, 1)), {1}, yes).overlays
    assert (shown.place, shown.x, shown.y) == (Rect(0, 70, 15, 10), 5, 0)
    assert assign([layer(1, Rect(100, 0, 9, 9))], stack((1, 1)), {1}, yes) == NOTHING


def test_another_plane_is_tried_where_the_card_refuses_one():
    plan = assign(
        [layer(1, Rect(0, 0, 20, 20))], stack((1, 1), (2, 2)), {1},
        lambda plan: all(shown.sheet != 11 for shown in plan.overlays),
    )  # fmt: skip
    assert [shown.sheet for shown in plan.overlays] == [10]


def test_a_card_that_refuses_everything_is_not_asked_for_ever():
    asked = []
    layers = [layer(n, Rect(n, n, 5, 5)) for n in range(40)]
    sheets = stack(*[(n, n) for n in range(1, 30)])

    def no(plan):
        asked.append(plan)
        return False

    assert assign(layers, sheets, range(40), no) == NOTHING
    assert len(asked) <= 32
