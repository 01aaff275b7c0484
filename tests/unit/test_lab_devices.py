from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from redbear_host.cli.plan import plan_lab
from redbear_host.errors import ConfigError, TransportError
from redbear_host.lab.devices import KINDS, SLOTS, LabDevice, parse, quote
from redbear_host.lab.farends import Supplies
from redbear_host.manifest import installed, matching


def devices(arguments: list[str]) -> list[str]:
    return [told for flag, told in pairwise(arguments) if flag == "-device"]


def files(arguments: list[str]) -> list[str]:
    layers: list[Any] = [json.loads(told) for told in arguments if told.startswith("{")]
    return [layer["file"]["filename"] for layer in layers]


def test_a_name_alone_is_a_device() -> None:
    assert parse("nvme") == LabDevice("nvme", {})


def test_keys_and_values_are_read() -> None:
    assert parse("nvme:file=disk.img,serial=RB01,size=64M") == LabDevice(
        "nvme", {"file": "disk.img", "serial": "RB01", "size": "64M"}
    )


def test_a_doubled_comma_belongs_to_the_value() -> None:
    assert parse("nvme:file=a,,b=c.img,serial=X").options == {"file": "a,b=c.img", "serial": "X"}


def test_an_unknown_device_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no device 'floppy'") as caught:
        parse("floppy")
    assert caught.value.hint == f"choose from {', '.join(KINDS)}"


def test_an_unknown_key_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="nvme has no key 'colour'") as caught:
        parse("nvme:colour=red")
    assert caught.value.hint.startswith("it knows file, size, serial, namespaces, block")
    with pytest.raises(ConfigError, match="vga has no key") as caught:
        parse("vga:size=1M")
    assert caught.value.hint == "it knows xres, yres, qmp, memory, edid"


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("vga:memory=3", "memory=3", "a power of two"),
        ("vga:xres=800", "xres=800", "xres and yres together"),
        ("bochs-display:edid=yes", "edid=yes", "on or off"),
        ("virtio-gpu:outputs=17", "outputs=17", "1 to 16"),
        ("virtio-gpu:qmp=", "qmp=", "name a socket"),
        ("virtio-gpu:qmp=/no/such/folder/s", "qmp=/no/such/folder/s", "a folder that exists"),
    ],
)
def test_a_graphics_card_that_cannot_be_is_refused(text: str, says: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"{says} cannot be") as caught:
        parse(text).check()
    assert hint in caught.value.hint


