"""libiscsi's conformance tests through tgtd, with a disk's file as its store.

What they find of SCSI is tgtd's; what the file does to them is ours.  `iscsi_expected.txt` says of
each test whether it passes, is skipped (tgtd has no such command) or fails, with our file and with
a plain one alike: tgtd 1.0.85, libiscsi 1.19.  WriteSame10 and 16 are left out, as tgtd does them
block by block, which takes a minute (run by hand they end as on a plain file); and Reserve6 and
iSCSIcmdsn, which wait for timers.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from up_rig import Up

pytestmark = [
    pytest.mark.timeout(200),
    pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces: not root"),
]

HERE = Path(__file__).parent
EXPECTED = dict(
    line.split()
    for line in (HERE / "iscsi_expected.txt").read_text().splitlines()
    if line[0] != "#"
)
SUITES = sorted({name.split(".")[0] for name in EXPECTED})


def conform(path):
    """Run the suites on a file; return each test's end."""
    argv = ["unshare", "-n", "-m", "-p", "-f", "--kill-child", "--mount-proc"]
    argv += ["sh", HERE / "iscsi_rig.sh", path, *SUITES]
    done = subprocess.run(
        [*map(str, argv)], capture_output=True, timeout=150, check=False, stdin=subprocess.DEVNULL
    )
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said + done.stderr.decode()
    found, suite = {}, ""
    for part in re.split(r"^(?=Suite: |  Test: )", said, flags=re.MULTILINE):
        if part.startswith("Suite: "):
            suite = part.split()[1]
        elif part.startswith("  Test: "):
            ended = re.findall(r"(passed|FAILED)$", part, re.MULTILINE)
            skipped = ended[0] == "passed" and "[SKIPPED]" in part
            name = f"{suite}.{part.split()[1]}"
            found[name] = "skip" if skipped else {"passed": "pass", "FAILED": "fail"}[ended[0]]
    return found


def test_a_target_on_a_disks_file_is_as_good_as_on_a_plain_file(tmp_path):
    image = tmp_path / "disk"
    image.write_bytes(bytes(8 << 20))
    with Up(tmp_path, "--lab", f"nvme:file={image},serial=RBTGT") as up:
        found = conform(up.disk / "1")
    expected = EXPECTED
    if found.keys() != EXPECTED.keys():  # another libiscsi, with other tests
        plain = tmp_path / "plain"
        plain.write_bytes(bytes(8 << 20))
        expected = conform(plain)
    assert found == expected
    assert sum(end == "pass" for end in found.values()) > 100
