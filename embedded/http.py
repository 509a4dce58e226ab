"""The few HTTP calls that the servers' readiness and Airflow's REST API need."""

import requests

LIMIT = 10.0  # seconds for one answer; a busy Airflow has taken 5


def status(url: str, *, login: tuple[str, str] | None = None) -> int | str:
    """The status code of a GET; a short reason when there is no answer."""
    try:
        return requests.get(url, auth=login, timeout=LIMIT, allow_redirects=False).status_code
    except requests.ConnectionError:
        return "no connection"
    except requests.Timeout:
        return f"no answer in {LIMIT:.0f} s"


def text(url: str) -> str:
    """The body of a GET, whatever its status; a short reason when there is no answer."""
    try:
        return requests.get(url, timeout=LIMIT, allow_redirects=False).text[:500]
    except requests.RequestException as error:
        return f"nothing ({type(error).__name__})"
