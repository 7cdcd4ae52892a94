"""Those who are told of alerts, played by code that is not the collector's: a webhook that checks its signature, Slack's
incoming webhook and Web API, PagerDuty's Events API v2 and Amazon SNS, which refuse what their documentation forbids.

SNS' signatures are recomputed with botocore, AWS's own library.
"""

import hashlib
import hmac
import http.server
import json
import re
import threading
import time
import urllib.parse
import xml.sax.saxutils

import cloudwatch_endpoint

SLACK_TOKEN = "xoxb-test"
SLACK_CHANNEL = "C0TEST"
SLACK_CHANNEL_ID = "C0TESTID01"
ROUTING_KEY = "0123456789abcdef0123456789abcdef"
HMAC_KEY = b"shared secret"
TOPIC_ARN = "arn:aws:sns:eu-central-1:123456789012:ops"

# developer.pagerduty.com/docs/events-api-v2/trigger-events
PAGERDUTY_EVENT_BYTES = 512 * 1024
PAGERDUTY_EVENT_KEYS = {"routing_key", "event_action", "dedup_key", "payload", "images", "links", "client", "client_url"}
PAGERDUTY_PAYLOAD_KEYS = {"summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"}
# docs.slack.dev/reference/block-kit/blocks, /reference/methods/chat.postMessage
SLACK_BLOCKS = 50
SLACK_SECTION = 3000
SLACK_CONTEXT_ELEMENTS = 10
SLACK_HEADER = 150
SLACK_TEXT = 40_000  # beyond it a message is cut
SLACK_BLOCK_KEYS = {"section": {"text"}, "context": {"elements"}, "divider": set(), "header": {"text"}}
# docs.slack.dev/apis/web-api/rate-limits: a message a second in a channel, short bursts besides.
SLACK_BURST = 3
# docs.aws.amazon.com/sns/latest/api/API_Publish.html
SNS_SUBJECT = 100
SNS_MESSAGE_BYTES = 262_144


class Refused(Exception):
    pass


class Limited(Exception):
    """Too many: come again after so many seconds."""


def need(condition, why):
    if not condition:
        raise Refused(why)


def check_slack_text(text, most):
    need(isinstance(text, str) and 0 < len(text) <= most, "invalid_blocks")
    # Whatever is in angle brackets means something to Slack; of that only links to https are wanted.
    for marked in re.findall(r"<([^>]*)>?", text):
        need(re.fullmatch(r"https://[^|\s]+\|runbook", marked), f"marked up: {marked!r}")
    need(not re.search(r"&(?!amp;|lt;|gt;)", text), "a bare &")


def check_slack_block(block):
    kind = block["type"]
    need(kind in SLACK_BLOCK_KEYS and set(block) - {"type", "block_id"} == SLACK_BLOCK_KEYS[kind], "invalid_blocks")
    texts = block.get("elements", [block["text"]] if "text" in block else [])
    need(kind != "context" or 0 < len(texts) <= SLACK_CONTEXT_ELEMENTS, "invalid_blocks")
    for text in texts:
        need(set(text) <= {"type", "text", "emoji", "verbatim"}, "invalid_blocks")
        need(text["type"] == "plain_text" or (text["type"] == "mrkdwn" and kind != "header"), "invalid_blocks")
        check_slack_text(text["text"], SLACK_HEADER if kind == "header" else SLACK_SECTION)


def check_slack_message(body, keys):
    need(set(body) <= keys, f"invalid_arguments {set(body) - keys}")
    need(body.get("text"), "no_text")
    check_slack_text(body["text"], SLACK_TEXT)
    blocks = body.get("blocks", [])
    need(len(blocks) <= SLACK_BLOCKS, "invalid_blocks")
    for block in blocks:
        check_slack_block(block)


def check_text(holder, key, most, required=False):
    if key not in holder and not required:
        return
    need(isinstance(holder.get(key), str) and 0 < len(holder[key]) <= most, key)


