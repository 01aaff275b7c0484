"""The DHCP client's states, against RFC 2131, with a clock that is an argument."""

from __future__ import annotations

import itertools
from ipaddress import IPv4Address
from random import Random
from struct import pack

import pytest
from dhcp_bench import ADDRESS, MAC, OTHER, SERVER, Bench, reply

from daemons.dhcpd.lease import Lease
from daemons.dhcpd.machine import NEVER, Outcome, State
from daemons.dhcpd.message import Kind, Option


@pytest.fixture
def bench():
    return Bench()


def times(renew, rebind):
    return {Option.RENEWAL_TIME: pack("!I", renew), Option.REBINDING_TIME: pack("!I", rebind)}


def lease_until(end, **facts):
    facts = {"address": ADDRESS, "server": SERVER} | facts
    return Lease(prefix=24, renew_at=end - 50, rebind_at=end - 10, ends_at=end, **facts)


def test_an_address_comes_by_discover_offer_request_and_ack(bench):
    lease = bench.bind()
    assert bench.kinds == [Kind.DISCOVER, Kind.REQUEST]
    assert bench.machine.state is State.BOUND
    assert (lease.address, lease.prefix, lease.server) == (ADDRESS, 24, SERVER)
    assert (lease.renew_at, lease.rebind_at, lease.ends_at) == (1050.0, 1087.5, 1100.0)
    assert bench.machine.deadline == 1050.0
    assert bench.configured == [(lease, None)]


def test_what_is_sent_says_who_we_are_and_what_we_want(bench):
    bench.machine.start(bench.now)
    message = bench.last
    assert message.op == 1
    assert message.chaddr == MAC
    assert message.broadcast
    assert message.ciaddr == IPv4Address(0)
    assert message.options[Option.CLIENT_IDENTIFIER] == b"\x01" + MAC
    assert message.options[Option.HOST_NAME] == b"box"
    wanted = message.options[Option.PARAMETER_REQUEST_LIST]
    # RFC 3442: before the router option.
    assert wanted.index(Option.CLASSLESS_STATIC_ROUTE) < wanted.index(Option.ROUTER)
    assert bench.sent[0][2] is None  # to all


def test_the_request_names_server_and_address_and_keeps_the_offers_xid(bench):
    bench.machine.start(bench.now)
    xid = bench.last.xid
    bench.say(Kind.OFFER)
    request = bench.last
    assert request.xid == xid
    assert request.options[Option.SERVER_IDENTIFIER] == SERVER.packed
    assert request.options[Option.REQUESTED_IP_ADDRESS] == ADDRESS.packed
    assert request.ciaddr == IPv4Address(0)


def test_silence_is_answered_by_asking_again_ever_more_rarely_up_to_64_s(bench):
    bench.machine.start(bench.now)
    for _ in range(12):
        bench.wait()
    moments = [when for when, _, _ in bench.sent]
    pauses = [b - a for a, b in itertools.pairwise(moments)]
    for number, pause in enumerate(pauses):
        middle = min(2.0**number, 64.0)
        assert 0.75 * middle <= pause <= 1.25 * middle
    assert len({message.xid for _, message, _ in bench.sent}) == 1
    assert bench.last.secs == int(moments[-1] - 1000.0)


def test_two_clients_do_not_speak_at_once():
    moments = []
    for seed in range(20):
        bench = Bench(seed)
        bench.machine.start(bench.now)
        bench.wait()
        moments.append(bench.now)
    assert len(set(moments)) == 20


def test_a_slow_servers_offer_counts_after_we_have_asked_again(bench):
    bench.machine.start(bench.now)
    xid = bench.last.xid
    bench.wait()
    bench.wait()
    bench.machine.on_message(reply(Kind.OFFER, xid), bench.now)
    assert bench.machine.state is State.REQUESTING


def test_of_two_servers_the_first_acceptable_one_is_taken_and_the_other_ignored(bench):
    bench.machine.start(bench.now)
    bench.say(Kind.OFFER, address=IPv4Address("0.0.0.0"))
    assert bench.machine.state is State.SELECTING
    bench.say(Kind.OFFER, server=OTHER, address=IPv4Address("192.0.2.80"))
    bench.say(Kind.OFFER)
    bench.say(Kind.ACK)  # of the server that was not asked, for another address
    assert bench.machine.state is State.REQUESTING
    bench.say(Kind.NAK, server=SERVER)
    assert bench.machine.state is State.REQUESTING
    bench.say(Kind.ACK, server=OTHER, address=IPv4Address("192.0.2.80"))
    assert bench.machine.lease.server == OTHER


