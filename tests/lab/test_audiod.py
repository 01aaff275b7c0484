"""audiod between programs and a card that writes down each sample."""

from __future__ import annotations

import errno
import os
import pty
import re
import select
import signal
import subprocess
import threading
import time
import wave
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from audiod_rig import Sound, edits, level, noise, peak, sounding, tone
from up_rig import COMMAND

from redbear_host import client
from redbear_host.abi import flags as f

pytestmark = pytest.mark.timeout(120)

BLOCK = 512  # frames


@pytest.fixture
def sound(tmp_path):
    with Sound(tmp_path, volume=100) as made:
        yield made


@contextmanager
def playing(sound, frames, path=None):
    """Write in the background; at the end all of it was taken, and played."""

    def write():
        (path or sound.audio).write_bytes(frames.tobytes())

    thread = threading.Thread(target=write)
    thread.start()
    try:
        sound.wait(lambda: any(int(row["PLAYED"]) for row in sound.clients()))
        yield
    finally:
        thread.join(30)
    assert not thread.is_alive()
    sound.quiet()


def check(sound, wanted):
    """Check that all of it was heard, with no pause but where its writer was late."""
    made = edits(sounding(sound.played()), wanted)
    assert {kind for kind, _, _ in made} <= {"pause"}, made
    assert len(made) <= sound.stats()["underruns"], made


def test_what_is_written_is_played_bit_by_bit_and_not_cut_off(sound):
    wanted = noise(30_001)
    sound.audio.write_bytes(wanted.tobytes())
    sound.quiet()
    check(sound, wanted)


def test_a_pipe_that_breaks_anywhere_does_not_change_the_channels_places(sound):
    wanted = noise(12_345)
    random = np.random.default_rng(3)
    left = memoryview(wanted.tobytes())
    with open(sound.audio, "wb", buffering=0) as file:
        while left:
            left = left[file.write(left[: int(random.integers(1, 9001))]) :]
    sound.quiet()
    check(sound, wanted)


def test_fsync_returns_when_all_was_played(sound):
    wanted = noise(6000)
    with open(sound.audio, "wb", buffering=0) as file:
        left = memoryview(wanted.tobytes())
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())
        check(sound, wanted)
        assert file.write(wanted[:100].tobytes()) == 400  # and it goes on
    sound.quiet()
    assert np.array_equal(sounding(sound.played())[-100:], wanted[:100])


