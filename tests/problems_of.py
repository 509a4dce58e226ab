"""How a refusal of the REST API looks."""

import httpx


def assert_problem(response: httpx.Response, status: int, words: str) -> dict:
    """That it is a problem document that says so; returns it."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), response.text
    problem = response.json()
    assert problem["status"] == status
    assert words in problem["detail"], problem
    assert problem["request_id"] == response.headers["x-request-id"]
    return problem
