"""The hostile tenant of tests/lab, on Debian's kernel, where every way leads out without a room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tenant_rig
from up_rig import Up

pytestmark = pytest.mark.timeout(240)

Results = dict[str, str]


class Patient(Up):
    patience = 150  # the guest's processor is emulated, and may have to share the machine's


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Results, Results]]:
    with Patient(tmp_path_factory.mktemp("confinement")) as up, tenant_rig.Bait(up) as bait:
        yield bait.loose(), bait.loose_inside()


def test_no_way_leads_out_on_debians_kernel(results: tuple[Results, Results]) -> None:
    _, inside = results
    assert len(inside) >= 25
    assert {name: end for name, end in inside.items() if end == "out"} == {}


def test_every_way_leads_somewhere_outside_on_debians_kernel(
    results: tuple[Results, Results],
) -> None:
    outside, _ = results
    assert {name: end for name, end in outside.items() if end != "out"} == {}
