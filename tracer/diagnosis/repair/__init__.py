"""A repair is found, proven and ranked: edits at every place that the offending dimension came
through, run on copies, and only what holds by its behaviour is offered."""
