"""`python -m redbear_host` is `redbear-host`."""

from __future__ import annotations

import sys

from redbear_host.cli import main

sys.exit(main())
