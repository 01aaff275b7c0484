from __future__ import annotations

from pathlib import Path

import pytest

from redbear_host import cli


@pytest.mark.parametrize(
    ("argv", "message", "hint"),
    [
        (["--device", "floppy"], "the lab has no device 'floppy'", "nvme"),
        (["--device", "nvme", "--device", "nvme"], "a card can be given once", "--device"),
        (["--disk", "/nonexistent.img"], "there is no such file", "truncate -s 64M"),
        (["--device", "e1000", "--disk", __file__], "--disk needs a card with a disk", "nvme"),
        (["--timeout", "0"], "the guest needs time to boot", "seconds"),
        (["--exchange", __file__], "cannot be shared with the guest: File exists", "--exchange"),
        (["--exchange", ""], "an empty path names nothing", "--help"),
        (["--timeout", "nan"], "the guest needs time to boot", "seconds"),
    ],
)
def test_a_guest_that_cannot_be_made_is_refused_before_anything_boots(
    capsys: pytest.CaptureFixture[str], argv: list[str], message: str, hint: str
) -> None:
    assert cli.main(["lab", "vm", *argv, "--", "true"]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert hint in err


def test_a_guest_needs_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lab", "vm"]) == 2
    assert "required: CMD" in capsys.readouterr().err


def test_without_qemu_the_hint_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["lab", "vm", "--", "ls", "--all"]) == 2
    assert "apt install qemu-system-x86" in capsys.readouterr().err
