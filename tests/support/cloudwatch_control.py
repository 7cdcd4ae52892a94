#!/usr/bin/python3
"""CloudWatch's reading and managing operations on loopback, over state that a test keeps in a file.

Signatures are recomputed with botocore (cloudwatch_endpoint.py does that), and every input is held against AWS's published
service model by botocore's own validator. What the model does not say and AWS checks all the same is checked here: aligned
periods, at most 500 queries, no name twice.

GetMetricData takes its points from --data, a JSON list of {namespace, name, dimensions, stat, points: {begin: value}}, read
anew with every request, in pages of --page points. Alarms, by region, and dashboards are kept in --state, which a test may
write before the start. PutMetricData is checked and forgotten. Every other request is a line of JSON in --record, also those
that are refused.

Prints "listening on http://127.0.0.1:PORT" first, ends on SIGTERM.
"""

import argparse
import email.utils
import http.server
import json
import os
import pathlib
import signal
import sys
import threading
import time

import botocore.loaders
import botocore.model
import botocore.validate

from cloudwatch_endpoint import FAILURES, Refused, Signatures, check_request, decode, invalid

PREFIX = "GraniteServiceVersion20100801."
QUERIES_MAX = 500
ACCOUNT = "123456789012"
MODEL = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("cloudwatch", "service-2"))


def check_sizes(where, document, shape):
    """What botocore's validator leaves to the service: the model's upper bounds and its enumerations."""
    most = shape.metadata.get("max")
    if most is not None and isinstance(document, (str, list)) and len(document) > most:
        raise invalid(f"{where} holds more than {most}")
    if shape.metadata.get("enum") and document not in shape.metadata["enum"]:
        raise invalid(f"{where} is {document}, none of {shape.metadata['enum']}")
    if shape.type_name == "structure":
        for key, value in document.items():
            if key not in shape.members:
                raise Refused(400, "SerializationException", f"{where} has no member {key}")
            check_sizes(f"{where}.{key}", value, shape.members[key])
    elif shape.type_name == "list":
        for i, value in enumerate(document, 1):
            check_sizes(f"{where}.{i}", value, shape.member)


def dimensions_of(document):
    return {d["Name"]: d["Value"] for d in document.get("Dimensions", [])}


