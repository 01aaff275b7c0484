"""The guest lab: run one command on Debian's own kernel, with spare devices behind an IOMMU.

    status = run(["pytest", "tests/vm"], GuestOptions(devices=("nvme",)))

The guest sees the caller's files (read-only underneath, with a layer of memory above: it may write
anywhere, nothing comes back), starts in the caller's folder and ends with the command.  Files that
shall come back go to `/run/exchange`, which is `GuestOptions.exchange` on the host.  QEMU emulates
the processor, so nothing but QEMU is needed of the host: no KVM, no root, no network.
"""

from __future__ import annotations

import os
import selectors
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Literal

from redbear_host.errors import ConfigError, TransportError
from redbear_host.lab import spares
from redbear_host.lab.initrd import initrd
from redbear_host.lab.kernel import find_kernel, unpacked

QEMU: Final = "qemu-system-x86_64"
LOG_TAIL: Final = 8192  # bytes of kernel log kept for the day the guest dies
ALWAYS: Final = ("vfio-pci", "vfio_iommu_type1", "fuse", "loop")
SBIN: Final = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class GuestOptions:
    """What the guest is made of and how long it may live."""

    devices: Sequence[str] = ("nvme",)  # names of `redbear_host.lab.spares.SPARES`
    disk: Path | None = None  # raw image behind the first of `devices` that has a disk
    exchange: Path | None = None  # folder that is /run/exchange in the guest; None: one of its own
    memory: int = 3072  # MiB
    processors: int = 2
    timeout: float = 600.0  # seconds, boot included
    cmdline: str = ""  # further words for the kernel
    modules: Sequence[str] = ()  # further modules to load before the command
    environment: Mapping[str, str] = field(default_factory=dict)  # on top of the caller's own few
    accelerator: Literal["tcg", "kvm"] = "tcg"
    count_instructions: bool = False  # the guest's clock counts them, a nanosecond each
    arguments: Sequence[str] = ()  # further arguments for QEMU
    verbose: bool = False  # the kernel's log goes to `errors` as it comes


def run(
    command: Sequence[str],
    options: GuestOptions | None = None,
    output: BinaryIO | None = None,
    errors: BinaryIO | None = None,
) -> int:
    """Boot a guest, run `command` in it and return the command's exit status.

    What the command writes comes out of `output` and `errors` (default: ours) while it runs; a
    command that was killed by signal N ends with 128 + N, as in a shell.  Raises `ConfigError` when
    something to boot with is missing, `TransportError` when the guest dies before the command ends
    or is not done in time; the end of its kernel log is then written to `errors`.
    """
    options = options or GuestOptions()
    output = output or sys.stdout.buffer
    errors = errors or sys.stderr.buffer
    qemu = shutil.which(QEMU)
    if qemu is None:
        raise ConfigError(f"{QEMU} is not installed", "apt install qemu-system-x86")
    if not command:
        raise ConfigError("the guest lab needs a command to run", "redbear-host lab vm -- uname -a")
    kernel = find_kernel()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="redbear-lab-")))
        exchange = (options.exchange or folder / "exchange").resolve()
        _write_session(exchange, command, options)
        ramdisk = folder / "initrd"
        modules = (*ALWAYS, *spares.modules(options.devices), *options.modules)
        ramdisk.write_bytes(initrd(kernel, modules))
        streams = [stack.enter_context(_Stream(sink)) for sink in (output, errors)]
        log = stack.enter_context(_Stream(errors if options.verbose else None))
        streams.append(log)
        arguments = [
            *_machine(options),
            *("-kernel", str(unpacked(kernel)), "-initrd", str(ramdisk)),
            *_shares(exchange),
            *_consoles([stream.theirs.fileno() for stream in streams]),
            *_cards(options, folder),
            *options.arguments,
        ]
        said = stack.enter_context(tempfile.TemporaryFile())
        # QEMU dies with this thread even if we are killed; Ctrl-C is ours to handle, not QEMU's.
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", qemu, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            pass_fds=[stream.theirs.fileno() for stream in streams],
            start_new_session=True,
        )
        stack.callback(_end, process)
        for stream in streams:
            stream.theirs.close()
        in_time = _follow(process, streams, time.monotonic() + options.timeout)
        status = exchange / "status"
        if status.exists() and (ended := status.read_text(encoding="ascii")):
            return int(ended)
        if not options.verbose:
            errors.write(log.tail)
            errors.flush()
        if not in_time:
            raise TransportError(
                f"the guest was not done with {shlex.join(command)!r} after {options.timeout:g} s",
                "give it more time, or look at its kernel log with verbose",
            )
        said.seek(0)
        why = said.read().decode(errors="replace").strip() or "its kernel log above may say why"
        raise TransportError(
            f"the guest died before {shlex.join(command)!r} ended "
            f"({QEMU} ended with {process.returncode}): {why}"
        )


