"""Images of a table of URLs, into a folder."""
