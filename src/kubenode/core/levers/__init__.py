"""By how little the world would have to differ for a limit not to bind: one module for each kind of snapshot."""
