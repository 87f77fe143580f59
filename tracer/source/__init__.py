"""Source as it is written: parsed texts, places, notes, edits, and which call built which layer."""
