"""Arrays drawn as pictures and pages."""
