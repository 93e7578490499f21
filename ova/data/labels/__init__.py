"""From any form of labels to one label table."""
