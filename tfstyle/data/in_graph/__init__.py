"""Checks of picture files inside exported models, before TensorFlow decodes them."""
