"""Use of a trained run: encode, search, enroll, transfer, generate."""
