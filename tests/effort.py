"""How much is tried: `make test` draws some examples, `make test-deep` many times as many."""

from __future__ import annotations

import os

TIMES = int(os.environ.get("SHAPEWALK_TIMES", "1"))
