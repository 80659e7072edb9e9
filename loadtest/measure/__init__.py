"""From raw observations to numbers and verdicts."""
