"""Programs that register a scheme of their own and serve it."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from up_rig import Up

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-scheme.md"
EXAMPLE = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
TRY = """
import os, sys
from redbear_host.client.serving import Registration
os.setresuid(*[int(sys.argv[2])] * 3)
try:
    with Registration(eval(sys.argv[1])):
        print("registered")
except OSError as error:
    import errno
    print(errno.errorcode[error.errno])
"""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with Up(tmp_path_factory.mktemp("programs")) as up:
        yield up


def environment(up: Up) -> dict[str, str]:
    return {
        **os.environ,
        "REDBEAR_SCHEME": str(up.mount),
        "REDBEAR_RINGS": str(up.run_dir / "ring"),
    }


@contextmanager
def program(up: Up, source: str = EXAMPLE, name: str = "hello"):
    """Run a program until its scheme is there; end it after the block, if it has not ended."""
    with subprocess.Popen([sys.executable, "-c", source], env=environment(up)) as process:
        try:
            wait_until(lambda: mounted(up, name) or process.poll() is not None)
            assert process.poll() is None
            (up.mount / name).stat()  # answered once it is served
            yield process
        finally:
            process.kill()
    wait_until(lambda: not up.mount.exists() or gone(up, name))


def wait_until(done, within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def register(up: Up, name: str, uid: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-c", TRY, repr(name), str(uid)],
        capture_output=True, text=True, timeout=30, check=True, env=environment(up),
    )  # fmt: skip
    return done.stdout.strip()


def mounted(up: Up, name: str) -> bool:
    return f" {up.mount}/{name} " in Path("/proc/self/mountinfo").read_text()


def gone(up: Up, name: str = "hello") -> bool:
    return (
        name not in os.listdir(up.mount)
        and not (up.run_dir / "ring" / name).exists()
        and not mounted(up, name)
    )


def test_the_example_of_the_manual_is_a_scheme(up):
    with program(up):
        path = up.mount / "hello"
        assert path.read_bytes() == b"hello from a scheme of my own\n"
        assert subprocess.check_output(["tail", "-c", "4", path], timeout=20) == b"own\n"
    wait_until(lambda: gone(up))


def test_the_example_is_served_to_libredox_programs_too(up):
    reader = "from redbear_host import client; print(client.open('/scheme/hello').read(5))"
    with program(up):
        said = subprocess.check_output(
            [sys.executable, "-c", reader], env=environment(up), text=True, timeout=30
        )
    assert said == "b'hello'\n"


def test_the_example_is_short():
    assert len(EXAMPLE.splitlines()) <= 25


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_scheme_goes_with_its_program_and_may_be_had_again(up, number):
    for _ in range(2):
        with program(up) as process:
            file = os.open(up.mount / "hello", os.O_RDONLY)
            process.send_signal(number)
            process.wait(20)
            wait_until(lambda: gone(up))
            with pytest.raises(OSError, match=r"not connected|aborted|No such device") as caught:
                os.pread(file, 10, 0)
            assert caught.value.errno in (errno.ENOTCONN, errno.ECONNABORTED, errno.ENODEV)
            os.close(file)
    assert "rand" in os.listdir(up.mount)


def test_a_reader_that_waits_is_woken_when_the_program_dies(up):
    source = EXAMPLE.replace("return TEXT", "from redbear_host.scheme.request import LATER\n"
                             "        return LATER\n        return TEXT")  # fmt: skip
    with program(up, source) as process:
        with subprocess.Popen(["cat", up.mount / "hello"], stderr=subprocess.PIPE) as reader:
            wait_until(lambda: Path(f"/proc/{reader.pid}/comm").read_text() == "cat\n")
            process.kill()
            reader.wait(20)
        assert reader.returncode == 1


def test_a_taken_name_is_eexist(up):
    assert register(up, "rand") == "EEXIST"
    with program(up):
        assert register(up, "hello") == "EEXIST"
    wait_until(lambda: gone(up))
    assert register(up, "hello") == "registered"
    wait_until(lambda: gone(up))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a:b", "a\0b", "x" * 256, "\udcff"])
def test_what_cannot_be_a_name_is_einval(up, name):
    assert register(up, name) == "EINVAL"


def test_the_error_names_the_scheme_that_is_not_to_be_had(up):
    script = "from redbear_host.client.serving import Registration; Registration('rand')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, timeout=30, check=False, env=environment(up),
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == "FileExistsError: [Errno 17] File exists: 'rand'"


def test_a_user_who_is_not_root_gets_eacces(up):
    assert register(up, "mine", uid=65534) == "EACCES"
    assert "mine" not in os.listdir(up.mount)


def test_the_instance_tells_of_it_and_outlives_the_kernels_daemon(up):
    with program(up):
        up.kill("kernel")
        assert (up.mount / "hello").read_bytes().startswith(b"hello")
    wait_until(lambda: gone(up))


def test_down_takes_programs_schemes_away(tmp_path):
    with Up(tmp_path) as up:
        with program(up) as process:
            done = subprocess.run(
                [sys.executable, "-m", "redbear_host", "down", "--run-dir", up.run_dir],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert process.wait(20) == 0
            assert not up.mount.exists()
        up.mount.parent.mkdir(exist_ok=True)
        again = up.__enter__()  # the context's own end takes it down once more
        assert "hello" not in os.listdir(again.mount)
