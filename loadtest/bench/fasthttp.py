"""Locust as it comes, for comparison: locust -f loadtest/bench/fasthttp.py."""

from locust import FastHttpUser, task


class FastHello(FastHttpUser):
    """GET / on a connection that is kept: at its fastest, which looks at the status alone."""

    @task
    def hello(self) -> None:
        """Ask, as soon as the last reply has come."""
        self.client.get("/")
