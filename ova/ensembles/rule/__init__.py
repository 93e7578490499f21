"""From the logits of heads to decisions and one class."""
