"""netctl's profiles and Redox's static files: the format, what is wrong with one, which counts."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface
from pathlib import Path
from random import Random

import pytest

from redbear_host.errors import ConfigError
from redbear_host.profiles import plan, words
from redbear_host.profiles.profile import load, names, parse
from redbear_host.profiles.setting import How, writes

STATIC = """\
# at home
Description='The cable in the cellar'
Interface=eth0
Connection=ethernet
IP=static
Address=('10.0.0.2/24' "10.0.0.3/24"
         2001:db8::2/64)  # three
Gateway=10.0.0.1
DNS=(10.0.0.1 9.9.9.9)
"""
DHCP = "Interface=eth0\nConnection=ethernet\nIP=dhcp\n"
WIFI = (
    "Interface=wlan0\nConnection=wifi\nIP=dhcp\nSSID='My Net'\nSecurity=wpa2-psk\nKey=secretive\n"
)


def wrong(text):
    with pytest.raises(ConfigError) as caught:
        parse("home", text)
    return str(caught.value), caught.value.hint


def test_a_profile_is_read_with_lists_quotes_and_comments():
    profile = parse("home", STATIC)
    assert profile.description == "The cable in the cellar"
    assert (profile.interface, profile.connection) == ("eth0", "ethernet")
    setting = profile.setting
    assert setting.how is How.STATIC
    assert [str(a) for a in setting.addresses] == ["10.0.0.2/24", "10.0.0.3/24", "2001:db8::2/64"]
    assert setting.gateways == (ip_address("10.0.0.1"),)
    assert setting.nameservers == (ip_address("10.0.0.1"), ip_address("9.9.9.9"))


def test_what_is_written_for_a_setting_stands_in_its_order():
    assert [tuple(one) for one in writes("eth0", parse("home", STATIC).setting)] == [
        ("ifaces/eth0/addr/set", "10.0.0.2/24"),
        ("ifaces/eth0/addr/add", "10.0.0.3/24"),
        ("ifaces/eth0/addr/add", "2001:db8::2/64"),
        ("route/add", "default via 10.0.0.1"),
        ("resolv/nameserver", "10.0.0.1\n9.9.9.9"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A=b", ("b",)),
        ("A='b c'", ("b c",)),
        ('A="b # c" # d', ("b # c",)),
        ("A=b c", ("b c",)),
        ("A=", ()),
        ("A=''", ("",)),
        ("A=()", ()),
        ("A=('b c' d)", ("b c", "d")),
        ("A=(\n  b # one\n  'c'\n)", ("b", "c")),
        ("A=b#c", ("b#c",)),
        ("  A = b", ("b",)),
        ("A=it''s", ("its",)),
    ],
)
def test_values_are_read_as_a_shell_would(text, found):
    (entry,) = words.read(text, "x")
    assert (entry.key, entry.words) == ("A", found)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("A", "line 1: 'A' is not Key=value"),
        ("\n\n=b", "line 3: '' cannot be a key"),
        ("A b=c", "'A b' cannot be a key"),
        ("A='b", "the quote ' is not closed"),
        ("A=(b", "the list of A has no end"),
        ("A=(b) c", "'c' stands behind the list"),
    ],
)
def test_what_is_no_profile_says_where_and_why(text, why):
    with pytest.raises(ConfigError) as caught:
        list(words.read(text, "profile x"))
    assert why in str(caught.value)


@pytest.mark.parametrize("key", ["Interface", "Connection", "IP"])
def test_a_missing_key_is_named(key):
    text = "".join(line for line in DHCP.splitlines(True) if not line.startswith(key))
    assert wrong(text)[0] == f"profile home is missing {key}="


def test_a_missing_key_that_is_there_misspelt_is_guessed():
    assert wrong(DHCP.replace("Interface", "Interfaec"))[1] == "did you mean 'Interfaec'?"


def test_static_needs_an_address():
    assert wrong(DHCP.replace("dhcp", "static"))[0] == "profile home is missing Address="


@pytest.mark.parametrize(
    ("line", "said", "hint"),
    [
        ("IP=dhpc", "unsupported IP=dhpc", "did you mean 'dhcp'?"),
        ("IP=x", "unsupported IP=x", "known: bounded, dhcp, none, static"),
        ("Connection=token-ring", "unsupported Connection=token-ring", "known: ethernet, wifi"),
        ("Interface=../eth0", "unsupported Interface=../eth0", "the name of an adapter"),
        ("Interface=eth0/addr", "unsupported Interface=eth0/addr", "the name of an adapter"),
        ("DNS=1.1.1", "unsupported DNS=1.1.1", "'1.1.1' does not appear to be"),
        ("DNS=0.0.0.0", "unsupported DNS=0.0.0.0", "no host's address"),
    ],
)
def test_an_unsupported_value_is_named_with_what_would_do(line, said, hint):
    message, given = wrong(DHCP + line)
    assert message == f"profile home: {said}"
    assert hint in given


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("Address=10.0.0.2", "write it as 10.0.0.2/24"),
        ("Address=10.0.0.0/24", "the network's own address"),
        ("Address=10.0.0.255/24", "broadcast"),
        ("Address=10.0.0.2/33", "10.0.0.2/33"),
        ("Gateway=10.0.1.1", "10.0.1.1 is in none of its networks"),
        ("Gateway=10.0.0.2", "its own address"),
        ("Gateway='10.0.0.1 10.0.0.9'", "one default for each family"),
    ],
)
def test_addresses_that_cannot_work_are_refused(line, hint):
    key = line.partition("=")[0]
    message, given = wrong(STATIC + line)
    assert message.startswith(f"profile home: unsupported {key}=")
    assert hint in given


def test_none_is_bounded():
    assert parse("x", DHCP.replace("dhcp", "none")).setting.how is How.BOUNDED
    assert parse("x", DHCP.replace("dhcp", "bounded")).setting.how is How.BOUNDED


def test_a_wifi_profile_is_read():
    wifi = parse("air", WIFI).wifi
    assert (wifi.ssid, wifi.security, wifi.key) == ("My Net", "wpa2-psk", "secretive")
    assert parse("air", WIFI.replace("Key", "Passphrase")).wifi == wifi
    assert parse("air", WIFI.replace("wpa2-psk", "open")).wifi.key == ""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("SSID", "SID", "profile home is missing SSID="),
        ("wpa2-psk", "wep", "profile home: unsupported Security=wep"),
        ("Key=secretive", "", "profile home is missing Key="),
        ("My Net", "x" * 33, f"profile home: unsupported SSID={'x' * 33}"),
    ],
)
def test_a_wifi_profile_that_cannot_work_is_refused(old, new, said):
    assert wrong(WIFI.replace(old, new))[0] == said


def test_a_key_is_never_shown():
    message, hint = wrong(WIFI.replace("secretive", "short"))
    assert "short" not in message + hint
    assert "5 characters" in message


def test_keys_of_other_programs_are_left_alone():
    assert parse("x", DHCP + "ExecUpPost='true'\nTimeoutDHCP=5\n") == parse("x", DHCP)


def test_profiles_are_listed_without_what_is_none(tmp_path):
    for name in ("b", "a", "active", ".hidden"):
        (tmp_path / name).write_text(DHCP)
    (tmp_path / "examples").mkdir()
    assert names(tmp_path) == ["a", "b"]
    assert names(tmp_path / "none") == []


@pytest.mark.parametrize("name", ["../a", "", ".", "..", ".a", "a/b", "active", "a\nb", "x" * 300])
def test_what_cannot_be_a_profiles_name_is_not_looked_for(tmp_path, name):
    with pytest.raises(ConfigError):
        load(tmp_path, name)


def test_a_profile_that_is_not_there_is_guessed(tmp_path):
    (tmp_path / "home").write_text(DHCP)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "hoem")
    assert caught.value.hint == "did you mean 'home'?"
    (tmp_path / "large").write_bytes(b"#" * 70000)
    (tmp_path / "latin").write_bytes(b"A=\xff")
    for name in ("large", "latin"):
        with pytest.raises(ConfigError, match=f"profile {name}"):
            load(tmp_path, name)


# -- static files, and what comes before what ------------------------------------------------------


@pytest.fixture
def etc(tmp_path):
    (tmp_path / "netctl").mkdir()
    (tmp_path / "net").mkdir()
    return tmp_path


def environment(etc):
    return {
        "REDBEAR_NETCTL_PROFILE_DIR": str(etc / "netctl"),
        "REDBEAR_NET_DIR": str(etc / "net"),
    }


def put(folder, **values):
    for name, value in values.items():
        (folder / name).write_text(f"{value}\n")


def test_redoxs_static_files_are_eth0s(etc):
    put(etc / "net", ip="10.0.2.15", ip_subnet="255.255.255.0", ip_router="10.0.2.2", dns="9.9.9.9")
    (setting,) = plan.settings(environment(etc)).values()
    assert setting.how is How.STATIC
    assert setting.addresses == (ip_interface("10.0.2.15/24"),)
    assert setting.gateways == (ip_address("10.0.2.2"),)
    assert setting.nameservers == (ip_address("9.9.9.9"),)
    assert setting.source == str(etc / "net")


def test_without_an_ip_the_other_files_say_nothing(etc):
    put(etc / "net", ip_subnet="255.255.255.0", ip_router="10.0.2.2", dns="9.9.9.9")
    assert plan.settings(environment(etc)) == {}
    assert plan.settings({"REDBEAR_NET_DIR": "/none", "REDBEAR_NETCTL_PROFILE_DIR": "/none"}) == {}


@pytest.mark.parametrize(
    ("values", "file"),
    [
        ({"ip": "10.0.2/24"}, "ip:"),
        ({"ip": "10.0.2.15", "ip_subnet": "255.0.255.0"}, "ip_subnet:"),
        ({"ip": "10.0.2.15"}, "ip_subnet is missing"),
        ({"ip": "10.0.2.15/24", "ip_router": "10.9.9.9"}, "ip_router:"),
        ({"ip": "10.0.2.15/24", "dns": "x"}, "dns:"),
    ],
)
def test_a_static_file_that_makes_no_sense_is_named(etc, values, file):
    put(etc / "net", **values)
    with pytest.raises(ConfigError) as caught:
        plan.settings(environment(etc))
    assert str(caught.value).startswith(f"{etc / 'net'}/{file}")


def test_the_enabled_profile_comes_before_the_static_files(etc):
    put(etc / "net", ip="10.0.2.15/24")
    (etc / "netctl" / "home").write_text(STATIC)
    assert plan.settings(environment(etc))["eth0"].source == str(etc / "net")
    (etc / "netctl" / "active").write_text("home\n")
    assert plan.settings(environment(etc))["eth0"].source == "profile home"


def test_a_profile_for_another_adapter_leaves_the_static_files_theirs(etc):
    put(etc / "net", ip="10.0.2.15/24")
    (etc / "netctl" / "home").write_text(DHCP.replace("eth0", "eth1"))
    (etc / "chosen").write_text("home\n")
    found = plan.settings(environment(etc) | {"REDBEAR_NETCTL_ACTIVE": str(etc / "chosen")})
    assert {name: setting.how for name, setting in found.items()} == {
        "eth0": How.STATIC,
        "eth1": How.DHCP,
    }


# -- whatever else may stand there -----------------------------------------------------------------


def refusal(text):
    """Parse; return what is said against it, or an empty text."""
    try:
        profile = parse("x", text)
    except ConfigError as error:
        return error.message
    assert "/" not in profile.interface
    found = writes(profile.interface, profile.setting)
    assert all("\n" not in value for path, value in found if path != "resolv/nameserver")
    return ""


def test_whatever_text_comes_it_is_a_profile_or_one_clear_sentence():
    """200,000 texts: good profiles with characters changed, lines lost, and noise."""
    random = Random(8)
    static = "IP=static\nAddress=('10.0.0.2/24')\nGateway=10.0.0.1\nDNS=10.0.0.1\n"
    base = ["Interface=a\nConnection=ethernet\n" + static, DHCP, WIFI]
    noise = "()'\"#= \n\t,./:%aZ09\0é\u2028\u0660" + chr(0x10FFFF)
    read = refused = 0
    for _ in range(200_000):
        text = random.choice(base)
        what = random.random()
        if what < 0.2:
            text = text.replace("\n", "", 1)
        elif what < 0.3:
            text = "".join(random.choices(noise, k=random.randrange(30)))
        elif what < 0.9:
            at = random.randrange(len(text))
            cut = at + random.randrange(3)
            text = text[:at] + "".join(random.choices(noise, k=random.randrange(4))) + text[cut:]
        said = refusal(text)
        if said:
            refused += 1
            assert said.startswith("profile x")
            assert "\n" not in said
        else:
            read += 1
    assert min(read, refused) > 20_000


def test_the_examples_are_profiles():
    folder = Path(__file__).parents[2] / "docs" / "netctl" / "examples"
    found = {name: load(folder, name) for name in names(folder)}
    assert {name: (one.connection, str(one.setting.how)) for name, one in found.items()} == {
        "wifi-dhcp": ("wifi", "dhcp"),
        "wifi-open": ("wifi", "dhcp"),
        "wifi-open-bounded": ("wifi", "bounded"),
        "wired-bounded": ("ethernet", "bounded"),
        "wired-dhcp": ("ethernet", "dhcp"),
        "wired-static": ("ethernet", "static"),
    }
