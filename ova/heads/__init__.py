"""One head: recipe, backbone, training, scores, calibration."""
