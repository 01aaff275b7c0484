from __future__ import annotations

import fcntl
import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from redbear_host import cli
from redbear_host.cli.checks import CHECKS, extras, install, lab, vfio
from redbear_host.cli.checks.machine import Finding, Machine, Verdict
from redbear_host.cli.doctor import render
from redbear_host.errors import TransportError

RELEASE = "6.1.0-56-amd64"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with nothing in it but a root user and a modern Python."""
    packages = tmp_path / "site"
    return Machine(
        root=tmp_path,
        uid=0,
        release=RELEASE,
        python=(3, 11),
        program=lambda name: f"/usr/bin/{name}",
        ask=lambda command: "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\n",
        package=lambda name: packages / name,
        can_load=lambda name: True,
        try_fuse=lambda: 38,
    )


def put(machine: Machine, path: str, content: str | bytes = "") -> None:
    file = machine.path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)


def folder(machine: Machine, *paths: str) -> None:
    for path in paths:
        machine.path(path).mkdir(parents=True)


def is_(finding: Finding, verdict: str, *parts: str) -> None:
    """Check the verdict, and that evidence and advice hold the parts."""
    said = f"{finding.evidence} | {finding.advice}"
    assert finding.verdict == verdict, said
    for part in parts:
        assert part in said
    assert (finding.advice == "") == (finding.verdict is Verdict.OK), said


# -- install ---------------------------------------------------------------------------------------


def test_an_old_python_fails(machine: Machine) -> None:
    is_(install.python(machine), "ok", "Python 3.11")
    is_(install.python(replace(machine, python=(3, 9))), "fail", "Python 3.9", "apt install")


def test_somebody_elses_packages_fail(machine: Machine, tmp_path: Path) -> None:
    is_(install.packages(machine), "ok", "daemons are ours")
    other = {"daemons": tmp_path / "elsewhere/daemons"}
    foreign = replace(machine, package=lambda n: other.get(n, tmp_path / "site" / n))
    is_(install.packages(foreign), "fail", "`import daemons` finds", "elsewhere", "environment")
    missing = replace(machine, package=lambda n: None if n == "schemefs" else tmp_path / "site" / n)
    is_(install.packages(missing), "fail", "`import schemefs` finds nothing")


def test_our_own_packages_are_ours() -> None:
    is_(install.packages(Machine()), "ok", "kernel_shim, schemefs, daemons are ours")


def test_missing_names_are_worth_a_warning(machine: Machine) -> None:
    is_(install.names(machine), "warn", "apt install pci.ids")
    put(machine, "/var/lib/pciutils/pci.ids", "0001  SafeNet\n")
    is_(install.names(machine), "ok", "/var/lib/pciutils/pci.ids")


# -- extras ----------------------------------------------------------------------------------------


def test_what_windows_sound_and_keyboards_need_is_looked_for(machine: Machine) -> None:
    for check, extra, names in (
        (extras.screen, "screen", ("PIL", "pyte")),
        (extras.sound, "sound", ("numpy", "soxr")),
        (extras.keyboards, "input", ("evdev",)),
    ):
        is_(check(machine), "ok", *names)
        bare = replace(machine, package=lambda name: None)
        advice = f"pip install 'redbear-host[{extra}]'"
        is_(check(bare), "warn", *(f"no {name}" for name in names), advice)


def test_without_pixman_orbital_cannot_draw(machine: Machine) -> None:
    none = replace(machine, can_load=lambda name: False)
    is_(extras.screen(none), "warn", extras.PIXMAN, "apt install libpixman-1-0")
    assert Machine().can_load("libc.so.6")
    assert not Machine().can_load("libof-no-machine.so.9")


# -- lab -------------------------------------------------------------------------------------------


def test_only_root_may_mount(machine: Machine) -> None:
    is_(lab.root(machine), "ok")
    is_(lab.root(replace(machine, uid=1000)), "fail", "user 1000", "sudo")


def test_the_fuse_device_must_open(machine: Machine) -> None:
    is_(lab.device_node(machine), "fail", "there is none", "modprobe fuse")
    put(machine, "/dev/fuse")
    is_(lab.device_node(machine), "ok")
    machine.path("/dev/fuse").unlink()
    folder(machine, "/dev/fuse")
    is_(lab.device_node(machine), "fail", "Is a directory", "--device /dev/fuse")


def raising(error: Exception) -> Callable[[], int]:
    def attempt() -> int:
        raise error

    return attempt


def test_a_trial_mount_tells_the_protocol(machine: Machine) -> None:
    is_(lab.trial_mount(machine), "ok", "7.38")
    old = TransportError("this kernel speaks FUSE 7.26; 7.31 (Linux 5.4) is needed")
    is_(lab.trial_mount(replace(machine, try_fuse=raising(old))), "fail", "7.26", "newer")
    refused = TransportError("mounting failed", "use more force")
    is_(lab.trial_mount(replace(machine, try_fuse=raising(refused))), "fail", "use more force")


def test_fusectl_may_be_mounted_later(machine: Machine) -> None:
    is_(lab.fusectl(machine), "warn", "modprobe fuse")
    folder(machine, lab.CONNECTIONS)
    is_(lab.fusectl(machine), "ok", "not mounted")
    put(
        machine, "/proc/self/mountinfo", f"31 24 0:27 / {lab.CONNECTIONS} rw - fusectl fusectl rw\n"
    )
    is_(lab.fusectl(machine), "ok", f"mounted on {lab.CONNECTIONS}")


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("31 24 0:27 / /scheme rw - tmpfs redbear rw", "fail"),
        ("31 24 0:27 / /scheme/rand rw shared:5 - fuse.redbear rand rw", "fail"),
        ("31 24 0:27 / /schemes rw - tmpfs x rw", "ok"),
        ("31 24 0:27 / / rw - ext4 /dev/vda rw", "ok"),
        ("a broken line", "ok"),
    ],
)
def test_a_mount_in_the_way_is_seen(machine: Machine, line: str, verdict: str) -> None:
    put(machine, "/proc/self/mountinfo", f"{line}\n")
    is_(lab.mount_point(machine), verdict, "/scheme")


def test_a_mount_point_with_a_space_is_understood(machine: Machine) -> None:
    put(machine, "/proc/self/mountinfo", "31 24 0:27 / /my\\040scheme rw - tmpfs x rw\n")
    odd = replace(machine, mount=Path("/my scheme"))
    is_(lab.mount_point(odd), "fail", "/my scheme is mounted")


def test_files_in_the_way_are_seen(machine: Machine) -> None:
    is_(lab.mount_point(machine), "ok", "free")
    put(machine, "/scheme/precious")
    is_(lab.mount_point(machine), "fail", "it holds precious", "--mount DIR")
    is_(lab.mount_point(replace(machine, mount=Path("/scheme/precious"))), "fail", "not a folder")


def test_a_damaged_state_is_told(machine: Machine) -> None:
    put(machine, "/run/redbear-host/state.json", '{"pid"')
    is_(lab.run_directory(machine), "fail", "state.json is damaged", "remove the file")


def test_a_running_instance_is_no_trouble(machine: Machine) -> None:
    put(machine, "/run/redbear-host/lock")
    put(machine, "/run/redbear-host/state.json", '{"pid": 42, "started": 1}')
    put(machine, "/proc/self/mountinfo", "31 24 0:27 / /scheme rw - tmpfs redbear rw\n")
    is_(lab.run_directory(machine), "fail", "process 42", "redbear-host down")
    with machine.path("/run/redbear-host/lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_(lab.run_directory(machine), "ok", "up, process 42")
        is_(lab.mount_point(machine), "ok", "redbear-host is up")


def test_an_unused_run_directory_is_fine(machine: Machine) -> None:
    is_(lab.run_directory(machine), "ok", "nothing was left behind")


def test_qemu_must_be_there_and_new_enough(machine: Machine) -> None:
    is_(lab.qemu(machine), "ok", "version 7.2.22")
    is_(lab.qemu(replace(machine, program=lambda name: None)), "fail", "apt install qemu")
    old = replace(machine, ask=lambda command: "QEMU emulator version 5.2.0 (Debian)")
    is_(lab.qemu(old), "fail", "version 5.2.0; 7.2 is needed")
    mute = replace(machine, ask=lambda command: "")
    is_(lab.qemu(mute), "fail", "does not tell its version")


def test_a_qemu_that_does_not_run_fails(tmp_path: Path) -> None:
    broken = tmp_path / "qemu"
    broken.write_text("not a program")
    broken.chmod(0o755)
    is_(lab.qemu(Machine(program=lambda name: str(broken))), "fail", "does not run")


def test_a_missing_guest_kernel_does_not_stop_the_lab(machine: Machine) -> None:
    is_(lab.guest(machine), "warn", "no kernel to boot", "apt install linux-image-amd64")


# -- vfio ------------------------------------------------------------------------------------------


def test_vfio_is_loaded_or_can_be(machine: Machine) -> None:
    is_(vfio.modules(machine), "warn", f"{RELEASE} has no vfio-pci", "linux-image-amd64")
    put(
        machine,
        f"/lib/modules/{RELEASE}/modules.dep",
        "kernel/drivers/vfio/pci/vfio-pci-core.ko: kernel/virt/x.ko\n"
        "kernel/drivers/vfio/vfio_iommu_type1.ko: kernel/drivers/vfio/vfio.ko\n",
    )
    is_(vfio.modules(machine), "warn", "has no vfio-pci")
    put(machine, f"/lib/modules/{RELEASE}/modules.builtin", "kernel/drivers/vfio/pci/vfio_pci.ko\n")
    is_(vfio.modules(machine), "ok", "vfio-pci can be loaded, vfio_iommu_type1 can be loaded")
    folder(machine, "/sys/module/vfio_pci")
    is_(vfio.modules(machine), "ok", "vfio-pci is loaded")


def test_a_dependency_on_vfio_is_not_vfio(machine: Machine) -> None:
    put(machine, f"/lib/modules/{RELEASE}/modules.dep", "kernel/x.ko: kernel/vfio-pci.ko\n")
    is_(vfio.modules(machine), "warn", "has no vfio-pci")


def test_an_iommu_in_use_has_groups(machine: Machine) -> None:
    folder(machine, "/sys/kernel/iommu_groups/0", "/sys/kernel/iommu_groups/1")
    folder(machine, "/sys/class/iommu/dmar0")
    is_(vfio.iommu(machine), "ok", "2 groups by dmar0")


INTEL = "vendor_id\t: GenuineIntel\nflags\t\t: fpu vmx\n"
AMD = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu svm\n"
VIRTUAL = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu hypervisor svm\n"


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        ({"/proc/cmdline": "quiet intel_iommu=off"}, ("intel_iommu=off on the", "remove it")),
        ({"/proc/cmdline": "iommu=off\n"}, ("iommu=off on the", "/etc/default/grub")),
        ({"/sys/firmware/acpi/tables/DMAR": ""}, ("VT-d", "add intel_iommu=on")),
        ({"/sys/firmware/acpi/tables/IVRS": ""}, ("AMD-Vi", "journalctl")),
        (
            {"/sys/firmware/acpi/tables/DMAR": "", f"/boot/config-{RELEASE}": "CONFIG_X=y\n"},
            ("without CONFIG_INTEL_IOMMU", "linux-image-amd64"),
        ),
        (
            {
                "/sys/firmware/acpi/tables/IVRS": "",
                "/proc/config.gz": gzip.compress(b"# CONFIG_AMD_IOMMU is not set\n"),
            },
            ("without CONFIG_AMD_IOMMU",),
        ),
        (
            {
                "/sys/firmware/acpi/tables/DMAR": "",
                f"/boot/config-{RELEASE}": "CONFIG_INTEL_IOMMU=y\n",
            },
            ("add intel_iommu=on",),
        ),
        ({"/proc/cpuinfo": INTEL}, ("firmware tells of none", "switch on VT-d")),
        ({"/proc/cpuinfo": AMD}, ("firmware tells of none", "switch on AMD-Vi")),
        ({"/proc/cpuinfo": VIRTUAL}, ("virtual machine", "-device intel-iommu")),
    ],
)
def test_each_reason_for_no_iommu_has_its_own_advice(
    machine: Machine, files: dict[str, str | bytes], parts: tuple[str, ...]
) -> None:
    for path, content in files.items():
        put(machine, path, content)
    is_(vfio.iommu(machine), "warn", *parts)


def test_interrupt_remapping_shows_in_the_names_of_interrupts(machine: Machine) -> None:
    is_(vfio.interrupt_remapping(machine), "warn", "no IOMMU")
    folder(machine, "/sys/kernel/iommu_groups/0")
    put(machine, "/proc/interrupts", " 24:  0  PCI-MSI 1-edge  nvme0q0\n")
    is_(vfio.interrupt_remapping(machine), "warn", "not remapped", "firmware")
    put(machine, "/proc/cmdline", "nointremap")
    is_(vfio.interrupt_remapping(machine), "warn", "nointremap on the", "remove it")
    put(machine, "/proc/interrupts", " 24:  0  IR-PCI-MSI 1-edge  nvme0q0\n")
    is_(vfio.interrupt_remapping(machine), "ok", "remapped")
    unsafe = "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"
    put(machine, unsafe, "N\n")
    is_(vfio.interrupt_remapping(machine), "ok")
    put(machine, unsafe, "Y\n")
    is_(vfio.interrupt_remapping(machine), "warn", f"echo N > {unsafe}")


def test_lockdown_is_told_with_secure_boot(machine: Machine) -> None:
    is_(vfio.lockdown(machine), "ok", "Secure Boot off")
    put(machine, "/sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
    is_(vfio.lockdown(machine), "ok", "none")
    variable = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    put(machine, variable, b"\6\0\0\0\1")
    put(machine, "/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    is_(vfio.lockdown(machine), "warn", "integrity, Secure Boot on", "mokutil")


@pytest.mark.parametrize(
    ("capabilities", "limit", "verdict"),
    [
        ("000001ffffffffff", "8388608", "ok"),
        ("0000000000004000", "0", "ok"),
        ("0000000000000000", "8388608", "warn"),
        ("0000000000000000", "67108864", "ok"),
        ("0000000000000000", "unlimited", "ok"),
    ],
)
def test_pinned_memory_is_limited_unless_we_may_pin_all(
    machine: Machine, capabilities: str, limit: str, verdict: str
) -> None:
    put(machine, "/proc/self/status", f"Name:\tx\nCapEff:\t{capabilities}\n")
    put(machine, "/proc/self/limits", f"Max locked memory         {limit}   {limit}   bytes\n")
    is_(vfio.memlock(machine), verdict)


# -- the verb --------------------------------------------------------------------------------------


def test_nothing_of_vfio_can_stop_the_lab(machine: Machine) -> None:
    checks = [check for check in CHECKS if check.__module__ == vfio.__name__]
    assert len(checks) == 5
    assert Verdict.FAIL not in {check(machine).verdict for check in checks}


def test_a_finding_is_told_with_what_to_type_below(machine: Machine) -> None:
    finding = lab.root(replace(machine, uid=1000))
    assert render(finding.verdict, finding.name, finding.evidence, finding.advice) == (
        "fail  root           user 1000: mounting and VFIO need root\n"
        "                     → sudo redbear-host …"
    )


def test_the_status_says_whether_the_lab_works(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def this(mount: Path, run_dir: Path) -> Machine:
        asked.append((mount, run_dir))
        return machine

    monkeypatch.setattr(Machine, "this", this)
    put(machine, "/dev/fuse")
    assert cli.main(["doctor", "--json", "--mount", "/m", "--run-dir", "/r"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["lab"] is True
    assert len(told["findings"]) == len(CHECKS)
    assert set(told["findings"][0]) == {"name", "verdict", "evidence", "advice"}
    assert asked == [(Path("/m"), Path("/r"))]
    assert cli.main(["doctor"]) == 0
    assert "up --lab nvme works here; the warnings" in capsys.readouterr().out
    put(machine, "/scheme/precious")
    assert cli.main(["doctor"]) == 3
    out = capsys.readouterr().out
    assert "it holds precious" in out
    assert "cannot work until what failed is mended" in out
