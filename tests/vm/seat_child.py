"""A shim with inputd and Orbital alone, as `up --kms … --input all` starts them.

`seat_child.py FOLDER CARD…`
"""

from __future__ import annotations

import sys
from pathlib import Path

from kernel_shim.answers import Answers
from kernel_shim.rundir import RunDir
from kernel_shim.service import Service
from kernel_shim.supervisor import Supervisor
from redbear_host.manifest import installed, named


def service(name, **options):
    manifest = named(name, installed())
    defaults = {key: option.default for key, option in manifest.options.items()}
    return Service(
        name=name,
        module=manifest.module,
        schemes=manifest.scheme_names(None),
        file_roots=manifest.file_roots,
        asks=frozenset(manifest.asks),
        with_=manifest.with_,
        calls=manifest.calls,
        keep_most=manifest.keep_most,
        policy=manifest.policy(defaults),
        options=defaults | options,
    )


def main():
    folder, *cards = sys.argv[1:]
    supervisor = Supervisor(RunDir(Path(folder, "run")), Path(folder, "scheme"))
    Answers(supervisor)
    try:
        supervisor.open()
        supervisor.start(service("inputd", devices="all"))
        supervisor.start(service("orbital", cards=" ".join(cards)))
        print("ready", flush=True)
        supervisor.run()
    finally:
        supervisor.close()


if __name__ == "__main__":
    main()
