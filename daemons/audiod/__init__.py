"""audiod: sound of many programs, mixed for one card; the schemes `audio` and `audio.ctl`."""

from __future__ import annotations

import os

# The library that numpy multiplies matrices by starts a thread per processor when it is imported,
# and a daemon is locked in thread by thread.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
