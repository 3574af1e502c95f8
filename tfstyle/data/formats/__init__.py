"""Readers for what Pillow does not read, or not rightly, in single file formats.

They return Pillow's pictures, and open nothing else. Nothing here imports TensorFlow.
"""
