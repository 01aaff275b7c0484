from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from redbear_host import cli, manifest
from redbear_host.bdf import Bdf
from redbear_host.cli.devices import Row, render, survey
from redbear_host.errors import ConfigError
from redbear_host.hostpci import host_functions
from redbear_host.pciids import PciNames

NVMED = manifest.parse(
    "nvmed",
    '[daemon]\nsummary = "s"\nschemes = ["disk.{function}"]\n[match]\nclass = 1\nsubclass = 8\n',
)
NAMES = PciNames(b"1b36  Red Hat\n\t0010  QEMU NVMe\nC 01  Mass storage controller\n")
DISPLAY = {
    "vendor": "0x1234",
    "device": "0x1111",
    "subsystem_vendor": "0x0000",
    "subsystem_device": "0x0000",
    "class": "0x030000",
    "revision": "0x00",
}


def nobody(address: Bdf) -> Sequence[str]:
    return []


@pytest.fixture
def functions(sysfs):
    sysfs.add("0000:04:00.0", "nvme", "17")
    sysfs.add("0000:00:02.0", ids=DISPLAY)
    return host_functions(sysfs.root)


def lines(row: Row) -> list[str]:
    return [line.strip() for line in render(row).splitlines()]


def test_a_free_function_is_shown_with_what_to_type(functions) -> None:
    _, row = survey(functions, NAMES, [NVMED], nobody, {})
    assert (row.daemon, row.free, row.group) == ("nvmed", True, 17)
    assert lines(row) == [
        "0000:04:00.0  Mass storage controller: Red Hat QEMU NVMe (rev 02)",
        "1b36:0010 class 010802, nvme, IOMMU group 17",
        "nvmed would drive it: redbear-host up --device 0000:04:00.0",
    ]


def test_a_function_in_use_is_shown_with_every_reason(functions) -> None:
    def used(address: Bdf) -> Sequence[str]:
        return ["/dev/nvme0n1p1 is mounted on / [S3]", "the machine swaps to /dev/nvme0n1p2 [S3]"]

    _, row = survey(functions, NAMES, [NVMED], used, {})
    assert row.free is False
    assert lines(row)[2:] == [
        "nvmed would drive it, but /dev/nvme0n1p1 is mounted on / [S3]",
        "nvmed would drive it, but the machine swaps to /dev/nvme0n1p2 [S3]",
    ]


def test_where_we_may_not_look_that_is_said(functions) -> None:
    def forbidden(address: Bdf) -> Sequence[str]:
        raise ConfigError("cannot look at /dev/nvme0n1: denied", "use sudo")

    _, row = survey(functions, NAMES, [NVMED], forbidden, {})
    assert row.free is None
    assert lines(row)[2:] == [
        "nvmed would drive it; is it free? cannot look at /dev/nvme0n1: denied (use sudo)"
    ]


def test_a_function_without_a_daemon_of_ours_is_not_looked_into(functions) -> None:
    asked = []
    row, _ = survey(functions, NAMES, [NVMED], lambda a: asked.append(a) or [], {})
    assert asked == [Bdf(0, 4, 0, 0)]
    assert (row.daemon, row.free) == ("", None)
    assert lines(row) == [
        "0000:00:02.0  Class 0300: Vendor 1234 Device 1111",
        "1234:1111 class 030000, no driver, no IOMMU group",
    ]


def test_a_function_we_drive_is_shown_with_its_daemon(functions) -> None:
    asked = []
    driven = {"0000:04:00.0": "nvmed.0000-04-00.0"}
    _, row = survey(functions, NAMES, [NVMED], lambda a: asked.append(a) or [], driven)
    assert asked == []
    assert lines(row)[-1] == "driven by nvmed.0000-04-00.0"


def test_the_verb_lists_this_machine(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    (tmp_path / "state.json").write_text(
        json.dumps({"pid": 1, "started": 1, "daemons": [{"name": "pcid", "device": None}]}),
        encoding="utf-8",
    )
    assert cli.main(["devices", "--json", "--run-dir", str(tmp_path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["address"] for one in told] == [str(f.address) for f in host_functions()]
    assert cli.main(["devices", "--run-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert all(one["title"] in out for one in told)


def test_the_labs_device_models_are_listed_with_their_keys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["devices", "--lab"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "nvme  an NVMe controller"
    assert shown[1].split()[0] == "file"
    assert cli.main(["devices", "--lab", "--json"]) == 0
    kinds = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert {"file", "size", "serial"} <= kinds["nvme"]["keys"].keys()
