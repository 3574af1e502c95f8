"""Results and pictures as sections of the report."""
