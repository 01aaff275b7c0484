"""What every daemon's `__main__` calls: the set-up the shim sends, the loop, and the way out.

A daemon is started as `python -I -m daemons.NAME FD`.  On that socket the shim sends one message
with everything the daemon will ever hold: the FUSE connection and journal of each of its schemes,
its device, its options.  The daemon answers `ready` when it serves, and `gone` if its device
leaves.  When the shim says `stop`, or is gone, the loop ends and what the daemon opened is closed
in reverse order.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, Self, TypeAlias

from redbear_host import log
from redbear_host.errors import DeviceError, ProtocolError, Refused
from redbear_host.hw.clock import SystemClock
from redbear_host.hw.intx import IntxLine
from redbear_host.hw.pci.header import INTERRUPT_LINE
from redbear_host.hw.ports import InterruptKind, PciFunction
from redbear_host.ring.door import RingDoor
from redbear_host.sandbox import imports
from redbear_host.sandbox.enter import enter
from redbear_host.sandbox.policy import Policy
from redbear_host.scheme.loop import Loop
from redbear_host.scheme.meter import Meter
from redbear_host.scheme.scheme import Scheme
from schemefs.connection import Connection
from schemefs.door import Door
from schemefs.journal import Journal

if TYPE_CHECKING:
    from redbear_host.scheme.clients import Copier

_MESSAGE_MAX: Final = 1 << 20
_FDS_MAX: Final = 253  # SCM_MAX_FD

_LANDINGS: Final = {
    "vfio": "redbear_host.hw.vfio.function",
    "qtest": "redbear_host.hw.qtest.function",
}


class SeatGrant(NamedTuple):
    """What a daemon is told of the screens and of who sits before them (`kernel_shim.seat`)."""

    cards: Mapping[str, int]  # descriptors by names, as `card0`; this life's own
    vt: int  # the virtual terminal; 0 where Linux has none
    active: bool  # it is the one that is seen; else {"seat": "acquired"} says when


class Timed(Protocol):
    """A driver that has to look after something by a certain time."""

    @property
    def deadline(self) -> float:
        """When to call `tick`, on the clock of CLOCK_MONOTONIC, in seconds."""
        ...

    def tick(self, now: float) -> object:
        """Look after it."""
        ...


class Joinable(Protocol):
    """The scheme of a network card: services put TAPs into it (`kernel_shim.joins`)."""

    name: str
    on_facts: Callable[[dict[str, Any]], object]

    @property
    def facts(self) -> dict[str, Any]:
        """What they want to know of the card."""
        ...

    def end_batch(self) -> None:
        """Run at the end of every round."""
        ...

    def join(self, fd: int, by: str, mac: str | None = None) -> None:
        """Take a TAP; if it raises `Refused` it was not taken."""
        ...

    def part(self, by: str) -> None:
        """Let a service's TAP go."""
        ...

    def close(self) -> None:
        """Let go of all."""
        ...


_Done: TypeAlias = Callable[[Mapping[str, Any], list[int]], object]


