"""Lints HTTP answers with REDbot's httplint.

One JSON object a line on standard input: name, at (unix seconds when it came), and request, head and body as hex (the body without its chunks). One a line on standard output for
each note of level "warning" or "bad": name, level, note, summary.
"""

import json
import sys

from httplint.message import HttpRequestLinter, HttpResponseLinter


def split(head: bytes):
    first, *lines = head.split(b"\r\n\r\n")[0].split(b"\r\n")
    fields = [tuple(part for part in line.split(b":", 1)) for line in lines]
    return first.split(b" ", 2), [(name, value.strip()) for name, value in fields]


def lint(answer: dict):
    asked, head, body = (bytes.fromhex(answer[part]) for part in ("request", "head", "body"))
    now = answer["at"]
    (method, target, version), fields = split(asked)
    request = HttpRequestLinter(start_time=now, no_content=True)
    # An absolute target is what the linter takes caching and scheme from.
    request.process_request_topline(method, b"http://localhost" + target, version.removeprefix(b"HTTP/"))
    request.process_headers(fields)
    (version, status, phrase), fields = split(head)
    response = HttpResponseLinter(start_time=now, no_content=method == b"HEAD")
    response.request = request
    response.is_head_response = method == b"HEAD"
    response.process_response_topline(version.removeprefix(b"HTTP/"), status, phrase)
    response.process_headers(fields)
    response.feed_content(body)
    response.finish_content(True)
    for note in flat(response.notes):
        if note.level.value in ("warning", "bad"):
            yield {"name": answer["name"], "level": note.level.value, "note": type(note).__name__, "summary": str(note.summary)}


def flat(notes):
    for note in notes:
        yield note
        yield from flat(note.subnotes)


for line in sys.stdin:
    for found in lint(json.loads(line)):
        print(json.dumps(found))
