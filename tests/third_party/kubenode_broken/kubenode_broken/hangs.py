"""A hook that waits for a cloud that never answers."""

import threading
from typing import Any

from kubenode.components import hookimpl


@hookimpl
def register_components() -> Any:
    """Wait for ever."""
    threading.Event().wait()
