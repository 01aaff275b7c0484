from __future__ import annotations

import contextlib
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.inputd.keymaps import KEYMAPS
from redbear_host import manifest
from redbear_host.bdf import Bdf
from redbear_host.errors import ConfigError
from redbear_host.hw.ports import PciIds
from redbear_host.manifest import Manifest, Match

HEAD = '[daemon]\nsummary = "s"\nschemes = ["x.{function}"]\n'
PLAIN = '[daemon]\nsummary = "s"\nschemes = ["x"]\n'
OPTION = HEAD + "[match]\nclass = 1\n[option.x]\nsentence = 's'\n"
FULL = """\
[daemon]
summary = "NVMe disks"
schemes = ["disk.{function}-nvme"]
[daemon.restart]
at_most = 3
within = "2s"
[match]
class = 0x01
subclass = 0x08
[option.queues]
default = 4
sentence = "How many."
"""


def ids(vendor: int = 0x1B36, device: int = 0x10, class_code: int = 0x010802) -> PciIds:
    return PciIds(vendor, device, 0, 0, class_code, 0)


def test_a_manifest_says_all_the_supervisor_needs() -> None:
    found = manifest.parse("nvmed", FULL)
    assert found.module == "daemons.nvmed"
    assert found.scheme_names(Bdf(0, 0, 4, 0)) == ("disk.pci-0000-00-04.0-nvme",)
    assert (found.restart.at_most, found.restart.within) == (3, 2.0)
    assert found.match == Match(class_=1, subclass=8)
    assert found.options["queues"].default == 4


def test_a_daemon_without_hardware_has_its_names_as_they_are() -> None:
    found = manifest.parse("pcid", '[daemon]\nsummary = "s"\nschemes = ["pci"]\n')
    assert found.scheme_names(None) == ("pci",)
    assert found.match is None


def test_a_class_service_says_what_it_comes_with_and_keeps_its_network() -> None:
    text = PLAIN + 'with = ["network."]\nasks = ["join"]\n[sandbox]\nnetwork = true\n'
    found = manifest.parse("d", text)
    assert found.with_ == ("network.",)
    assert found.policy({}).network
    assert not manifest.parse("d", PLAIN).policy({}).network


def test_a_driver_has_no_name_without_a_function() -> None:
    with pytest.raises(ValueError, match="drives a PCI function"):
        manifest.parse("nvmed", FULL).scheme_names(None)


def test_a_name_that_tells_no_function_is_the_first_ones_and_the_next_one_says_which_it_is() -> (
    None
):
    text = PLAIN.replace("[daemon]", '[daemon]\nfile_roots = ["x"]') + "[match]\nclass = 4\n"
    found = manifest.parse("d", text)
    first = found.scheme_names(Bdf(0, 0, 4, 0))
    second = found.scheme_names(Bdf(0, 0, 5, 0), set(first))
    assert (first, second) == (("x",), ("x.pci-0000-00-05.0",))
    assert (found.file_names(first), found.file_names(second)) == (first, second)


def test_every_field_given_must_hold() -> None:
    match = manifest.parse("d", HEAD + "[match]\nclass = 1\nsubclass = 8\nvendor = 0x1b36\n").match
    assert match is not None
    assert match.accepts(ids())
    assert not match.accepts(ids(vendor=0x8086))
    assert not match.accepts(ids(class_code=0x010602))


def test_ids_take_the_place_of_vendor_and_device() -> None:
    text = HEAD + '[match]\nvendor = 1\ndevice = 2\nids = { "0x8086" = [0x100e, 0x10d3] }\n'
    match = manifest.parse("d", text).match
    assert match is not None
    assert match.accepts(ids(0x8086, 0x10D3))
    assert not match.accepts(ids(1, 2))
    assert not match.accepts(ids(0x8087, 0x100E))


def test_a_range_of_devices_excludes_its_end() -> None:
    text = HEAD + "[match]\nvendor = 0x1af4\ndevice_id_range = { start = 0x1000, end = 0x1040 }\n"
    match = manifest.parse("d", text).match
    assert match is not None
    assert match.accepts(ids(0x1AF4, 0x1000))
    assert match.accepts(ids(0x1AF4, 0x103F))
    assert not match.accepts(ids(0x1AF4, 0x1040))


def test_the_first_match_wins() -> None:
    general = manifest.parse("a", HEAD + "[match]\nclass = 1\n")
    close = manifest.parse("b", HEAD + "[match]\nclass = 1\nsubclass = 8\n")
    assert manifest.matching(ids(), (close, general)) is close
    assert manifest.matching(ids(), (general, close)) is general
    assert manifest.matching(ids(class_code=0x030000), (close, general)) is None


def meet(one: Match, other: Match) -> bool:
    """Tell whether there can be a function that both accept."""
    for field in ("class_", "subclass", "interface"):
        values = {getattr(one, field), getattr(other, field)} - {None}
        if len(values) > 1:
            return False
    for known in (one.ids, other.ids):
        if known is not None:
            base = [(match.class_, match.subclass, match.interface) for match in (one, other)]
            code = [
                next((part for part in parts if part is not None), 0)
                for parts in zip(*base, strict=True)
            ]
            number = code[0] << 16 | code[1] << 8 | code[2]
            return any(
                one.accepts(ids(vendor, device, number))
                and other.accepts(ids(vendor, device, number))
                for vendor, device in known
            )
    return True


