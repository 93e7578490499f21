"""Training, validation and test, without parting what belongs together."""
