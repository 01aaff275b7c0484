"""`redbear-host audio` on a folder that stands for the scheme; and music files of all kinds."""

from __future__ import annotations

import json
import subprocess
import sys
import wave

import pytest

from redbear_host.cli import main, music
from redbear_host.errors import ConfigError

HEAD = "ID PID USER FORMAT VOLUME PLAYED QUEUED UNDERRUNS SILENCE STATE PROGRAM\n"
ROW = "7 41 1000 48000-s16-1 60 44100 512 2 900 playing my player\n"


@pytest.fixture
def mount(tmp_path):
    folder = tmp_path / "audio.ctl"
    folder.mkdir()
    (folder / "clients").write_text(HEAD + ROW)
    (folder / "volume").write_text("50\n")
    return tmp_path


def audio(mount, *words):
    return main(["audio", *words, "--mount", str(mount)])


def test_the_list_has_a_line_for_each_stream(mount, capsys):
    assert audio(mount, "list") == 0
    head, row = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head[:3] == ["ID", "PROGRAM", "PID"]
    assert row == ["7", "my", "player", "41", "48000-s16-1", "60", "44100", "512", "2", "playing"]


def test_the_list_as_json_has_numbers(mount, capsys):
    assert audio(mount, "list", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["id"], found["silence"], found["program"]) == (7, 900, "my player")


def test_volumes_are_shown_and_set(mount, capsys):
    assert audio(mount, "volume") == 0
    assert audio(mount, "volume", "--id", "7") == 0
    assert capsys.readouterr().out.split() == ["50", "60"]
    assert audio(mount, "volume", "35") == 0
    assert (mount / "audio.ctl" / "volume").read_text() == "35\n"
    assert audio(mount, "volume", "20", "--id", "7") == 0
    assert (mount / "audio.ctl" / "clients").read_text() == "7 20\n"


@pytest.mark.parametrize("words", [("101",), ("-1",), ("x",), ("5", "--id", "8")])
def test_what_is_no_volume_or_no_stream_is_refused(mount, capsys, words):
    assert audio(mount, "volume", *words) == 2
    assert "hint:" in capsys.readouterr().err
    assert (mount / "audio.ctl" / "volume").read_text() == "50\n"


def test_an_instance_without_a_sound_card_says_how_to_get_one(tmp_path, capsys):
    (tmp_path / "rand").touch()
    for words in (("list",), ("codec", "--run-dir", str(tmp_path))):
        assert audio(tmp_path, *words) == 2
        assert "redbear-host up --lab hda" in capsys.readouterr().err


@pytest.mark.parametrize(("width", "kind"), [(1, "u8"), (2, "s16"), (3, "s24"), (4, "s32")])
def test_a_wav_file_is_read_as_it_is(tmp_path, width, kind):
    file, data = tmp_path / "a.wav", bytes(range(24)) * width
    with wave.open(str(file), "wb") as made:
        made.setparams((1, width, 22050, 0, "NONE", ""))
        made.writeframes(data)
    with music.opened(file) as found:
        assert found.format == f"22050-{kind}-1"
        assert found.seconds == pytest.approx(24 / 22050)
        assert found.read(1 << 16) == data
        assert found.read(1) == b""


def test_what_is_no_wav_file_needs_a_program_that_is_installed(tmp_path, monkeypatch):
    file = tmp_path / "a.mp3"
    file.write_bytes(b"no music at all")
    monkeypatch.setattr(music.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="nothing is installed") as caught, music.opened(file):
        pytest.fail("it was opened")
    assert "apt install sox" in caught.value.hint


def test_audiod_without_numpy_says_so_in_one_sentence():
    code = "import sys; sys.modules['numpy'] = None; import daemons.audiod.__main__"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        "audiod needs numpy, which is not installed: pip install 'redbear-host[sound]'\n"
    )
