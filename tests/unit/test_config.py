from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from redbear_host import config, manifest
from redbear_host.bdf import Bdf
from redbear_host.config import Config, Device, Lab
from redbear_host.errors import ConfigError

NVMED = manifest.parse(
    "nvmed",
    """
[daemon]
summary = "s"
schemes = ["disk.{function}-nvme"]
[match]
class = 1
[option.queues]
default = 4
least = 1
most = 64
sentence = "How many I/O queue pairs to ask for."
[option.poll]
default = false
sentence = "Look at the queue instead of waiting for interrupts."
""",
)
PCID = manifest.parse("pcid", '[daemon]\nsummary = "s"\nschemes = ["pci"]\n')
MANIFESTS = (NVMED, PCID)


def check_lab(name: str, options: Mapping[str, str]) -> None:
    """Know one lab device with three keys."""
    if name != "nvme":
        raise ConfigError(f"the lab has no device {name!r}", "choose from nvme")
    for key in options.keys() - {"file", "serial", "size"}:
        raise ConfigError(f"lab device nvme has no key {key!r}", "it knows file, serial, size")


CARD = Bdf(0, 4, 0, 0)


def load(folder: Path, text: str, **more: str) -> Config:
    for name, content in more.items():
        (folder / f"{name}.toml").write_text(content)
    (folder / "main.toml").write_text(text)
    return config.load(folder / "main.toml", MANIFESTS, check_lab)


def refused(folder: Path, text: str, **more: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, **more)
    return caught.value


def test_an_empty_file_asks_for_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "") == Config()
    assert Config().general.mount == Path("/scheme")


def test_every_section_arrives(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        """
[general]
mount = "/mnt/scheme"
[[device]]
address = "04:00.0"
driver = "nvmed"
[[lab]]
name = "nvme"
file = "disk.img"
serial = "RB01"
size = "64M"
[daemon.nvmed]
queues = 2
""",
    )
    assert found.general.mount == Path("/mnt/scheme")
    assert found.general.run_dir == config.RUN_DIR
    assert found.devices == (Device(address=CARD, driver="nvmed"),)
    image = str(tmp_path / "disk.img")
    assert found.labs == (Lab("nvme", {"file": image, "serial": "RB01", "size": "64M"}),)
    assert found.options(NVMED) == {"queues": 2, "poll": False}
    assert found.options(PCID) == {}


def test_a_later_file_overrides_setting_by_setting(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        """
include = ["site.toml"]
[general]
mount = "/here"
[[device]]
address = "0000:04:00.0"
[daemon.nvmed]
queues = 1
""",
        site="""
[general]
mount = "/there"
run_dir = "/run/site"
[[device]]
address = "04:00.0"
driver = "nvmed"
[daemon.nvmed]
queues = 8
poll = true
""",
    )
    assert found.general == config.General(mount=Path("/here"), run_dir=Path("/run/site"))
    assert found.devices == (Device(address=CARD, driver="nvmed"),)
    assert found.daemons == {"nvmed": {"queues": 1, "poll": True}}


def test_included_files_are_found_beside_the_one_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/one.toml").write_text('include = ["two.toml"]\n')
    (tmp_path / "deep/two.toml").write_text('[[lab]]\nname = "nvme"\nfile = "d.img"\n')
    found = load(tmp_path, 'include = ["deep/one.toml"]\n[[lab]]\nname = "nvme"\nsize = 7\n')
    assert found.labs == (
        Lab("nvme", {"file": str(tmp_path / "deep/d.img")}),
        Lab("nvme", {"size": "7"}),
    )


def test_a_file_included_twice_counts_once(tmp_path: Path) -> None:
    lab = '[[lab]]\nname = "nvme"\n'
    found = load(
        tmp_path,
        'include = ["a.toml", "b.toml"]\n',
        a='include = ["lab.toml"]\n',
        b='include = ["lab.toml"]\n',
        lab=lab,
    )
    assert len(found.labs) == 1


def test_a_circle_of_includes_is_named_whole(tmp_path: Path) -> None:
    error = refused(
        tmp_path, 'include = ["a.toml"]', a='include = ["b.toml"]', b='include = ["a.toml"]'
    )
    names = [f"{tmp_path}/{name}.toml" for name in ("main", "a", "b", "a")]
    assert error.message.startswith(" includes ".join(names))
    assert "in a circle" in error.message


