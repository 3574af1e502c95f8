"""Lists of works: manifests, metadata of posts, detected faces."""
