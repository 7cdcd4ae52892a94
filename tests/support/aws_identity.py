#!/usr/bin/python3
"""Where a process gets AWS credentials, on loopback: EC2's instance metadata (version 2), a container's endpoint, and STS.

Signatures are recomputed with botocore, AWS's own library, and every STS request is held against AWS's published service model
by botocore's own validator. It knows the key in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and those it has handed out
itself: each answer has new ones, with a session token that must come with them. Every request is a line of JSON in --record.

    /latest/…      instance metadata: token, region, the role "instance-role"
    /container     a container's keys, for who shows the content of --container-token
    /              STS: AssumeRole, AssumeRoleWithWebIdentity (unsigned, with the content of --web-token), GetCallerIdentity

Prints "listening on http://127.0.0.1:PORT" (or https) first, ends on SIGTERM.
"""

import argparse
import datetime
import email.utils
import http.server
import json
import os
import pathlib
import re
import secrets
import signal
import ssl
import threading
import urllib.parse
from xml.sax.saxutils import escape

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.loaders
import botocore.model
import botocore.validate

ACCOUNT = "123456789012"
REGION = "eu-central-1"
WINDOW_SECONDS = 300
MODEL = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("sts", "service-2"))
FORM = "application/x-www-form-urlencoded; charset=utf-8"


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def utc_now():
    return datetime.datetime.now(datetime.timezone.utc)


class Keys:
    """What is valid: key id -> (secret, session token, the caller's ARN)."""

    def __init__(self):
        self.known = {os.environ["AWS_ACCESS_KEY_ID"]: (os.environ["AWS_SECRET_ACCESS_KEY"], None,
                                                        f"arn:aws:iam::{ACCOUNT}:user/tester")}

    def issue(self, arn, seconds):
        key = "ASIA" + secrets.token_hex(8).upper()
        secret, token = secrets.token_urlsafe(30), secrets.token_urlsafe(200) + "+/=="
        self.known[key] = (secret, token, arn)
        return key, secret, token, (utc_now() + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def caller(self, method, path, headers, body):
        """The ARN of who signed the request."""
        match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/ ]+)/(\d{8})/([a-z0-9-]+)/sts/aws4_request, "
                             r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})", headers.get("Authorization", ""))
        if not match:
            raise Refused(400, "IncompleteSignature", "Authorization header is missing or has a wrong form")
        key, date, region, signed, signature = match.groups()
        if key not in self.known:
            raise Refused(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
        secret, token, arn = self.known[key]
        if headers.get("X-Amz-Security-Token") != token:
            raise Refused(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
        timestamp = headers.get("X-Amz-Date", "")
        if region != REGION or timestamp[:8] != date:
            raise Refused(403, "SignatureDoesNotMatch", f"Credential should be scoped to {REGION}")
        signed_at = datetime.datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        if abs((utc_now() - signed_at).total_seconds()) > WINDOW_SECONDS:
            raise Refused(403, "SignatureDoesNotMatch", "Signature expired")
        request = botocore.awsrequest.AWSRequest(method=method, url=f"http://{headers['Host']}{path}", data=body)
        for name in signed.split(";"):
            for value in headers.get_all(name) or []:
                request.headers.add_header(name, value)
        request.context["timestamp"] = timestamp
        signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(secret and key, secret, token), "sts", region)
        if signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request) != signature:
            raise Refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match")
        return arn


