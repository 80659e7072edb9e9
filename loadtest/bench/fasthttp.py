"""Locust's own HTTP user, for comparison: locust -f loadtest/bench/fasthttp.py."""

from locust import FastHttpUser, task


class FastHello(FastHttpUser):
    """GET / on a kept connection, at its fastest: it checks the status alone."""

    @task
    def hello(self) -> None:
        """Send a request as soon as the last reply has come."""
        self.client.get("/")
