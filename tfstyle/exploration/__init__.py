"""A trained run, used."""
