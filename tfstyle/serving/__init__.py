"""SavedModels with named signatures, and servers and clients for them."""
