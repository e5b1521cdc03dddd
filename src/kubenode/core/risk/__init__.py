"""Permits: who may disrupt which machine now, and what forbids the others."""
