"""What is counted, where it is kept, and how /metrics tells it."""
