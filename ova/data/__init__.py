"""From labels and images to batches: everything before a head."""
