"""From which logit on a head says yes."""
