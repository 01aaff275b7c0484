"""Our DRM numbers and structures against the kernel's own headers, as a C compiler sees them."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from orbital.drm import uapi

HEADERS = [Path("/usr/include/libdrm"), Path("/usr/include/drm")]  # libdrm-dev, linux-libc-dev
STRUCTURES = [
    thing
    for thing in vars(uapi).values()
    if isinstance(thing, type) and issubclass(thing, ctypes.Structure)
]
NUMBERS = {
    name: value
    for name, value in vars(uapi).items()
    if re.fullmatch(r"[A-Z][A-Z0-9_]+", name) and isinstance(value, int)
}
NEWER = {"DRM_CLIENT_CAP_CURSOR_PLANE_HOTSPOT"}  # 6.8; Debian 12's headers lack it


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Ask the C compiler for the value of everything we declare."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    found = [folder for folder in HEADERS if (folder / "drm_mode.h").exists()]
    if compiler is None or not found:
        pytest.skip("no C compiler or no drm_mode.h: apt install gcc libdrm-dev")
    asked = [(f"number {name}", f"DRM_{name}") for name in NUMBERS]
    for structure in STRUCTURES:
        name = structure.__name__
        asked.append((f"size {name}", f"sizeof(struct {name})"))
        for field, _ in structure._fields_:  # type: ignore[misc]
            asked.append((f"offset {name}.{field}", f"offsetof(struct {name}, {field})"))
    prints = [f'printf("{label}=%zu\\n", (size_t)({what}));' for label, what in asked]
    guarded = [
        f"#ifdef {name}\n{line}\n#endif" for name in NEWER for line in prints if f"({name})" in line
    ]
    prints = [line for line in prints if not any(f"({name})" in line for name in NEWER)] + guarded
    lines = [
        "#include <stddef.h>", "#include <stdio.h>", "#include <drm.h>", "#include <drm_mode.h>",
        "#include <drm_fourcc.h>", "int main(void) {", *prints, "return 0;", "}",
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.c").write_text("\n".join(lines))
    command = [compiler, "-I", found[0], "-o", folder / "probe", folder / "probe.c"]
    subprocess.run(command, check=True, timeout=60)
    answer = subprocess.run(
        [folder / "probe"], check=True, capture_output=True, text=True, timeout=10
    )
    pairs = (line.rsplit("=", 1) for line in answer.stdout.splitlines())
    return {label: int(value) for label, value in pairs}


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_a_number_is_the_headers(headers: dict[str, int], name: str) -> None:
    if f"DRM_{name}" in NEWER and f"number {name}" not in headers:
        pytest.skip("the installed headers are older")
    assert headers[f"number {name}"] == NUMBERS[name]


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda structure: structure.__name__)
def test_a_structure_is_laid_out_as_the_headers(
    headers: dict[str, int], structure: type[ctypes.Structure]
) -> None:
    name = structure.__name__
    for field, _ in structure._fields_:  # type: ignore[misc]
        assert headers[f"offset {name}.{field}"] == getattr(structure, field).offset
    assert headers[f"size {name}"] == ctypes.sizeof(structure)
