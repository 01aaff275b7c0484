from __future__ import annotations

import io

import pytest

from redbear_host.cli.progress import Progress


class Terminal(io.TextIOWrapper):
    """A terminal that keeps what it is sent."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding=encoding, write_through=True)

    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        return self.bytes.getvalue().decode(self.encoding)


class Hand:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def on(stream: io.TextIOBase, hand: Hand | None = None, **environment: str) -> Progress:
    return Progress(stream, environment, hand or Hand())  # type: ignore[arg-type]


def test_steps_on_a_terminal_are_a_tree_with_times() -> None:
    terminal, hand = Terminal(), Hand()
    show = on(terminal, hand, NO_COLOR="1")
    with show.step("start nvmed"):
        with show.step("bind"):
            hand.time += 0.012
        with show.step("mount"):
            hand.time += 1.5
    assert terminal.text.splitlines() == [
        "start nvmed",
        "├─ bind".ljust(50) + "✓ 12 ms",
        "├─ mount".ljust(50) + "✓ 1.50 s",
        "└─ ✓ 1.51 s",
    ]


def test_a_deeper_tree_keeps_its_stems() -> None:
    terminal = Terminal()
    show = on(terminal, NO_COLOR="1")
    with show.step("a"), show.step("b"), show.step("c"):
        pass
    assert [line.split("  ✓")[0].rstrip() for line in terminal.text.splitlines()] == [
        "a",
        "├─ b",
        "│  ├─ c",
        "│  └─ ✓ 0 ms",
        "└─ ✓ 0 ms",
    ]


def test_a_running_step_is_visible_before_it_ends() -> None:
    terminal = Terminal()
    with on(terminal).step("boot QEMU"):
        assert terminal.text == "boot QEMU"


def test_a_failing_step_and_those_around_it_are_marked_and_the_error_passes() -> None:
    terminal = Terminal()
    show = on(terminal, NO_COLOR="1")
    with pytest.raises(KeyError), show.step("outer"), show.step("inner"):
        raise KeyError
    assert terminal.text.count("✗") == 2
    assert "✓" not in terminal.text


def test_a_line_of_the_log_does_not_land_inside_a_step() -> None:
    terminal = Terminal()
    show = on(terminal, NO_COLOR="1")
    with show.step("boot"):
        show.break_line()
        terminal.write("a line of the log\n")
    assert terminal.text.splitlines() == ["boot", "a line of the log", "└─ ✓ 0 ms"]


def test_elsewhere_each_step_is_one_plain_line() -> None:
    out, hand = io.StringIO(), Hand()
    show = on(out, hand)
    with show.step("start nvmed"):
        with show.step("bind"):
            hand.time += 0.012
        with pytest.raises(KeyError), show.step("mount"):
            raise KeyError
    assert out.getvalue().splitlines() == [
        "ok: start nvmed > bind (12 ms)",
        "FAILED: start nvmed > mount (0 ms)",
        "ok: start nvmed (12 ms)",
    ]


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colour_is_for_those_who_want_it(environment: dict[str, str], coloured: bool) -> None:
    terminal = Terminal()
    with on(terminal, **environment).step("boot"):
        pass
    assert ("\x1b" in terminal.text) == coloured


def test_a_terminal_without_the_signs_gets_letters() -> None:
    terminal = Terminal("ascii")
    show = on(terminal, NO_COLOR="1")
    with show.step("a"), show.step("b"):
        pass
    assert terminal.text.splitlines() == ["a", "|- b".ljust(50) + "ok 0 ms", "`- ok 0 ms"]


def test_a_terminal_that_is_gone_does_not_keep_the_work_from_being_done() -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    done = []
    with on(Gone()).step("take everything down"):
        done.append(True)
    assert done == [True]


def test_steps_after_a_failure_start_at_the_root_again() -> None:
    out = io.StringIO()
    show = on(out)
    with pytest.raises(KeyError), show.step("a"):
        raise KeyError
    with show.step("b"):
        pass
    assert out.getvalue().splitlines()[-1] == "ok: b (0 ms)"
