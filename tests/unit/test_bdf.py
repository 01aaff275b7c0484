from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redbear_host.bdf import Bdf
from redbear_host.errors import ConfigError

ADDRESSES = st.builds(
    Bdf, st.integers(0, 0xFFFF), st.integers(0, 255), st.integers(0, 31), st.integers(0, 7)
)


@given(ADDRESSES)
def test_every_address_reads_back_as_it_was_written(address: Bdf) -> None:
    assert Bdf.parse(str(address)) == address


def test_a_missing_segment_is_segment_zero() -> None:
    assert Bdf.parse("04:1F.7") == Bdf(0, 4, 0x1F, 7)


def test_the_segments_of_a_volume_management_device_have_five_digits() -> None:
    assert Bdf.parse("10000:e1:00.0").segment == 0x10000


def test_names_in_schemes_hold_no_colon() -> None:
    address = Bdf(0, 0, 4, 0)
    assert address.scheme_name == "0000-00-04.0"
    assert address.pcid_name == "0000--00--04.0"


@pytest.mark.parametrize(
    "text", ["", "nvme", "0000:04:00", "0000:04:00.8", "04:20.0", "4:0.0", "0000:04:00.0\n"]
)
def test_what_is_not_an_address_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a PCI address") as caught:
        Bdf.parse(text)
    assert "redbear-host devices" in caught.value.hint
