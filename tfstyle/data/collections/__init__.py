"""Folders of artworks: what is a work, by whom, and in which split."""
