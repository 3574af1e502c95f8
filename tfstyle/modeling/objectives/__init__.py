"""Equations 1 to 9, their random draws, and measurements of trained networks."""
