"""Numbers and pictures about trained models."""
