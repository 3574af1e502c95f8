"""Equations 1 to 9 and what they draw at random."""
