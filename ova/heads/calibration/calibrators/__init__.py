"""What turns a head's logit into a probability."""
