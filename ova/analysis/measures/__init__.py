"""Every figure of the evidence, each in the module that computes it; `values` holds what they return."""
