"""The run folder and what is loaded from it."""
