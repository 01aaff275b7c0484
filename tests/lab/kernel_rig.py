"""Some of the kernel's schemes, mounted and served as under `up`, without anything else."""

from __future__ import annotations

import subprocess

from kernel_shim.answers import Answers
from kernel_shim.rundir import RunDir
from kernel_shim.schemes.table import TABLE
from kernel_shim.service import Service
from kernel_shim.supervisor import Supervisor


class KernelRig:
    """`with KernelRig(tmp_path, "time", "pipe") as rig`; `rig.mount` is the folder."""

    def __init__(self, folder, *names, console=""):
        self.mount = folder / "scheme"
        self.supervisor = Supervisor(RunDir(folder / "run"), self.mount)
        self.log = folder / "run/log/kernel.log"
        Answers(self.supervisor)
        entries = [entry for entry in TABLE if entry.name in names]
        assert len(entries) == len(names), "there is no such scheme"
        self.service = Service(
            name="kernel",
            module="kernel_shim.schemes",
            schemes=tuple(entry.name for entry in entries),
            file_roots=tuple(entry.name for entry in entries if entry.is_file),
            facts={
                "run_dir": str(folder / "run"),
                "mount": str(self.mount),
                "console": str(console),
            },
            is_kernel=True,
        )

    def __enter__(self):
        try:
            self.supervisor.open()
            (self.running,) = self.supervisor.start(self.service)
        except BaseException:
            self.supervisor.close()
            raise
        return self

    def __exit__(self, *_):
        self.supervisor.close()

    def cpu_s(self):
        """Processor time the kernel daemon has used."""
        with open(f"/proc/{self.running.pid}/stat") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def shell(self, script, timeout=20, **more):
        """Run bash in the mount folder; return what it printed."""
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.mount,
            capture_output=True,
            timeout=timeout,
            check=False,
            **more,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout
