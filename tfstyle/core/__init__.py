"""Shared by all rooms: command-line frame, files, progress bars, configuration."""
