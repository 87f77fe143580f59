"""The only part that runs torch: a run of a module, recorded."""

import torch

OLDEST = "2.6"
"""The first torch that has all that is used; pyproject.toml says the same to pip."""

if torch.__version__ < OLDEST:
    raise ImportError(
        f"Shapewalk needs torch {OLDEST} or newer, and {torch.__version__} is installed "
        "here: pip install --upgrade torch."
    )