def test_the_server_that_had_us_is_waited_for_and_preferred(bench):
    bench.machine.start(bench.now, lease_until(bench.now - 1))  # it has ended: no reboot
    assert bench.last.kind is Kind.DISCOVER
    assert bench.last.options[Option.REQUESTED_IP_ADDRESS] == ADDRESS.packed
    bench.say(Kind.OFFER, server=OTHER, address=IPv4Address("192.0.2.80"))
    assert bench.machine.state is State.SELECTING
    assert bench.machine.deadline == bench.now + 0.5
    bench.say(Kind.OFFER)
    assert bench.last.options[Option.SERVER_IDENTIFIER] == SERVER.packed


def test_without_it_the_first_offer_is_taken_after_half_a_second(bench):
    bench.machine.start(bench.now, lease_until(bench.now - 1))
    bench.say(Kind.OFFER, server=OTHER, address=IPv4Address("192.0.2.80"))
    bench.say(Kind.OFFER, server=IPv4Address("192.0.2.3"), address=IPv4Address("192.0.2.81"))
    bench.wait()
    assert bench.last.options[Option.SERVER_IDENTIFIER] == OTHER.packed


def test_without_it_the_same_address_from_another_is_better_than_another_address(bench):
    bench.machine.start(bench.now, lease_until(bench.now - 1))
    bench.say(Kind.OFFER, server=OTHER, address=IPv4Address("192.0.2.80"))
    bench.say(Kind.OFFER, server=IPv4Address("192.0.2.3"))
    bench.wait()
    assert bench.last.options[Option.REQUESTED_IP_ADDRESS] == ADDRESS.packed


def test_a_server_that_offers_and_falls_silent_is_left_after_four_requests(bench):
    bench.machine.start(bench.now)
    bench.say(Kind.OFFER)
    for _ in range(4):
        bench.wait()
    assert bench.kinds == [Kind.DISCOVER, *[Kind.REQUEST] * 4, Kind.DISCOVER]


def test_a_refusal_begins_anew_at_once_and_the_next_ones_ever_later(bench):
    bench.machine.start(bench.now)
    pauses = []
    for _ in range(5):
        bench.say(Kind.OFFER)
        bench.say(Kind.NAK, lease=None, address=IPv4Address(0))
        if bench.machine.state is State.SELECTING:
            pauses.append(0.0)
        else:
            assert bench.machine.state is State.INIT
            pauses.append(bench.machine.deadline - bench.now)
            bench.wait()
        assert bench.machine.state is State.SELECTING
    assert pauses[0] == 0.0
    for number, pause in enumerate(pauses[1:]):
        assert 0.75 * 2**number <= pause <= 1.25 * 2**number


def test_at_t1_the_server_is_asked_alone_and_its_ack_extends_the_lease(bench):
    bench.bind(lease=1000, options=times(10, 500))
    bench.wait()
    when, message, server = bench.sent[-1]
    assert (when, server) == (1010.0, SERVER)
    assert bench.machine.state is State.RENEWING
    assert message.kind is Kind.REQUEST
    assert message.ciaddr == ADDRESS
    assert not message.broadcast
    # RFC 2131, table 4: neither in RENEWING.
    assert Option.REQUESTED_IP_ADDRESS not in message.options
    assert Option.SERVER_IDENTIFIER not in message.options
    bench.say(Kind.ACK, lease=1000, options=times(20, 500))
    assert bench.machine.state is State.BOUND
    assert bench.machine.deadline == 1030.0
    lease, before = bench.configured[-1]
    assert lease.same_settings(before)


def test_times_count_from_when_the_question_was_sent(bench):
    bench.machine.start(bench.now)
    bench.say(Kind.OFFER)
    asked = bench.now
    bench.now += 0.7
    bench.say(Kind.ACK, lease=100)
    assert bench.machine.lease.ends_at == asked + 100


def test_renewing_is_tried_at_half_of_what_is_left_but_not_below_a_minute(bench):
    bench.bind(lease=10000, options=times(1000, 8000))
    bench.run_until(1000.0 + 7999)
    moments = [when - 1000.0 for when, _, server in bench.sent if server == SERVER]
    assert moments[:3] == [1000.0, 4500.0, 6250.0]
    pauses = [b - a for a, b in itertools.pairwise(moments)]
    assert min(pauses) >= 60.0


def test_at_t2_all_servers_are_asked_and_any_may_answer(bench):
    bench.bind(lease=100, options=times(3, 7))
    bench.wait()
    bench.wait()
    assert bench.machine.state is State.REBINDING
    when, message, server = bench.sent[-1]
    assert (when, server) == (1007.0, None)
    assert message.ciaddr == ADDRESS
    bench.say(Kind.ACK, server=OTHER, lease=100)
    assert bench.machine.state is State.BOUND
    assert bench.machine.lease.server == OTHER
    assert bench.removed == []


