"""What a frozen trunk makes of images, computed once and shared by all heads, folds and later runs."""
