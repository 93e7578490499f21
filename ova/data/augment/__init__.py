"""Augmentation as batched tensor work, a pure function of (seed, image, epoch)."""
