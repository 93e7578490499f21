"""From the bytes of an image to pixels, each image once."""