def check_pagerduty(event):
    need(set(event) <= PAGERDUTY_EVENT_KEYS, f"unknown {set(event) - PAGERDUTY_EVENT_KEYS}")
    need(event.get("routing_key") == ROUTING_KEY, "invalid key")
    need(event.get("event_action") in ("trigger", "acknowledge", "resolve"), "event_action")
    # Without one a trigger is an incident of its own; the others mean nothing.
    check_text(event, "dedup_key", 255, required=True)
    if event["event_action"] != "trigger":
        return
    payload = event["payload"]
    need(set(payload) <= PAGERDUTY_PAYLOAD_KEYS, f"unknown {set(payload) - PAGERDUTY_PAYLOAD_KEYS}")
    check_text(payload, "summary", 1024, required=True)
    check_text(payload, "source", 255, required=True)
    need(payload["severity"] in ("critical", "error", "warning", "info"), "severity")
    for key in ("component", "group", "class"):
        check_text(payload, key, 255)
    need(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", payload["timestamp"]), "timestamp")
    need(isinstance(payload.get("custom_details", {}), dict), "custom_details")
    for link in event.get("links", []):
        need(link["href"].startswith("https://"), "links")


def check_sns(fields):
    need(fields.get("Action") == "Publish" and fields.get("Version") == "2010-03-31", "InvalidAction")
    need(set(fields) <= {"Action", "Version", "TopicArn", "Subject", "Message", "MessageGroupId",
                         "MessageDeduplicationId"}, "InvalidParameter")
    need(fields.get("TopicArn") == TOPIC_ARN, "NotFound")
    subject = fields.get("Subject", "-")
    need(0 < len(subject) <= SNS_SUBJECT and all(" " <= c <= "~" for c in subject) and subject[0] != " ",
         "InvalidParameter: Subject")
    need(0 < len(fields["Message"].encode()) <= SNS_MESSAGE_BYTES, "InvalidParameter: Message")


class Receivers:
    """`received`: (path, body) of what was taken. `answers`: status codes to give first, by path. `problems`: what was
    refused as forbidden. `limited`: how often somebody was told to slow down."""

    def __init__(self, environment=None):
        """`environment`: the AWS keys that SNS knows."""
        self.received, self.answers, self.problems = [], {}, []
        self.limited = 0
        self.hold = threading.Event()  # while set, takes what comes and never answers
        self.incidents = {}  # PagerDuty's: by dedup_key, triggered, acknowledged or resolved
        self.posted = {}  # Slack's messages: by ts, the text as it stands
        self.rate_limited = False  # Slack's limits hold
        self._posts = {}
        self._lock = threading.Lock()
        self._signatures = cloudwatch_endpoint.Signatures(environment, "eu-central-1", "sns") if environment else None
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
            with self._lock:
                answer, body = self.check(request, raw)
                self.received.append((request.path, body))
        except Limited as seconds:
            self.limited += 1
            return self.reply(request, 429, {"ok": False, "error": "ratelimited"}, [("Retry-After", str(seconds))])
        except (Refused, KeyError, TypeError, ValueError, cloudwatch_endpoint.Refused) as why:
            self.problems.append(f"{request.path}: {why!r}")
            return self.refuse(request, str(why))
        if self.hold.is_set():
            time.sleep(30)
        return self.reply(request, 202 if request.path == "/pagerduty" else 200, answer)

    def refuse(self, request, why):
        if request.path.startswith("/slack/"):
            return self.reply(request, 200, {"ok": False, "error": why})
        if request.path == "/pagerduty":
            return self.reply(request, 400, {"status": "invalid event", "message": "Event object is invalid",
                                             "errors": [why]})
        if request.path == "/sns":
            return self.reply(request, 400, "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidParameter</Code>"
                              f"<Message>{xml.sax.saxutils.escape(why)}</Message></Error></ErrorResponse>")
        return self.reply(request, 400, why)

    def check(self, request, raw):
        """(the answer, what was received)"""
        if request.path == "/sns":
            return self.check_sns_request(request, raw)
        body = json.loads(raw.decode("utf-8"))
        need(request.headers["Content-Type"].startswith("application/json"), "content type")
        if request.path.startswith("/hook"):
            return self.check_hook(request, raw, body), body
        if request.path == "/pagerduty":
            need(len(raw) <= PAGERDUTY_EVENT_BYTES, "too large")
            check_pagerduty(body)
            self.incidents[body["dedup_key"]] = {"trigger": "triggered", "acknowledge": "acknowledged",
                                                 "resolve": "resolved"}[body["event_action"]]
            return {"status": "success", "message": "Event processed", "dedup_key": body["dedup_key"]}, body
        if request.path == "/slack-webhook":
            check_slack_message(body, {"text", "blocks"})
            self.pace(request.path)
            return "ok", body
        return self.check_slack_call(request, body), body

    def check_hook(self, request, raw, body):
        parts = dict(part.split("=") for part in request.headers["X-Ridgeline-Signature"].split(","))
        expected = hmac.new(HMAC_KEY, parts["t"].encode() + b"." + raw, hashlib.sha256).hexdigest()
        need(hmac.compare_digest(parts["v1"], expected), "signature")
        need(abs(time.time() - int(parts["t"])) < 60, "signed at another time")
        need(request.headers["Idempotency-Key"] == body["key"], "key")
        return {}

    def check_slack_call(self, request, body):
        need(request.headers["Authorization"] == f"Bearer {SLACK_TOKEN}", "invalid_auth")
        if request.path == "/slack/chat.postMessage":
            need(body.get("channel") in (SLACK_CHANNEL, SLACK_CHANNEL_ID), "channel_not_found")
            check_slack_message(body, {"channel", "text", "blocks", "unfurl_links", "thread_ts", "reply_broadcast"})
            need("thread_ts" not in body or body["thread_ts"] in self.posted, "thread_not_found")
            self.pace(SLACK_CHANNEL_ID)
            ts = f"{1_700_000_000 + len(self.posted)}.000100"
            self.posted[ts] = body["text"]
            return {"ok": True, "channel": SLACK_CHANNEL_ID, "ts": ts, "message": {"text": body["text"]}}
        need(request.path == "/slack/chat.update", "unknown_method")
        # Of a message's place only the channel's id is good, not its name.
        need(body.get("channel") == SLACK_CHANNEL_ID, "channel_not_found")
        check_slack_message(body, {"channel", "text", "blocks", "ts"})
        need(body["ts"] in self.posted, "message_not_found")
        self.posted[body["ts"]] = body["text"]
        return {"ok": True, "channel": SLACK_CHANNEL_ID, "ts": body["ts"], "text": body["text"]}

    def pace(self, channel):
        """A token bucket of a message a second."""
        now = time.monotonic()
        tokens, at = self._posts.get(channel, (SLACK_BURST, now))
        tokens = min(SLACK_BURST, tokens + now - at)
        self._posts[channel] = (tokens, now)
        if not self.rate_limited:
            return
        if tokens < 1:
            raise Limited(1)
        self._posts[channel] = (tokens - 1, now)

    def check_sns_request(self, request, raw):
        need(request.headers["Content-Type"] == "application/x-www-form-urlencoded; charset=utf-8", "content type")
        self._signatures.check("POST", request.path, request.headers, raw, time.time())
        pairs = urllib.parse.parse_qsl(raw.decode("ascii"), keep_blank_values=True, strict_parsing=True,
                                       errors="strict")
        fields = dict(pairs)
        need(len(fields) == len(pairs), "a parameter twice")
        check_sns(fields)
        return ("<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>"
                f"{len(self.received):032x}</MessageId></PublishResult></PublishResponse>"), fields

    def reply(self, request, status, answer, headers=()):
        content = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
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
