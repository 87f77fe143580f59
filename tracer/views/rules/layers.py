"""Rules for layers: convolution, pooling, resizing, tables, recurrence, attention."""

from __future__ import annotations

# --- modules -------------------------------------------------------------------------------------

MODULES: dict[str, str] = {}
# A module prints its positional settings in another order than its function takes them.
MODULE_SIGNATURES: dict[str, tuple[str, ...]] = {}
