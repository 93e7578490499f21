"""From trained heads to one ONNX file that is refused if it differs from them."""
