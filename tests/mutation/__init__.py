"""Mutants by rule: what the tests of the deciders would not notice if it were gone."""
