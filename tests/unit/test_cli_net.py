"""`redbear-host net list`, and how the verbs find the card that is meant."""

from __future__ import annotations

import json

import pytest

from redbear_host.cli import cards, main
from redbear_host.errors import ConfigError

ONE = "network.pci-0000-00-04.0_e1000"
OTHER = "network.pci-0000-00-05.0_e1000"


def card(mount, name, *, link="1000\n", joins=""):
    folder = mount / name
    folder.mkdir(parents=True)
    (folder / "mac").write_bytes(bytes.fromhex("525400524204"))
    (folder / "link").write_text(link)
    (folder / "stats").write_text("received 12\nsent 34\nreader_dropped 5\ntap_bad 1\nGPRC 12\n")
    (folder / "joins").write_text(joins)


def test_the_list_has_a_line_for_each_card(tmp_path, capsys):
    card(tmp_path, OTHER, link="down\n")
    card(tmp_path, ONE, joins="rb0 pid 7\neth0 smolnetd\n")
    (tmp_path / "rand").touch()
    assert main(["net", "list", "--mount", str(tmp_path)]) == 0
    _, first, second = capsys.readouterr().out.splitlines()
    address = "52:54:00:52:42:04"
    assert words(first) == f"{ONE} {address} 1000 Mb/s 12 34 6 rb0 pid 7, eth0 smolnetd"
    assert words(second) == f"{OTHER} {address} down 12 34 6 -"


def words(line):
    return " ".join(line.split())


def test_the_list_as_json_has_the_cards_counters(tmp_path, capsys):
    card(tmp_path, ONE)
    assert main(["net", "list", "--json", "--mount", str(tmp_path)]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["stats"]["GPRC"] == 12
    assert (found["name"], found["mac"], found["link"], found["joins"]) == (
        ONE,
        "52:54:00:52:42:04",
        1000,
        [],
    )


def test_an_instance_without_cards_says_how_to_get_one(tmp_path, capsys):
    assert main(["net", "list", "--mount", str(tmp_path)]) == 0
    assert "redbear-host up --lab e1000" in capsys.readouterr().out
    with pytest.raises(ConfigError) as caught:
        cards.folder_of("", tmp_path)
    assert caught.value.hint == "try: redbear-host up --lab e1000"


def test_nothing_mounted_is_said(tmp_path, capsys):
    assert main(["net", "list", "--mount", str(tmp_path / "absent")]) == 2
    assert "redbear-host up starts it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "spelling", [ONE, ONE.removeprefix("network."), f"/scheme/{ONE}", f"{ONE}:", f"/scheme/{ONE}/"]
)
def test_a_card_is_found_by_any_spelling(tmp_path, spelling):
    card(tmp_path, ONE)
    card(tmp_path, OTHER)
    assert cards.folder_of(spelling, tmp_path) == tmp_path / ONE


def test_the_only_card_needs_no_name_and_of_several_one_is_asked_for(tmp_path):
    card(tmp_path, ONE)
    assert cards.folder_of("", tmp_path) == tmp_path / ONE
    card(tmp_path, OTHER)
    with pytest.raises(ConfigError, match="several network cards") as caught:
        cards.folder_of("", tmp_path)
    assert ONE in caught.value.hint
    assert OTHER in caught.value.hint
