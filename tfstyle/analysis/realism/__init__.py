"""How real generated pictures look, by pixels and by features."""
