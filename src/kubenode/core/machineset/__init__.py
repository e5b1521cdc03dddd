"""A set of machines: how many, spread how, and whom to delete."""
