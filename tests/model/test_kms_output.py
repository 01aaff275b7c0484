"""A small compositor draws on `KmsOutput` over the card model: the screen is always the desktop."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from kms_model import AR24, CRTC, XR24, Model, Traits

from orbital.output import Layer
from orbital.outputs.kms import KmsOutput
from orbital.rect import Rect

BACKGROUND = b"\x11\x22\x33"


class Clock:
    """A loop whose time is ours."""

    class Timer:
        def __init__(self, when, callback):
            self.when, self.callback = when, callback

        def cancel(self):
            self.callback = None

    def __init__(self):
        self.time, self.timers, self.due = 100.0, [], []

    def now(self):
        return self.time

    def at(self, when, callback):
        timer = self.Timer(when, callback)
        self.timers.append(timer)
        return timer

    def soon(self, callback):
        self.due.append(callback)

    def run(self, until):
        while True:
            while self.due:
                self.due.pop(0)()
            ripe = [timer for timer in self.timers if timer.when <= until and timer.callback]
            if not ripe:
                self.time = until
                return
            first = min(ripe, key=lambda timer: timer.when)
            self.timers.remove(first)
            self.time = max(self.time, first.when)
            first.callback()


class Window:
    """A picture with a place; in memory of the screen's card if it was lent some."""

    def __init__(self, output, place, opaque, lent):
        self.place, self.opaque, self.version = place, opaque, 0
        self.buffer = output.lend(place.width, place.height) if lent else None
        size = place.width * place.height * 4
        self.pixels = self.buffer.pixels if self.buffer else memoryview(bytearray(size))

    def draw(self, part, colour):
        for y in range(part.y, part.bottom):
            for x in range(part.x, part.right):
                at = (y * self.place.width + x) * 4
                hole = not self.opaque and (x + y) % 3 == 0
                self.pixels[at : at + 4] = bytes(4) if hole else colour + b"\xff"

    def pixel(self, x, y):
        at = ((y - self.place.y) * self.place.width + x - self.place.x) * 4
        return bytes(self.pixels[at : at + 3]) if self.opaque or self.pixels[at + 3] else None


class Compositor:
    """Draws what is asked for and nothing else."""

    def __init__(self, output, model):
        self.output, self.model = output, model
        self.windows = []  # topmost first
        self.damage = []
        output.on_ready = self.work
        output.on_changed = self.everything

    def everything(self):
        self.damage = [Rect(0, 0, *self.output.size)]
        self.work()

    def layers(self):
        """Return lent windows over which nothing lies but other such."""
        drawn, found = [], []
        for window in self.windows:
            if window.buffer and not any(window.place & rect for rect in drawn):
                found.append((window, Layer(window.buffer, window.place, window.opaque)))
            else:
                drawn.append(window.place)
        return found

    def work(self):
        if not self.damage:
            return
        candidates = self.layers()
        taken = self.output.assign([layer for _, layer in candidates])
        gone = {id(candidates[index][0]) for index in taken}
        frame = self.output.begin()
        if frame is None:
            return
        for rect in [*self.damage, *frame.stale]:
            self.paint(frame, rect & Rect(0, 0, *self.output.size), gone)
        damage, self.damage = self.damage, []
        self.output.present(damage)

    def paint(self, frame, rect, gone):
        for y in range(rect.y, rect.bottom):
            for x in range(rect.x, rect.right):
                at = y * frame.stride + x * 4
                frame.pixels[at : at + 3] = self.colour(x, y, gone)

    def colour(self, x, y, gone=()):
        for window in self.windows:
            if window.place.holds(x, y) and id(window) not in gone:
                colour = window.pixel(x, y)
                if colour is not None:
                    return colour
        return BACKGROUND

    def desktop(self):
        width, height = self.output.size
        return [[self.colour(x, y) for x in range(width)] for y in range(height)]


PLACES = st.builds(
    Rect, st.integers(-4, 20), st.integers(-4, 14), st.integers(1, 14), st.integers(1, 12)
)
WHOLE = st.just(Rect(0, 0, 24, 16))
FORMATS = st.sampled_from([(XR24, AR24), (XR24,), (AR24,)])
HEIGHTS = st.sampled_from([None, (1, 1), (2, 2), (3, 3), (1, 5), (0, 4), (2, 9)])
OVERLAYS = st.lists(
    st.tuples(HEIGHTS, FORMATS), min_size=1, max_size=4,
    unique_by=lambda one: one[0] if one[0] and one[0][0] == one[0][1] else object(),
).filter(lambda found: len({heights is None for heights, _ in found}) < 2)  # fmt: skip
TRAITS = st.builds(
    Traits,
    driver=st.sampled_from(["model", "model", "virtio_gpu"]),
    overlays=OVERLAYS.map(tuple),
    at_once=st.sampled_from([9, 9, 9, 2, 1]),
    narrowest=st.sampled_from([0, 0, 0, 6]),
    lies=st.sampled_from([False, False, True]),
    clips=st.booleans(),
    shows=st.sampled_from(["memory", "copy"]),
    cursor_height=st.sampled_from([None, None, 5, 20]),
).map(
    lambda traits: (
        traits if traits.driver == "model" else Traits(driver=traits.driver, shows="copy")
    )
)


