"""Several heads as one model: training, the rule between them, one ONNX file, prediction."""
