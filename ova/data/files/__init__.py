"""Where the bytes of images come from: a folder or a zip archive."""
