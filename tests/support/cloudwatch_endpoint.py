#!/usr/bin/python3
"""CloudWatch's PutMetricData on loopback: checks what AWS would check, prints and keeps what it would keep.

Signatures are recomputed with botocore, AWS's own library, and requests are held to AWS's published service model as it
comes with it, so that nothing of ours vouches for itself. What the model leaves to its prose (one kind of statistics, 150
values, the bounds of time and magnitude) is checked here. Needs only Debian's python3-botocore. The keys it accepts are
those in AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, if set, AWS_SESSION_TOKEN.

What was taken is added up as CloudWatch does, so that what comes twice counts twice, and can be read with
GetMetricStatistics and GetMetricData (MetricStat alone), seconds for three hours and minutes for fifteen days.

--faults throttle=3,reset-taken=2,... injects each fault so many times, in an order that --seed decides. Those whose name
ends in -taken take the request first and lose the answer.

Prints "listening on http://127.0.0.1:PORT" first, ends on SIGTERM.
"""

import argparse
import collections
import datetime
import email.utils
import gzip
import http.server
import json
import math
import os
import random
import re
import signal
import socket
import struct
import sys
import threading
import time
import uuid
import zlib

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.loaders
import botocore.model
import botocore.validate

PREFIX = "GraniteServiceVersion20100801."
MODEL = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("cloudwatch", "service-2"))
DATUMS_MAX = 1000
BODY_BYTES_MAX = 1_000_000
VALUES_MAX = 150
DIMENSIONS_MAX = 30
SIGNATURE_WINDOW_SECONDS = 300
# What --fail answers: status, code, message.
FAILURES = {
    "throttle": (400, "ThrottlingException", "Rate exceeded"),
    "internal": (500, "InternalServiceFault", "Internal failure"),
    "unavailable": (503, "ServiceUnavailable", "Service is unavailable"),
    "expired": (400, "ExpiredTokenException", "The security token included in the request is expired"),
    "denied": (400, "AccessDeniedException", "not authorized to perform: cloudwatch:PutMetricData"),
    "too-large": (413, "RequestEntityTooLarge", "Request size exceeded 1000000 bytes"),
    "conflict": (409, "ConflictException", "the resource is being changed by another request"),
    "invalid": (400, "InvalidParameterValue", "The value of a parameter is not valid"),
}


# Faults that are no answers, or are given after the request was taken.
SILENT_FAULTS = ("reset", "reset-taken", "hang", "hang-taken")
TAKEN_FAULTS = {"internal-taken": "internal", "reset-taken": None, "hang-taken": None}
FAULTS = sorted({*FAILURES, *SILENT_FAULTS, *TAKEN_FAULTS})
HANG_SECONDS = 60
SECONDS_KEPT, MINUTES_KEPT = 3 * 3600, 15 * 86400
POINTS_MAX = 1440


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def invalid(message):
    return Refused(400, "InvalidParameterValue", message)


def hold_to_model(where, value, shape):
    """What botocore's own validator leaves out: longest lengths, patterns, enumerations, unknown members."""
    most = shape.metadata.get("max")
    if shape.type_name == "structure":
        if unknown := set(value) - set(shape.members):
            raise Refused(400, "SerializationException", f"{where}: members {sorted(unknown)} are unknown")
        for name, member in value.items():
            hold_to_model(f"{where}.{name}".lstrip("."), member, shape.members[name])
    elif shape.type_name == "list":
        if most and len(value) > most:
            raise invalid(f"The collection {where} must not have more than {most} members")
        for number, member in enumerate(value, 1):
            hold_to_model(f"{where}.member.{number}", member, shape.member)
    elif shape.type_name == "string":
        if most and len(value) > most:
            raise invalid(f"The parameter {where} must be shorter than {most + 1} characters")
        if shape.enum and value not in shape.enum:
            raise invalid(f"The parameter {where} must be one of {shape.enum}")
        if (pattern := shape.metadata.get("pattern")) and not re.fullmatch(pattern, value):
            raise invalid(f"The parameter {where} must match {pattern}")


