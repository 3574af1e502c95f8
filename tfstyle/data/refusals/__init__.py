"""Artists who asked to be left out: lists of their names, and whom they mean."""
