#!/usr/bin/python3
"""CloudWatch's reading and managing operations on loopback, over state that a test keeps in a file.

Signatures are recomputed with botocore (cloudwatch_endpoint.py does that), and every input is held against AWS's published
service model by botocore's own validator. What the model does not say and AWS checks all the same is checked here: aligned
periods, at most 500 queries, no name twice.

GetMetricData takes its points from --data, a JSON list of {namespace, name, dimensions, stat, points: {begin: value}}, read
anew with every request, in pages of --page points. Alarms and dashboards are kept in --state. Every request is a line of JSON
in --record, also those that are refused.

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

from cloudwatch_endpoint import FAILURES, Refused, Signatures, invalid

PREFIX = "GraniteServiceVersion20100801."
QUERIES_MAX = 500
ACCOUNT = "123456789012"
MODEL = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("cloudwatch", "service-2"))


def dimensions_of(document):
    return {d["Name"]: d["Value"] for d in document.get("Dimensions", [])}


class State:
    def __init__(self, arguments):
        self.data = pathlib.Path(arguments.data) if arguments.data else None
        self.file = pathlib.Path(arguments.state) if arguments.state else None
        self.page = arguments.page
        self.alarms, self.dashboards = {}, {}
        if self.file and self.file.exists():
            kept = json.loads(self.file.read_text(encoding="utf-8"))
            self.alarms, self.dashboards = kept["alarms"], kept["dashboards"]

    def keep(self):
        if self.file:
            beside = self.file.with_suffix(".new")
            beside.write_text(json.dumps({"alarms": self.alarms, "dashboards": self.dashboards}), encoding="utf-8")
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
        return f"arn:aws:cloudwatch:eu-central-1:{ACCOUNT}:alarm:{name}"

    def put_metric_alarm(self, request):
        name = request["AlarmName"]
        if request.get("DatapointsToAlarm", 1) > request["EvaluationPeriods"]:
            raise invalid("DatapointsToAlarm must not be more than EvaluationPeriods")
        if request.get("Period", 60) * request["EvaluationPeriods"] > 86400:
            raise invalid("Metrics cannot be checked across more than a day")
        old = self.alarms.get(name)
        tags = old["tags"] if old else {t["Key"]: t["Value"] for t in request.get("Tags", [])}
        self.alarms[name] = {"alarm": {k: v for k, v in request.items() if k != "Tags"}, "tags": tags}
        return {}

    def describe_alarms(self, request):
        names = sorted(n for n in self.alarms if n.startswith(request.get("AlarmNamePrefix", "")))
        first, most = int(request.get("NextToken", "0")), min(request.get("MaxRecords", 50), 100)
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
        return {"DashboardValidationMessages": []}

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
            if name not in self.dashboards:
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
        self.fail, self.fail_left = arguments.fail, arguments.times
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
                if operation not in OPERATIONS or self.headers.get("Content-Type") != "application/x-amz-json-1.0":
                    raise Refused(400, "UnknownOperationException", f"{operation} is not known here")
                document = json.loads(body)
                shape = MODEL.operation_model(operation).input_shape
                if problems := botocore.validate.ParamValidator().validate(document, shape).generate_report():
                    raise Refused(400, "ValidationError", problems)
                if unknown := set(document) - set(shape.members):
                    raise Refused(400, "SerializationException", f"members {sorted(unknown)} are not {operation}'s")
                if operation in server.deny:
                    raise Refused(400, "AccessDeniedException",
                                  f"User is not authorized to perform: cloudwatch:{operation}")
                if server.fail and server.fail_left != 0:
                    server.fail_left -= 1
                    raise Refused(*FAILURES[server.fail])
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
    server = Control(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
    server.server_close()


if __name__ == "__main__":
    main()
