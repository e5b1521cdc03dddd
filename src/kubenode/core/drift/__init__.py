"""When drift of many machines at once is held, and whose repair that holds."""
