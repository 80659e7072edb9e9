"""One load under Locust: its phases, its processes, its messages."""
