"""Layers, networks, objectives and the four training stages."""
