"""What a request says, or why it is refused."""


class Refused(Exception):
    """A request that gets an error for an answer, and its connection closed.

    Attributes:
        status: The status code of the answer.
        detail: One fixed sentence for its body; never a byte of the request.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail


def malformed() -> Refused:
    """Return the refusal of whatever breaks the grammar: one sentence, wherever it is noticed."""
    return Refused(400, "malformed request")


class Request:
    """A request as the application sees it; ``content`` is filled in when the body is whole."""

    http_1_0 = False
    keep_alive = True
    content_length = 0
    chunked = False
    expectation = b""
    content = b""

    def __init__(self, method: bytes, path: bytes, query: bytes) -> None:
        self.method = method
        self.path = path
        self.query = query