def test_when_the_lease_ends_the_address_goes_and_all_begins_anew(bench):
    bench.bind(lease=100, options=times(3, 7))
    bench.run_until(1100.0)
    assert bench.removed == [ADDRESS]
    assert bench.machine.lease is None
    assert bench.machine.state is State.SELECTING
    assert bench.last.ciaddr == IPv4Address(0)


def test_a_refusal_while_renewing_takes_the_address_away_at_once(bench):
    bench.bind(lease=100, options=times(3, 7))
    bench.wait()
    bench.say(Kind.NAK, lease=None, server=OTHER)  # was not asked
    assert bench.removed == []
    bench.say(Kind.NAK, lease=None)
    assert bench.removed == [ADDRESS]
    assert bench.machine.state is State.SELECTING
    assert Option.REQUESTED_IP_ADDRESS not in bench.last.options


def test_an_ack_for_another_address_while_renewing_changes_nothing(bench):
    lease = bench.bind(lease=100, options=times(3, 7))
    bench.wait()
    bench.say(Kind.ACK, address=IPv4Address("192.0.2.99"))
    assert bench.machine.lease == lease
    assert bench.machine.state is State.RENEWING


def test_a_remembered_lease_is_asked_for_first(bench):
    bench.machine.start(bench.now, lease_until(bench.now + 500))
    assert bench.machine.state is State.REBOOTING
    message = bench.last
    assert message.kind is Kind.REQUEST
    assert message.options[Option.REQUESTED_IP_ADDRESS] == ADDRESS.packed
    assert Option.SERVER_IDENTIFIER not in message.options  # RFC 2131, 4.3.2
    assert message.ciaddr == IPv4Address(0)
    bench.say(Kind.ACK, lease=100)
    assert bench.machine.lease.address == ADDRESS


def test_a_remembered_lease_that_is_refused_is_forgotten(bench):
    bench.machine.start(bench.now, lease_until(bench.now + 500))
    bench.say(Kind.NAK, lease=None, server=OTHER)
    assert bench.last.kind is Kind.DISCOVER
    assert Option.REQUESTED_IP_ADDRESS not in bench.last.options
    assert bench.machine.state is State.SELECTING


def test_a_remembered_lease_is_used_while_no_server_answers_and_renewed_in_its_time(bench):
    remembered = lease_until(bench.now + 500)
    bench.machine.start(bench.now, remembered)
    bench.run_until(bench.now + 20)
    assert bench.kinds == [Kind.REQUEST] * 3
    assert bench.machine.state is State.BOUND
    assert bench.machine.lease == remembered
    assert bench.machine.deadline == remembered.renew_at


def test_stopping_gives_the_address_back(bench):
    bench.bind()
    bench.machine.stop(bench.now)
    _, message, server = bench.sent[-1]
    assert message.kind is Kind.RELEASE
    assert server == SERVER
    assert message.ciaddr == ADDRESS
    assert message.options[Option.SERVER_IDENTIFIER] == SERVER.packed
    assert bench.removed == [ADDRESS]
    assert bench.machine.state is State.STOPPED
    assert bench.machine.deadline == NEVER
    sent = len(bench.sent)
    bench.machine.tick(bench.now + 1e6)
    bench.say(Kind.OFFER)
    assert len(bench.sent) == sent


def test_an_address_that_is_somebody_elses_is_declined_and_not_asked_for_again(bench):
    bench.outcome = Outcome.TAKEN
    bench.machine.start(bench.now)
    bench.say(Kind.OFFER)
    bench.say(Kind.ACK)
    message = bench.last
    assert message.kind is Kind.DECLINE
    assert message.options[Option.REQUESTED_IP_ADDRESS] == ADDRESS.packed
    assert message.options[Option.SERVER_IDENTIFIER] == SERVER.packed
    assert bench.machine.lease is None
    assert bench.machine.deadline == bench.now + 10.0  # RFC 2131, 3.1
    bench.wait()
    assert bench.last.kind is Kind.DISCOVER
    assert Option.REQUESTED_IP_ADDRESS not in bench.last.options


def test_an_adapter_that_does_not_take_the_address_is_tried_again_later(bench):
    bench.outcome = Outcome.FAILED
    bench.machine.start(bench.now)
    bench.say(Kind.OFFER)
    bench.say(Kind.ACK)
    assert bench.kinds == [Kind.DISCOVER, Kind.REQUEST]
    assert bench.machine.state is State.INIT
    bench.outcome = Outcome.USED
    bench.wait()
    bench.say(Kind.OFFER)
    bench.say(Kind.ACK)
    assert bench.machine.state is State.BOUND


def test_after_the_wire_was_cut_the_server_is_asked_whether_all_is_as_it_was(bench):
    lease = bench.bind()
    bench.machine.reconnect(bench.now)
    assert bench.last.kind is Kind.REQUEST
    assert bench.last.options[Option.REQUESTED_IP_ADDRESS] == ADDRESS.packed
    assert bench.sent[-1][2] is None
    assert (bench.machine.lease, bench.removed) == (lease, [])
    bench.say(Kind.ACK)
    assert bench.machine.state is State.BOUND
    assert bench.configured[-1][1] == lease


