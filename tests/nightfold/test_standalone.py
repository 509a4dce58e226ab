"""What the master of a standalone cluster answers while it starts. The real one: tests/embedded/test_embedded_spark_cluster.py."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from nightfold import standalone

import pytest


class FirstPage(BaseHTTPRequestHandler):
    """Spark attaches its pages one by one: for a moment the first one answers for `/json/` too."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<!DOCTYPE html><html></html>")

    def log_message(self, *_: object) -> None:
        pass


def test_a_master_that_is_still_starting_does_not_answer_yet():
    with HTTPServer(("127.0.0.1", 0), FirstPage) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(OSError, match=r"/json/ answered .* still starting"):
            standalone.workers(f"http://127.0.0.1:{server.server_port}", "marker")
        thread.join()
