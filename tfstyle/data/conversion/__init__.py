"""Conversion that outlives interruptions, and on many machines."""
