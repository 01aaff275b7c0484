"""What stands where a profile should: reading it ends, and is a sentence."""

from __future__ import annotations

import os

import pytest

from redbear_host.errors import ConfigError
from redbear_host.profiles import plan, profile

pytestmark = pytest.mark.timeout(20)


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "ip"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    "look",
    [
        lambda path: profile.load(path.parent, path.name),
        lambda path: plan.enabled(path),
        lambda path: plan.read_static(path.parent),
    ],
)
def test_a_fifo_is_not_waited_for(fifo, look):
    with pytest.raises(ConfigError, match="cannot be read"):
        look(fifo)


def test_of_a_huge_file_no_more_is_read_than_a_name_may_have(tmp_path):
    path = tmp_path / "active"
    path.write_text("home\n" + " " * 100)
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    assert plan.enabled(path).startswith("home")


def test_a_folder_is_no_enabled_profile(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        plan.enabled(tmp_path)