def parameters_of(body):
    """The action and its input, of the types that the model gives its members."""
    fields = dict(urllib.parse.parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True))
    action, version = fields.pop("Action", ""), fields.pop("Version", "")
    if version != MODEL.api_version or action not in MODEL.operation_names:
        raise Refused(400, "InvalidAction", f"no action {action} in version {version}")
    shape = MODEL.operation_model(action).input_shape
    if unknown := set(fields) - set(shape.members):
        raise Refused(400, "ValidationError", f"members {sorted(unknown)} are not {action}'s")
    values = {k: int(v) if shape.members[k].type_name == "integer" else v for k, v in fields.items()}
    if problems := botocore.validate.ParamValidator().validate(values, shape).generate_report():
        raise Refused(400, "ValidationError", problems)
    for name, value in values.items():
        pattern = shape.members[name].metadata.get("pattern")
        if pattern and not re.fullmatch(pattern, value):
            raise Refused(400, "ValidationError", f"{name} does not satisfy {pattern}")
    return action, values


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, arguments):
        super().__init__(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        if arguments.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(arguments.certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self.scheme = "https"
        self.arguments = arguments
        self.keys = Keys()
        self.metadata_tokens = set()
        self.lock = threading.Lock()

    def handle_error(self, request, client_address):
        pass  # a client that does not trust the certificate is no news


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_PUT(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.arguments.metadata_after and not pathlib.Path(self.server.arguments.metadata_after).exists():
            return self.answer(503)
        if self.path != "/latest/api/token" or self.headers.get("X-aws-ec2-metadata-token-ttl-seconds") != "21600":
            return self.answer(400)
        token = secrets.token_urlsafe(32)
        self.server.metadata_tokens.add(token)
        return self.answer(200, token)

    def do_GET(self):
        if self.path == "/container":
            wanted = pathlib.Path(self.server.arguments.container_token).read_text(encoding="ascii").strip()
            if self.headers.get("Authorization") != wanted:
                return self.answer(403)
            return self.answer(200, self.document("container-role", 3600))
        if self.headers.get("X-aws-ec2-metadata-token") not in self.server.metadata_tokens:
            return self.answer(401)
        roles = "/latest/meta-data/iam/security-credentials/"
        answers = {"/latest/meta-data/placement/region": lambda: REGION, roles: lambda: "instance-role",
                   roles + "instance-role": lambda: self.document("instance-role", 21600, Code="Success")}
        return self.answer(200, answers[self.path]()) if self.path in answers else self.answer(404)

    def document(self, role, seconds, **more):
        key, secret, token, until = self.server.keys.issue(f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/i-1", seconds)
        return json.dumps({**more, "AccessKeyId": key, "SecretAccessKey": secret, "Token": token, "Expiration": until})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            with self.server.lock:
                self.answer(200, self.sts(body), "text/xml")
        except (ValueError, UnicodeDecodeError) as error:
            self.refuse(Refused(400, "ValidationError", repr(error)))
        except Refused as refused:
            self.refuse(refused)

    def sts(self, body):
        if self.path != "/" or self.headers.get("Content-Type") != FORM:
            raise Refused(400, "InvalidAction", f"{self.path} {self.headers.get('Content-Type')}")
        action, values = parameters_of(body)
        if action == "AssumeRoleWithWebIdentity":
            if "Authorization" in self.headers:
                raise Refused(400, "ValidationError", "a web identity's request is not signed")
            token = pathlib.Path(self.server.arguments.web_token).read_text(encoding="ascii").strip()
            if values["WebIdentityToken"] != token:
                raise Refused(400, "InvalidIdentityToken", "The token is not the one of now")
            return self.assumed(action, values)
        arn = self.server.keys.caller("POST", self.path, self.headers, body)
        if action == "AssumeRole":
            if "/denied" in values["RoleArn"]:
                raise Refused(403, "AccessDenied", f"User: {arn} is not authorized to perform: sts:AssumeRole on resource: "
                                                   f"{values['RoleArn']}")
            return self.assumed(action, values)
        return (f"<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>{escape(arn)}</Arn><UserId>AROAEXAMPLE:x</UserId>"
                f"<Account>{ACCOUNT}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>")

    def assumed(self, action, values):
        role, session = values["RoleArn"].split(":role/")[1], values["RoleSessionName"]
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}"
        key, secret, token, until = self.server.keys.issue(arn, values.get("DurationSeconds", 3600))
        return (f"<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><AssumedRoleUser>"
                f"<Arn>{escape(arn)}</Arn></AssumedRoleUser><Credentials><AccessKeyId>{key}</AccessKeyId>"
                f"<SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken>"
                f"<Expiration>{until}</Expiration></Credentials></{action}Result></{action}Response>")

    def refuse(self, refused):
        print(f"refused: {refused.code}: {refused.message}", flush=True)
        self.answer(refused.status, f"<ErrorResponse><Error><Type>Sender</Type><Code>{refused.code}</Code>"
                                    f"<Message>{escape(refused.message)}</Message></Error></ErrorResponse>", "text/xml")

    def answer(self, status, text="", kind="text/plain"):
        if self.server.arguments.record:
            with open(self.server.arguments.record, "a", encoding="utf-8") as record:
                record.write(json.dumps({"method": self.command, "path": self.path, "status": status}) + "\n")
        self.send_response_only(status)
        self.send_header("Date", email.utils.formatdate(usegmt=True))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--container-token", metavar="FILE", default="/dev/null")
    parser.add_argument("--web-token", metavar="FILE", default="/dev/null")
    parser.add_argument("--record", metavar="FILE")
    parser.add_argument("--metadata-after", metavar="FILE", help="no instance metadata until that file is there")
    parser.add_argument("--certificate", metavar="FILE", help="speak TLS, with this certificate and its key")
    server = Server(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on {server.scheme}://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
    server.server_close()


if __name__ == "__main__":
    main()
