"""Our DRM numbers and structures against the kernel's own headers, as a C compiler sees them."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from orbital.drm import uapi
from tests.unit.c_probe import answers, declared, laid_out, questions

HEADERS = [Path("/usr/include/libdrm"), Path("/usr/include/drm")]  # libdrm-dev, linux-libc-dev
DECLARED = declared(uapi)
NEWER = {"CLIENT_CAP_CURSOR_PLANE_HOTSPOT"}  # 6.8; Debian 12's headers lack it


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Ask the C compiler for the value of everything we declare."""
    found = [folder for folder in HEADERS if (folder / "drm_mode.h").exists()]
    if not found:
        pytest.skip("no drm_mode.h: apt install libdrm-dev")
    includes = "#include <drm.h>\n#include <drm_mode.h>\n#include <drm_fourcc.h>"
    asked = dict(questions(DECLARED, lambda name: f"DRM_{name}"))

    def guard(what: str) -> str:
        return f"defined({what})" if what.removeprefix("DRM_") in NEWER else "1"

    return answers(tmp_path_factory.mktemp("probe"), includes, asked, guard, f"-I{found[0]}")


@pytest.mark.parametrize("name", sorted(DECLARED.numbers))
def test_a_number_is_the_headers(headers: dict[str, int], name: str) -> None:
    if name in NEWER and f"number {name}" not in headers:
        pytest.skip("the installed headers are older")
    assert headers[f"number {name}"] == DECLARED.numbers[name]


@pytest.mark.parametrize("structure", DECLARED.structures, ids=lambda it: it.__name__)
def test_a_structure_is_laid_out_as_the_headers(
    headers: dict[str, int], structure: type[ctypes.Structure]
) -> None:
    ours = laid_out(structure)
    assert {label: headers[label] for label in ours} == ours