def test_in_another_network_the_address_goes_as_soon_as_its_server_says_so(bench):
    bench.bind()
    bench.machine.reconnect(bench.now)
    bench.say(Kind.NAK, lease=None, server=OTHER)
    assert bench.removed == [ADDRESS]
    assert bench.last.kind is Kind.DISCOVER


def test_where_nobody_answers_the_address_stays_until_it_ends(bench):
    lease = bench.bind(lease=12)
    bench.machine.reconnect(bench.now)
    bench.run_until(bench.now + 11)
    assert (bench.machine.lease, bench.removed) == (lease, [])
    bench.run_until(bench.now + 2)
    assert bench.removed == [ADDRESS]


def test_a_wire_that_comes_late_is_used_at_once(bench):
    bench.machine.start(bench.now)
    for _ in range(8):
        bench.wait()
    bench.now += 1
    bench.machine.reconnect(bench.now)
    assert bench.sent[-1][0] == bench.now
    bench.machine.stop(bench.now)
    bench.machine.reconnect(bench.now)
    assert bench.machine.state is State.STOPPED


def test_an_infinite_lease_is_never_asked_about(bench):
    bench.bind(lease=0xFFFFFFFF)
    assert bench.machine.deadline == NEVER


def test_an_infinite_lease_with_times_is_asked_about_again_and_again(bench):
    bench.bind(lease=0xFFFFFFFF, options=times(10, 20))
    bench.run_until(1020.0 + 3 * 3600)
    assert [when for when, *_ in bench.sent[2:]] == [1010.0, 1020.0, 4620.0, 8220.0, 11820.0]
    assert bench.machine.lease is not None


def test_renew_asks_now(bench):
    bench.bind()
    bench.machine.renew(bench.now)
    assert bench.sent[-1][2] == SERVER
    bench.say(Kind.ACK)
    assert bench.machine.state is State.BOUND


@pytest.mark.parametrize(
    "wrong",
    [
        {"xid": 1},
        {"mac": bytes(6)},
        {"op": 1},
        {"server": None},
        {"server": IPv4Address("255.255.255.255")},
        {"lease": None},
        {"address": IPv4Address("127.0.0.1")},
        {"address": IPv4Address("224.0.0.1")},
        {"address": IPv4Address("255.255.255.255")},
    ],
)
def test_an_offer_that_cannot_be_used_is_ignored(bench, wrong):
    bench.machine.start(bench.now)
    bench.say(Kind.OFFER, **wrong)
    assert bench.machine.state is State.SELECTING
    assert bench.kinds == [Kind.DISCOVER]


def test_whatever_comes_and_goes_the_machine_keeps_its_promises():
    """30,000 random steps: no crash, one address at a time, always something to wait for."""
    random = Random(20)
    kinds = [Kind.OFFER, Kind.ACK, Kind.NAK, Kind.DISCOVER, Kind.RELEASE]
    hosts = [ADDRESS, IPv4Address("192.0.2.80"), IPv4Address(0)]
    bench = Bench(3)
    bench.machine.start(bench.now)
    seen = set()
    for _ in range(30_000):
        machine = bench.machine
        what = random.random()
        if what < 0.45:
            options = times(random.randrange(20), random.randrange(40)) if what < 0.2 else {}
            lease = random.choice([None, 0, 1, 10, 100, 0xFFFFFFFF])
            facts = {"address": random.choice(hosts), "server": random.choice([SERVER, OTHER])}
            xid = bench.last.xid if random.random() < 0.9 else 5
            bench.say(random.choice(kinds), xid=xid, lease=lease, options=options, **facts)
        elif what < 0.9 and machine.deadline != NEVER:
            bench.now = max(bench.now, machine.deadline)
            machine.tick(bench.now)
        elif what < 0.92:
            bench.outcome = random.choice(list(Outcome))
        elif what < 0.94:
            machine.renew(bench.now)
        elif what < 0.95:
            machine.reconnect(bench.now)
        elif what < 0.96:
            if machine.state is not State.STOPPED:
                machine.stop(bench.now)
            machine.start(bench.now, random.choice([None, lease_until(bench.now + 60)]))
        else:
            bench.now += random.random()
        bound = machine.state in (State.BOUND, State.RENEWING, State.REBINDING)
        assert bound == (machine.lease is not None) or machine.state is State.REBOOTING
        assert machine.deadline != NEVER or machine.lease.renew_at == NEVER
        seen.add(machine.state)
        if len(bench.sent) > 100:
            del bench.sent[:-1], bench.configured[:], bench.removed[:]
    assert seen == set(State) - {State.STOPPED}
