"""`redbear-host run` as a user types it: what the command sees, and how it ends."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from up_rig import COMMAND, Up, redbear

from redbear_host import linux
from redbear_host.namespace import mounts


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with Up(tmp_path_factory.mktemp("run")) as up:
        yield up


def run(up: Up, *arguments, **options):
    return redbear("run", "--run-dir", up.run_dir, *arguments, cwd="/", **options)


def ls(up: Up, *options):
    done = run(up, *options, "--", "ls", up.mount)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# -- which schemes ---------------------------------------------------------------------------------


def test_the_command_sees_exactly_the_granted_schemes_and_their_sockets(up):
    done = run(up, "--schemes", "rand,zero", "--", "ls", up.mount, up.run_dir, up.run_dir / "ring")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        *(f"{up.run_dir}:", "ring"),
        *(f"{up.run_dir}/ring:", "rand", "zero"),
        *(f"{up.mount}:", "rand", "zero"),
    ]


def test_no_other_scheme_is_mounted_anywhere_in_it(up):
    done = run(up, "--schemes", "rand", "--", "cat", "/proc/self/mountinfo")
    found = [line for line in done.stdout.splitlines() if "fuse.redbear" in line]
    assert len(found) == 1
    assert f" {up.mount}/rand " in found[0]


def test_a_granted_scheme_works(up):
    done = run(up, "--schemes", "zero", "--", "head", "-c", "5", up.mount / "zero")
    assert done.stdout == "\0" * 5


def test_a_star_stands_for_all_that_begin_so_and_may_match_none(up):
    assert ls(up, "--schemes", "ran*,none*,ze*") == ["rand", "zero"]
    assert ls(up, "--schemes", "*") == sorted(os.listdir(up.mount))


def test_an_unknown_scheme_is_one_sentence_and_what_there_is(up):
    done = run(up, "--schemes", "rand,qqq", "--", "true")
    assert done.returncode == 2
    assert "there is no scheme 'qqq' (ENODEV)" in done.stderr
    assert "rand" in done.stderr.split("hint: ")[1]


@pytest.mark.parametrize("text", ["", "rand,", "a/b", "a:b", "..", "a" * 256])
def test_a_list_that_cannot_be_is_refused(up, text):
    done = run(up, "--schemes", text, "--", "true")
    assert done.returncode == 2
    assert "hint: " in done.stderr


def test_the_null_namespace_holds_at_most_memory_and_pipe(up):
    there = set(os.listdir(up.mount)) & {"memory", "pipe"}
    assert set(ls(up, "--null")) == there
    assert there


def test_a_users_list_comes_from_login_schemes(up, tmp_path):
    file = tmp_path / "login.toml"
    file.write_text('[user_schemes.nobody]\nschemes = ["ze*", "elsewhere"]\n')
    options = ("--login-schemes", file, "--user", "nobody")
    assert ls(up, *options) == ["zero"]
    done = run(up, *options, "--", "sh", "-c", "id -un; id -G; echo $HOME")
    assert done.stdout.split()[0] == "nobody"
    assert "0" not in done.stdout.split()


def test_root_sees_everything_and_others_our_own_list(up):
    assert set(ls(up)) == set(os.listdir(up.mount))
    seen = ls(up, "--user", "nobody")
    assert "rand" in seen
    assert "pci" not in seen


def test_children_see_what_their_parent_sees(up):
    script = f"sh -c 'setsid sh -c \"ls {up.mount}\"'"
    assert run(up, "--schemes", "rand", "--", "sh", "-c", script).stdout == "rand\n"


def test_what_is_mounted_later_does_not_appear_inside(up):
    command = [*COMMAND, "run", "--run-dir", up.run_dir, "--schemes", "rand", "--", "sh", "-c"]
    script = "echo in; read _; cat /proc/self/mountinfo"
    with subprocess.Popen(
        [*command, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
    ) as inside:
        assert inside.stdout.readline() == "in\n"
        later = up.mount.parent / "later"
        later.mkdir()
        mounts.tmpfs(later, "size=64k")
        try:
            seen, _ = inside.communicate("\n", timeout=20)
        finally:
            linux.umount(later, linux.MNT_DETACH)
    assert "/rand " in seen
    assert "later" not in seen


# -- files -----------------------------------------------------------------------------------------


def test_the_machine_is_read_only_but_for_what_is_named(up, tmp_path):
    script = f"touch /etc/x; touch {tmp_path}/made && touch /tmp/own /dev/shm/own && echo all"
    done = run(up, "--schemes", "rand", "--write", tmp_path, "--", "sh", "-c", script)
    assert "Read-only file system" in done.stderr
    assert done.stdout == "all\n"
    assert (tmp_path / "made").exists()
    assert not Path("/tmp/own").exists()


def test_a_working_directory_that_is_not_there_inside_is_refused(up, tmp_path):
    done = redbear("run", "--run-dir", up.run_dir, "--", "pwd", cwd=tmp_path)
    assert done.returncode == 2
    assert f"--write {tmp_path}" in done.stderr


def test_a_working_directory_in_a_scheme_that_is_not_granted_is_refused(up):
    arguments = ("run", "--schemes", "rand", "--run-dir", up.run_dir, "--", "true")
    done = redbear(*arguments, cwd=up.mount / "ramfs")
    assert done.returncode == 2
    assert "add ramfs to --schemes" in done.stderr
    done = redbear("run", "--schemes", "rand,ramfs", *arguments[3:], cwd=up.mount / "ramfs")
    assert "which is not granted" not in done.stderr


@pytest.mark.parametrize("stream", ["device", "scheme"])
def test_a_standard_stream_that_leads_out_is_refused(up, stream):
    path = {"device": "/dev/kmsg", "scheme": up.mount / "zero"}[stream]
    fd = os.open(path, os.O_RDONLY)
    try:
        done = subprocess.run(
            [*COMMAND, "run", "--run-dir", str(up.run_dir), "--schemes", "rand", "--", "true"],
            stdin=fd, capture_output=True, text=True, timeout=20, check=False, cwd="/",
        )  # fmt: skip
    finally:
        os.close(fd)
    assert done.returncode == 2
    assert "standard input" in done.stderr


# -- how it ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -TERM $$", 143)])
def test_the_exit_status_is_the_commands(up, script, status):
    assert run(up, "--schemes", "rand", "--", "sh", "-c", script).returncode == status


def test_a_program_that_is_not_there_is_127(up):
    done = run(up, "--schemes", "rand", "--", "no-such-program")
    assert done.returncode == 127
    assert "no-such-program cannot be started" in done.stderr


def test_root_without_its_capabilities_is_told_so(up):
    run = [*COMMAND, "run", "--run-dir", up.run_dir, "--schemes", "rand", "--", "true"]
    done = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin", *run],
        capture_output=True, text=True, timeout=30, check=False, cwd="/",
    )  # fmt: skip
    assert done.returncode == 3
    assert "a PID namespace cannot be made: Operation not permitted" in done.stderr
    assert "hint: " in done.stderr


def test_orphans_end_with_the_command(up):
    began = time.monotonic()
    done = run(up, "--schemes", "rand", "--", "sh", "-c", "sleep 30 & echo $!")
    assert done.returncode == 0
    assert time.monotonic() - began < 20


def test_a_signal_is_passed_on(up):
    command = [*COMMAND, "run", "--run-dir", up.run_dir, "--schemes", "rand", "--", "sh", "-c"]
    script = "trap 'echo got it; exit 3' USR1; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen([*command, script], stdout=subprocess.PIPE, text=True, cwd="/") as caller:
        assert caller.stdout.readline() == "ready\n"
        caller.send_signal(signal.SIGUSR1)
        assert caller.communicate(timeout=20)[0] == "got it\n"
    assert caller.returncode == 3


def test_killing_its_own_group_kills_nobody_outside(up):
    """The caller and its pipeline are in one group; the command must not be."""
    shell = f"sleep 60 & {sys.executable} -m redbear_host run --run-dir {up.run_dir} "
    shell += "--schemes rand -- sh -c 'kill -KILL 0'; echo $?; kill $! && echo alive"
    done = subprocess.run(
        ["setsid", "sh", "-c", shell],
        capture_output=True, text=True, timeout=30, check=False, cwd="/",
    )  # fmt: skip
    assert done.stdout == "137\nalive\n", done.stderr


def test_the_command_dies_with_its_caller(up):
    command = [*COMMAND, "run", "--run-dir", up.run_dir, "--schemes", "rand", "--", "sh", "-c"]
    with subprocess.Popen(
        [*command, "echo ready; exec sleep 60"], stdout=subprocess.PIPE, cwd="/"
    ) as caller:
        assert caller.stdout.readline() == b"ready\n"
        caller.kill()
        assert caller.stdout.read() == b""  # closed by the death of all who held it


# -- the terminal ----------------------------------------------------------------------------------


class Terminal:
    """A shell on a terminal, outside; it types `redbear-host run …` like a user."""

    def __init__(self) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir("/")
            os.environ["PS1"] = "outer> "
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        self.said = ""
        self.expect("outer> ")

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def ask(self, words: str, text: str) -> str:
        """Type until `text` was printed: what is typed while a shell changes modes may be lost."""
        for _ in range(10):
            self.type(words)
            if self._heard(text, 4.0):
                return self.expect(text)
        raise AssertionError(self.said)

    def expect(self, text: str) -> str:
        """Wait until `text` was printed; return all up to it."""
        assert self._heard(text, 40.0), self.said
        before, _, self.said = self.said.partition(text)
        return before

    def _heard(self, text: str, within: float) -> bool:
        deadline = time.monotonic() + within
        while text not in self.said:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if select.select([self.fd], [], [], left)[0]:
                self.said += os.read(self.fd, 65536).decode(errors="replace")
        return True

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.close(self.fd)
        os.waitpid(self.pid, 0)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


def typed(up, command):
    return (
        f"{sys.executable} -m redbear_host run --run-dir {up.run_dir} --schemes rand -- {command}"
    )


def test_an_interactive_shell_has_job_control_inside(up, terminal):
    terminal.type(f"PS1='in''ner> ' {typed(up, 'bash --norc --noprofile -i')}\n")
    terminal.expect("inner> ")
    terminal.ask("tty\n", "/dev/")
    terminal.ask("sleep 100\n", "sleep 100\r\n")
    wait_for_child("sleep", "100")
    terminal.ask("\x1a", "Stopped")
    terminal.ask("jobs\n", "Stopped")
    terminal.ask("fg\n", "sleep 100\r\n")
    wait_for_child("sleep", "100", state="S")
    terminal.ask("\x03", "inner> ")
    terminal.ask("exit 5\n", "outer> ")
    terminal.ask("echo status $?\n", "status 5")
    terminal.ask("cat\n", "cat\r\n")
    terminal.ask("still ours\n", "still ours\r\nstill ours")  # the terminal came back


def test_a_command_that_is_stopped_gives_the_terminal_back(up, terminal):
    terminal.type(typed(up, """sh -c 'echo rea""dy; cat'\n"""))
    terminal.expect("ready")
    terminal.ask("one\n", "one\r\none\r\n")
    terminal.ask("\x1a", "Stopped")
    terminal.expect("outer> ")
    terminal.ask("fg\n", "cat'\r\n")
    terminal.ask("two\n", "two\r\ntwo\r\n")
    terminal.ask("\x03", "outer> ")
    terminal.ask("echo status $?\n", "status 130")


def test_a_command_in_the_background_can_be_brought_to_the_foreground(up, terminal):
    terminal.type(typed(up, """sh -c 'echo rea""dy; cat; echo en""ded' &\n"""))
    terminal.expect("ready")
    terminal.ask('echo the shell is the""re\n', "the shell is there")
    # It wants to read and stops.  A shell that has not seen that yet would not let it go on.
    terminal.ask("jobs\n", "Stopped")
    terminal.ask("fg\n", """en""ded'""")
    terminal.ask("one\n", "one\r\none\r\n")
    terminal.ask("\x04", "ended")
    terminal.expect("outer> ")
    terminal.ask("cat\n", "cat\r\n")
    terminal.ask("still ours\n", "still ours\r\nstill ours")  # the terminal came back


def wait_for_child(*words, state=None):
    """Wait until some process has these words as its command line."""
    line = b"\0".join(word.encode() for word in words) + b"\0"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "cmdline").read_bytes() == line:
                    found = (entry / "stat").read_text().rsplit(") ", 1)[1][0]
                    if state in (None, found):
                        return
            except OSError:
                continue
        time.sleep(0.01)
    raise AssertionError(f"no process {words}")