def _write_session(exchange: Path, command: Sequence[str], options: GuestOptions) -> None:
    """Put into `exchange` what `session.sh` runs and `init.sh` copies."""
    try:
        exchange.mkdir(parents=True, exist_ok=True)
        (exchange / "status").unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{exchange} cannot be shared with the guest: {error.strerror}",
            "give --exchange a folder that you can write",
        ) from error
    shutil.copyfile(Path(__file__).with_name("session.sh"), exchange / "session.sh")
    own = os.environ
    ours = sysconfig.get_path("scripts")  # last: only for `lab vm -- redbear-host …` to be found
    environment = {
        "PATH": f"{own.get('PATH', '/usr/local/bin:/usr/bin:/bin')}:{SBIN}:{ours}",
        "HOME": own.get("HOME", "/root"),
        "LANG": own.get("LANG", "C.UTF-8"),
        "TERM": own.get("TERM", "dumb"),
        # Compiled modules would land in memory and be compiled again next time.
        "PYTHONDONTWRITEBYTECODE": "1",
        # Lines shall be seen when they are printed; the far end is a pipe.
        "PYTHONUNBUFFERED": "1",
        # Where QEMU has to put a file, as its monitor's screendump, for the guest to see it.
        "REDBEAR_LAB_EXCHANGE": str(exchange),
        **{name: value for name, value in own.items() if name.startswith("REDBEAR_")},
        **options.environment,
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    lines.append(f"DIRECTORY={shlex.quote(os.getcwd())}")
    lines.append(f"set -- {shlex.join(command)}")
    (exchange / "environment").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _machine(options: GuestOptions) -> list[str]:
    words = [
        "console=ttyS0",
        "loglevel=7" if options.verbose else "quiet",
        "panic=-1",  # with -no-reboot: QEMU ends
        "no_timer_check",  # the check counts real time, and a busy host fails it
        "tsc=reliable",  # it is, and every other clock costs an exit to QEMU a reading
        "intel_iommu=on",
        "iommu=nopt",
        options.cmdline,
    ]
    cpu = "max"
    counting: tuple[str, ...] = ()
    if options.count_instructions:
        # Without them the kernel copies by words; each byte of a `rep movsb` would count.
        cpu = "max,erms=off,fsrm=off"
        counting = ("-icount", "shift=0,sleep=off")
    return [
        *("-machine", f"q35,accel={options.accelerator},kernel-irqchip=split", *counting),
        *("-cpu", cpu, "-smp", str(options.processors), "-m", f"{options.memory}M"),
        *("-nodefaults", "-display", "none", "-no-reboot"),
        *("-device", "intel-iommu,intremap=on,caching-mode=on"),
        *("-append", " ".join(words).strip()),
    ]


def _shares(exchange: Path) -> list[str]:
    told = []
    # Outside its folder (a comma would end the path) QEMU takes a comma that is written twice.
    for tag, path, access in (("host", "/", ",readonly=on"), ("exchange", str(exchange), "")):
        share = f"local,id={tag},path={path.replace(',', ',,')},security_model=none"
        told += ["-fsdev", f"{share},multidevs=remap{access}"]
        told += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    return told


def _consoles(fds: Sequence[int]) -> list[str]:
    """Put the command's two streams on virtio ports and the kernel's log on a serial line."""
    output, errors, log = fds
    return [
        *("-device", "virtio-serial-pci"),
        *("-chardev", f"socket,id=output,fd={output}"),
        *("-device", "virtserialport,chardev=output,nr=1"),
        *("-chardev", f"socket,id=errors,fd={errors}"),
        *("-device", "virtserialport,chardev=errors,nr=2"),
        *("-chardev", f"socket,id=log,fd={log}"),
        *("-serial", "chardev:log"),
    ]


def _cards(options: GuestOptions, folder: Path) -> list[str]:
    told: list[str] = []
    disk = options.disk
    for name in options.devices:
        own = disk if spares.spare(name).disk else None
        told += spares.arguments(name, own, folder)
        disk = None if own else disk
    if disk is not None:
        raise ConfigError(
            f"no device of the guest has a disk to be backed by {disk}", "add nvme or ahci"
        )
    return told


class _Stream:
    """Bytes that come out of QEMU, passed on as they come; the last of them are kept."""

    def __init__(self, sink: BinaryIO | None) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.tail = b""
        self._sink = sink

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.ours.close()
        self.theirs.close()

    def pump(self) -> bool:
        """Pass on what is there; False at the end."""
        try:
            data = self.ours.recv(65536)
        except ConnectionResetError:  # QEMU was killed with unread bytes on its side
            return False
        if self._sink is not None:
            self._sink.write(data)
            self._sink.flush()
        self.tail = (self.tail + data)[-LOG_TAIL:]
        return bool(data)


def _follow(process: subprocess.Popen[bytes], streams: Sequence[_Stream], deadline: float) -> bool:
    """Pass on what the guest says until it has ended; False if that takes beyond `deadline`."""
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.ours, selectors.EVENT_READ, stream)
        while selector.get_map():
            ready = selector.select(deadline - time.monotonic())
            if not ready:
                return False
            for key, _ in ready:
                stream = key.data
                if not stream.pump():
                    selector.unregister(stream.ours)
    process.wait()  # all its sockets are closed: it is ending
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()  # nothing in the guest outlives it
        process.wait()
