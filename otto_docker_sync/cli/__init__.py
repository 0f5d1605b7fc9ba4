"""The command ``otto-docker``. It needs the extra ``cli``: ``pip install 'otto-docker-sync[cli]'``."""

from __future__ import annotations

import importlib.util
import sys

TIMED_OUT = 124
INTERRUPTED = 130
BROKEN_PIPE = 141
COULD_NOT_RUN = 255


def main() -> None:
    """Run the command line and exit with its status."""
    missing = [name for name in ("typer", "rich", "pydantic") if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"otto-docker: the command line needs {', '.join(missing)}: pip install 'otto-docker-sync[cli]'",
            file=sys.stderr,
        )
        sys.exit(COULD_NOT_RUN)
    from .app import run_app

    sys.exit(run_app())