def test_a_missing_file_is_named_with_the_way_to_it(tmp_path: Path) -> None:
    error = refused(tmp_path, 'include = ["site.toml"]')
    assert error.message == (
        f"{tmp_path}/main.toml includes {tmp_path}/site.toml: No such file or directory"
    )


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "main.toml").write_bytes(b"# \xff\n")
    with pytest.raises(ConfigError, match=r"not UTF-8 text \(byte 2\)"):
        config.load(tmp_path / "main.toml", MANIFESTS, check_lab)


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("[general]\nmuont = 1\n", 2, "there is no setting 'muont'", "did you mean 'mount'?"),
        ("\n[genral]\n", 2, "there is no section 'genral'", "did you mean 'general'?"),
        ("[general]\n\nmount = 7\n", 3, "mount: 7 is not a path in quotes", "The folder below"),
        ('[[lab]]\nname = "nvme"\n[[lab]]\nsize = 1\n', 3, "needs a name", "devices --lab"),
        ('[[lab]]\nname = "a"\n', 1, "the lab has no device 'a'", "choose from nvme"),
        ('\n[[lab]]\nname = "nvme"\nx = 1\n', 2, "no key 'x'", "it knows file"),
        ('[[lab]]\nname = "nvme"\nsize = 1.5\n', 3, "size: 1.5 is neither a text nor", ""),
        ('[[lab]]\nname = "nvme"\nserial = true\n', 3, "serial: True is neither", ""),
        ('[[device]]\naddress = "04:00.0"\ndriver = 1\n', 3, "1 is not a text", "The daemon"),
        ('[[device]]\ndriver = "nvmed"\n', 1, "'address' is missing", "Its PCI address"),
        ('[[device]]\naddress = "x"\n', 2, "'x' is not a PCI address", "write it as"),
        ('[device]\naddress = "x"\n', 1, "device is not a list of tables", "[[device]]"),
        ("[[general]]\n", 1, "general is not a table", "[general]"),
        ("[daemon.nvme]\n", 1, "there is no daemon 'nvme'", "did you mean 'nvmed'?"),
        ("[daemon.nvmed]\nqueue = 1\n", 2, "nvmed has no option 'queue'", "did you mean 'queues'?"),
        ("[daemon.nvmed]\nqueues = true\n", 2, "queues: True is not a whole", "How many I/O"),
        ("[daemon.nvmed]\nqueues = 0\n", 2, "queues: 0 is less than 1", "How many I/O"),
        ("[daemon.nvmed]\nqueues = 65\n", 2, "queues: 65 is more than 64", "How many I/O"),
        ("[daemon.nvmed]\npoll = 1\n", 2, "1 is not true or false", ""),
        ("[daemon.pcid]\nx = 1\n", 2, "pcid has no option 'x'", "pcid takes no options"),
        ("include = 'site.toml'\n", 1, "'site.toml' is not a list of texts", ""),
    ],
)
def test_a_mistake_is_told_with_its_line_and_a_hint(
    tmp_path: Path, text: str, line: int, message: str, hint: str
) -> None:
    error = refused(tmp_path, text)
    assert error.message.startswith(f"{tmp_path}/main.toml, line {line}: ")
    assert message in error.message
    assert hint in error.hint


def test_broken_toml_is_told_with_its_line(tmp_path: Path) -> None:
    assert "at line 2" in refused(tmp_path, "[general]\nmount = \n").message


def test_a_device_named_twice_in_one_file_is_a_mistake(tmp_path: Path) -> None:
    twice = '[[device]]\naddress = "04:00.0"\n' * 2
    error = refused(tmp_path, twice)
    assert "line 3: device 0000:04:00.0 is named twice" in error.message


def test_a_device_for_an_unknown_driver_gets_a_hint(tmp_path: Path) -> None:
    error = refused(tmp_path, '[[device]]\naddress = "04:00.0"\ndriver = "nvmd"\n')
    assert error.message == f"{tmp_path}/main.toml, line 3: there is no daemon 'nvmd'"
    assert error.hint == "did you mean 'nvmed'?"


def test_a_daemon_without_hardware_drives_no_device(tmp_path: Path) -> None:
    error = refused(tmp_path, '[[device]]\naddress = "04:00.0"\ndriver = "pcid"\n')
    assert error.message == f"{tmp_path}/main.toml, line 3: pcid drives no PCI function"


def test_flags_override_paths_and_add_devices(tmp_path: Path) -> None:
    written = Config(devices=(Device(address=CARD, driver="nvmed"),), labs=(Lab("e1000"),))
    other = Bdf(0, 5, 0, 0)
    found = config.merge(
        written, mount=Path("/m"), devices=[other, CARD, other], labs=[Lab("nvme")]
    )
    assert found.general == config.General(mount=Path("/m"))
    assert found.devices == (Device(address=CARD, driver="nvmed"), Device(address=other))
    assert [lab.name for lab in found.labs] == ["e1000", "nvme"]


def test_no_flags_change_nothing() -> None:
    assert config.merge(Config()) == Config()