class State:
    def __init__(self, arguments):
        self.data = pathlib.Path(arguments.data) if arguments.data else None
        self.file = pathlib.Path(arguments.state) if arguments.state else None
        self.page = arguments.page
        self.region = ""  # of the request that is answered
        self.alarms_page = arguments.alarms_page
        self.warn = arguments.warn
        self.by_region, self.dashboards = {}, {}
        if self.file and self.file.exists():
            kept = json.loads(self.file.read_text(encoding="utf-8"))
            self.by_region, self.dashboards = kept["alarms"], kept["dashboards"]

    @property
    def alarms(self):
        return self.by_region.setdefault(self.region, {})

    def keep(self):
        if self.file:
            beside = self.file.with_suffix(".new")
            beside.write_text(json.dumps({"alarms": self.by_region, "dashboards": self.dashboards}), encoding="utf-8")
            beside.rename(self.file)

    def get_metric_data(self, request):
        queries = request["MetricDataQueries"]
        if not 1 <= len(queries) <= QUERIES_MAX:
            raise invalid(f"MetricDataQueries must hold 1 to {QUERIES_MAX} members, not {len(queries)}")
        if len({q["Id"] for q in queries}) != len(queries):
            raise invalid("an Id is given twice")
        start, end = request["StartTime"], request["EndTime"]
        series = json.loads(self.data.read_text(encoding="utf-8")) if self.data else []
        answers = []
        for query in queries:
            stat = query["MetricStat"]
            period, metric = stat["Period"], stat["Metric"]
            if period % 60 or start % period or end % period or start >= end:
                raise invalid(f"StartTime, EndTime and Period do not fit together: {start} {end} {period}")
            known = [s for s in series if s["namespace"] == metric["Namespace"] and s["name"] == metric["MetricName"]
                     and s["dimensions"] == dimensions_of(metric) and s["stat"] == stat["Stat"]]
            points = sorted((int(t), v) for s in known for t, v in s["points"].items() if start <= int(t) < end)
            status = next((s["status"] for s in known if "status" in s), "Complete")
            answers.append((query["Id"], points, status))
        first = int(request.get("NextToken", "0"))
        numbered = [(i, p) for i, (_, points, _) in enumerate(answers) for p in points]
        page = numbered[first:first + self.page]
        more = first + len(page) < len(numbered)
        results = []
        for i, (name, points, status) in enumerate(answers):
            mine = [p for j, p in page if j == i]
            partial = more and any(j == i for j, _ in numbered[first + len(page):])
            results.append({"Id": name, "Label": name, "Timestamps": [float(t) for t, _ in mine],
                            "Values": [v for _, v in mine], "StatusCode": "PartialData" if partial else status})
        return {"MetricDataResults": results, "Messages": [],
                **({"NextToken": str(first + len(page))} if more else {})}

    def arn(self, name):
        return f"arn:aws:cloudwatch:{self.region}:{ACCOUNT}:alarm:{name}"

    def put_metric_alarm(self, request):
        name = request["AlarmName"]
        if request.get("DatapointsToAlarm", 1) > request["EvaluationPeriods"]:
            raise invalid("DatapointsToAlarm must not be more than EvaluationPeriods")
        periods = [request["Period"]] if "Period" in request else []
        if "Metrics" in request:
            if set(request) & {"MetricName", "Namespace", "Dimensions", "Period", "Unit", "Statistic", "ExtendedStatistic"}:
                raise invalid("Metrics cannot stand beside a single metric")
            if sum(q.get("ReturnData", True) for q in request["Metrics"]) != 1:
                raise invalid("exactly one element of Metrics must return data")
            periods += [q["MetricStat"]["Period"] for q in request["Metrics"] if "MetricStat" in q]
        elif ("Statistic" in request) == ("ExtendedStatistic" in request) or not {"MetricName", "Namespace", "Period"} <= set(request):
            raise invalid("a metric needs its name, its namespace, a period and one statistic")
        if any(p not in (10, 20, 30) and p % 60 for p in periods):
            raise invalid(f"Period must be 10, 20, 30 or a multiple of 60: {periods}")
        if max(periods) * request["EvaluationPeriods"] > (86400 if max(periods) < 3600 else 7 * 86400):
            raise invalid("Metrics cannot be checked across more than a day (a week)")
        if not isinstance(request.get("Threshold"), (int, float)) or "ComparisonOperator" not in request:
            raise invalid("Threshold and ComparisonOperator are needed")
        if request.get("TreatMissingData", "missing") not in ("breaching", "notBreaching", "ignore", "missing"):
            raise invalid("TreatMissingData is none of the four")
        for arn in request.get("AlarmActions", []) + request.get("OKActions", []):
            if arn.split(":")[3] != self.region:
                raise invalid(f"Invalid region {arn.split(':')[3]} specified. Only {self.region} is supported.")
        old = self.alarms.get(name)
        tags = old["tags"] if old else {t["Key"]: t["Value"] for t in request.get("Tags", [])}
        self.alarms[name] = {"alarm": {k: v for k, v in request.items() if k != "Tags"}, "tags": tags}
        return {}

    def describe_alarms(self, request):
        names = sorted(n for n in self.alarms if n.startswith(request.get("AlarmNamePrefix", "")))
        first, most = int(request.get("NextToken", "0")), min(request.get("MaxRecords", 50), self.alarms_page)
        page = names[first:first + most]
        answer = {"MetricAlarms": [{**self.alarms[n]["alarm"], "AlarmArn": self.arn(n), "StateValue": "OK",
                                    "ActionsEnabled": self.alarms[n]["alarm"].get("ActionsEnabled", True)} for n in page],
                  "CompositeAlarms": []}
        if first + len(page) < len(names):
            answer["NextToken"] = str(first + len(page))
        return answer

    def delete_alarms(self, request):
        for name in request["AlarmNames"]:
            self.alarms.pop(name, None)
        return {}

    def put_dashboard(self, request):
        try:
            body = json.loads(request["DashboardBody"])
        except ValueError:
            raise Refused(400, "InvalidParameterInput", "The dashboard body is not JSON") from None
        if not set(body) <= {"start", "end", "periodOverride", "widgets", "variables"}:
            raise Refused(400, "InvalidParameterInput", f"the body has unknown members: {sorted(body)}")
        if len(body.get("widgets", [])) > 500:
            raise Refused(400, "InvalidParameterInput", "more than 500 widgets")
        for widget in body.get("widgets", []):
            if widget["type"] == "metric" and not {"region", "metrics"} <= set(widget["properties"]):
                raise Refused(400, "InvalidParameterInput", f"a metric widget has no region or metrics: {widget}")
            if not (0 <= widget["x"] <= 23 and 1 <= widget["width"] <= 24 and widget["x"] + widget["width"] <= 24):
                raise Refused(400, "InvalidParameterInput", f"a widget does not fit the grid: {widget}")
        old = self.dashboards.get(request["DashboardName"])
        tags = old["tags"] if old else {t["Key"]: t["Value"] for t in request.get("Tags", [])}
        self.dashboards[request["DashboardName"]] = {"body": request["DashboardBody"], "tags": tags}
        return {"DashboardValidationMessages": [{"DataPath": "/widgets/1", "Message": self.warn}] if self.warn else []}

    def get_dashboard(self, request):
        name = request["DashboardName"]
        if name not in self.dashboards:
            raise Refused(404, "ResourceNotFound", f"Dashboard {name} does not exist")
        return {"DashboardArn": f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/{name}", "DashboardName": name,
                "DashboardBody": self.dashboards[name]["body"]}

    def list_dashboards(self, request):
        names = sorted(n for n in self.dashboards if n.startswith(request.get("DashboardNamePrefix", "")))
        return {"DashboardEntries": [{"DashboardName": n, "DashboardArn": f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/{n}",
                                      "Size": len(self.dashboards[n]["body"])} for n in names]}

    def delete_dashboards(self, request):
        for name in request["DashboardNames"]:
            if name not in self.dashboards:  # the real one deletes the others all the same
                raise Refused(404, "ResourceNotFound", f"Dashboard {name} does not exist")
            del self.dashboards[name]
        return {}

    def list_tags_for_resource(self, request):
        kind, name = ("alarms", request["ResourceARN"].split(":alarm:")[-1]) if ":alarm:" in request["ResourceARN"] else \
                     ("dashboards", request["ResourceARN"].split("/")[-1])
        kept = getattr(self, kind)
        if name not in kept:
            raise Refused(404, "ResourceNotFoundException", f"no such resource: {request['ResourceARN']}")
        return {"Tags": [{"Key": k, "Value": v} for k, v in kept[name]["tags"].items()]}


