"""`redbear-host up`, with every daemon probed: arguments as `redbear-host` takes them.

The policies are those of the daemons' own manifests and lists: only what `python -I -m` runs is
another module.
"""

from __future__ import annotations

import sys

from redbear_host.cli import main
from redbear_host.manifest import Manifest

if __name__ == "__main__":
    Manifest.module = property(lambda self: "tests.lab.probed")
    sys.exit(main(sys.argv[1:]))
