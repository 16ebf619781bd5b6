"""Publishes what a file says with the CloudEvents client of PyPI, as a service would, and prints the answers.

    publish.py URL REQUESTS

REQUESTS is a JSON array. Each request has a `mode` (`binary`, `structured`, `batch`) and `events`: `attributes`, `data`
(the text of a JSON document) and `bytes`, whether the client gets that text as bytes or the value it stands for. Prints a
JSON array with the `status` and `body` of each answer. It judges nothing: that is the test's business.
"""

import json
import sys
import urllib.error
import urllib.request

from cloudevents.core.bindings import http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from dateutil.parser import isoparse

FORMAT = JSONFormat()
# What the environment says of proxies is not for a server on this machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def event(said):
    attributes = dict(said["attributes"])
    attributes["time"] = isoparse(attributes["time"])
    data = said["data"].encode() if said["bytes"] else json.loads(said["data"])
    return CloudEvent(attributes, data)


def message(request):
    events = [event(said) for said in request["events"]]
    if request["mode"] == "batch":
        # The client has no batches; each event is as it writes it.
        body = b"[" + b",".join(FORMAT.write(each) for each in events) + b"]"
        return http.HTTPMessage({"content-type": "application/cloudevents-batch+json"}, body)
    (single,) = events
    convert = {"binary": http.to_binary, "structured": http.to_structured}[request["mode"]]
    return convert(single, FORMAT)


def send(url, sent):
    request = urllib.request.Request(url, data=sent.body, headers=sent.headers, method="POST")
    try:
        with OPENER.open(request, timeout=60) as answer:
            return {"status": answer.status, "body": json.load(answer)}
    except urllib.error.HTTPError as refused:
        return {"status": refused.code, "body": json.load(refused)}


def main():
    url, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        requests = json.load(file)
    print(json.dumps([send(url, message(request)) for request in requests]))


main()
