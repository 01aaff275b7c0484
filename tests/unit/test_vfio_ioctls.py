"""Our numbers and structures against the kernel's own headers, as a C compiler sees them."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from redbear_host.hw.vfio import ioctls

# Our own name for a pair that has one name in each header.
NAMES = {"u64_range": "vfio_iova_range"}
FIELDS = {"last": "end"}
STRUCTURES = [
    thing
    for thing in vars(ioctls).values()
    if isinstance(thing, type) and issubclass(thing, ctypes.Structure)
]
NUMBERS = {
    name: value
    for name, value in vars(ioctls).items()
    if re.fullmatch(r"[A-Z][A-Za-z0-9_]+", name) and isinstance(value, int)
}


PROBE = """
#include <stddef.h>
#include <stdio.h>
#include <linux/vfio.h>
#if __has_include(<linux/iommufd.h>)
#include <linux/iommufd.h>
#endif

int main(void) {
%(old)s
#if defined(VFIO_DEVICE_BIND_IOMMUFD) && defined(IOMMU_IOAS_MAP)
%(new)s
#endif
return 0;
}
"""


def c_name(number: str) -> str:
    own = number.startswith("IOMMU_IOAS_")
    return number if own else f"VFIO_{number}"


def is_new(name: str) -> bool:
    """Whether headers as old as Debian 12's lack it."""
    return "iommufd" in name.lower() or "ioas" in name.lower()


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Ask the C compiler for the value of everything we declare."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not Path("/usr/include/linux/vfio.h").exists():
        pytest.skip("no C compiler or no linux/vfio.h: apt install gcc linux-libc-dev")
    asked = [(f"number {name}", c_name(name)) for name in NUMBERS]
    for structure in STRUCTURES:
        name = NAMES.get(structure.__name__, structure.__name__)
        asked.append((f"size {structure.__name__}", f"sizeof(struct {name})"))
        for field, _ in structure._fields_:  # type: ignore[misc]
            member = f"offsetof(struct {name}, {FIELDS.get(field, field)})"
            asked.append((f"offset {structure.__name__}.{field}", member))
    prints = [(what, f'printf("{label}=%zu\\n", (size_t)({what}));') for label, what in asked]
    folder = tmp_path_factory.mktemp("probe")
    source = folder / "probe.c"
    source.write_text(
        PROBE
        % {
            "old": "\n".join(line for what, line in prints if not is_new(what)),
            "new": "\n".join(line for what, line in prints if is_new(what)),
        }
    )
    program = folder / "probe"
    subprocess.run([compiler, "-o", program, source], check=True, timeout=60)
    answer = subprocess.run([program], check=True, capture_output=True, text=True, timeout=10)
    pairs = (line.rsplit("=", 1) for line in answer.stdout.splitlines())
    return {label: int(value) for label, value in pairs}


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_a_number_is_the_headers(headers: dict[str, int], name: str) -> None:
    if is_new(name) and f"number {name}" not in headers:
        pytest.skip("the installed headers are older than iommufd")
    assert headers[f"number {name}"] == NUMBERS[name]


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda structure: structure.__name__)
def test_a_structure_is_laid_out_as_the_headers(
    headers: dict[str, int], structure: type[ctypes.Structure]
) -> None:
    name = structure.__name__
    if is_new(name) and f"size {name}" not in headers:
        pytest.skip("the installed headers are older than iommufd")
    for field, _ in structure._fields_:  # type: ignore[misc]
        assert headers[f"offset {name}.{field}"] == getattr(structure, field).offset
    # The kernel takes every older, shorter form of these; ours is that of 6.6.
    if name in ("vfio_device_bind_iommufd", "vfio_device_attach_iommufd_pt", "vfio_device_info"):
        assert headers[f"size {name}"] >= ctypes.sizeof(structure)
    else:
        assert headers[f"size {name}"] == ctypes.sizeof(structure)
