"""Measurements of trained networks, as typed results."""
