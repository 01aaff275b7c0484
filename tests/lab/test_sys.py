"""/scheme/sys, proc, thisproc and trace, and the verbs that read them, on a whole instance."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from up_rig import COMMAND, Up, leftovers, redbear

from redbear_host.abi.proc import GrantDesc, GrantFlags, ProcMeta

PYTHON = str(
    Path(sys.executable).resolve()
)  # the machine's: nobody may not see into every checkout


@pytest.fixture(scope="module")
def up():
    with tempfile.TemporaryDirectory(prefix="redbear-sys-") as name:
        folder = Path(name)  # pytest's own folders are closed to other users
        folder.chmod(0o755)
        with Up(folder, "--lab", "nvme:size=4M") as instance:
            yield instance


def said(up, name):
    return (up.mount / name).read_text()


def table(up, name):
    head, *lines = said(up, name).splitlines()
    columns = head.split()
    return [dict(zip(columns, line.split(None, len(columns) - 1), strict=True)) for line in lines]


def verb(up, *arguments):
    done = redbear(*arguments, "--mount", up.mount)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def as_nobody(*command):
    return subprocess.run(
        command, capture_output=True, text=True, timeout=20, check=False, user=65534, group=65534
    )


# -- sys -------------------------------------------------------------------------------------------


def test_uname_names_the_system_the_machine_and_the_host(up):
    name, version, machine, host = said(up, "sys/uname").splitlines()
    assert (name, machine) == ("Redox", platform.machine())
    assert version
    assert host == f"Linux {platform.release()}"


def test_cpu_agrees_with_the_kernel(up):
    lines = said(up, "sys/cpu").splitlines()
    assert lines[0] == f"CPUs: {os.cpu_count()}"
    assert lines[-1].startswith("Features: fpu ")


def test_context_has_a_line_for_each_process_of_the_instance(up):
    head, *lines = said(up, "sys/context").splitlines()
    assert head.split()[:4] == ["PID", "EUID", "EGID", "STAT"]
    rows = [(int(line.split()[0]), line.split()[-1]) for line in lines]
    state = up.status
    # Some wait for their first use, and have no process yet.
    daemons = {one["name"]: one["pid"] for one in state["daemons"] if one["pid"]}
    assert {name: pid for pid, name in rows} == daemons | {"supervisor": state["pid"]}
    assert rows == sorted(rows)


def test_block_and_syscall_tell_where_an_idle_daemon_waits(up):
    pid = up.daemon("pcid")["pid"]
    assert re.search(rf"^{pid}: pcid\n  \S+", said(up, "sys/block"), re.M)
    assert re.search(rf"^{pid}: pcid\n  syscall \d+\(", said(up, "sys/syscall"), re.M)


def test_scheme_lists_what_is_mounted_for_the_caller(up):
    assert said(up, "sys/scheme").split() == sorted(os.listdir(up.mount))
    private = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"umount {up.mount}/pci && cat {up.mount}/sys/scheme"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert private.stdout.split() == sorted(set(os.listdir(up.mount)) - {"pci"})


def test_exe_is_the_callers_program(up):
    assert said(up, "sys/exe").strip() == os.path.realpath("/proc/self/exe")


def test_env_says_where_the_instance_lives(up):
    pairs = dict(line.split("=", 1) for line in said(up, "sys/env").splitlines())
    assert pairs["REDBEAR_SCHEME"] == str(up.mount)
    assert pairs["REDBEAR_RUN_DIR"] == str(up.run_dir)


def test_stat_counts_contexts_and_agrees_with_the_kernels_boot_time(up):
    lines = said(up, "sys/stat").splitlines()
    values = dict(line.split(": ") for line in lines if ": " in line)
    with open("/proc/stat") as file:
        assert f"btime {values['boot_time']}\n" in file.read()
    running = [it for it in up.status["daemons"] if it["pid"]]  # Orbital waits for its first use
    assert int(values["contexts_alive"]) == len(running) + 1
    assert lines[0].startswith("cpu  ")
    assert sum(line.startswith("IRQs ") for line in lines) == 1


def test_what_is_written_to_debug_stands_in_the_log(up):
    subprocess.run(["sh", "-c", f"echo a line of ours > {up.mount}/debug"], check=True, timeout=20)
    assert "a line of ours\n" in said(up, "sys/log")


def test_reading_a_disk_raises_its_interrupts_count(up):
    def counted():
        return sum(int(line.split(": ")[1]) for line in said(up, "sys/irq").splitlines())

    before = counted()
    with open(up.disk / "1", "rb", buffering=0) as file:
        for block in reversed(range(32)):  # who reads in order is read ahead for, in fewer commands
            os.pread(file.fileno(), 4096, block * 4096)
    assert counted() >= before + 16


def test_irq_has_224_lines(up):
    lines = said(up, "sys/irq").splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(number) for number in range(224)]


def test_a_text_is_made_once_for_each_open(up):
    with open(up.mount / "sys/requests", "rb", buffering=0) as file:
        first = os.pread(file.fileno(), 1 << 16, 0)
        assert os.pread(file.fileno(), 1 << 16, 0) == first
        assert os.pread(file.fileno(), 10, 7) == first[7:17]
        assert os.pread(file.fileno(), 10, 1 << 20) == b""
    assert (up.mount / "sys/env").stat().st_size == len(said(up, "sys/env"))


def test_counts_grow_with_calls_and_open_files_are_shown(up):
    def row():
        rows = table(up, "sys/schemes")
        return next(one for one in rows if one["SCHEME"] == "pci")

    before = int(row()["CALLS"])
    name = next(n for n in os.listdir(up.mount / "pci") if "--" in n)
    with open(up.mount / "pci" / name / "ids", "rb", buffering=0) as file:
        for _ in range(200):
            os.pread(file.fileno(), 100, 0)
        deadline = time.monotonic() + 10
        while int((after := row())["CALLS"]) < before + 200:  # published batch by batch
            assert time.monotonic() < deadline
        assert int(after["RECORDED"]) >= 3
        assert int(after["LATENCY_NS"]) > 0
        assert int(after["HANDLES"]) == 1
        mine = [r for r in table(up, "sys/clients") if r["PID"] == str(os.getpid())]
        assert [(r["SCHEME"], r["HANDLES"]) for r in mine if r["SCHEME"] == "pci"] == [("pci", "1")]
        assert f"/scheme/pci/{name}/ids" in said(up, "sys/iostat")


def test_a_request_that_waits_is_listed_until_its_client_gives_up(up):
    waiting = subprocess.Popen(
        ["cat", str(up.mount / "trace/pci")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 10
        while True:
            rows = [r for r in table(up, "sys/requests") if r["PID"] == str(waiting.pid)]
            if rows:
                break
            assert time.monotonic() < deadline
        assert (rows[0]["SCHEME"], rows[0]["OPERATION"]) == ("trace", "read")
        assert rows[0]["PATH"] == "/pci"
    finally:
        waiting.kill()
        waiting.wait(10)
    deadline = time.monotonic() + 10
    while any(r["PID"] == str(waiting.pid) for r in table(up, "sys/requests")):
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("kstop", b"bogus", errno.EINVAL),
        ("update_time_offset", b"short", errno.EINVAL),
        ("update_time_offset", bytes(16), errno.EOPNOTSUPP),
    ],
)
def test_orders_that_cannot_be_obeyed(up, name, data, error):
    fd = os.open(up.mount / "sys" / name, os.O_WRONLY)
    try:
        with pytest.raises(OSError) as caught:  # noqa: PT011 -- the errno is what counts
            os.write(fd, data)
        assert caught.value.errno == error
    finally:
        os.close(fd)


def test_only_root_may_stop_it_and_nobody_may_write_elsewhere(up):
    done = as_nobody("sh", "-c", f"echo shutdown > {up.mount}/sys/kstop")
    assert done.returncode != 0
    assert "not permitted" in done.stderr
    with pytest.raises(OSError) as caught:  # noqa: PT011 -- the errno is what counts
        os.open(up.mount / "sys/uname", os.O_WRONLY)
    assert caught.value.errno == errno.EROFS
    assert not (up.mount / "sys/nothing").exists()


def test_kstop_takes_the_instance_down_in_order(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    up = Up(folder)
    done = redbear("up", "--detach", *up.where)
    assert done.returncode == 0, done.stderr
    (up.mount / "sys/kstop").write_text("shutdown\n")
    deadline = time.monotonic() + 20
    while up.mount.exists() or leftovers(up.run_dir):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert redbear("status", "--run-dir", up.run_dir).returncode == 2


# -- proc and thisproc -----------------------------------------------------------------------------


def test_ps_agrees_with_linux(up):
    for row in table(up, "proc/ps"):
        with open(f"/proc/{row['PID']}/status") as file:
            status = dict(line.split(":\t", 1) for line in file if ":\t" in line)
        assert row["PPID"] == status["PPid"].strip()
        assert row["EUID"] == status["Uid"].split()[1]


def test_a_process_is_a_folder_of_files(up):
    daemon = up.daemon("nvmed")
    folder = up.mount / "proc" / str(daemon["pid"])
    assert (folder / "name").read_text().strip() == daemon["name"]
    assert f"device: {daemon['device']}" in (folder / "status").read_text()
    assert (folder / "restarts").read_text() == f"{daemon['restarts']}\n"
    namespace = os.readlink(f"/proc/{daemon['pid']}/ns/mnt")
    assert f"mnt: {namespace}\n" in (folder / "ns").read_text()
    meta = ProcMeta.load((folder / "meta").read_bytes())
    assert (meta.pid, meta.ppid) == (daemon["pid"], up.status["pid"])


def test_an_address_space_is_told_grant_by_grant(up):
    raw = (up.mount / "proc" / str(up.status["pid"]) / "addrspace").read_bytes()
    grants = [GrantDesc.load(raw[at : at + 32]) for at in range(0, len(raw), 32)]
    assert len(grants) > 20
    assert all(one.length and one.base % 4096 == 0 for one in grants)
    assert any(one.flags & GrantFlags.EXEC for one in grants)
    assert any(one.flags & GrantFlags.WRITE for one in grants)


def test_two_processes_see_themselves_in_thisproc(up):
    mine = (up.mount / "thisproc/current/name").read_text().strip()
    other = subprocess.run(
        ["cat", str(up.mount / "thisproc/current/name")],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert other.stdout == "cat\n"
    assert mine != "cat"
    assert ProcMeta.load((up.mount / "thisproc/current/meta").read_bytes()).pid == os.getpid()


def test_a_user_sees_his_own_processes_and_no_others(up):
    done = as_nobody("cat", str(up.mount / "thisproc/current/uid"))
    assert done.stdout == "65534\n"
    done = as_nobody("cat", str(up.mount / f"proc/{up.status['pid']}/fds"))
    assert "Permission denied" in done.stderr
    assert as_nobody("cat", str(up.mount / "proc/ps")).returncode == 0


# A program of the user's own that Linux shows to root only, as it does a set-user-id one.
CLOSED = """
import ctypes, time
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
print("closed", flush=True)
time.sleep(60)
"""


def test_a_process_that_linux_shows_to_root_only_is_shown_to_root_only(up):
    child = subprocess.Popen(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", PYTHON, "-c", CLOSED],
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout.readline() == b"closed\n"
        for name in ("addrspace", "fds", "exe"):
            done = as_nobody("cat", str(up.mount / f"proc/{child.pid}/{name}"))
            assert "Permission denied" in done.stderr
        assert (up.mount / f"proc/{child.pid}/name").read_bytes()
    finally:
        child.kill()
        child.communicate()


def test_names_that_others_have_open_are_roots_to_see(up):
    name = next(one for one in os.listdir(up.mount / "pci") if "04.0" in one)
    with open(up.mount / "pci" / name / "ids"):
        assert f"/scheme/pci/{name}/ids" in said(up, "sys/iostat")
        script = f"exec 3< {up.mount}/sys/uname; cat {up.mount}/sys/iostat"
        done = as_nobody("sh", "-c", script)
    assert "/scheme/sys/uname" in done.stdout
    assert "/scheme/pci" not in done.stdout


def test_where_roots_processes_have_their_memory_is_roots_to_see(up):
    assert "syscall" in said(up, "sys/syscall")
    assert "(0x" in said(up, "sys/syscall")
    done = as_nobody("cat", str(up.mount / "sys/syscall"))
    assert "syscall" in done.stdout
    assert "(" not in done.stdout


def test_a_process_that_is_not_there(up):
    assert not (up.mount / "proc/4194304999").exists()
    assert not (up.mount / "proc/1x").exists()


# -- trace -----------------------------------------------------------------------------------------


def trace(up, *arguments):
    """Start the verb; return what ends it and gives its lines."""
    child = subprocess.Popen(
        [*COMMAND, "trace", *arguments, "--mount", str(up.mount)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def lines():
        out, err = child.communicate(timeout=30)
        assert child.returncode == 0, err
        return out.splitlines()

    return lines


def busy(path, until):
    """Read a file again and again in a thread of its own until told to stop."""
    stop = threading.Event()

    def work():
        while not stop.is_set():
            with open(path, "rb", buffering=0) as file:
                os.pread(file.fileno(), 4096, 0)
            stop.wait(0.02)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        return until()
    finally:
        stop.set()
        thread.join(30)


def test_calls_of_a_scheme_are_shown_as_they_happen(up):
    lines = trace(up, up.disk.name, "--json", "-n", "20")
    calls = [json.loads(line) for line in busy(up.disk / "1", lines)]
    reads = [call for call in calls if call["operation"] == "read"]
    assert reads
    assert all(call["path"] == "/1" and call["result"] == 4096 for call in reads)
    assert {call["pid"] for call in reads} == {os.getpid()}
    assert {call["operation"] for call in calls} >= {"read", "open", "release"}
    rows = table(up, "sys/schemes")
    before = int(next(r for r in rows if r["SCHEME"] == up.disk.name)["RECORDED"])
    for _ in range(10):
        (up.disk / "1").stat()
    rows = table(up, "sys/schemes")
    assert int(next(r for r in rows if r["SCHEME"] == up.disk.name)["RECORDED"]) <= before + 1


def test_registers_of_a_device_are_shown_decoded_and_its_clients_only_wait(up):
    device = up.daemon("nvmed")["device"]
    with open(up.disk / "1", "rb", buffering=0) as file:
        whole = os.pread(file.fileno(), 4096, 0)
        lines = trace(up, device, "-n", "28")()  # what a start shows; then one a second
        assert os.pread(file.fileno(), 4096, 0) == whole
    text = "\n".join(lines)
    assert re.search(r"bar0 read32 0x001c NvmeRegs\.CSTS <CSTS 0x00000001 RDY=True ", text)
    assert re.search(r"bar0 write32 0x0014 NvmeRegs\.CC <CC 0x[0-9a-f]{8} EN=", text)
    assert "enable 2 msix interrupts" in text
    restarted(up, "nvmed", 2)
    assert (up.disk / "1").stat().st_size == 4 << 20


def test_a_trace_that_ends_while_its_device_comes_up_is_not_traced_on(up):
    before = up.daemon("nvmed")["restarts"]
    lines = trace(up, up.daemon("nvmed")["device"], "-n", "3")()
    assert len(lines) == 3
    restarted(up, "nvmed", before + 2)  # with the trace, and without
    with open(up.disk / "1", "rb", buffering=0) as file:
        assert len(os.pread(file.fileno(), 4096, 0)) == 4096


def test_a_device_can_be_traced_while_its_daemon_is_started_again(up):
    # `cat` opens the file, for which the daemon is started again, and then asks what it has opened.
    name = up.disk.name.removeprefix("disk.").removesuffix("-nvme")
    for _ in range(3):
        before = up.daemon("nvmed")
        os.kill(before["pid"], signal.SIGKILL)
        deadline = time.monotonic() + 20
        while now := up.daemon("nvmed"):
            assert (up.mount / "trace" / name).exists()
            if now["state"] == "ready" and now["restarts"] > before["restarts"]:
                break
            assert time.monotonic() < deadline


def restarted(up, name, times):
    """Wait until a daemon has been started again so often."""
    deadline = time.monotonic() + 20
    while up.daemon(name)["state"] != "ready" or up.daemon(name)["restarts"] < times:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_tracing_is_for_root_and_of_what_there_is(up):
    done = as_nobody("cat", str(up.mount / "trace/pci"))
    assert "not permitted" in done.stderr
    done = redbear("trace", "nothing", "--mount", up.mount)
    assert done.returncode == 2
    assert "known: " in done.stderr
    done = redbear("trace", "pci", "-n", "0", "--mount", up.mount)
    assert done.returncode == 2


# -- the verbs -------------------------------------------------------------------------------------


def test_ls_takes_every_spelling(up):
    names = sorted(os.listdir(up.mount))
    assert verb(up, "ls").split() == names
    assert verb(up, "ls", ":").split() == names
    assert verb(up, "ls", "sys:") == verb(up, "ls", "/scheme/sys")
    entries = json.loads(verb(up, "ls", "--json", "/scheme/sys/uname"))
    assert [(one["name"], one["kind"]) for one in entries] == [("uname", "file")]
    assert verb(up, "ls", "-l", "proc:").splitlines()[-1].endswith(" ps")


def test_ls_and_cat_say_what_there_is_where_something_is_not(up):
    done = redbear("ls", "rnad:", "--mount", up.mount)
    assert (done.returncode, done.stderr.count("\n")) == (2, 2)
    assert "rand" in done.stderr
    done = redbear("cat", "sys:nothing", "--mount", up.mount)
    assert done.returncode == 2
    done = redbear("ls", "--mount", up.run_dir / "nowhere")
    assert f"redbear-host: {up.run_dir / 'nowhere'}: No such file" in done.stderr
    done = redbear("cat", "rand:", "-c", "4", "--mount", up.run_dir / "nowhere")
    assert "redbear-host up" in done.stderr


def test_a_name_without_its_colon_and_a_path_that_is_not_there_are_told_how_to_go_on(up):
    def hint(*arguments):
        done = redbear(*arguments, "--mount", up.mount)
        assert done.returncode == 2, done.stderr
        return done.stderr.splitlines()[-1]

    assert hint("ls", "ramfs") == "hint: a scheme's path begins with its name and a colon: ramfs:"
    assert hint("cat", "rand/x").endswith(" rand:x")
    for spelling in ("ramfs:nothing", "/scheme/ramfs/nothing"):
        assert hint("cat", spelling) == "hint: to see what is there: redbear-host ls ramfs:"
    assert hint("cat", "ramfs:") == "hint: to see what is there: redbear-host ls ramfs:"
    assert hint("trace", "rnad") == "hint: did you mean 'rand'?"


def test_ls_lists_names_that_the_caller_may_not_look_at(up):
    command = [*COMMAND, "ls", "--mount", up.mount]
    assert as_nobody(*command).stdout.split() == sorted(os.listdir(up.mount))
    for one in json.loads(as_nobody(*command, "--json").stdout):
        assert (one["kind"] == "unknown") == (one["name"] in (up.disk.name, "orbital.ctl"))
    assert f"? {up.disk.name}\n" in as_nobody(*command, "--long").stdout


def test_cat_copies_files_one_after_the_other(up):
    both = verb(up, "cat", "sys:uname", "/scheme/sys/env")
    assert both == said(up, "sys/uname") + said(up, "sys/env")


def test_ps_joins_processes_with_what_they_serve(up):
    rows = json.loads(verb(up, "ps", "--json"))
    nvmed = next(row for row in rows if row["name"].startswith("nvmed"))
    assert nvmed["schemes"] == [up.disk.name]
    assert nvmed["pid"] == up.daemon("nvmed")["pid"]
    assert "SCHEMES" in verb(up, "ps").splitlines()[0]


def test_top_shows_rates_latencies_and_clients(up):
    def look():
        out = verb(up, "top", "-n", "1", "-d", "1", "--json")
        return json.loads(out)

    picture = busy(up.disk / "1", look)
    disk = next(one for one in picture["schemes"] if one["scheme"] == up.disk.name)
    assert disk["per_second"] > 10
    mine = [one for one in picture["clients"] if one["pid"] == os.getpid()]
    assert {one["scheme"] for one in mine} >= {up.disk.name}
    drawn = verb(up, "top", "-n", "1", "-d", "0.2")
    assert drawn.startswith("SCHEME")
    assert up.disk.name in drawn


@pytest.mark.parametrize(
    "words",
    [
        *(("top", "-n", "1", "-d", each) for each in ("0", "nan", "inf", "1e300")),
        *(("top", "-n", each) for each in ("0", "-1")),
        ("cat", "-c", "-1", "rand:"),
    ],
)
def test_a_number_that_cannot_be_is_refused(up, words):
    done = redbear(*words, "--mount", up.mount)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("hint: ")
