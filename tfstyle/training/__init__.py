"""Training a stage."""
