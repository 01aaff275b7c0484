"""Our numbers and structures against the kernel's own headers, as a C compiler sees them."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from redbear_host.hw.vfio import ioctls
from tests.unit.c_probe import answers, declared, laid_out, questions

# Our own name for a pair that has one name in each header.
NAMES = {"u64_range": "vfio_iova_range"}
FIELDS = {"last": "end"}
DECLARED = declared(ioctls, r"[A-Z][A-Za-z0-9_]+")
INCLUDES = """\
#include <linux/vfio.h>
#if __has_include(<linux/iommufd.h>)
#include <linux/iommufd.h>
#endif"""
WITH_IOMMUFD = "defined(VFIO_DEVICE_BIND_IOMMUFD) && defined(IOMMU_IOAS_MAP)"
# The kernel takes every older, shorter form of these; ours is that of 6.6.
GROWN = {"vfio_device_bind_iommufd", "vfio_device_attach_iommufd_pt", "vfio_device_info"}


def c_name(number: str) -> str:
    own = number.startswith("IOMMU_IOAS_")
    return number if own else f"VFIO_{number}"


def is_new(name: str) -> bool:
    """Whether headers as old as Debian 12's lack it."""
    return "iommufd" in name.lower() or "ioas" in name.lower()


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Ask the C compiler for the value of everything we declare."""
    if not Path("/usr/include/linux/vfio.h").exists():
        pytest.skip("no linux/vfio.h: apt install linux-libc-dev")
    asked = dict(
        questions(
            DECLARED, c_name, lambda name: NAMES.get(name, name), lambda it: FIELDS.get(it, it)
        )
    )

    def guard(what: str) -> str:
        return WITH_IOMMUFD if is_new(what) else "1"

    return answers(tmp_path_factory.mktemp("probe"), INCLUDES, asked, guard)


@pytest.mark.parametrize("name", sorted(DECLARED.numbers))
def test_a_number_is_the_headers(headers: dict[str, int], name: str) -> None:
    if is_new(name) and f"number {name}" not in headers:
        pytest.skip("the installed headers are older than iommufd")
    assert headers[f"number {name}"] == DECLARED.numbers[name]


@pytest.mark.parametrize("structure", DECLARED.structures, ids=lambda it: it.__name__)
def test_a_structure_is_laid_out_as_the_headers(
    headers: dict[str, int], structure: type[ctypes.Structure]
) -> None:
    name, ours = structure.__name__, laid_out(structure)
    if is_new(name) and f"size {name}" not in headers:
        pytest.skip("the installed headers are older than iommufd")
    if name in GROWN:
        assert headers[f"size {name}"] >= ours.pop(f"size {name}")
    assert {label: headers[label] for label in ours} == ours
