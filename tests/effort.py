"""How much is tried: `make test` draws some examples, `make test-deep` many times as many."""

from __future__ import annotations

import os

# tests/tracer/ops says how many calls it compared with torch: with 22 times as many a million.
TIMES = int(os.environ.get("SHAPEWALK_TIMES", "1"))