class Signatures:
    """Recomputes SigV4 with botocore over the request as it came in."""

    def __init__(self, environment, region, service="monitoring"):
        self.service = service
        self.credentials = botocore.credentials.Credentials(
            environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"],
            environment.get("AWS_SESSION_TOKEN") or None)
        self.region = region

    def check(self, method, path, headers, body, now):
        match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/ ]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request, "
                             r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})", headers.get("Authorization", ""))
        if not match:
            raise Refused(400, "IncompleteSignature", "Authorization header is missing or has a wrong form")
        key, date, region, service, signed, signature = match.groups()
        if key != self.credentials.access_key:
            raise Refused(400, "UnrecognizedClientException", "The security token included in the request is invalid.")
        if service != self.service or (self.region and region != self.region):
            raise Refused(400, "InvalidSignatureException",
                          f"Credential should be scoped to {self.region}/{self.service}")
        if headers.get("X-Amz-Security-Token") != self.credentials.token:
            raise Refused(400, "UnrecognizedClientException", "The security token included in the request is invalid.")
        names = signed.split(";")
        if names != sorted(names):
            raise Refused(400, "IncompleteSignature", "SignedHeaders are not sorted")
        must_be_signed = {"host"} | {n.lower() for n in headers.keys() if n.lower().startswith("x-amz-")}
        if must_be_signed - set(names):
            raise Refused(400, "InvalidSignatureException", f"not signed: {sorted(must_be_signed - set(names))}")
        timestamp = headers.get("X-Amz-Date", "")
        if not re.fullmatch(r"\d{8}T\d{6}Z", timestamp) or timestamp[:8] != date:
            raise Refused(400, "IncompleteSignature", "X-Amz-Date is missing or not the credential's date")
        signed_at = datetime.datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        if abs(now - signed_at.timestamp()) > SIGNATURE_WINDOW_SECONDS:
            raise Refused(400, "InvalidSignatureException", f"Signature expired: {timestamp} is not near now")
        if self.recompute(method, path, headers, names, body, timestamp, region) != signature:
            raise Refused(400, "InvalidSignatureException",
                          "The request signature we calculated does not match the signature you provided.")

    def recompute(self, method, path, headers, names, body, timestamp, region):
        request = botocore.awsrequest.AWSRequest(method=method, url=f"http://{headers['Host']}{path}", data=body)
        for name in names:
            for value in headers.get_all(name) or []:
                request.headers.add_header(name, value)
        request.context["timestamp"] = timestamp
        signer = botocore.auth.SigV4Auth(self.credentials, self.service, region)
        string_to_sign = signer.string_to_sign(request, signer.canonical_request(request))
        return signer.signature(string_to_sign, request)


