"""Several heads as one model: coupling, one ONNX file, prediction."""
