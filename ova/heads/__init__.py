"""One head: recipe, network, training, scores, calibration."""
