#!/usr/bin/env python3
"""EC2's instance metadata service, version 2, as far as an agent asks it: token, identity document, instance tags.

Prints "listening on http://…" and serves until it is killed. Its facts are read anew for every request from the JSON
file given with --facts: {"identity": {…}, "tags": {…} or null}; "tags": null means that tags are not allowed.
"""

import argparse
import http.server
import json
import secrets
import urllib.parse

TOKENS = set()


class Handler(http.server.BaseHTTPRequestHandler):
    facts_file = None

    def log_message(self, *_):
        pass

    def answer(self, status, body=""):
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_PUT(self):
        if self.path != "/latest/api/token" or "X-aws-ec2-metadata-token-ttl-seconds" not in self.headers:
            return self.answer(400)
        token = secrets.token_urlsafe(32)
        TOKENS.add(token)
        return self.answer(200, token)

    def do_GET(self):
        if self.headers.get("X-aws-ec2-metadata-token") not in TOKENS:
            return self.answer(401)
        with open(self.facts_file, encoding="utf-8") as file:
            facts = json.load(file)
        path = urllib.parse.unquote(self.path)
        if path == "/latest/dynamic/instance-identity/document":
            return self.answer(200, json.dumps(facts["identity"], indent=2))
        tags = facts["tags"]
        prefix = "/latest/meta-data/tags/instance/"
        if tags is None or not path.startswith(prefix):
            return self.answer(404)
        key = path[len(prefix):]
        if not key:
            return self.answer(200, "\n".join(tags))
        return self.answer(200, tags[key]) if key in tags else self.answer(404)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--facts", required=True)
    Handler.facts_file = arguments.parse_args().facts
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
