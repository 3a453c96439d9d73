"""A web server that runs a command for each request and answers with what it prints, as OpenMetrics.

exporter.py PORT COMMAND...
"""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802 (http.server's name)
        text = subprocess.run(sys.argv[2:], stdout=subprocess.PIPE).stdout
        self.send_response(200)
        self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
        self.end_headers()
        self.wfile.write(text)


HTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