def check_number(where, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise invalid(f"The parameter {where} must be a finite number")
    if value != 0 and not 2.0 ** -360 <= abs(value) <= 2.0 ** 360:
        raise invalid(f"The parameter {where} is out of range")


def check_text(where, value, most):
    if not isinstance(value, str) or not 1 <= len(value) <= most or not value.strip():
        raise invalid(f"The parameter {where} must be 1 to {most} characters long, not blank")
    if not all(" " <= c <= "~" for c in value):
        raise invalid(f"The parameter {where} must be printable ASCII")


def check_statistics(where, datum):
    kinds = [k for k in ("Value", "Values", "StatisticValues") if k in datum]
    if len(kinds) != 1:
        raise Refused(400, "InvalidParameterCombination", f"{where}: one of Value, Values, StatisticValues, not {kinds}")
    if "Value" in datum:
        check_number(f"{where}.Value", datum["Value"])
    elif "Values" in datum:
        values, counts = datum["Values"], datum.get("Counts")
        if not 1 <= len(values) <= VALUES_MAX or len(set(values)) != len(values):
            raise invalid(f"The parameter {where}.Values must hold 1 to {VALUES_MAX} different values")
        for value in values:
            check_number(f"{where}.Values", value)
        if counts is not None and (len(counts) != len(values) or any(c <= 0 for c in counts)):
            raise invalid(f"The parameter {where}.Counts must be as long as Values, and positive")
    else:
        stats = datum["StatisticValues"]
        if set(stats) != {"SampleCount", "Sum", "Minimum", "Maximum"}:
            raise Refused(400, "MissingParameter", f"{where}.StatisticValues is not whole")
        for key, value in stats.items():
            check_number(f"{where}.StatisticValues.{key}", value)
        if stats["SampleCount"] <= 0 or stats["Minimum"] > stats["Maximum"]:
            raise invalid(f"The parameter {where}.StatisticValues makes no sense")
    if "Counts" in datum and "Values" not in datum:
        raise Refused(400, "InvalidParameterCombination", f"{where}: Counts without Values")


def check_datum(number, datum, now):
    where = f"MetricData.member.{number}"
    check_text(f"{where}.MetricName", datum.get("MetricName"), 255)
    dimensions = datum.get("Dimensions", [])
    if len(dimensions) > DIMENSIONS_MAX or len({d["Name"] for d in dimensions}) != len(dimensions):
        raise invalid(f"The parameter {where}.Dimensions holds too many, or the same name twice")
    for dimension in dimensions:
        check_text(f"{where}.Dimensions.Name", dimension.get("Name"), 255)
        check_text(f"{where}.Dimensions.Value", dimension.get("Value"), 1024)
        if dimension["Name"].startswith(":"):
            raise invalid(f"The parameter {where}.Dimensions.Name must not begin with ':'")
    if datum.get("StorageResolution", 60) not in (1, 60):
        raise invalid(f"The parameter {where}.StorageResolution must be 1 or 60")
    timestamp = datum.get("Timestamp", now)
    if not now - 14 * 86400 <= timestamp <= now + 2 * 3600:
        raise invalid(f"The parameter {where}.Timestamp must be within two weeks back and two hours ahead")
    check_statistics(where, datum)


def decode(headers, body, operation):
    if headers.get("Content-Type") != "application/x-amz-json-1.0":
        raise Refused(400, "SerializationException", "Content-Type is not application/x-amz-json-1.0")
    if len(body) > BODY_BYTES_MAX:
        raise Refused(413, "RequestEntityTooLarge", f"Request size {len(body)} exceeded {BODY_BYTES_MAX} bytes")
    if headers.get("Content-Encoding") == "gzip":
        try:
            body = gzip.decompress(body)
        except (OSError, EOFError, zlib.error):
            raise Refused(400, "SerializationException", "the body is not gzip") from None
    if len(body) > BODY_BYTES_MAX:
        raise Refused(413, "RequestEntityTooLarge", f"Request size {len(body)} exceeded {BODY_BYTES_MAX} bytes")
    try:
        document = json.loads(body)
    except ValueError:
        raise Refused(400, "SerializationException", "the body is not JSON") from None
    shape = MODEL.operation_model(operation).input_shape
    if problems := botocore.validate.ParamValidator().validate(document, shape).generate_report():
        raise Refused(400, "ValidationError", problems)
    hold_to_model("", document, shape)
    return document, len(body)


def check_request(document, now):
    check_text("Namespace", document["Namespace"], 255)
    if document["Namespace"].startswith((":", "AWS/")):
        raise invalid("The parameter Namespace must not begin with ':' or 'AWS/'")
    datums = document.get("MetricData", [])
    if not 1 <= len(datums) <= DATUMS_MAX:
        raise invalid(f"The collection MetricData must hold 1 to {DATUMS_MAX} members")
    for number, datum in enumerate(datums, 1):
        check_datum(number, datum, now)
    return datums


def statistics(datum):
    """count, sum, minimum, maximum, as CloudWatch would derive them."""
    if "Value" in datum:
        return 1, datum["Value"], datum["Value"], datum["Value"]
    if "Values" in datum:
        values = datum["Values"]
        counts = datum.get("Counts", [1] * len(values))
        return sum(counts), math.fsum(v * c for v, c in zip(values, counts)), min(values), max(values)
    stats = datum["StatisticValues"]
    return stats["SampleCount"], stats["Sum"], stats["Minimum"], stats["Maximum"]


def summary_lines(namespace, datums, size, packed):
    """One line for the request and one for each metric name in it."""
    times = sorted({d.get("Timestamp", 0) for d in datums})
    span = " … ".join(time.strftime("%H:%M:%S", time.gmtime(t)) for t in dict.fromkeys((times[0], times[-1])))
    yield f"PutMetricData {namespace}: {len(datums)} datums of {span} UTC, {size:,} bytes, {packed:,} as sent"
    groups = collections.defaultdict(list)
    for datum in datums:
        groups[(datum["MetricName"], datum.get("Unit", "None"))].append(datum)
    for (name, unit), members in sorted(groups.items()):
        counts, sums, lows, highs = zip(*map(statistics, members))
        average = math.fsum(sums) / sum(counts)
        who = " ".join(f"{d['Name']}={d['Value']}" for d in members[0].get("Dimensions", []))
        more = f" and {len(members) - 1} more series" if len(members) > 1 else ""
        yield (f"  {name:<34} {unit:<12} n={sum(counts):<6g} avg={average:<12.6g} min={min(lows):<12.6g} "
               f"max={max(highs):<12.6g} {who}{more}")


class Store:
    """What was taken, added up by second as far as it is high resolution, and by minute."""

    def __init__(self, visible_after):
        self.visible_after = visible_after
        self.points = collections.defaultdict(list)  # (namespace, name, dimensions): (begin, resolution, taken at, datum)

    @staticmethod
    def key(namespace, name, dimensions):
        return namespace, name, tuple(sorted((d["Name"], d["Value"]) for d in dimensions))

    def add(self, namespace, datums, now):
        for datum in datums:
            resolution = datum.get("StorageResolution", 60)
            begin = int(datum.get("Timestamp", now)) // resolution * resolution
            key = self.key(namespace, datum["MetricName"], datum.get("Dimensions", []))
            self.points[key].append((begin, resolution, now, statistics(datum)))

    def read(self, key, start, end, period, now):
        if period < 60 and period not in (1, 5, 10, 30) or period >= 60 and period % 60:
            raise invalid(f"The parameter Period must be 1, 5, 10, 30 or a multiple of 60, not {period}")
        if not start < end:
            raise invalid("The parameter StartTime must be less than the parameter EndTime")
        if (end - start) / period > POINTS_MAX:
            raise Refused(400, "InvalidParameterCombination", f"more than {POINTS_MAX} points are asked for")
        found = {}
        for begin, resolution, taken_at, (count, total, low, high) in self.points.get(key, []):
            kept = SECONDS_KEPT if period < 60 else MINUTES_KEPT
            if period < resolution or begin < now - kept or taken_at > now - self.visible_after:
                continue
            at = begin // period * period
            if not start <= at < end:
                continue
            known = found.setdefault(at, [0, 0, low, high])
            found[at] = [known[0] + count, known[1] + total, min(known[2], low), max(known[3], high)]
        return sorted(found.items())


def chosen(name, point):
    count, total, low, high = point
    return {"SampleCount": count, "Sum": total, "Average": total / count, "Minimum": low, "Maximum": high}[name]


def get_metric_statistics(store, request, now):
    if not request.get("Statistics"):
        raise Refused(400, "MissingParameter", "Statistics")
    key = Store.key(request["Namespace"], request["MetricName"], request.get("Dimensions", []))
    points = store.read(key, request["StartTime"], request["EndTime"], request["Period"], now)
    return {"Label": request["MetricName"],
            "Datapoints": [{"Timestamp": float(at), "Unit": "None", **{n: chosen(n, p) for n in request["Statistics"]}}
                           for at, p in points]}


def get_metric_data(store, request, now):
    results = []
    for query in request["MetricDataQueries"]:
        stat = query["MetricStat"]
        metric = stat["Metric"]
        key = Store.key(metric["Namespace"], metric["MetricName"], metric.get("Dimensions", []))
        points = store.read(key, request["StartTime"], request["EndTime"], stat["Period"], now)
        results.append({"Id": query["Id"], "Label": metric["MetricName"], "StatusCode": "Complete",
                        "Timestamps": [float(at) for at, _ in points],
                        "Values": [chosen(stat["Stat"], point) for _, point in points]})
    return {"MetricDataResults": results, "Messages": []}


READS = {"GetMetricStatistics": get_metric_statistics, "GetMetricData": get_metric_data}


class FaultPlan:
    """Each fault so many times, between requests that go well. Reading back meets those alone that say nothing of it."""

    READ_FAULTS = {"throttle", "internal", "unavailable", "expired", "reset", "hang"}

    def __init__(self, text, seed, share):
        self.random = random.Random(seed)
        self.share = share
        self.left = []
        for part in filter(None, text.split(",")):
            kind, _, times = part.partition("=")
            if kind not in FAULTS:
                raise ValueError(f"no such fault: {kind}")
            self.left += [kind] * int(times or 1)
        self.random.shuffle(self.left)

    def next(self, reading):
        if not self.left or self.random.random() >= self.share or (reading and self.left[-1] not in self.READ_FAULTS):
            return None
        return self.left.pop()


class Endpoint(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, arguments):
        super().__init__(("127.0.0.1", arguments.port), Handler)
        self.signatures = Signatures(os.environ, arguments.region)
        self.record = open(arguments.record, "a", encoding="utf-8") if arguments.record else None
        self.fail, self.fail_left = arguments.fail, arguments.times
        self.faults = FaultPlan(arguments.faults, arguments.seed, arguments.fault_share)
        self.store = Store(arguments.visible_after)
        self.skew, self.poison, self.deny = arguments.skew, arguments.poison, set(arguments.deny or [])
        self.quiet = arguments.quiet
        self.lock = threading.Lock()

    def planned_failure(self, reading):
        with self.lock:
            if self.fail and self.fail_left != 0:
                self.fail_left -= 1
                return self.fail
            return self.faults.next(reading)

    def keep(self, namespace, datums, size, packed, now):
        with self.lock:
            self.store.add(namespace, datums, now)
            if self.record:
                for datum in datums:
                    count, total, low, high = statistics(datum)
                    self.record.write(json.dumps({"namespace": namespace, **datum, "count": count, "sum": total,
                                                  "min": low, "max": high}) + "\n")
                self.record.flush()
            if not self.quiet:
                print("\n".join(summary_lines(namespace, datums, size, packed)), flush=True)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that was killed is no news
            super().handle_error(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 90

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.planned_failure(not self.headers.get("X-Amz-Target", "").endswith(".PutMetricData"))
        if fault:
            print(f"injected: {fault}", flush=True)
        try:
            if fault in FAILURES:
                raise Refused(*FAILURES[fault])
            if fault is None or fault in TAKEN_FAULTS:
                status, text = 200, self.work(body)
            if fault in SILENT_FAULTS:
                return self.be_silent(fault)
            if fault in TAKEN_FAULTS:
                raise Refused(*FAILURES[TAKEN_FAULTS[fault]])
            self.answer(status, text)
        except (KeyError, TypeError, AttributeError) as error:
            self.refuse(Refused(400, "SerializationException", f"a member is missing or of a wrong type: {error!r}"))
        except Refused as refused:
            self.refuse(refused, injected=fault is not None)

    def work(self, body):
        now = time.time() + self.server.skew
        self.server.signatures.check("POST", self.path, self.headers, body, now)
        operation = self.headers.get("X-Amz-Target", "").removeprefix(PREFIX)
        if operation in self.server.deny:
            raise Refused(400, "AccessDeniedException", f"User is not authorized to perform: cloudwatch:{operation}")
        if operation in READS:
            document, _ = decode(self.headers, body, operation)
            with self.server.lock:
                return json.dumps(READS[operation](self.server.store, document, now)).encode()
        if operation != "PutMetricData":
            raise Refused(400, "UnknownOperationException", f"X-Amz-Target {operation!r} is not known here")
        document, size = decode(self.headers, body, operation)
        datums = check_request(document, now)
        for number, datum in enumerate(datums, 1):
            if self.server.poison and self.server.poison in json.dumps(datum):
                raise invalid(f"The parameter MetricData.member.{number}.Value is poisoned")
        self.server.keep(document["Namespace"], datums, size, len(body), now)
        return b"{}"

    def be_silent(self, fault):
        self.close_connection = True
        if fault.startswith("hang"):
            time.sleep(HANG_SECONDS)
        # No FIN but a reset, as from a machine that is gone.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def refuse(self, refused, injected=False):
        if not injected:
            print(f"refused: {refused.status} {refused.code}: {refused.message}", flush=True)
        text = {"__type": f"com.amazonaws.cloudwatch#{refused.code}", "message": refused.message}
        self.answer(refused.status, json.dumps(text).encode(), code=refused.code)

    def answer(self, status, body, code=None):
        self.send_response_only(status)
        self.send_header("Date", email.utils.formatdate(time.time() + self.server.skew, usegmt=True))
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        if code:
            self.send_header("x-amzn-query-error", f"{code};{'Receiver' if status >= 500 else 'Sender'}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", metavar="FILE", help="append every datum as a line of JSON")
    parser.add_argument("--region", default="", help="refuse signatures for another region")
    parser.add_argument("--fail", choices=sorted(FAILURES), help="answer like this before working")
    parser.add_argument("--times", type=int, default=1, metavar="N", help="how many requests --fail answers; -1: all")
    parser.add_argument("--faults", default="", metavar="KIND=N,…", help=f"inject faults: {', '.join(FAULTS)}")
    parser.add_argument("--fault-share", type=float, default=0.5, metavar="P", help="how likely a request meets one")
    parser.add_argument("--seed", type=int, default=1, help="decides the order of faults")
    parser.add_argument("--visible-after", type=float, default=0, metavar="S", help="what was taken can be read so late")
    parser.add_argument("--skew", type=float, default=0, metavar="S", help="this clock goes ahead")
    parser.add_argument("--poison", default="", metavar="TEXT", help="refuse datums that contain it")
    parser.add_argument("--deny", action="append", metavar="OPERATION", help="the keys may not do that")
    parser.add_argument("--port", type=int, default=0, help="instead of a free one")
    parser.add_argument("--quiet", action="store_true", help="print only what is refused")
    arguments = parser.parse_args()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        if not os.environ.get(name):
            parser.error(f"{name} is not set")
    server = Endpoint(arguments)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    signal.signal(signal.SIGINT, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
    server.server_close()


if __name__ == "__main__":
    main()
