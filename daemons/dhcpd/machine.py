"""The client's state machine: fed with messages and the time, it says what to send and to set up.

Ref: RFC 2131 section 4.4 and figure 5.  Pure: the clock is an argument, chance is handed in, and
what is to be done goes to a `Host`.
"""

from __future__ import annotations

import logging
from enum import Enum, StrEnum, auto
from ipaddress import IPv4Address
from random import Random
from typing import Final, Protocol, TypeAlias

from daemons.dhcpd import message as m
from daemons.dhcpd.lease import Lease, granted
from daemons.dhcpd.message import Kind, Message, Option
from redbear_host.errors import ProtocolError

log = logging.getLogger(__name__)

Options: TypeAlias = dict[int, bytes]

NEVER: Final = float("inf")

_FIRST_S: Final = 1.0  # until a message is sent again; doubled each time
_LONGEST_S: Final = 64.0  # RFC 2131, 4.1
_JITTER: Final = 0.25  # of such a pause, so that many clients do not speak at once
_COLLECT_S: Final = 0.5  # how long an offer waits for the one of the server that had us
_REQUESTS: Final = 4  # of one offer; after that another is looked for
_REBOOTS: Final = 3  # questions whether we may keep what we remember
_RENEW_LEAST_S: Final = 60.0  # between two questions: RFC 2131, 4.4.5
_RENEW_MOST_S: Final = 3600.0  # the same, of a lease that does not end
_DECLINED_S: Final = 10.0  # before another try: RFC 2131, 3.1 step 5
_OFFERS_MOST: Final = 16

_WANTED: Final = bytes(
    (
        Option.SUBNET_MASK,
        Option.CLASSLESS_STATIC_ROUTE,  # before 3: RFC 3442
        Option.ROUTER,
        Option.DOMAIN_NAME_SERVER,
        Option.DOMAIN_NAME,
        Option.INTERFACE_MTU,
        Option.BROADCAST_ADDRESS,
        Option.IP_ADDRESS_LEASE_TIME,
        Option.RENEWAL_TIME,
        Option.REBINDING_TIME,
    )
)
_SIZE_MOST: Final = 1472  # bytes of a message: what one Ethernet frame carries by UDP
_VENDOR: Final = b"redbear-host"


class State(StrEnum):
    """RFC 2131, figure 5; `stopped` before and after all of it."""

    STOPPED = "stopped"
    INIT = "init"
    REBOOTING = "rebooting"
    SELECTING = "selecting"
    REQUESTING = "requesting"
    BOUND = "bound"
    RENEWING = "renewing"
    REBINDING = "rebinding"


class Outcome(Enum):
    """What became of a lease."""

    USED = auto()
    TAKEN = auto()  # somebody else has the address
    FAILED = auto()  # the adapter does not take it


class Host(Protocol):
    """The adapter, as far as the machine has a say."""

    def send(self, data: bytes, server: IPv4Address | None, /) -> None:
        """Send a message to a server; None: to all on the wire."""
        ...

    def configure(self, lease: Lease, before: Lease | None, /) -> Outcome:
        """Use a lease in place of the one before."""
        ...

    def remove(self, lease: Lease, /) -> None:
        """Use it no longer."""
        ...


