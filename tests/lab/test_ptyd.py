"""Shells, vi and job control on terminals of the scheme `pty`, typed at by pexpect."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import termios

import pexpect
import pytest
from base_rig import NOBODY, base_instance
from up_rig import redbear

TIOCGPTN = 0x8004_5430
TIOCSPTLCK = 0x4004_5431
PROMPT = "ready> "
VI = shutil.which("vim.tiny") or "vi"


@pytest.fixture(scope="module")
def up():
    with base_instance() as up:
        yield up


@contextlib.contextmanager
def typed_at(up, *command, rows=24, columns=80, cwd=None):
    """A program on a terminal of the scheme, and pexpect at our end of it."""
    words = ["-m", "redbear_host", "pty", "--mount", str(up.mount), "--", *command]
    environment = {**os.environ, "PS1": PROMPT, "TERM": "vt100", "HISTFILE": "", "LANG": "C"}
    child = pexpect.spawn(
        sys.executable, words, dimensions=(rows, columns), env=environment, timeout=20, cwd=cwd
    )
    try:
        yield child
    finally:
        child.close(force=True)


@contextlib.contextmanager
def shell(up, **size):
    with typed_at(up, "bash", "--norc", "--noprofile", **size) as child:
        child.expect_exact(PROMPT)
        child.sendline("bind 'set enable-bracketed-paste off'")
        child.expect_exact(PROMPT)
        yield child


def said(child, line, wanted):
    child.sendline(line)
    child.expect_exact(line)
    child.expect(wanted)
    child.expect_exact(PROMPT)


@contextlib.contextmanager
def master_of(up, flags=os.O_RDWR):
    """A master, and the number of its terminal."""
    master = os.open(up.mount / "pty/ptmx", flags)
    try:
        yield master, struct.unpack("=I", fcntl.ioctl(master, TIOCGPTN, bytes(4)))[0]
    finally:
        os.close(master)


def test_a_shell_has_a_real_terminal_of_our_size(up):
    with shell(up, rows=31, columns=97) as child:
        said(child, "stty size", "31 97\r\n")
        said(child, "tty", "/dev/pts/[0-9]+\r\n")
        said(child, "test -t 0 && echo is''atty", "isatty\r\n")
        child.sendline("exit 7")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 7


def test_a_new_size_reaches_the_shell_as_sigwinch(up):
    with shell(up) as child:
        said(child, "trap 'echo now $(stty size)' WINCH", "")
        child.setwinsize(40, 123)
        while True:  # bash runs a trap at the next line, and the size may come after one
            child.sendline("")
            if child.expect(["now 40 123", PROMPT]) == 0:
                break


def test_ctrl_c_ends_the_foreground_job_only(up):
    with shell(up) as child:
        child.sendline("cat; echo not this")
        child.expect_exact("this\r\n")
        child.sendline("once")
        child.expect_exact("once\r\nonce\r\n")  # echoed, then written by cat: it runs
        child.sendintr()
        child.expect_exact("^C\r\n" + PROMPT)
        said(child, "echo al''ive", "alive\r\n")


def test_ctrl_z_stops_a_job_and_fg_brings_it_back(up):
    with shell(up) as child:
        child.sendline("cat")
        child.expect_exact("cat\r\n")
        child.sendline("once")
        child.expect_exact("once\r\nonce\r\n")  # echoed, then written by cat: it runs
        child.sendcontrol("z")
        child.expect("Stopped")
        child.expect_exact(PROMPT)
        said(child, "jobs", "Stopped +cat")
        child.sendline("fg")
        child.expect_exact("cat\r\n")
        child.sendline("again")
        child.expect_exact("again\r\nagain\r\n")
        child.sendeof()
        child.expect_exact(PROMPT)


def test_vi_edits_and_saves_a_file(up, tmp_path):
    path = tmp_path / "letter"
    path.write_text("second\n")
    with typed_at(up, VI, "-u", "NONE", "letter", cwd=tmp_path) as child:
        child.expect_exact("second")
        child.send("Ofirst\x1b")
        child.send("Gothird line\x1b")
        child.send(":wq\r")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0
    assert path.read_text() == "first\nsecond\nthird line\n"


def test_vi_draws_for_the_size_it_has_and_again_for_a_new_one(up):
    with typed_at(up, VI, "-u", "NONE", rows=10, columns=40) as child:
        child.expect("(?:~\r\n){7}~\x1b")  # a line for the text, eight without, one for commands
        child.setwinsize(20, 60)
        child.expect("(?:~\r\n){17}~\x1b")
        child.send(":q!\r")
        child.expect(pexpect.EOF)


def test_end_of_file_ends_the_shell_and_the_program_tells_its_status(up):
    with shell(up) as child:
        child.sendeof()
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0


def test_large_output_arrives_whole(up):
    with typed_at(up, "sh", "-c", "stty raw; seq 100000; echo END") as child:
        output = b""
        with contextlib.suppress(pexpect.EOF):
            while True:
                output += child.read_nonblocking(65536, timeout=20)
    assert output.split() == [b"%d" % n for n in range(1, 100_001)] + [b"END"]


def test_without_a_terminal_of_our_own_input_ends_at_its_end(up):
    words = ["-m", "redbear_host", "pty", "--mount", str(up.mount), "--", "cat"]
    done = subprocess.run(
        [sys.executable, *words], input=b"typed\n", capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 0
    assert done.stdout.replace(b"\r", b"").split() == [b"typed", b"typed"]


def test_a_program_that_is_not_there_is_a_sentence(up):
    words = ["-m", "redbear_host", "pty", "--mount", str(up.mount), "--", "no-such-program"]
    done = subprocess.run([sys.executable, *words], capture_output=True, timeout=30, check=False)
    assert done.returncode == 2
    assert b"there is no program 'no-such-program'" in done.stderr


def test_packets_settings_and_names_are_redoxs(up):
    with master_of(up) as (master, number):
        room = up.mount / "pty"
        assert {"ptmx", str(number), f".{number}"} <= set(os.listdir(room))
        assert os.readlink(room / str(number)) == f"/dev/pts/{number}"
        settings = room / f".{number}"
        (settings / "winsize").write_bytes(struct.pack("=HH", 33, 99))
        assert (settings / "winsize").read_bytes() == struct.pack("=HH", 33, 99)
        assert (settings / "ptsname").read_bytes() == f"/dev/pts/{number}".encode()
        assert len((settings / "termios").read_bytes()) == 36
        slave = os.open(room / str(number), os.O_RDWR | os.O_NOCTTY)
        assert os.isatty(slave)
        assert struct.unpack_from("=HH", fcntl.ioctl(slave, termios.TIOCGWINSZ, bytes(8))) == (
            33,
            99,
        )
        os.write(slave, b"out")
        assert os.read(master, 100) == b"\0out"
        os.write(slave, b"more")
        assert os.read(master, 3) == b"\0mo"  # the rest comes as a packet of its own
        assert os.read(master, 100) == b"\0re"
        os.write(master, b"in\n")
        assert os.read(slave, 100) == b"in\n"
        os.close(slave)
        while os.read(master, 100):
            pass  # the echo of what was typed, then the end


def test_termios_of_the_slave_can_be_set_by_the_masters_owner(up):
    with master_of(up) as (_, number):
        setting = up.mount / "pty" / f".{number}" / "termios"
        flags = bytearray(setting.read_bytes())
        lflag = struct.unpack_from("=I", flags, 12)[0]
        struct.pack_into("=I", flags, 12, lflag & ~termios.ECHO)
        setting.write_bytes(flags)
        slave = os.open(up.mount / "pty" / str(number), os.O_RDWR | os.O_NOCTTY)
        assert not termios.tcgetattr(slave)[3] & termios.ECHO
        os.close(slave)


def test_a_terminal_is_its_users_alone(up):
    script = (
        "import os, fcntl, sys, struct\n"
        "m = os.open(sys.argv[1] + '/pty/ptmx', os.O_RDWR)\n"
        "n = struct.unpack('=I', fcntl.ioctl(m, 0x80045430, bytes(4)))[0]\n"
        "print(n, flush=True)\n"
        "s = os.open(f'{sys.argv[1]}/pty/{n}', os.O_RDWR | os.O_NOCTTY)\n"
        "os.write(s, b'mine'); assert os.read(m, 9) == b'\\0mine'\n"
        "sys.stdin.read()\n"
    )
    with master_of(up) as (_, number):
        for name in ("winsize", "termios"):
            path = up.mount / "pty" / f".{number}" / name
            done = subprocess.run(["cat", path], capture_output=True, check=False, **NOBODY)
            assert b"Permission denied" in done.stderr
        done = subprocess.run(
            ["sh", "-c", f"echo x > {up.mount}/pty/{number}"],
            capture_output=True,
            check=False,
            **NOBODY,
        )
        assert b"Permission denied" in done.stderr
    user = subprocess.Popen(
        ["python3", "-c", script, up.mount],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        **NOBODY,
    )
    number = int(user.stdout.readline())
    assert os.stat(f"/dev/pts/{number}").st_uid == 65534
    assert os.stat(f"/dev/pts/{number}").st_mode & 0o777 == 0o600
    user.stdin.close()
    assert user.wait(20) == 0
    user.stdout.close()


def test_programs_hear_of_a_death_of_the_daemon_and_new_terminals_work(up):
    with shell(up) as child:
        up.kill("ptyd")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 3
    with shell(up) as child:
        said(child, "echo al''ive", "alive\r\n")


def test_a_terminal_whose_scheme_goes_is_told_in_a_sentence():
    with base_instance() as up, shell(up) as child:
        done = redbear("down", "--run-dir", up.run_dir)
        assert done.returncode == 0, done.stderr
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 3
        assert b"it is hung up" in child.before
        assert b"Traceback" not in child.before
        up.__enter__()  # the context's own end takes it down once more


def test_closing_the_master_hangs_the_program_up(up):
    with master_of(up) as (_, number):
        slave = os.open(up.mount / "pty" / str(number), os.O_RDWR | os.O_NOCTTY)
        program = subprocess.Popen(
            ["sleep", "1000"],
            stdin=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
    assert program.wait(20) == -signal.SIGHUP
    assert not os.path.exists(f"/dev/pts/{number}")
    assert str(number) not in os.listdir(up.mount / "pty")
