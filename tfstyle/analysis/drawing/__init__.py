"""Sheets, graphs, maps, animations and pages drawn from arrays."""
