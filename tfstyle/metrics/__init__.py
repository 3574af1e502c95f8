"""Measures of codes and pictures as plain NumPy functions."""