def test_no_two_shipped_daemons_would_drive_the_same_function() -> None:
    matches = [(one.name, one.match) for one in manifest.installed() if one.match is not None]
    assert len(matches) >= 3
    for (name, one), (other_name, other) in combinations(matches, 2):
        assert not meet(one, other), f"{name} and {other_name}: the first by name would win"
        assert not meet(other, one)
    for name, one in matches:
        assert meet(one, one), name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[daemon", "Expected ']'"),
        ("[deamon]", r"there is no table \[deamon\]"),
        ("daemon = 1", "daemon is not a table"),
        ('[daemon]\nsummary = "s"\n', "'schemes' is missing"),
        ('[daemon]\nsummary = "s"\nschemes = "pci"\n', "schemes: 'pci' is not a list of texts"),
        ('[daemon]\nsummary = "s"\nschemes = ["a/b"]\n', "'a/b' cannot be the name of a scheme"),
        ('[daemon]\nsummary = "s"\nschemes = [""]\n', "'' cannot be the name of a scheme"),
        (HEAD, r"names a PCI function and there is no \[match\]"),
        (HEAD + "color = 1\n", "no setting 'color'"),
        (PLAIN + '[daemon.restart]\nwithin = "ten"\n', "within: 'ten' is not a duration"),
        (PLAIN + '[daemon.restart]\nwithin = "0s"\n', "within is no time at all"),
        (PLAIN + "[daemon.restart]\nat_most = -1\n", "at_most is -1"),
        (PLAIN + "[daemon.restart]\nat_most = true\n", "True is not a whole number"),
        (PLAIN + 'with = [""]\n', "with names every scheme"),
        (PLAIN + "with = 'network.'\n", "is not a list of texts"),
        (HEAD + 'with = ["network."]\n[match]\nclass = 1\n', "is started with its device"),
        (HEAD + "[match]\n", "would match every function"),
        (HEAD + "[match]\nclas = 1\n", "no setting 'clas'"),
        (HEAD + "[match]\nclass = 256\n", "class is 0x100, above 0xff"),
        (HEAD + '[match]\nids = { "8086" = [1] }\n', "'8086' is not a vendor"),
        (HEAD + '[match]\nids = { "0x8086" = ["1"] }\n', "not a list of ids"),
        (HEAD + "[match]\nids = {}\n", "ids is not a table"),
        (HEAD + "[match]\ndevice_id_range = { start = 2, end = 2 }\n", "holds no device id"),
        (HEAD + "[match]\ndevice_id_range = { start = 2 }\n", "needs start and end"),
        (HEAD + "[match]\nclass = 1\n[option.x]\ndefault = 1\n", "needs a default and a sentence"),
        (OPTION + "default = 1\nleast = 2\n", "the default: 1 is less than 2"),
        (OPTION + "default = 1\nmost = '2'\n", "only a number has a least and a most"),
        (OPTION + "default = 'a'\nmost = 2\n", "only a number has a least and a most"),
        (OPTION + "default = 1\nmore = 2\n", "needs a default and a sentence"),
        (OPTION + "default = 1\namong = ['a']\n", "only a text has an among or a like"),
        (OPTION + "default = 'a'\namong = 'a'\n", "among is not a list of texts"),
        (OPTION + "default = 'a'\namong = ['b', 'c']\n", "the default: 'a' is none of b, c"),
        (OPTION + "default = 'a'\nlike = '('\n", "like is no regular expression"),
        (OPTION + "default = 'a'\nlike = '[0-9]+'\n", "the default: 'a' is not understood"),
        (HEAD + '[match]\nclass = 1\n[option.x]\ndefault = 1.5\nsentence = ""\n', "the default is"),
    ],
)
def test_a_bad_manifest_is_named_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        manifest.parse("food", text)
    assert "daemons/food/daemon.toml" in caught.value.message


def test_a_misspelt_setting_gets_a_hint() -> None:
    with pytest.raises(ConfigError) as caught:
        manifest.parse("d", HEAD + "[match]\nsubclas = 1\n")
    assert caught.value.hint == "did you mean 'subclass'?"


def test_an_unknown_daemon_gets_a_hint() -> None:
    with pytest.raises(ConfigError, match="there is no daemon 'nvme'") as caught:
        manifest.named("nvme", [manifest.parse("nvmed", FULL)])
    assert caught.value.hint == "did you mean 'nvmed'?"


def test_folders_without_a_manifest_are_not_daemons(tmp_path: Path) -> None:
    (tmp_path / "nvmed").mkdir()
    (tmp_path / "nvmed/daemon.toml").write_text(FULL)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "README.md").touch()
    assert [found.name for found in manifest.read_all(tmp_path)] == ["nvmed"]