def _ignore(message: Mapping[str, Any], fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


class Daemon(ExitStack):
    """One daemon's life: `with Daemon.receive() as daemon: …; daemon.run()`."""

    def __init__(self, control: socket.socket, setup: dict[str, Any], fds: Sequence[int]) -> None:
        super().__init__()
        self.name: Final[str] = setup["name"]
        self.options: Final[dict[str, Any]] = setup["options"]
        self.facts: Final[dict[str, Any]] = setup["facts"]
        self.life: Final[int] = setup["life"]  # 1 for the first, 2 after one restart, …
        self.crashed: Final[bool] = setup["crashed"]  # the last life ended by its own doing
        self.loop: Final = Loop()
        self.clock: Final = SystemClock()
        self._setup: Final = setup
        self._fds: Final = fds
        self._control: Final = control
        self.callback(control.close)
        self._copier = self._reach_clients()
        self._served = 0  # schemes whose mount is there
        self.readable: Final[list[int]] = []  # open directories it may read files of, locked in
        self._asked = 0
        self._asking: Final[dict[int, _Done]] = {}  # who waits for which answer of the shim
        self._followers: Final[dict[str, list[Callable[[], object]]]] = {}  # by schemes
        self.on_told: Callable[[dict[str, Any], list[int]], None] = _ignore
        """Called with what the shim says later, and descriptors, which are the callee's to close.

        The daemon of the kernel's schemes is told what there is; `serve_network` hears of joins.
        """

    @classmethod
    def receive(cls) -> Self:
        """Take the set-up from the shim; its descriptor is the one argument."""
        control = socket.socket(fileno=int(sys.argv[1]))
        message, fds, _, _ = socket.recv_fds(control, _MESSAGE_MAX, _FDS_MAX)
        if not message:
            raise ProtocolError("the shim closed the control socket before it sent a set-up")
        setup = json.loads(message)
        while len(fds) < setup.get("descriptors", 0):  # more than one message holds
            _, more, _, _ = socket.recv_fds(control, _MESSAGE_MAX, _FDS_MAX)
            if not more:
                raise ProtocolError("the shim sent less descriptors than its set-up speaks of")
            fds += more
        for fd in fds:
            os.set_inheritable(fd, False)
        log.setup(setup["name"])
        imports.prepare()
        return cls(control, setup, fds)

    @property
    def scheme_names(self) -> list[str]:
        """Names of the schemes this daemon is to serve, in its manifest's order."""
        return [scheme["name"] for scheme in self._setup["schemes"]]

    @property
    def kept(self) -> dict[str, int]:
        """The descriptors that earlier lives had the shim keep, by their names; they are ours."""
        return {name: self._fds[index] for name, index in self._setup.get("kept", {}).items()}

    @property
    def landing(self) -> str:
        """What its device is reached by: "vfio" or "qtest"; nothing for a daemon without one."""
        grant = self._setup["grant"]
        return "" if grant is None else str(grant["machine"])

    @property
    def seat(self) -> SeatGrant | None:
        """The cards and the terminal, if it asks for a `seat` and there is one."""
        told = self._setup.get("seat")
        if told is None:
            return None
        cards = {name: self._fds[index] for name, index in told["cards"].items()}
        return SeatGrant(cards, told["vt"], told["active"])

    def function(self) -> PciFunction:
        """Open the PCI function this daemon was given; it is closed at the end."""
        grant = self._setup["grant"]
        if grant is None:
            raise ProtocolError(f"{self.name} was given no device")
        # Only the landing that is needed is loaded: a restart is waited for by clients.
        landing = import_module(_LANDINGS[grant["machine"]])
        function: PciFunction = landing.open_function(grant, self._fds)
        self.callback(function.close)
        if "trace_fd" in self._setup:
            from redbear_host.hw.traced import TracedFunction

            return TracedFunction(function, self._tell(self._fds[self._setup["trace_fd"]]))
        return function

    def _reach_clients(self) -> Copier | None:
        """Make the daemon's end of the shim's copier, if its manifest asks for it."""
        if "client_fd" not in self._setup:
            return None
        from redbear_host.scheme.clients import Copier

        client_fd, staging_fd = (self._fds[self._setup[k]] for k in ("client_fd", "staging_fd"))
        copier = Copier(client_fd, staging_fd, self.loop)
        self.callback(copier.close)
        return copier

    def _tell(self, fd: int) -> Callable[[str], None]:
        """Return what writes lines to a pipe; what its reader has no time for is lost, and said."""
        lost = 0

        def tell(line: str) -> None:
            nonlocal lost
            text = f"{self.clock.now():.6f} {line}\n"
            if lost:
                text = f"({lost} lost)\n{text}"
            try:
                os.write(fd, text.encode())
                lost = 0
            except BlockingIOError:
                lost += 1
            except BrokenPipeError:
                pass  # nobody looks any more; the shim will restart us without

        return tell

    def choose_interrupts(self, function: PciFunction, most: int) -> tuple[InterruptKind, int]:
        """Choose the best kind the function offers, and at most `most` vectors of it.

        MSI-X, then MSI, then INTx, as Redox does.  `DeviceError` when it cannot interrupt at all.
        """
        offered = function.interrupts
        for kind in (InterruptKind.MSIX, InterruptKind.MSI, InterruptKind.INTX):
            count: int = getattr(offered, kind)
            if count:
                return kind, min(count, most)
        raise DeviceError(f"{function.address} offers no interrupt")

    def watch_interrupts(
        self,
        function: PciFunction,
        kind: InterruptKind,
        vectors: int,
        handler: Callable[[int], int],
    ) -> None:
        """Enable `vectors` interrupts of `kind` and call `handler(vector)` when one fires.

        It returns how much it found to do: `IntxLine` wants to know.
        """
        fds = function.enable_interrupts(kind, vectors)
        self.callback(function.disable_interrupts)
        line = function.config.read8(INTERRUPT_LINE)
        self.say({"interrupts": kind, "vectors": vectors, "line": line})  # for the scheme `irq`
        for vector, fd in enumerate(fds):
            on_event = partial(handler, vector)
            if kind is InterruptKind.INTX:
                held = IntxLine(on_event, function.unmask_intx, self.loop)
                self.loop.watch_signals(fd, held)
            else:
                self.loop.watch_signals(fd, on_event)
            self.callback(self.loop.unwatch, fd)

    def watch_removal(self, function: PciFunction, handler: Callable[[], None]) -> None:
        """Call `handler` once when the function leaves; the daemon goes on serving errors."""

        def on_gone() -> None:
            self.loop.unwatch(function.gone_fd)
            handler()
            function.leave()
            self.say({"gone": True})  # for `status`, and Linux is waiting for the shim as well

        self.loop.watch(function.gone_fd, on_gone)

    def keep_time(self, driver: Timed) -> None:
        """Call `driver.tick` whenever its `deadline` has come, also when that moves nearer."""
        timer = self.loop.at(driver.deadline, lambda: None)

        def tick() -> None:
            driver.tick(self.loop.now())
            rearm()

        def rearm() -> None:
            nonlocal timer
            timer.cancel()
            timer = self.loop.at(driver.deadline, tick)

        def look() -> None:
            if driver.deadline < timer.when:
                rearm()

        rearm()
        self.loop.at_round_end(look)

    def wait_for(self, start: Callable[[Callable[[], None]], None]) -> None:
        """Call `start` and run the loop until it calls back: for what must be done before serving.

        The drivers' own deadlines end a wait for a device; there is none here.
        """
        finished: list[bool] = []
        self.loop.soon(lambda: start(lambda: finished.append(True)))
        while not finished:
            self.loop.run_round()

    def serve(self, name: str, scheme: Scheme) -> None:
        """Serve `scheme` under `name`: first what a predecessor left, then new requests.

        At both doors: to Linux programs through FUSE, to libredox programs by rings.
        """
        entry = next(s for s in self._setup["schemes"] if s["name"] == name)
        scheme.name = name
        journal = Journal.open(self._fds[entry["journal_fd"]])
        journal.begin_life()
        meter = Meter(self._fds[entry["meter_fd"]])
        connection = Connection(
            self._fds[entry["connection_fd"]],
            journal,
            self.loop,
            scheme.replays,
            self._setup["crashed"],
            meter,
        )
        connection.on_end = self._on_end
        self._served += 1
        self.callback(connection.close)
        door = Door(connection, scheme, self.loop)
        door.copier = self._copier
        door.on_crowded = lambda: self.say({"crowded": name})
        door.start()
        ring = RingDoor(self._fds[entry["listener_fd"]], scheme, self.loop, meter)
        self.callback(ring.close)
        ring.start()

    def serve_network(self, scheme: Joinable) -> None:
        """Do what a network card's scheme needs beside `serve`, after it.

        A round ends with frames that the ring door has taken while it looked for more.  The shim
        hears of the card, and the TAPs that services have put into it are joined: those that a
        predecessor had at once.
        """

        def say(facts: dict[str, Any]) -> None:
            self.say({"adapter": scheme.name, "facts": facts})

        def join(said: Mapping[str, Any], fd: int) -> None:
            try:
                scheme.join(fd, said["by"], said["mac"])
            except Refused as refusal:
                os.close(fd)
                logging.getLogger(__name__).warning("%s joins nothing: %s", said["by"], refusal)

        def on_told(message: dict[str, Any], fds: list[int]) -> None:
            if message.get("join") == scheme.name and len(fds) == 1:
                join(message, fds[0])
            elif message.get("part") == scheme.name:
                scheme.part(message["by"])
            else:
                _ignore(message, fds)

        self.callback(scheme.close)
        self.loop.at_round_end(scheme.end_batch)
        for entry in self._setup.get("joins", ()):
            join(entry, self._fds[entry["fd"]])
        scheme.on_facts = say
        say(scheme.facts)
        self.on_told = on_told

    def ask(
        self, question: Mapping[str, Any], done: _Done = _ignore, fds: Sequence[int] = ()
    ) -> None:
        """Ask the shim something that the manifest's `asks` allows.

        `done` gets the answer, which may hold an `errno` (Redox's), and descriptors, its to close.
        """
        self._asked += 1
        self._asking[self._asked] = done
        self.say({**question, "id": self._asked}, fds)

    def follow(self, name: str, served: Callable[[], object]) -> None:
        """Have `served` called whenever the shim says that scheme `name` is served."""
        self._followers.setdefault(name, []).append(served)

    def unfollow(self, name: str, served: Callable[[], object]) -> None:
        """Call it no more."""
        self._followers[name].remove(served)

    def keep(self, name: str, fd: int) -> None:
        """Have the shim keep a descriptor for our successors, who find it in `kept`.

        There is no answer: clients have things kept and forgotten as often as they like, and what
        we have no time to read would be lost, with other messages between.  The shim's log says
        what it does not keep, which a crash would lose.
        """
        self.say({"keep": name}, [fd])

    def forget(self, name: str) -> None:
        """Have the shim close what it keeps by that name."""
        self.say({"forget": name})

    def run(self) -> None:
        """Lock the daemon in, say `ready`, and serve until the shim says `stop`."""
        self._lock_in()
        self.say({"ready": True})
        logging.getLogger(__name__).info(
            "serves %s%s", ", ".join(self.scheme_names), f", life {self.life}" * (self.life > 1)
        )
        self.loop.watch(self._control.fileno(), self._on_control)
        self.loop.run()

    def _lock_in(self) -> None:
        """Enter the null namespace: from here on there is only what is held.

        The daemon of the kernel's schemes does not: it is the microkernel's part.
        """
        said = self._setup["sandbox"]
        if said is None:
            if not self._setup["kernel"]:
                logging.getLogger(__name__).warning("is not confined: it has all rights of root")
            return
        enter(Policy.from_wire(said), self.readable)

    def _on_end(self) -> None:
        """Stop when the last scheme is unmounted: the others do not suffer from one that is."""
        self._served -= 1
        if not self._served:
            self.loop.stop()

    def say(self, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        """Tell the shim something; one that is gone needs to know no more."""
        with suppress(OSError):
            socket.send_fds(self._control, [json.dumps(message).encode()], fds)

    def _on_control(self) -> None:
        """Stop if the shim says so, or is gone."""
        said, fds, _, _ = socket.recv_fds(self._control, _MESSAGE_MAX, _FDS_MAX)
        message: dict[str, Any] = json.loads(said) if said else {"stop": True}
        if "stop" in message:
            self.loop.stop()
        elif "answer" in message:
            self._asking.pop(message["answer"], _ignore)(message, fds)
        else:
            for served in tuple(self._followers.get(message.get("with", ""), ())):
                served()
            self.on_told(message, fds)
