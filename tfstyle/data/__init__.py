"""Pictures to batches: collections, records, input pipeline."""
