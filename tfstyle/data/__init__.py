"""Pictures to batches: records, color, input pipeline."""
