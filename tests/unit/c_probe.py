"""What a C compiler makes of the kernel's headers, for tests of what we wrote down of them."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import NamedTuple


class Declared(NamedTuple):
    """What a module of ours declares."""

    structures: list[type[ctypes.Structure]]
    numbers: dict[str, int]


def declared(module: ModuleType, numbers: str = r"[A-Z][A-Z0-9_]+") -> Declared:
    """Return a module's structures, and its integers whose names are like `numbers`."""
    things = vars(module)
    return Declared(
        [
            thing
            for thing in things.values()
            if isinstance(thing, type) and issubclass(thing, ctypes.Structure)
        ],
        {
            name: value
            for name, value in things.items()
            if re.fullmatch(numbers, name) and isinstance(value, int)
        },
    )


def questions(
    found: Declared,
    number: Callable[[str], str],
    structure: Callable[[str], str] = lambda name: name,
    field: Callable[[str], str] = lambda name: name,
) -> Iterator[tuple[str, str]]:
    """Yield labels and C's expressions for all of it; the arguments say what names are in C."""
    for name in found.numbers:
        yield f"number {name}", number(name)
    for thing in found.structures:
        name = f"struct {structure(thing.__name__)}"
        yield f"size {thing.__name__}", f"sizeof({name})"
        for ours, *_ in thing._fields_:
            yield f"offset {thing.__name__}.{ours}", f"offsetof({name}, {field(ours)})"


def laid_out(thing: type[ctypes.Structure]) -> dict[str, int]:
    """Return what `questions` asks of a structure, as ctypes has it."""
    name = thing.__name__
    places = {
        f"offset {name}.{field}": getattr(thing, field).offset for field, *_ in thing._fields_
    }
    return {f"size {name}": ctypes.sizeof(thing), **places}


def answers(
    folder: Path,
    includes: str,
    asked: Mapping[str, str],
    guard: Callable[[str], str] = lambda what: "1",
    *arguments: str,
) -> dict[str, int]:
    """Return what each expression is, without those whose `guard` the preprocessor finds false."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "a C compiler is needed to ask headers (apt install gcc libc6-dev)"
    lines = "".join(
        f'#if {guard(what)}\nprintf("{label}=%zu\\n", (size_t)({what}));\n#endif\n'
        for label, what in asked.items()
    )
    source, program = folder / "probe.c", folder / "probe"
    source.write_text(
        f"#include <stddef.h>\n#include <stdio.h>\n{includes}\n"
        f"int main(void) {{\n{lines}return 0;\n}}\n"
    )
    subprocess.run([compiler, *arguments, "-o", program, source], check=True, timeout=60)
    answer = subprocess.run([program], check=True, capture_output=True, text=True, timeout=10)
    pairs = (line.rsplit("=", 1) for line in answer.stdout.splitlines())
    return {label: int(value) for label, value in pairs}
