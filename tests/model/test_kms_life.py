"""What of a screen outlives what: lent memory, pictures half drawn, canvases of another mode."""

from __future__ import annotations

import pytest
from kms_model import AR24, XR24, Model, Traits

from orbital.output import Layer
from orbital.outputs.kms import KmsOutput
from orbital.rect import Rect

WHOLE, SMALL = Rect(0, 0, 24, 16), Rect(0, 0, 16, 12)
RED, BLUE, GREEN = b"\x10\x20\xc0\xff", b"\xc0\x20\x10\xff", b"\x20\xc0\x10\xff"


class Timer:
    def __init__(self, when, callback):
        self.when, self.callback = when, callback

    def cancel(self):
        self.callback = None


class Clock:
    """A loop whose time is ours; what is due is done by `pass_time`."""

    def __init__(self):
        self.time, self.timers, self.due = 100.0, [], []

    def now(self):
        return self.time

    def at(self, when, callback):
        self.timers.append(Timer(when, callback))
        return self.timers[-1]

    def soon(self, callback):
        self.due.append(callback)

    def pass_time(self, seconds=0.1):
        self.time += seconds
        ripe = [timer for timer in self.timers if timer.when <= self.time]
        self.timers = [timer for timer in self.timers if timer.when > self.time]
        for timer in ripe:
            if timer.callback:
                timer.callback()
        while self.due:
            self.due.pop(0)()


class Screen:
    """A screen of the model, with pictures of one colour."""

    def __init__(self, **traits):
        self.model = Model(Traits(**traits))
        self.loop = Clock()
        self.output = KmsOutput(
            self.model, self.model.parts, self.model.connector(), True, self.loop
        )

    def draw(self, colour):
        """Fill a frame, with its padding; return it."""
        frame = self.output.begin()
        frame.pixels[:] = colour * (len(frame.pixels) // 4)
        return frame

    def show(self, colour, damage=None):
        self.draw(colour)
        self.output.present([Rect(0, 0, *self.output.size) if damage is None else damage])
        self.land()

    def land(self):
        """Let the card say that the flip is done, and time pass."""
        if self.model.pending:
            self.model.pending = False
            self.output.flipped()
        self.loop.pass_time()

    def colours(self):
        return {pixel for row in self.model.screen() for pixel in row}

    def lent(self, place, colour):
        buffer = self.output.lend(place.width, place.height)
        buffer.pixels[:] = colour * (len(buffer.pixels) // 4)
        return Layer(buffer, place, True)


def made(screen, layer):
    """Tell whether a lent buffer's frame buffer is there still."""
    return any(one[0].pixels is layer.buffer.pixels for one in screen.model.frame_buffers.values())


@pytest.fixture(params=["model", "virtio_gpu"])
def driver(request):
    return request.param


def shown_directly(driver):
    """Return a screen whose primary plane shows a window's own memory, and that."""
    shows = "memory" if driver == "model" else "copy"
    screen = Screen(driver=driver, shows=shows)
    screen.show(RED)
    layer = screen.lent(WHOLE, BLUE)
    assert screen.output.assign([layer]) == {0}
    screen.draw(RED)
    screen.output.present([WHOLE])
    return screen, layer


def test_memory_that_is_scanned_out_is_not_freed_when_it_is_given_back(driver):
    screen, layer = shown_directly(driver)
    screen.land()
    assert screen.colours() == {BLUE[:3]}
    screen.output.take_back(layer.buffer)
    assert made(screen, layer)
    screen.show(GREEN)
    assert screen.colours() == {GREEN[:3]}
    screen.land()
    assert not made(screen, layer)


def test_nor_when_the_flip_that_began_to_show_it_is_done_afterwards(driver):
    screen, layer = shown_directly(driver)
    screen.output.begin()  # somebody waits for the next picture
    screen.output.take_back(layer.buffer)
    screen.land()
    assert made(screen, layer)
    assert screen.colours() == {BLUE[:3]}
    screen.show(GREEN)
    screen.land()
    assert not made(screen, layer)


def test_memory_on_an_overlay_stays_until_another_picture_is_there():
    screen = Screen(overlays=(((1, 5), (XR24, AR24)),))
    screen.show(RED)
    layer = screen.lent(Rect(2, 2, 5, 5), BLUE)
    assert screen.output.assign([layer]) == {0}
    screen.show(RED)
    assert screen.colours() == {RED[:3], BLUE[:3]}
    screen.output.take_back(layer.buffer)
    assert made(screen, layer)
    screen.show(RED)
    screen.land()
    assert screen.colours() == {RED[:3]}
    assert not made(screen, layer)


@pytest.mark.parametrize(
    "traits", [{"driver": "virtio_gpu"}, {"clips": True}], ids=["DIRTYFB", "FB_DAMAGE_CLIPS"]
)
def test_a_card_that_shows_a_copy_is_told_of_what_was_stale_as_well(traits):
    screen = Screen(shows="copy", **traits)
    for _ in range(2):
        screen.show(RED)
    screen.output.present([WHOLE])  # of a picture that nobody had begun: all is to be drawn anew
    screen.land()
    for _ in range(2):
        assert screen.output.begin().stale == (WHOLE,)
        screen.show(BLUE, Rect(3, 3, 2, 2))
        assert screen.colours() == {BLUE[:3]}
        if "clips" not in traits:
            return


def test_a_picture_begun_in_another_mode_is_not_shown(driver):
    screen = Screen(driver=driver, shows="memory" if driver == "model" else "copy")
    screen.show(RED)
    before = screen.model.shown()
    screen.draw(BLUE)
    screen.output.set_mode(*SMALL[2:])
    screen.output.present([WHOLE])
    screen.land()
    assert (screen.model.size, screen.model.shown()) == (WHOLE[2:], before)
    frame = screen.draw(GREEN)
    assert (len(frame.pixels), frame.stale) == (16 * 12 * 4, (SMALL,))
    screen.output.present([Rect(0, 0, 1, 1)])
    screen.land()
    assert screen.model.size == SMALL[2:]
    assert screen.colours() == {GREEN[:3]}
    screen.output.close()
    assert not screen.model.frame_buffers


def test_nor_one_that_was_shown_before_when_the_screen_comes_back(driver):
    screen = Screen(driver=driver, shows="memory" if driver == "model" else "copy")
    screen.show(RED)
    screen.output.set_mode(*SMALL[2:])
    screen.output.release()
    before = screen.model.shown()
    screen.output.acquire()
    assert screen.model.shown() == before
    screen.show(GREEN)
    assert (screen.model.size, screen.colours()) == (SMALL[2:], {GREEN[:3]})
