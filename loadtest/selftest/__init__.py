"""The meter proves itself: against a server whose every fault and delay is known."""
