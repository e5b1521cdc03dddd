"""Logs of long-running commands: one line an event, key=value, on stderr. Never the root logger."""

import logging
import sys


def to_stderr(*, verbose: bool) -> None:
    """Send what kubenode logs to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logging.Formatter("time=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s")
    )
    logger = logging.getLogger("kubenode")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
