"""Prediction with a combined model: onnxruntime, numpy and Pillow, and never torch."""
