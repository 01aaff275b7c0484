"""One driver daemon on a machine of the test's own making, under a supervisor in a thread."""

from __future__ import annotations

import threading
import time

from kernel_shim.answers import Answers
from kernel_shim.rundir import RunDir
from kernel_shim.service import Service
from kernel_shim.supervisor import Supervisor


class Hosted:
    """The daemon `name` on the first function of `machine`, serving `scheme`."""

    def __init__(self, folder, machine, name, scheme, options):
        self.machine = machine
        self.mount, self.run_dir = folder / "scheme", folder / "run"
        self.log = self.run_dir / "log" / f"{name}.log"
        self.supervisor = Supervisor(RunDir(self.run_dir), self.mount)
        self.supervisor.open()
        Answers(self.supervisor)
        function = machine.functions[0]
        self.supervisor.hold(function.address).keep(function)
        (self.running,) = self.supervisor.start(
            Service(
                name=name,
                module=f"daemons.{name}",
                schemes=(scheme,),
                device=function,
                options=options,
            )
        )
        self._stop = False
        self._thread = threading.Thread(target=self._supervise)
        self._thread.start()

    def _supervise(self):
        loop = self.supervisor.loop
        while not self._stop:
            timer = loop.at(loop.now() + 0.05, lambda: None)
            loop.run_round()
            timer.cancel()

    def close(self):
        self._stop = True
        self._thread.join(20)
        self.supervisor.close()

    def said(self, words, within=20.0):
        """Wait until it has written `words` into its log."""
        deadline = time.monotonic() + within
        while words not in self.log.read_text():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)