def test_a_graphics_card_is_told_to_qemu_with_all_its_keys() -> None:
    told = parse("virtio-gpu:xres=800,yres=600,outputs=2,qmp=/a,,b").arguments(Path("/x"), 5)
    assert told == [
        "-qmp", "unix:/a,,b,server=on,wait=off",
        "-device", "virtio-gpu-pci,id=gpu5,addr=0x5,romfile=,disable-legacy=on,"
        "iommu_platform=on,max_outputs=2,vectors=3,edid=on,xres=800,yres=600",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nvme:", "'' is not key=value"),
        ("nvme:size", "'size' is not key=value"),
        ("nvme:size=1M,", "'' is not key=value"),
        ("nvme:size=1M,size=2M", "gives 'size' twice"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "nvme:size=big", "nvme:size=4K", "nvme:size=9999999T", "nvme:block=1024",
        "nvme:namespaces=0",
        "nvme:namespaces=17", "nvme:mdts=x", "nvme:mdts=²", "nvme:vectors=33", "nvme:serial=",
        "nvme:serial=with space", "nvme:serial=" + "x" * 21, "nvme:file=.", "e1000:mac=52:54",
        "e1000:peer=", "e1000:peer=USER", "e1000:peer=user:", "e1000:peer=none:x",
        "e1000:peer=tap:", "e1000:peer=tap:a b", "e1000:peer=tap:sixteen-letters-",
        "e1000:peer=tap:a/b", "e1000:peer=tap:%d%d", "e1000:peer=tap:..",
        "e1000:peer=netns:", "e1000:peer=netns:a/", "e1000:peer=netns:../b/c",
        "e1000e:peer=unix:relative", "e1000:peer=unix:/",
        "e1000e:peer=unix:/" + "x" * 103, "e1000e:peer_address=192.0.2.1/24",
    ],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_refused_by_its_key(text: str, tmp_path: Path) -> None:
    device = parse(text)
    ((key, value),) = device.options.items()
    for refuse in (device.check, lambda: device.arguments(tmp_path)):
        with pytest.raises(ConfigError, match=f"lab device {device.kind}: {key}={value}") as caught:
            refuse()
        assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_checking_a_device_makes_no_image(tmp_path: Path) -> None:
    parse(f"nvme:file={tmp_path}/new.img,namespaces=2").check()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_a_file_gets_an_empty_sparse_one(tmp_path: Path) -> None:
    (name,) = files(parse("nvme:size=1G").arguments(tmp_path, slot=7))
    image = Path(name)
    assert image.parent == tmp_path
    assert image.stat().st_size == 1 << 30
    assert image.stat().st_blocks == 0


def test_an_image_that_exists_is_left_as_it_is(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(b"mine" * 1024)
    assert files(parse(f"nvme:file={image},size=64M").arguments(tmp_path)) == [str(image)]
    assert image.read_bytes() == b"mine" * 1024


def test_an_image_that_was_named_is_made_where_it_was_named(tmp_path: Path) -> None:
    image = tmp_path / "new.img"
    parse(f"ahci:file={image},size=2M").arguments(tmp_path / "elsewhere")
    assert image.stat().st_size == 2 << 20


def test_an_image_in_no_folder_cannot_be_made(tmp_path: Path) -> None:
    device = parse(f"nvme:file={tmp_path}/nowhere/disk.img")
    with pytest.raises(TransportError, match=r"nowhere/disk\.img cannot be made: No such file"):
        device.arguments(tmp_path)


def test_each_namespace_has_an_image_of_its_own(tmp_path: Path) -> None:
    told = parse(f"nvme:file={tmp_path}/d.img,namespaces=3,block=4096").arguments(tmp_path)
    assert files(told) == [f"{tmp_path}/d.img{n}" for n in ("", ".2", ".3")]
    controller, *namespaces = devices(told)
    assert controller.startswith("nvme,id=nvme4,addr=0x4,")
    assert [f"nsid={number}" in one for number, one in enumerate(namespaces, 1)] == [True] * 3
    assert all("logical_block_size=4096" in one for one in namespaces)


def test_vectors_and_transfer_size_reach_the_controller(tmp_path: Path) -> None:
    (controller, _) = devices(parse("nvme:vectors=5,mdts=3,serial=A,,B").arguments(tmp_path))
    for told in ("msix_qsize=5", "max_ioqpairs=4", "mdts=3", "serial=A,,B"):
        assert told in controller


def test_a_comma_in_a_file_name_reaches_qemu(tmp_path: Path) -> None:
    told = parse(f"nvme:file={tmp_path}/a,,b.img").arguments(tmp_path)
    assert files(told) == [f"{tmp_path}/a,b.img"]
    assert quote("a,b") == "a,,b"


@pytest.mark.parametrize("address", ["192.0.2.1/33", "192.0.2", "192.0.2.1/24,192.0.2.2/24"])
def test_an_address_that_is_none_is_refused_by_its_key(address: str) -> None:
    device = LabDevice("e1000", {"peer": "netns:somewhere", "peer_address": address})
    with pytest.raises(ConfigError, match=f"peer_address={address}") as caught:
        device.check()
    assert caught.value.hint.startswith("write for example 192.0.2.1/24")


def test_a_wire_that_nobody_keeps_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs supplies"):
        parse("e1000:peer=unix:/run/wire").arguments(tmp_path)


@pytest.mark.parametrize(
    ("peer", "told"),
    [
        ("user", "user,id=net4"),
        ("none", "hubport,id=net4,hubid=0"),
        (
            "unix:/run/a,,b",
            "dgram,id=net4,local.type=unix,local.path=/run/a,,b.nic,"
            "remote.type=unix,remote.path=/run/a,,b",
        ),
    ],
)
def test_what_is_at_the_far_end_is_told_to_qemu(peer: str, told: str, tmp_path: Path) -> None:
    with Supplies() as supplies:
        flags = parse(f"e1000:peer={peer}").arguments(tmp_path, supplies=supplies)
        assert flags[:2] == ["-netdev", told]
        assert flags[3].startswith("e1000,netdev=net4,addr=0x4,")
        assert supplies.fds == []


def test_a_file_is_not_taken_for_a_socket(tmp_path: Path) -> None:
    mine = tmp_path / "wire.nic"
    mine.write_text("mine")
    with Supplies() as supplies, pytest.raises(ConfigError, match="is no socket"):
        parse(f"e1000:peer=unix:{tmp_path}/wire").arguments(tmp_path, supplies=supplies)
    assert mine.read_text() == "mine"


def test_a_socket_is_made_in_a_folder_that_exists(tmp_path: Path) -> None:
    with Supplies() as supplies, pytest.raises(ConfigError, match="there is no folder") as caught:
        parse(f"e1000:peer=unix:{tmp_path}/no/wire").arguments(tmp_path, supplies=supplies)
    assert caught.value.hint == f"make it with: mkdir -p {tmp_path}/no"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_sits_where_it_was_put(kind: str, tmp_path: Path) -> None:
    told = devices(LabDevice(kind).arguments(tmp_path, slot=9))
    assert sum("addr=0x9" in one for one in told) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_key_says_what_it_is(kind: str) -> None:
    assert KINDS[kind].name == kind
    assert KINDS[kind].what
    assert all(KINDS[kind].keys.values())


@pytest.mark.parametrize("slot", [SLOTS[0] - 1, SLOTS[-1] + 1])
def test_there_are_only_so_many_places(slot: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"no place {slot}"):
        LabDevice("vga").arguments(tmp_path, slot)


def test_an_ahci_has_disks_and_behind_them_a_drive(tmp_path: Path) -> None:
    disc = tmp_path / "disc.iso"
    disc.write_bytes(bytes(2048))
    keys = f"file={tmp_path}/d.img,disks=2,cd={disc},serial=S,model=A,, B,block=4096"
    told = parse(f"ahci:{keys}").arguments(tmp_path)
    assert files(told) == [f"{tmp_path}/d.img", f"{tmp_path}/d.img.2", str(disc)]
    adapter, first, second, drive = devices(told)
    assert adapter == "ich9-ahci,id=ahci4,addr=0x4"
    assert first.startswith("ide-hd,bus=ahci4.0,drive=ahci4d0,serial=S,")
    assert first.endswith("physical_block_size=4096,model=A,, B")
    assert second.startswith("ide-hd,bus=ahci4.1,drive=ahci4d1,serial=S-2,")
    assert drive == "ide-cd,id=ahci4cd,bus=ahci4.2,serial=S,drive=ahci4disc"


def test_an_ahci_may_have_an_empty_drive_and_no_disk(tmp_path: Path) -> None:
    told = parse("ahci:disks=0,cd=").arguments(tmp_path)
    assert devices(told)[1] == "ide-cd,id=ahci4cd,bus=ahci4.0,serial=RB04"
    assert files(told) == []


@pytest.mark.parametrize(
    "text",
    ["ahci:disks=0", "ahci:disks=7", "ahci:cd=/nowhere/disc.iso", "ahci:model=" + "x" * 41,
     "ahci:block=520"],
)  # fmt: skip
def test_an_ahci_that_cannot_be_is_refused_by_its_key(text: str) -> None:
    key = text.partition(":")[2].partition("=")[0]
    with pytest.raises(ConfigError, match=f"lab device ahci: {key}=") as caught:
        parse(text).check()
    assert caught.value.hint


def test_a_sound_card_has_the_codecs_that_were_asked_for(tmp_path: Path) -> None:
    wav = tmp_path / "a,b.wav"
    told = parse(f"hda:wav={wav},codec=duplex,second=micro".replace("a,b", "a,,b")).arguments(
        tmp_path
    )
    assert told[1] == f"wav,id=hda4a,path={tmp_path}/a,,b.wav"
    assert devices(told) == [
        "intel-hda,id=hda4,addr=0x4",
        "hda-duplex,bus=hda4.0,cad=0,audiodev=hda4a",
        "hda-micro,bus=hda4.0,cad=1,audiodev=hda4a",
    ]
    assert devices(parse("hda").arguments(tmp_path))[1:] == [
        "hda-output,bus=hda4.0,cad=0,audiodev=hda4a"
    ]


@pytest.mark.parametrize("text", ["hda:wav=", "hda:wav=/nowhere/x.wav", "hda:codec=hdmi"])
def test_a_sound_card_that_cannot_be_is_refused_by_its_key(text: str) -> None:
    key = text.partition(":")[2].partition("=")[0]
    with pytest.raises(ConfigError, match=f"lab device hda: {key}=") as caught:
        parse(text).check()
    assert caught.value.hint


def test_a_lab_device_without_a_daemon_is_refused_with_those_that_have_one() -> None:
    nvmed = [manifest for manifest in installed() if manifest.name == "nvmed"]
    with pytest.raises(ConfigError, match="no daemon drives the lab's vga") as caught:
        plan_lab(LabDevice("vga"), 1, nvmed)
    assert "nvmed" in caught.value.hint


def test_every_lab_device_has_a_daemon() -> None:
    assert [kind.name for kind in KINDS.values() if matching(kind.ids, installed()) is None] == []
