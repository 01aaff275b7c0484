from __future__ import annotations

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
sentence = "How many I/O queue pairs to ask for."
[option.poll]
default = false
sentence = "Look at the queue instead of waiting for interrupts."
""",
)
PCID = manifest.parse("pcid", '[daemon]\nsummary = "s"\nschemes = ["pci"]\n')
MANIFESTS = (NVMED, PCID)
CARD = Bdf(0, 4, 0, 0)


def load(folder: Path, text: str, **more: str) -> Config:
    for name, content in more.items():
        (folder / f"{name}.toml").write_text(content)
    (folder / "main.toml").write_text(text)
    return config.load(folder / "main.toml", MANIFESTS)


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
writable = false
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
    assert found.devices == (Device(address=CARD, driver="nvmed", writable=False),)
    image = tmp_path / "disk.img"
    assert found.labs == (Lab(name="nvme", file=image, serial="RB01", size=config.Size(64 << 20)),)
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
destructive = true
[daemon.nvmed]
queues = 1
""",
        site="""
[general]
mount = "/there"
run_dir = "/run/site"
[[device]]
address = "04:00.0"
writable = false
[daemon.nvmed]
queues = 8
poll = true
""",
    )
    assert found.general == config.General(mount=Path("/here"), run_dir=Path("/run/site"))
    assert found.devices == (Device(address=CARD, destructive=True, writable=False),)
    assert found.daemons == {"nvmed": {"queues": 1, "poll": True}}


def test_included_files_are_found_beside_the_one_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/one.toml").write_text('include = ["two.toml"]\n')
    (tmp_path / "deep/two.toml").write_text('[[lab]]\nname = "nvme"\nfile = "d.img"\n')
    found = load(tmp_path, 'include = ["deep/one.toml"]\n[[lab]]\nname = "e1000"\n')
    assert [lab.name for lab in found.labs] == ["nvme", "e1000"]
    assert found.labs[0].file == tmp_path / "deep/d.img"


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
        config.load(tmp_path / "main.toml", MANIFESTS)


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("[general]\nmuont = 1\n", 2, "there is no setting 'muont'", "did you mean 'mount'?"),
        ("\n[genral]\n", 2, "there is no section 'genral'", "did you mean 'general'?"),
        ("[general]\n\nmount = 7\n", 3, "mount: 7 is not a path in quotes", "The folder below"),
        ('[[lab]]\nname = "a"\n[[lab]]\nsize = 1\n', 3, "'name' is missing", "Which model"),
        ('[[lab]]\nname = "a"\nsize = "big"\n', 3, "'big' is not a size", "The size of"),
        ('[[lab]]\nname = "a"\nsize = -1\n', 3, "-1 is not a size", ""),
        ("[[device]]\nwritable = true\n", 1, "'address' is missing", "Its PCI address"),
        ('[[device]]\naddress = "x"\n', 2, "'x' is not a PCI address", "write it as"),
        ('[device]\naddress = "x"\n', 1, "device is not a list of tables", "[[device]]"),
        ("[[general]]\n", 1, "general is not a table", "[general]"),
        ("[daemon.nvme]\n", 1, "there is no daemon 'nvme'", "did you mean 'nvmed'?"),
        ("[daemon.nvmed]\nqueue = 1\n", 2, "nvmed has no option 'queue'", "did you mean 'queues'?"),
        ("[daemon.nvmed]\nqueues = true\n", 2, "queues: True is not a whole", "How many I/O"),
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
    written = Config(devices=(Device(address=CARD, writable=False),), labs=(Lab(name="e1000"),))
    other = Bdf(0, 5, 0, 0)
    found = config.merge(
        written, mount=Path("/m"), devices=[other, CARD, other], labs=[Lab(name="nvme")]
    )
    assert found.general == config.General(mount=Path("/m"))
    assert found.devices == (Device(address=CARD, writable=False), Device(address=other))
    assert [lab.name for lab in found.labs] == ["e1000", "nvme"]


def test_no_flags_change_nothing() -> None:
    assert config.merge(Config()) == Config()


def test_a_lab_flag_has_the_settings_of_the_file(tmp_path: Path) -> None:
    found = config.parse_lab("nvme:file=disk.img,serial=RB01,size=64M", tmp_path)
    assert found == Lab(
        name="nvme", file=tmp_path / "disk.img", serial="RB01", size=config.Size(64 << 20)
    )
    assert config.parse_lab("all", tmp_path) == Lab(name="all")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "it names no device", "--lab nvme"),
        ("nvme:", "'' is not key=value", "file, serial, size"),
        ("nvme:disk.img", "'disk.img' is not key=value", "file, serial, size"),
        ("nvme:sise=1", "there is no setting 'sise'", "did you mean 'size'?"),
        ("nvme:size=big", "'big' is not a size", "The size"),
        ("nvme:size=1M,size=2M", "'size' is given twice", ""),
        ("nvme:name=x", "'name' is given twice", ""),
        ("nvme:file=", "'' is not a path", "The image"),
    ],
)
def test_a_bad_lab_flag_is_told_with_a_hint(
    tmp_path: Path, text: str, message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse_lab(text, tmp_path)
    assert caught.value.message.startswith(f"--lab {text}: ")
    assert message in caught.value.message
    assert hint in caught.value.hint