class Machine:
    """One adapter's client; call `tick` when `deadline` has come."""

    def __init__(self, host: Host, mac: bytes, random: Random, hostname: str = "") -> None:
        self._host: Final = host
        self._mac: Final = mac
        self._random: Final = random
        self._hostname: Final = hostname.encode()
        self.state = State.STOPPED
        self.lease: Lease | None = None  # what the adapter uses
        self.deadline = NEVER  # on the clock of the `now` arguments, in seconds
        self._remembered: Lease | None = None  # what it used before
        self._offers: list[Lease] = []
        self._chosen: Lease | None = None
        self._xid = 0
        self._began = 0.0  # when this acquisition began, for `secs`
        self._asked_at = 0.0  # when the present question was first sent
        self._tries = 0
        self._refusals = 0  # in a row

    # -- commands ----------------------------------------------------------------------------------

    def start(self, now: float, remembered: Lease | None = None) -> None:
        """Begin; with a lease of an earlier life the server is asked whether it still holds."""
        self._remembered = remembered
        self._refusals = 0
        if remembered is not None and remembered.ends_at > now:
            self._begin(State.REBOOTING, now)
        else:
            self._discover(now)

    def stop(self, now: float) -> None:
        """Give the address back, and be silent."""
        lease = self.lease
        if lease is not None:
            self._xid = self._random.getrandbits(32)
            told: Options = {Option.SERVER_IDENTIFIER: lease.server.packed}
            self._send(Kind.RELEASE, now, told, ciaddr=lease.address, server=lease.server)
            self._remove()
        self.state = State.STOPPED
        self.deadline = NEVER

    def renew(self, now: float) -> None:
        """Ask the server now what would be asked at T1; begin anew where there is no lease."""
        if self.state in (State.BOUND, State.RENEWING, State.REBINDING):
            self._begin(State.RENEWING, now)
        else:
            self.start(now, self._remembered)

    def reconnect(self, now: float) -> None:
        """Make sure, since the wire was cut and is whole again: it may be another network's.

        What the adapter uses stays until a server refuses it (RFC 2131, 3.7).
        """
        if self.state is State.STOPPED:
            return
        if self.lease is not None:
            self._remembered = self.lease
            if self.lease.ends_at <= now:
                self._remove()
        self.start(now, self._remembered)

    # -- time --------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what is due."""
        if now < self.deadline:
            return
        match self.state:
            case State.STOPPED:
                self.deadline = NEVER
            case State.INIT:
                self._discover(now)
            case State.SELECTING if self._offers:
                self._request(self._offers[0], now)
            case State.SELECTING:
                self._ask(now)
            case State.REQUESTING if self._tries >= _REQUESTS:
                log.info("%s does not answer any more", self._chosen and self._chosen.server)
                self._discover(now)
            case State.REQUESTING:
                self._ask(now)
            case State.REBOOTING if self._tries >= _REBOOTS:
                self._trust_memory(now)
            case State.REBOOTING:
                self._ask(now)
            case State.BOUND | State.RENEWING | State.REBINDING:
                self._age(now)

    def _age(self, now: float) -> None:
        lease = self.lease
        if lease is None:  # never, while bound
            self._discover(now)
        elif now >= lease.ends_at:
            log.warning("the lease of %s has ended", lease.address)
            self._remove()
            self._discover(now)
        elif now >= lease.rebind_at and self.state is not State.REBINDING:
            self._begin(State.REBINDING, now)
        elif self.state is State.BOUND:
            self._begin(State.RENEWING, now)
        else:
            self._ask(now)

    # -- questions ---------------------------------------------------------------------------------

    def _discover(self, now: float) -> None:
        self._offers = []
        self._chosen = None
        self._begin(State.SELECTING, now)

    def _request(self, offer: Lease, now: float) -> None:
        self._chosen = offer
        xid = self._xid
        self._begin(State.REQUESTING, now)
        self._xid = xid  # the server knows its offer by it: RFC 2131, 4.4.1

    def _begin(self, state: State, now: float) -> None:
        """Ask a new question."""
        if state is not State.REQUESTING:
            self._began = now
        self.state = state
        self._xid = self._xid if state is State.REQUESTING else self._random.getrandbits(32)
        self._tries = 0
        self._asked_at = now
        self._ask(now)

    def _ask(self, now: float) -> None:
        """Send the present question, again perhaps, and say when to do so next."""
        self._tries += 1
        self.deadline = self._next(now)
        lease, remembered, chosen = self.lease, self._remembered, self._chosen
        if self.state is State.SELECTING:
            wish = {} if remembered is None else _requested(remembered.address)
            self._send(Kind.DISCOVER, now, wish | self._about())
        elif self.state is State.REQUESTING and chosen is not None:
            told = {Option.SERVER_IDENTIFIER: chosen.server.packed}
            self._send(Kind.REQUEST, now, told | _requested(chosen.address) | self._about())
        elif self.state is State.REBOOTING and remembered is not None:
            self._send(Kind.REQUEST, now, _requested(remembered.address) | self._about())
        elif lease is not None:
            server = lease.server if self.state is State.RENEWING else None
            self._send(Kind.REQUEST, now, self._about(), ciaddr=lease.address, server=server)

    def _next(self, now: float) -> float:
        """When to ask again, or to give up asking so."""
        lease = self.lease
        if lease is not None and self.state in (State.RENEWING, State.REBINDING):
            end = lease.rebind_at if self.state is State.RENEWING else lease.ends_at
            left = end - now
            return min(
                end, now + (_RENEW_MOST_S if left == NEVER else max(_RENEW_LEAST_S, left / 2))
            )
        return now + self._pause(self._tries - 1)

    def _pause(self, doublings: int) -> float:
        pause: float = min(_FIRST_S * 2 ** min(doublings, 10), _LONGEST_S)
        return pause * (1 + self._random.uniform(-_JITTER, _JITTER))

    def _about(self) -> Options:
        """Say who asks, and for what."""
        about: Options = {
            Option.CLIENT_IDENTIFIER: bytes((m.ETHERNET,)) + self._mac,
            Option.MAXIMUM_DHCP_MESSAGE_SIZE: _SIZE_MOST.to_bytes(2, "big"),
            Option.PARAMETER_REQUEST_LIST: _WANTED,
            Option.VENDOR_CLASS_IDENTIFIER: _VENDOR,
        }
        if self._hostname:
            about[Option.HOST_NAME] = self._hostname
        return about

    def _send(
        self,
        kind: Kind,
        now: float,
        options: Options,
        ciaddr: IPv4Address = IPv4Address(0),  # noqa: B008 -- it cannot change
        server: IPv4Address | None = None,
    ) -> None:
        asked = Message(
            op=m.BOOTREQUEST,
            kind=kind,
            xid=self._xid,
            chaddr=self._mac,
            secs=int(now - self._began),
            # Without an address we hear only what is sent to all.
            broadcast=ciaddr.is_unspecified and kind is not Kind.DECLINE,
            ciaddr=ciaddr,
            options=options,
        )
        self._host.send(asked.pack(), server)

    # -- answers -----------------------------------------------------------------------------------

    def on_message(self, data: bytes, now: float) -> None:
        """Take what came; what is malformed, or not for us, changes nothing."""
        try:
            answer = m.parse(data)
        except ProtocolError as error:
            log.info("a message is ignored: %s", error)
            return
        if (
            answer.op != m.BOOTREPLY
            or answer.xid != self._xid
            or answer.chaddr != self._mac
            or self.state in (State.STOPPED, State.INIT, State.BOUND)
        ):
            return
        try:
            if answer.kind is Kind.OFFER and self.state is State.SELECTING:
                self._on_offer(granted(answer, self._asked_at), now)
            elif answer.kind is Kind.ACK and self.state is not State.SELECTING:
                self._on_ack(granted(answer, self._asked_at), now)
            elif answer.kind is Kind.NAK and self.state is not State.SELECTING:
                self._on_nak(answer, now)
        except ProtocolError as error:
            log.info("the %s is ignored: %s", answer.kind.name, error)

    def _on_offer(self, offer: Lease, now: float) -> None:
        """Take the offer of the server that had us, else of the same address, else the first."""
        wanted = self._remembered
        if wanted is None or offer.server == wanted.server:
            self._request(offer, now)
        elif len(self._offers) < _OFFERS_MOST:
            at = 0 if offer.address == wanted.address else len(self._offers)
            self._offers.insert(at, offer)
            self.deadline = min(self.deadline, now + _COLLECT_S)

    def _on_ack(self, lease: Lease, now: float) -> None:
        held = self.lease or (self._remembered if self.state is State.REBOOTING else self._chosen)
        if held is None or lease.address != held.address:
            raise ProtocolError(f"it is of {lease.address}, which nobody asked for")
        if self.state in (State.REQUESTING, State.RENEWING) and lease.server != held.server:
            raise ProtocolError(f"{lease.server} was not asked")
        if lease.ends_at <= now:
            raise ProtocolError("its lease has ended already")
        self._use(lease, now)

    def _on_nak(self, answer: Message, now: float) -> None:
        held = self.lease if self.state is State.RENEWING else self._chosen
        server = answer.address(Option.SERVER_IDENTIFIER)
        if server is None:
            raise ProtocolError("it does not say whose it is")
        if self.state in (State.REQUESTING, State.RENEWING) and held and server != held.server:
            raise ProtocolError(f"{server} was not asked")
        log.info("%s refuses: %s", server, answer.text or "it gives no reason")
        if self.lease is not None:
            self._remove()
        self._remembered = None  # RFC 2131, 3.2: what was remembered is wrong here
        self._refusals += 1
        if self._refusals == 1:
            self._discover(now)  # most often we are in another network than before
        else:
            self._rest(now, self._pause(self._refusals - 2))

    def _trust_memory(self, now: float) -> None:
        """Use what is remembered until it ends, since no server says otherwise (RFC 2131, 3.2)."""
        lease = self._remembered
        if lease is None or lease.ends_at <= now:
            self._remove()
            self._discover(now)
            return
        log.info("no server answers; %s is used until its lease ends", lease.address)
        self._use(lease, now)

    def _use(self, lease: Lease, now: float) -> None:
        before, self.lease = self.lease, lease
        outcome = self._host.configure(lease, before)
        if outcome is not Outcome.USED:
            self.lease = before
            self._remove()
            if outcome is Outcome.TAKEN:
                self._decline(lease, now)
            self._rest(now, _DECLINED_S)
            return
        self._remembered = lease
        self._refusals = 0
        self.state = State.BOUND
        self.deadline = lease.renew_at

    def _decline(self, lease: Lease, now: float) -> None:
        log.warning("%s is somebody else's already", lease.address)
        self._remembered = None
        told = {Option.SERVER_IDENTIFIER: lease.server.packed} | _requested(lease.address)
        self._xid = self._random.getrandbits(32)
        self._send(Kind.DECLINE, now, told)

    def _rest(self, now: float, pause: float) -> None:
        self.state = State.INIT
        self.deadline = now + pause

    def _remove(self) -> None:
        lease, self.lease = self.lease, None
        if lease is not None:
            self._remembered = lease
            self._host.remove(lease)


def _requested(address: IPv4Address) -> Options:
    return {Option.REQUESTED_IP_ADDRESS: address.packed}
