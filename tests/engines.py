#!/usr/bin/env python3
"""Runs the queries of the guide for DuckDB and ClickHouse with the real engines.

tests/engines.py: prints nothing if each engine counts what the records hold.
"""

import os
import sys
import tempfile

import chdb.session
import duckdb

GUIDE = os.path.join(os.path.dirname(__file__), "../crates/GUIDE.md")

# Columns that are null in all first records have values later.
RECORD = (
    '{"v":1,"type":"auth","date":"2026-06-01T10:00:%02d+02:00","server":null,"service":null,"pid":null,'
    '"outcome":"failure","attempts":1,"mechanism":null,"ip":null,"client":null,"user":null,"reason":null}\n'
)
LAST = (
    '{"v":1,"type":"auth","date":"2026-06-01T10:30:00.250+02:00","server":"mx1","service":"dovecot","pid":7,'
    '"outcome":"failure","attempts":3,"mechanism":"PLAIN","ip":"2001:db8::1","port":4711,"client":null,'
    '"user":"anna","reason":"x","pos":"a:1","hostname":null,"reverse_dns_status":"Errno 1","country_code":"DE",'
    '"asn":4200000000,"aso":"Example"}\n'
)
EXPECTED = [(None, None, 60000), ("2001:db8::1", "Example", 3)]
TYPES = "SELECT count(asn), max(asn), max(port), count(DISTINCT server), min(date) = max(date) FROM events"


def statements(word):
    """The statements of the indented block of the guide that has this word."""
    with open(GUIDE, encoding="utf-8") as guide:
        blocks = guide.read().split("\n\n")
    block = next(block for block in blocks if block.startswith("    CREATE VIEW") and word in block)
    return [statement for statement in block.split(";") if statement.strip()]


def check(found, expected):
    if found != expected:
        sys.exit(f"found {found}, expected {expected}")


def main():
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        with open("events.ndjson", "w", encoding="utf-8") as file:
            file.writelines(RECORD % (n % 60) for n in range(60000))
            file.write(LAST)

        database = duckdb.connect()
        view, query = statements("read_json")
        database.execute(view)
        check(database.execute(query).fetchall(), EXPECTED)
        check(database.execute(TYPES).fetchall(), [(1, 4200000000, 4711, 1, False)])

        session = chdb.session.Session()
        view, query = statements("JSONEachRow")
        # The server reads files of its own directory only. This engine has none.
        session.query(view.replace("'events.ndjson'", f"'{directory}/events.ndjson'"))
        rows = str(session.query(query, "TSV")).splitlines()
        check(rows, ["\\N\t\\N\t60000", "2001:db8::1\tExample\t3"])
        check(str(session.query(TYPES, "TSV")).split(), ["1", "4200000000", "4711", "1", "0"])
        session.close()


main()