def test_the_volume_is_redoxs(tmp_path):
    with Sound(tmp_path) as sound:
        with client.open("/scheme/audio/volume", f.O_RDWR) as volume:
            assert volume.read(16) == b"50"
            for wrong in (b"101", b"-1", b"x", b"", b"1 2", b"9" * 100):
                with pytest.raises(OSError, match="Invalid argument") as caught:
                    volume.write(wrong)
                assert caught.value.errno == errno.EINVAL
            volume.write(b"70")
        assert (sound.ctl / "volume").read_text() == "70\n"
        (sound.ctl / "volume").write_text("50\n")
        wanted = noise(3000, most=30000) // 8 * 8
        with client.open("/scheme/audio", f.O_WRONLY) as stream:
            assert stream.write(wanted.tobytes()) == 12000
            with pytest.raises(OSError, match="Bad file") as caught:
                stream.read(4)
            assert caught.value.errno == errno.EBADF
            stream.fsync()
        assert np.array_equal(sounding(sound.played()), wanted // 8)
        sound.kill(sound.daemon)
        assert (sound.ctl / "volume").read_text() == "50\n"


def test_a_client_has_a_volume_of_its_own_which_its_user_sets_and_others_do_not(sound):
    wanted = noise(20_000, most=30000) // 8 * 8
    half = 4 * len(wanted) // 2
    with open(sound.audio, "wb") as stream:  # and it stays a client for as long as this takes
        stream.write(wanted.tobytes()[:half])
        stream.flush()
        sound.wait(lambda: int(sound.clients()[0]["PLAYED"]) >= BLOCK)
        (row,) = sound.clients()
        assert (row["PID"], row["USER"], row["FORMAT"]) == (str(os.getpid()), "0", "44100-s16-2")
        assert row["PROGRAM"] == Path("/proc/self/comm").read_text().strip()
        line = f"{row['ID']} 50\n"
        with open(sound.ctl / "clients", "w") as file, as_nobody(), pytest.raises(PermissionError):
            os.write(file.fileno(), line.encode())
        (sound.ctl / "clients").write_text(line)
        assert sound.clients()[0]["VOLUME"] == "50"
        with pytest.raises(FileNotFoundError):
            (sound.ctl / "clients").write_text("99999 50\n")
        stream.write(wanted.tobytes()[half:])
    sound.quiet()
    found = sounding(sound.played())
    assert np.array_equal(found[-BLOCK:], wanted[-BLOCK:] // 8)
    assert np.array_equal(found[:BLOCK], wanted[:BLOCK])


@contextmanager
def as_nobody():
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_another_rate_and_one_channel_come_out_right(sound):
    wave = np.rint(tone(1000, 0.6, rate=48000) * 32767).astype("<i2")
    (sound.ctl / "in" / "48000-s16-1").write_bytes(wave.tobytes())
    sound.quiet()
    found = sounding(sound.played()) / 32767
    assert abs(len(found) - 0.6 * 44100) < 10
    assert np.array_equal(found[:, 0], found[:, 1])
    assert abs(peak(found[:, 0]) - 1000) < 0.5
    assert abs(level(found[:, 0], 1000) - 0.5) < 0.01


def test_a_card_of_48000_frames_a_second_gets_redoxs_44100_resampled(tmp_path):
    with Sound(tmp_path, rate=48000, volume=100) as sound:
        assert sound.stats()["rate"] == 48000
        wave = np.rint(tone(1000, 0.6) * 32767).astype("<i2")
        with client.open("/scheme/audio", f.O_WRONLY) as plain:
            with plain.dup(b"44100-s16-1") as stream:
                left = memoryview(wave.tobytes())
                while left:
                    left = left[stream.write(left) :]
                stream.fsync()
            with pytest.raises(OSError, match="Invalid argument"):
                plain.dup(b"44100-s17")
        found = sounding(sound.played())[:, 0] / 32767
        assert abs(peak(found, 48000) - 1000) < 0.5
        assert abs(len(found) - 0.6 * 48000) < 10


def test_a_client_that_stops_holds_nobody_up_and_its_gap_is_counted(sound):
    wanted = noise(25_000, most=20000)
    with open(sound.audio, "wb", buffering=0) as lazy:
        lazy.write(bytes(4 * 3000))  # silence, and no more
        with playing(sound, wanted):
            pass
        sound.wait(lambda: sound.clients() == [] or sound.clients()[0]["STATE"] == "waiting")
    check(sound, wanted)


def test_an_underrun_is_counted_once(sound):
    with open(sound.audio, "wb", buffering=0) as lazy:
        lazy.write(bytes(4 * 3000))
        sound.wait(lambda: sound.clients()[0]["UNDERRUNS"] == "1")
        time.sleep(0.1)
        (row,) = sound.clients()
        assert (row["UNDERRUNS"], row["PLAYED"], row["QUEUED"]) == ("1", "3000", "0")
        assert int(row["SILENCE"]) == -3000 % BLOCK


def test_a_killed_audiod_loses_no_frame_and_its_clients_hear_of_nothing(sound):
    wanted = noise(60_000)
    with playing(sound, wanted):
        for _ in range(2):
            began = time.monotonic()
            sound.kill(sound.daemon)
            print(f"audiod was away for {time.monotonic() - began:.3f} s")
    made = edits(sounding(sound.played()), wanted)
    assert {kind for kind, _, _ in made} <= {"pause", "more"}, made
    doubled = sum(count for kind, _, count in made if kind == "more")
    assert doubled <= 2 * BLOCK  # what the card had taken when we were killed before we heard of it
    assert sound.stats()["connections"] == 1


def test_a_killed_card_loses_what_it_had_and_audiod_goes_on(sound):
    wanted = noise(60_000)
    with playing(sound, wanted):
        for connections in (2, 3):
            sound.kill(sound.card)
            sound.wait(lambda n=connections: sound.stats()["connections"] == n)
    made = edits(sounding(sound.played()), wanted)
    lost = sum(count for kind, _, count in made if kind == "lost")
    print(f"{lost} frames went down with the card")
    assert {kind for kind, _, _ in made} <= {"lost", "pause"}, made
    assert lost <= 2 * 4 * BLOCK
    assert sound.daemon.life == 1


def write_all(fd, left):
    """Write until all is taken or would have to wait; return what is left."""
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:
            break
    return left


def test_without_a_card_clients_wait_and_poll_says_so(sound):
    wanted = noise(9000)
    os.kill(sound.card.pid, signal.SIGSTOP)
    try:
        fd = os.open(sound.audio, os.O_WRONLY | os.O_NONBLOCK)
        left = memoryview(wanted.tobytes())
        left = write_all(fd, left)
        assert left
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        assert poll.poll(50) == []
    finally:
        os.kill(sound.card.pid, signal.SIGCONT)
    assert poll.poll(20_000) == [(fd, select.POLLOUT)]
    os.set_blocking(fd, True)
    assert not write_all(fd, left)
    os.close(fd)
    sound.quiet()
    check(sound, wanted)


def test_hostile_clients_disturb_nobody(sound):
    wanted = noise(70_000, most=20000)
    with ExitStack() as undo:
        folder = os.open(sound.mount, os.O_PATH)  # nobody may come through those above it
        undo.callback(os.close, folder)
        undo.enter_context(playing(sound, wanted))
        undo.enter_context(as_nobody())

        def opened(path="audio"):
            fd = os.open(path, os.O_WRONLY, dir_fd=folder)
            undo.callback(os.close, fd)
            return fd

        fds = [opened() for _ in range(600)]
        assert all(os.write(fd, bytes(3)) == 3 for fd in fds[:64])
        for fd in fds[64:]:
            with pytest.raises(OSError, match="Too many open files"):
                os.write(fd, bytes(3))
        for fd in fds[:64:2]:
            assert os.write(fd, bytes(4098)) == 4098  # and it is closed in the middle of a frame
        for fd in fds[100:200]:
            with pytest.raises(OSError, match="Illegal seek"):
                os.lseek(fd, 12345, os.SEEK_SET)
        for name in ("../audio", "0", "44100-s16-2/x", "x" * 200):
            with pytest.raises(OSError, match=r"No such file|Not a dir|name too long"):
                opened(f"audio.ctl/in/{name}")
    check(sound, wanted)


def test_streams_are_files_to_programs_and_a_folder_lists_them(sound):
    listed = subprocess.run(["ls", "-1p", sound.ctl], capture_output=True, text=True, check=True)
    assert listed.stdout.split() == ["capture", "clients", "in/", "stats", "volume"]
    assert "48000-s16-2" in os.listdir(sound.ctl / "in")
    with pytest.raises(OSError, match="Bad file descriptor"):
        sound.audio.read_bytes()


def test_what_the_card_records_comes_to_each_listener_whole_and_to_root_only(sound):
    with open(sound.ctl / "capture", "rb", buffering=0) as first:
        one = read_frames(first, 3000)
        with open(sound.ctl / "capture", "rb", buffering=0) as second:
            sound.kill(sound.card)
            assert len(read_frames(second, 1000)) == 1000
    assert np.array_equal(one[:, 0], one[0, 0] + np.arange(3000))
    assert np.array_equal(one[:, 1], -one[:, 0])
    folder = os.open(sound.ctl, os.O_PATH)
    with as_nobody(), pytest.raises(PermissionError):
        os.open("capture", os.O_RDONLY, dir_fd=folder)
    os.close(folder)
    with pytest.raises(PermissionError):
        os.open(sound.ctl / "capture", os.O_WRONLY)


def read_frames(file, count):
    raw = b""
    while len(raw) < 4 * count:
        raw += file.read(4 * count - len(raw))
    return np.frombuffer(raw, "<i2").reshape(-1, 2)


def test_an_interrupted_player_ends_at_once_and_a_terminal_is_told_how_far_it_is(sound):
    file = sound.folder / "long.wav"
    with wave.open(str(file), "wb") as made:
        made.setparams((2, 2, 44100, 0, "NONE", ""))
        made.writeframes(noise(44100 * 20).tobytes())
    ours, theirs = pty.openpty()
    words = ("audio", "play", file, "--volume", "30", "--mount", sound.mount)
    with subprocess.Popen([*COMMAND, *map(str, words)], stderr=theirs) as player:
        os.close(theirs)
        shown = b""
        while not re.search(rb"0:0[1-9] / 0:20", shown):  # on a busy machine not at each second
            shown += os.read(ours, 4096)
        assert sound.clients()[0]["VOLUME"] == "30"
        began = time.monotonic()
        player.send_signal(signal.SIGINT)
        assert player.wait(10) == 130
    os.close(ours)
    sound.quiet()
    assert time.monotonic() - began < 15  # of the 19 s that were to come
    assert np.trunc(noise(100)[:, 0] * np.float32(0.027)).tolist() == (
        sounding(sound.played())[:100, 0].tolist()
    )


def test_a_libredox_program_that_does_not_wait_hears_of_room(sound):
    wanted, heard = noise(20_000), 0
    with (
        client.open("/scheme/audio", f.O_WRONLY | f.O_NONBLOCK) as stream,
        client.EventQueue() as events,
    ):
        events.subscribe(stream, f.EVENT_WRITE)
        left = memoryview(wanted.tobytes())
        while left:
            assert events.next_event(10) is not None
            heard += 1
            try:
                while left:
                    left = left[stream.write(left) :]
            except BlockingIOError:
                continue
        stream.fsync()
    assert heard >= 4
    check(sound, wanted)
