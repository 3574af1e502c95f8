"""Trained networks measured."""
