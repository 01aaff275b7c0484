"""Wires from class services to drivers, through the shim's hands, over deaths of both."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from contextlib import suppress

import pytest

from kernel_shim.answers import Answers
from kernel_shim.rundir import RunDir
from kernel_shim.service import Service, State
from kernel_shim.supervisor import Supervisor
from redbear_host.abi import errno as e

pytestmark = pytest.mark.timeout(120)

WIRE = "/memfd:wire 0 (deleted)"


class Instance(Supervisor):
    def __init__(self, folder):
        super().__init__(RunDir(folder / "run"), folder / "scheme")
        self.folder = folder
        Answers(self)

    def begin(self, name, *schemes, says=(), with_=(), asks=()):
        (running,) = self.start(
            Service(
                name=name,
                module="tests.lab.wired_daemon",
                schemes=schemes,
                with_=with_,
                asks=frozenset(asks),
                options={"says": says, "notes": str(self.folder / name)},
            )
        )
        return running

    def written(self, name):
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def wait(self, done):
        deadline = time.monotonic() + 30
        while not done():
            assert time.monotonic() < deadline, {
                path.name: path.read_text() for path in self.folder.iterdir() if path.is_file()
            }
            self.loop.at(self.loop.now() + 0.01, lambda: None)
            self.loop.run_round()

    def heard(self, name, message, links=()):
        self.wait(lambda: [message, list(links)] in self.written(name))

    def kill(self, running):
        life = running.life
        os.kill(running.pid, signal.SIGKILL)
        self.wait(lambda: running.life > life and running.state is State.READY)


@pytest.fixture
def instance(tmp_path):
    made = Instance(tmp_path)
    try:
        made.open()
        yield made
    finally:
        made.close()


FACTS = {"mac": "52:54:00:12:34:56", "link": 1000, "mtu": 1500}
SAYS_FACTS = [{"adapter": "network.a", "facts": FACTS}, 0]


def service(instance, *says, asks=("join", "part", "keep")):
    return instance.begin("stack", "ip", says=says, with_=("network.",), asks=asks)


def join(scheme="network.a", number=1, **more):
    return {"join": scheme, "id": number, **more}


def test_a_service_is_told_of_the_schemes_it_is_for_and_of_no_others(instance):
    instance.begin("card", "network.a", "disk.a", says=[SAYS_FACTS])
    instance.wait(lambda: instance.lives.joins.facts(service_like(instance))["with"]["network.a"])
    service(instance)
    assert instance.written("stack")[0] == [{"life": 1, "with": {"network.a": FACTS}}, []]
    instance.begin("late", "network.b")
    instance.heard("stack", {"with": "network.b", "facts": {}})


def service_like(instance):
    """A service that is only asked what it would be told."""
    from kernel_shim.service import Running

    return Running(Service(name="x", module="x", schemes=(), with_=("network.",)), [], 0)


def test_a_wire_reaches_the_driver_at_once_and_each_of_its_lives(instance):
    card = instance.begin("card", "network.a")
    service(instance, [join(mac=FACTS["mac"]), 1])
    instance.heard("stack", {"answer": 1})
    told = {"join": "network.a", "by": "stack", "mac": FACTS["mac"]}
    instance.heard("card", told, [WIRE])
    instance.kill(card)
    entry = {"scheme": "network.a", "by": "stack", "mac": FACTS["mac"]}
    life, links = instance.written("card")[-1]
    assert links == [WIRE]
    assert [{**one, "fd": None} for one in life["joins"]] == [{**entry, "fd": None}]


def test_a_wire_and_what_is_kept_outlive_the_service(instance):
    card = instance.begin("card", "network.a")
    stack = service(instance, [join(), 1], [{"keep": "netns", "id": 2}, 1])
    instance.heard("stack", {"answer": 2})
    instance.kill(stack)
    life, links = instance.written("stack")[-1]
    assert life["kept"].keys() == {"netns"}
    assert links == [WIRE]
    instance.kill(card)
    assert instance.written("card")[-1][1] == [WIRE]


def test_a_second_join_takes_the_place_of_the_first_and_part_takes_it_out(instance):
    instance.begin("card", "network.a")
    service(
        instance,
        [join(), 1],
        [join(number=2), 1],
        [join(number=3, mac="02:00:00:00:00:01"), 0],
        [{"part": "network.a", "id": 4, "join": 0}, 0],
        [{"part": "network.a", "id": 5}, 0],
        [{"part": "network.a", "id": 6}, 0],
    )
    instance.heard("stack", {"answer": 6, "errno": e.ENOTCONN})
    instance.heard("card", {"part": "network.a", "by": "stack"})
    instance.heard("card", {"join": "network.a", "by": "stack", "mac": "02:00:00:00:00:01"}, [WIRE])
    instance.wait(lambda: not [link for link in links() if "wire" in link])


def links():
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return found


def test_what_may_not_be_joined_is_refused_and_its_descriptor_closed(instance):
    instance.begin("card", "network.a", "disk.a")
    service(
        instance,
        [join("disk.a"), 1],
        [join("network.none", 2), 1],
        [join(number=3), 0],
        [join(number=4, mac="nonsense"), 1],
        [{"keep": "x", "id": 5}, 0],
        [[], 1],
        ["text", 3],
        [{"create": "x", "id": 6}, 1],
        [{"join": "network.a"}, 1],
        [{"part": "network.a", "id": 7}, 0],
    )
    for number, errno in ((1, e.EACCES), (2, e.ENODEV), (3, e.EINVAL), (5, e.EINVAL), (7, 107)):
        instance.heard("stack", {"answer": number, "errno": errno})
    assert not [link for link in links() if "wire" in link]
    assert instance.services[-1].life == 1


def test_who_does_not_ask_for_answers_gets_none_however_much_is_kept_and_forgotten(instance):
    says = [[{"keep": "often"}, 1], [{"forget": "often"}, 0]] * 20
    last = [{"forget": "nothing"}, 0], [{"keep": "netns"}, 1], [{"keep": "end", "id": 1}, 1]
    stack = service(instance, *says, *last)
    instance.heard("stack", {"answer": 1})
    assert len(instance.written("stack")) == 2, "its set-up, and the answer to the last"
    instance.kill(stack)
    assert instance.written("stack")[-1][0]["kept"].keys() == {"netns", "end"}


def test_only_so_much_is_kept(instance):
    says = [[{"keep": f"thing {number}", "id": number}, 1] for number in range(66)]
    again = [{"keep": "thing 0", "id": 90}, 1]
    service(instance, *says, again, [{"forget": "thing 1", "id": 91}, 0])
    instance.heard("stack", {"answer": 63})
    instance.heard("stack", {"answer": 64, "errno": e.ENFILE})
    instance.heard("stack", {"answer": 90})
    instance.heard("stack", {"answer": 91})
    assert len([link for link in links() if "wire" in link]) == 63


def test_a_daemon_that_may_not_join_does_not(instance):
    instance.begin("card", "network.a")
    service(instance, [join(), 1], [SAYS_FACTS[0], 0], asks=("namespace",))
    instance.begin("late", "network.b")
    instance.heard("stack", {"with": "network.b", "facts": {}})
    assert not [link for link in links() if "wire" in link]
    assert instance.written("card")[-1][0] == {"life": 1, "with": None}


@pytest.mark.parametrize(
    "facts",
    [{"mac": 7}, {"mac": "x"}, {"link": -1}, {"link": True}, {"mtu": 1 << 40}, [], None],
    ids=str,
)
def test_what_a_card_cannot_be_is_not_passed_on(instance, facts):
    instance.begin("card", "network.a", says=[[{"adapter": "network.a", "facts": facts}, 0]])
    instance.begin("liar", "disk.b", says=[[{"adapter": "network.a", "facts": FACTS}, 0]])
    service(instance)
    assert instance.written("stack")[0] == [{"life": 1, "with": {"network.a": {}}}, []]


def test_a_service_hears_of_a_card_that_leaves_and_its_wire_is_out(instance):
    instance.begin("card", "network.a")
    service(instance, [join(), 1])
    instance.heard("stack", {"answer": 1})
    instance.lives.joins.on_lost(instance.services[0])
    instance.heard("stack", {"without": "network.a"})
    instance.heard("card", {"part": "network.a", "by": "stack"})
    assert not [link for link in links() if "wire" in link]


def test_a_service_that_is_given_up_takes_its_wires_along(instance):
    card = instance.begin("card", "network.a")
    stack = service(instance, [join(), 1], [{"keep": "netns", "id": 2}, 1])
    instance.heard("stack", {"answer": 2})
    stack.gone = True
    os.kill(stack.pid, signal.SIGKILL)
    instance.wait(lambda: stack.state is State.FAILED)
    instance.heard("card", {"part": "network.a", "by": "stack"})
    assert not [link for link in links() if "wire" in link]
    assert instance.lives.joins.setup(card, []) == {}


def test_numbers_that_are_none_end_nobody(instance):
    instance.begin("card", "network.a")
    infinite = float("inf")  # JSON has no such number, Python's reads and writes it
    service(
        instance,
        [{"join": "network.a", "id": infinite}, 1],
        [{"adapter": ["network.a"], "facts": {}}, 0],
        [{"part": "network.a", "id": 3}, 0],
    )
    instance.heard("stack", {"answer": 3, "errno": e.ENOTCONN})


def test_a_service_is_connected_to_the_schemes_it_is_for_and_to_no_others(instance):
    instance.begin("card", "network.a", "disk.a")
    service(
        instance,
        *([{"connect": name, "id": n}, 0] for n, name in enumerate(("network.a", "disk.a"))),
        [{"connect": "network.b", "id": 2}, 0],
        asks=("connect",),
    )
    instance.heard("stack", {"answer": 2, "errno": e.ENODEV})
    instance.heard("stack", {"answer": 1, "errno": e.EACCES})
    (links,) = (told[1] for told in instance.written("stack") if told[0] == {"answer": 0})
    assert len(links) == 1
    assert links[0].startswith("socket:[")


def test_what_the_shim_could_not_let_go_of_is_not_held_and_ends_who_sends_it(instance):
    instance.begin("card", "network.a")
    stack = service(instance, [{"keep": "x", "id": 1, "fd": "/dev/null"}, 1])
    instance.wait(lambda: stack.life == 2 and stack.state is State.READY)
    assert instance.written("stack")[-1] == [{"life": 2, "with": {"network.a": {}}}, []]


def test_who_calls_a_daemon_that_is_given_up_is_told_so(instance):
    card = instance.begin("card", "network.a")
    path = str(instance.folder / "run/ring/network.a")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as early:
        early.settimeout(10)
        os.kill(card.pid, signal.SIGSTOP)
        early.connect(path)
        card.gone = True  # its device
        os.kill(card.pid, signal.SIGKILL)
        instance.wait(lambda: card.state is State.FAILED)
        with suppress(ConnectionResetError):
            assert early.recv(1) == b""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as late,
        pytest.raises(ConnectionRefusedError),
    ):
        late.connect(path)
