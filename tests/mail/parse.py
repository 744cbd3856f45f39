"""Prints a mail as Python's email package reads it, as JSON: another implementation's idea of what mls-report has written."""

import email.policy
import gzip
import hashlib
import json
import sys

raw = sys.stdin.buffer.read()
message = email.message_from_bytes(raw, policy=email.policy.SMTP)
parts = []
defects = [str(defect) for part in message.walk() for defect in part.defects]
for part in message.walk():
    content = None if part.is_multipart() else part.get_content()
    data = None if part.is_multipart() else part.get_payload(decode=True)
    if part.get_content_type() == "application/gzip":
        data = gzip.decompress(data)
    parts.append({
        "type": part.get_content_type(),
        "filename": part.get_filename(),
        "charset": part.get_content_charset(),
        "text": content.replace("\r\n", "\n") if isinstance(content, str) else None,
        "sha256": None if data is None else hashlib.sha256(data).hexdigest(),
    })
print(json.dumps({
    "headers": {name.lower(): str(value) for name, value in message.items()},
    "names": [name for name, _ in message.items()],
    "parts": parts,
    "defects": defects,
    "longest": max(len(line) for line in raw.split(b"\r\n")),
    "ascii": raw.isascii(),
}))
