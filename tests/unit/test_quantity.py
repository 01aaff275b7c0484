from __future__ import annotations

import pytest

from redbear_host.quantity import Seconds, Size


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512", 512), ("4k", 4096), ("64M", 64 << 20), ("1GiB", 1 << 30), ("2TB", 2 << 40)],
)
def test_sizes_count_in_powers_of_1024(text: str, size: int) -> None:
    assert Size.parse(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1.5G", "64 parsecs", "0x40"])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        Size.parse(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("10s", 10), ("1.5s", 1.5), ("2min", 120), ("1h", 3600)]
)
def test_durations_carry_their_unit(text: str, seconds: float) -> None:
    assert Seconds.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "s", "-1s", "10 fortnights"])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        Seconds.parse(text)