OPERATIONS = {"GetMetricData": State.get_metric_data, "PutMetricAlarm": State.put_metric_alarm,
              "DescribeAlarms": State.describe_alarms, "DeleteAlarms": State.delete_alarms,
              "PutDashboard": State.put_dashboard, "GetDashboard": State.get_dashboard,
              "ListDashboards": State.list_dashboards, "DeleteDashboards": State.delete_dashboards,
              "ListTagsForResource": State.list_tags_for_resource}


class Control(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, arguments):
        super().__init__(("127.0.0.1", 0), Handler)
        self.signatures = Signatures(os.environ, "")
        self.state = State(arguments)
        self.record = open(arguments.record, "a", encoding="utf-8") if arguments.record else None
        self.deny = set(arguments.deny or [])
        self.fail, self.fail_left, self.fail_operation = arguments.fail, arguments.times, arguments.fail_operation
        self.lock = threading.Lock()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        operation = self.headers.get("X-Amz-Target", "").removeprefix(PREFIX)
        server, document = self.server, None
        with server.lock:
            try:
                server.signatures.check("POST", self.path, self.headers, body, time.time())
                if operation not in {*OPERATIONS, "PutMetricData"} or self.headers.get("Content-Type") != "application/x-amz-json-1.0":
                    raise Refused(400, "UnknownOperationException", f"{operation} is not known here")
                if operation == "PutMetricData":
                    check_request(decode(self.headers, body)[0], time.time())
                    return self.answer(200, b"{}", None)
                document = json.loads(body)
                shape = MODEL.operation_model(operation).input_shape
                if problems := botocore.validate.ParamValidator().validate(document, shape).generate_report():
                    raise Refused(400, "ValidationError", problems)
                check_sizes(operation, document, shape)
                if operation in server.deny:
                    raise Refused(400, "AccessDeniedException",
                                  f"User is not authorized to perform: cloudwatch:{operation}")
                if server.fail and server.fail_left != 0 and server.fail_operation in (None, operation):
                    server.fail_left -= 1
                    raise Refused(*FAILURES[server.fail])
                server.state.region = self.headers["Authorization"].split("/")[2]
                answer = OPERATIONS[operation](server.state, document)
                server.state.keep()
                status, text, code = 200, answer, None
            except Refused as refused:
                print(f"refused: {operation}: {refused.code}: {refused.message}", flush=True)
                status, code = refused.status, refused.code
                text = {"__type": f"com.amazonaws.cloudwatch#{code}", "message": refused.message}
            if server.record:
                scope = self.headers.get("Authorization", "").split("/")
                server.record.write(json.dumps({"at": time.time(), "operation": operation, "status": status, "code": code,
                                                "region": scope[2] if len(scope) > 2 else "", "input": document}) + "\n")
                server.record.flush()
        self.answer(status, json.dumps(text).encode(), code)

    def answer(self, status, body, code):
        self.send_response_only(status)
        self.send_header("Date", email.utils.formatdate(usegmt=True))
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
    parser.add_argument("--data", metavar="FILE", help="what GetMetricData has")
    parser.add_argument("--state", metavar="FILE", help="where alarms and dashboards are kept")
    parser.add_argument("--record", metavar="FILE", help="append every request as a line of JSON")
    parser.add_argument("--page", type=int, default=100_800, metavar="N", help="points to a page of GetMetricData")
    parser.add_argument("--deny", action="append", metavar="OPERATION", help="the keys may not do that")
    parser.add_argument("--fail", choices=sorted(FAILURES), help="answer like this before working")
    parser.add_argument("--times", type=int, default=1, metavar="N", help="how many requests --fail answers; -1: all")
    parser.add_argument("--fail-operation", metavar="OPERATION", help="--fail that one alone")
    parser.add_argument("--alarms-page", type=int, default=100, metavar="N", help="alarms to a page of DescribeAlarms")
    parser.add_argument("--warn", metavar="TEXT", help="what PutDashboard warns of")
    server = Control(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
    server.server_close()


if __name__ == "__main__":
    main()
