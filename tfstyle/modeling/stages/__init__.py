"""The training stages."""
