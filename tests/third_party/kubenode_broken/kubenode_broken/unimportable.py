"""A module that needs what is not installed."""

import kubenode_no_such_sdk  # type: ignore[import-not-found]  # noqa: F401
