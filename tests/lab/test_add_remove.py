"""`add` and `remove`: a running instance is given devices, and gives them back."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import time

import pytest
from up_rig import Up, leftovers, redbear

pytestmark = pytest.mark.timeout(120)

FIRST, SECOND = "1ab0:00:04.0", "1ab1:00:04.0"
DISK = "disk.pci-1ab1-00-04.0-nvme"
SHOWN = "1ab1--00--04.0"


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    with Up(tmp_path_factory.mktemp("add"), "--lab", "nvme:size=1M") as instance:
        yield instance


def asked(up, verb, *words, status=0):
    done = redbear(verb, *words, "--run-dir", up.run_dir)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def qemus(up):
    state = json.loads((up.run_dir / "state.json").read_text())
    return {one["name"]: one["pid"] for one in state["processes"] if "QEMU" in one["name"]}


def test_a_device_is_added_served_shown_and_taken_away(up, tmp_path):
    image = tmp_path / "disk.img"
    done = asked(up, "add", "--lab", f"nvme:file={image},size=2M", "--json")
    found = json.loads(done.stdout)
    (name,) = found["schemes"]
    shown = up.mount / "pci" / found["address"].replace(":", "--")
    assert found["name"] == f"nvmed.{found['address'].replace(':', '-')}"
    assert "ok: start QEMU's nvme" in done.stderr
    (up.mount / name / "1").write_bytes(b"here" * 1024)
    assert image.read_bytes()[:4096] == b"here" * 1024
    assert (shown / "driver").read_text() == "nvmed\n"
    assert (shown / "ids").read_text() == "1b36:0010 010802\n"
    assert f"QEMU of {found['address']}" in qemus(up)

    with (up.mount / name / "1").open("rb") as still_open:
        done = asked(up, "remove", name)
        assert found["address"] in done.stdout
        with pytest.raises(OSError, match=r"."):
            os.pread(still_open.fileno(), 512, 8192)
    assert not (up.mount / name).exists()
    assert not shown.exists()
    assert f"QEMU of {found['address']}" not in qemus(up)
    assert not (up.run_dir / "scratch" / found["address"].replace(":", "-")).exists()
    assert up.disk.name == "disk.pci-1ab0-00-04.0-nvme"  # the other one was not touched
    assert up.daemon("nvmed")["restarts"] == 0
    assert all(name != one for daemon in up.status["daemons"] for one in daemon["schemes"])


def test_what_was_removed_may_be_named_in_three_ways(up):
    for pick in ("address", "name", "schemes"):
        found = json.loads(asked(up, "add", "--lab", "nvme:size=1M", "--json").stdout)
        name = found[pick] if isinstance(found[pick], str) else found[pick][0]
        assert json.loads(asked(up, "remove", name, "--json").stdout) == found


def test_the_kernels_schemes_forget_what_was_removed(up):
    counters = up.mount / "sys" / "irq"
    before = counters.read_text()
    found = json.loads(asked(up, "add", "--lab", "nvme:size=1M", "--json").stdout)
    asked(up, "remove", found["name"])
    assert counters.read_text().count("\n") == before.count("\n")
    assert found["schemes"][0] not in (up.mount / "sys" / "scheme").read_text()


def test_pcid_knows_what_was_added_in_its_next_life(up):
    found = json.loads(asked(up, "add", "--lab", "nvme:size=1M", "--json").stdout)
    shown = up.mount / "pci" / found["address"].replace(":", "--") / "driver"
    up.kill("pcid")
    assert shown.read_text() == "nvmed\n"
    asked(up, "remove", found["name"])
    up.kill("pcid")
    assert not shown.exists()


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("add", "--lab", "floppy"), 2, "no device 'floppy'"),
        (("add", "--lab", "nvme:size=elephant"), 2, "elephant"),
        (("add", "--lab", "nvme:size=9999999T"), 2, "at most"),
        (("add", "--lab", "vga:memory=3"), 2, "a power of two"),
        (("add", "--lab", "e1000:peer=netns:no-such-namespace"), 2, "ip netns add"),
        (("add", "--lab", "nvme:file=/no/such/folder.img"), 3, "folder.img"),
        (("add", "--device", "0000:ff:1f.7"), 2, "there is no PCI function"),
        (("add", "--device", "elephant"), 2, "elephant"),
        (("add",), 2, "required"),
        (("add", "--lab", "nvme", "--lab", "ahci"), 2, "may be given once"),
        (("add", "--lab", "virtio-gpu:qmp=/no/such/folder/s"), 2, "a folder that exists"),
        (("remove", "elephant"), 2, "no daemon drives 'elephant'"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_leaves_nothing(up, words, status, says):
    before = up.status["daemons"], qemus(up), sorted(p.name for p in up.mount.iterdir())
    done = asked(up, *words, status=status)
    assert says in done.stderr
    assert "\nhint: " in "\n" + done.stderr
    assert (up.status["daemons"], qemus(up), sorted(p.name for p in up.mount.iterdir())) == before


def test_a_function_that_is_waited_for_may_be_given_up(up):
    assert "is waited for" in asked(up, "add", "--await", "0000:ff:1f.7").stdout
    assert "no longer" in asked(up, "remove", "0000:ff:1f.7").stdout
    asked(up, "remove", "0000:ff:1f.7", status=2)


def test_nothing_is_added_where_nothing_is_up(tmp_path):
    done = redbear("add", "--lab", "nvme", "--run-dir", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not up" in done.stderr


@pytest.mark.parametrize(
    "order",
    [
        b"", b"[]", b"{}", b"\xff", b'{"add": "lab"}', b'{"remove": 7}', b"[" * 20000,
        b'{"add": "lab", "name": "nvme", "options": {"file": "/tmp/a\\u0000b"}}',
    ],
)  # fmt: skip
def test_an_order_that_is_none_changes_nothing(up, order):
    before = up.status["daemons"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        line.settimeout(20)
        line.connect(str(up.run_dir / "orders"))
        line.send(order)
        line.recv(4096)
    assert up.status["daemons"] == before


def test_only_root_gives_orders(up):
    assert (up.run_dir / "orders").stat().st_mode & 0o777 == 0o600


def test_what_was_added_is_undone_when_everything_is_killed(tmp_path):
    wire = tmp_path / "wire"
    with Up(tmp_path, "--lab", "nvme:size=1M") as up:
        done = asked(up, "add", "--lab", f"e1000:peer=unix:{wire}", "--json")
        assert json.loads(done.stdout)["name"].startswith("e1000d")
        assert (tmp_path / "wire.nic").is_socket()
        os.kill(up.status["pid"], signal.SIGKILL)
        deadline = time.monotonic() + 20
        while leftovers(up.run_dir):  # the guardian is at work
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert not (up.run_dir / "state.json").exists()
        assert not (tmp_path / "wire.nic").exists()
        Up.__enter__(up)  # nothing is in the way of the next one


def test_daemons_that_were_added_are_restarted_like_all(up):
    found = json.loads(asked(up, "add", "--lab", "nvme:size=1M", "--json").stdout)
    disk = up.mount / found["schemes"][0] / "1"
    disk.write_bytes(bytes(4096))
    up.kill(found["name"])
    assert disk.read_bytes()[:4096] == bytes(4096)
    asked(up, "remove", found["address"])


def test_a_card_that_is_added_brings_the_network_with_it(up):
    assert not (up.mount / "netcfg").exists()
    found = json.loads(asked(up, "add", "--lab", "e1000e:peer=none", "--json").stdout)
    adapters = up.mount / "netcfg" / "ifaces"
    deadline = time.monotonic() + 20
    while not adapters.exists() or os.listdir(adapters) != ["eth0"]:
        assert time.monotonic() < deadline, up.log("smolnetd")
        time.sleep(0.01)
    asked(up, "remove", found["schemes"][0])
    while os.listdir(adapters):
        assert time.monotonic() < deadline, up.log("smolnetd")
        time.sleep(0.01)
    assert up.daemon("smolnetd")["state"] == "ready"


def test_there_is_room_for_more_devices_than_a_shells_limit_has(tmp_path):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = Up(tmp_path, "--lab", "e1000", "--lab", "e1000", "--lab", "e1000")
    few.options["preexec_fn"] = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    with few as up:
        cards = [one for one in up.status["daemons"] if one["name"].startswith("e1000d")]
        assert [one["state"] for one in cards] == ["ready"] * 3