def test_the_installed_manifests_are_read_without_importing_a_daemon() -> None:
    before = {name for name in sys.modules if name.startswith("daemons.")}
    found = {one.name: one for one in manifest.installed()}
    assert {name for name in sys.modules if name.startswith("daemons.")} == before
    assert found["pcid"].scheme_names(None) == ("pci",)
    nvme = manifest.matching(ids(), found.values())
    assert nvme is found["nvmed"]


TEXTS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=8)
BYTES = st.integers(0, 0xFF)
WORDS = st.integers(0, 0xFFFF)


@st.composite
def matches(draw: st.DrawFn) -> dict[str, Any]:
    ranges = st.tuples(WORDS, st.integers(1, 64)).map(
        lambda pair: {"start": pair[0], "end": min(pair[0] + pair[1], 0x10000)}
    )
    fields: dict[str, st.SearchStrategy[Any]] = {
        "class": BYTES,
        "subclass": BYTES,
        "interface": BYTES,
        "vendor": st.sampled_from([0x8086, 0x1B36]),
        "device": st.integers(0, 3),
        "ids": st.dictionaries(
            st.sampled_from(["0x8086", "0x1b36"]), st.lists(st.integers(0, 3)), min_size=1
        ),
        "device_id_range": ranges,
    }
    names = draw(st.sets(st.sampled_from(sorted(fields)), min_size=1))
    return {name: draw(fields[name]) for name in names}


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{k}" = {toml(v)}' for k, v in value.items()) + " }"
    return repr(value)


@given(
    matches(),
    st.builds(ids, st.sampled_from([0x8086, 0x1B36]), st.integers(0, 3), st.integers(0, 0xFFFFFF)),
)
def test_matching_agrees_with_the_rules_read_one_by_one(
    table: dict[str, Any], function: PciIds
) -> None:
    text = HEAD + "[match]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in table.items())
    match = manifest.parse("d", text).match
    assert match is not None
    rules = [
        table.get("class", function.class_code >> 16) == function.class_code >> 16,
        table.get("subclass", function.class_code >> 8 & 255) == function.class_code >> 8 & 255,
        table.get("interface", function.class_code & 255) == function.class_code & 255,
    ]
    if "ids" in table:
        pairs = [(int(v, 16), d) for v, devices in table["ids"].items() for d in devices]
        rules.append((function.vendor, function.device) in pairs)
    else:
        rules.append(table.get("vendor", function.vendor) == function.vendor)
        rules.append(table.get("device", function.device) == function.device)
    if "device_id_range" in table:
        bounds = table["device_id_range"]
        rules.append(bounds["start"] <= function.device < bounds["end"])
    assert match.accepts(function) == all(rules)


VALUES = st.recursive(
    st.one_of(st.integers(-2, 0x20000), st.booleans(), TEXTS.map(lambda t: t.replace('"', ""))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["0x8086", "start", "end", "default", "sentence"]), inner, max_size=3
        ),
    ),
    max_leaves=6,
)
KEYS = ["summary", "schemes", "needs", "restart", "class", "ids", "device_id_range", "vendor", "x"]


def literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\") + '"'
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{k}" = {literal(v)}' for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return str(value)


@given(
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=2),
)
def test_any_manifest_is_taken_whole_or_refused_with_a_sentence(
    daemon: dict[str, Any], match: dict[str, Any], option: dict[str, Any]
) -> None:
    document = {"daemon": daemon, "match": match, "option": option}
    text = "".join(f"{key} = {literal(value)}\n" for key, value in document.items())
    with contextlib.suppress(ConfigError):
        assert isinstance(manifest.parse("d", text), Manifest)


@pytest.mark.parametrize(
    ("daemon", "option", "good", "bad"),
    [
        ("orbital", "output", ("auto", "kms", "none"), ("kmss", "", "KMS")),
        ("orbital", "size", ("1280x800",), ("800", "0x1", "1x1x1", "-1x5")),
        ("orbital", "layout", ("", "a=0,0 b=-5,7@150"), ("x=1", "a=0,0;b=1,1")),
        (
            "orbital",
            "cards",
            ("", "card0 card1", "fb0"),
            ("sda", "card", "card0,card1", "card0card1"),
        ),
        ("vncd", "security", ("password", "none"), ("off",)),
        ("vesad", "mode", ("", "1024x768"), ("1024",)),
        ("fbd", "framebuffer", ("", "fb0"), ("/dev/fb0", "0")),
    ],
)
def test_options_refuse_texts_that_say_nothing(
    daemon: str, option: str, good: tuple[str, ...], bad: tuple[str, ...]
) -> None:
    found = manifest.named(daemon, manifest.installed()).options[option]
    for text in good:
        found.check(text)
    for text in bad:
        with pytest.raises(ValueError, match=r"is none of|is not understood"):
            found.check(text)


def test_the_keyboards_layouts_are_those_that_inputd_has() -> None:
    option = manifest.named("inputd", manifest.installed()).options["keymap"]
    assert option.among == tuple(KEYMAPS)
