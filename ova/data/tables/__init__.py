"""Delimited text of any size as columns of text, checked while it is read."""
