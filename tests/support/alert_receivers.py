"""Those who are told of alerts, played by code that is not the collector's: a webhook that checks its signature, Slack's Web
API and PagerDuty's Events API v2, which refuse what their documentation forbids."""

import hashlib
import hmac
import http.server
import json
import threading
import time

SLACK_TOKEN = "xoxb-test"
SLACK_CHANNEL = "C0TEST"
ROUTING_KEY = "0123456789abcdef0123456789abcdef"
HMAC_KEY = b"shared secret"

# developer.pagerduty.com/docs/events-api-v2/trigger-events, docs.slack.dev/reference/block-kit/blocks
PAGERDUTY_EVENT_BYTES = 512 * 1024
SLACK_BLOCKS = 50
SLACK_SECTION = 3000


class Refused(Exception):
    pass


def need(condition, why):
    if not condition:
        raise Refused(why)


def check_slack(body, update):
    need(isinstance(body.get("channel"), str) and body["channel"], "channel_not_found")
    allowed = {"channel", "text", "blocks", "unfurl_links", "thread_ts", "reply_broadcast"} if not update else {
        "channel", "text", "blocks", "ts"}
    need(set(body) <= allowed, f"invalid_arguments {set(body) - allowed}")
    need(body.get("text"), "no_text")
    blocks = body.get("blocks", [])
    need(len(blocks) <= SLACK_BLOCKS, "invalid_blocks")
    for block in blocks:
        need(block["type"] in ("section", "context", "divider", "header"), "invalid_blocks")
        texts = block.get("elements", [block.get("text")])
        for text in texts:
            need(text["type"] in ("mrkdwn", "plain_text") and 0 < len(text["text"]) <= SLACK_SECTION, "invalid_blocks")
            need("<!" not in text["text"] and "<@" not in text["text"], "a mention got through")


def check_pagerduty(event):
    need(event.get("routing_key") == ROUTING_KEY, "invalid key")
    need(event.get("event_action") in ("trigger", "acknowledge", "resolve"), "event_action")
    need(0 < len(event.get("dedup_key", "")) <= 255, "dedup_key")
    if event["event_action"] != "trigger":
        return
    payload = event["payload"]
    need(0 < len(payload["summary"]) <= 1024, "summary")
    need(payload["source"], "source")
    need(payload["severity"] in ("critical", "error", "warning", "info"), "severity")


class Receivers:
    """`received`: (path, body) of what was taken. `answers`: status codes to give first, by path."""

    def __init__(self):
        self.received, self.answers, self.problems = [], {}, []
        self.hold = threading.Event()  # while set, takes what comes and never answers
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.take(self, body)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def take(self, request, raw):
        waiting = self.answers.get(request.path)
        if waiting:
            status, headers = waiting.pop(0)
            return self.reply(request, status, {}, headers)
        try:
            answer = self.check(request, raw)
        except (Refused, KeyError, ValueError) as why:
            self.problems.append(f"{request.path}: {why!r}")
            return self.reply(request, 200 if "slack" in request.path else 400, {"ok": False, "error": str(why)})
        self.received.append((request.path, json.loads(raw)))
        if self.hold.is_set():
            time.sleep(30)
        return self.reply(request, 202 if request.path == "/pagerduty" else 200, answer)

    def check(self, request, raw):
        body = json.loads(raw)
        need(request.headers["Content-Type"].startswith("application/json"), "content type")
        if request.path == "/hook":
            parts = dict(part.split("=") for part in request.headers["X-Ridgeline-Signature"].split(","))
            expected = hmac.new(HMAC_KEY, parts["t"].encode() + b"." + raw, hashlib.sha256).hexdigest()
            need(hmac.compare_digest(parts["v1"], expected), "signature")
            need(abs(time.time() - int(parts["t"])) < 60, "signed at another time")
            need(request.headers["Idempotency-Key"] == body["key"], "key")
            return {}
        if request.path == "/pagerduty":
            need(len(raw) <= PAGERDUTY_EVENT_BYTES, "too large")
            check_pagerduty(body)
            return {"status": "success", "dedup_key": body["dedup_key"]}
        need(request.headers["Authorization"] == f"Bearer {SLACK_TOKEN}", "invalid_auth")
        if request.path == "/slack/chat.postMessage":
            check_slack(body, update=False)
            return {"ok": True, "channel": SLACK_CHANNEL, "ts": f"{len(self.received)}.000100"}
        if request.path == "/slack/chat.update":
            check_slack(body, update=True)
            posted = [f"{i}.000100" for i, (path, _) in enumerate(self.received) if path.endswith("postMessage")]
            need(body["ts"] in posted, "message_not_found")
            return {"ok": True, "channel": SLACK_CHANNEL, "ts": body["ts"]}
        raise Refused("no such path")

    def reply(self, request, status, answer, headers=()):
        content = json.dumps(answer).encode()
        request.send_response(status)
        for name, value in headers:
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        try:
            request.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            pass  # who asked is gone, as some tests want it

    def bodies(self, path):
        return [body for taken, body in self.received if taken == path]
