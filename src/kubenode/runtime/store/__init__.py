"""The Store contract and its two implementations: an API server in process, and the real one."""