class Screens(RuleBasedStateMachine):
    """Windows come, move, draw, go; the screen goes to others and comes back; events get lost."""

    @initialize(traits=TRAITS)
    def start(self, traits):
        self.model = Model(traits)
        self.loop = Clock()
        model = self.model
        self.output = KmsOutput(model, model.parts, model.connector(), True, self.loop)
        self.compositor = Compositor(self.output, model)
        self.colours = 0
        self.lossy = False
        self.compositor.everything()
        self.settle()

    def settle(self):
        """Let the compositor draw until nothing is left to draw, at most for ten pictures."""
        for _ in range(10):
            if self.model.pending and not self.lossy:
                self.model.pending = False
                self.output.flipped()
            self.loop.run(self.loop.time + (1.5 if self.lossy else 0.05))
            if self.lossy:
                self.model.pending = False  # shown, and nobody was told
            if not self.compositor.damage and not self.model.pending:
                return

    def work(self):
        self.compositor.work()
        self.settle()

    def colour(self):
        self.colours += 1
        return (self.colours * 0x010305 & 0xFFFFFF).to_bytes(3, "little")

    @rule(place=PLACES | WHOLE, opaque=st.booleans(), lent=st.booleans())
    def open(self, place, opaque, lent):
        if len(self.compositor.windows) < 6:
            window = Window(self.output, place, opaque, lent)
            window.draw(Rect(0, 0, place.width, place.height), self.colour())
            self.compositor.windows.insert(0, window)
            self.compositor.damage.append(place)
            self.work()

    @rule(data=st.data())
    def draw(self, data):
        if self.compositor.windows:
            window = data.draw(st.sampled_from(self.compositor.windows))
            whole = Rect(0, 0, window.place.width, window.place.height)
            part = data.draw(PLACES) & whole or whole
            window.draw(part, self.colour())
            self.compositor.damage.append(part.moved(window.place.x, window.place.y))
            self.work()

    @rule(data=st.data())
    def move(self, data):
        if self.compositor.windows:
            window = data.draw(st.sampled_from(self.compositor.windows))
            goal = data.draw(PLACES)
            self.compositor.damage.append(window.place)
            window.place = window.place._replace(x=goal.x, y=goal.y)
            self.compositor.damage.append(window.place)
            self.work()

    @rule(data=st.data())
    def raise_(self, data):
        if self.compositor.windows:
            window = data.draw(st.sampled_from(self.compositor.windows))
            self.compositor.windows.remove(window)
            self.compositor.windows.insert(0, window)
            self.compositor.damage.append(window.place)
            self.work()

    @rule(data=st.data())
    def close(self, data):
        if self.compositor.windows:
            window = data.draw(st.sampled_from(self.compositor.windows))
            self.compositor.windows.remove(window)
            self.compositor.damage.append(window.place)
            if window.buffer:
                self.output.take_back(window.buffer)
            self.work()

    @rule(small=st.booleans())
    def set_mode(self, small):
        self.output.set_mode(*((16, 12) if small else (24, 16)))
        self.work()

    @rule()
    def go_and_come(self):
        self.output.release()
        self.model.master = False
        self.compositor.damage.append(Rect(0, 0, 3, 3))
        for window in self.compositor.windows[:1]:
            window.draw(Rect(0, 0, window.place.width, window.place.height), self.colour())
            self.compositor.damage.append(window.place)
        self.work()
        self.model.master = True
        self.output.acquire()
        self.work()

    @rule(lossy=st.booleans())
    def lose_events(self, lossy):
        self.lossy = lossy

    @invariant()
    def the_screen_is_the_desktop(self):
        if hasattr(self, "output"):
            assert not self.compositor.damage
            assert self.model.size == self.output.size
            assert self.model.screen() == self.compositor.desktop()

    @invariant()
    def nobody_draws_on_what_is_scanned_out(self):
        if hasattr(self, "output") and self.model.driver == "model":
            frame = self.output.begin()
            if frame is not None and self.model.state[CRTC]["ACTIVE"]:
                shown = {id(self.model.frame_buffers[n][0].pixels) for n in self.model.shown()}
                assert id(frame.pixels) not in shown

    def teardown(self):
        if hasattr(self, "output"):
            self.output.close()
            assert not self.model.frame_buffers
            assert not self.model.blobs


TestScreens = Screens.TestCase
TestScreens.settings = settings(max_examples=300, stateful_step_count=25, deadline=None)
