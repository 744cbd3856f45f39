#!/usr/bin/env python3
"""Runs the commands of the guide for DuckDB and ClickHouse with the real engines.

tests/engines.py: prints nothing if each engine counts what the records hold. It needs jq, and duckdb and chdb from PyPI, which
do not contain the program of the engine: this file also replaces that program.
"""

import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
GUIDE = os.path.join(HERE, "../crates/GUIDE.md")
SCHEMA = os.path.join(HERE, "../crates/mls-event/schema.json")

# Some columns are null in all records except the last one. An engine must not guess their types.
RECORD = (
    '{"v":1,"type":"auth","date":"2026-06-01T01:00:%02d+02:00","server":null,"service":null,"pid":null,'
    '"outcome":"failure","attempts":1,"mechanism":null,"ip":null,"client":null,"user":null,"reason":null}\n'
)
LAST = (
    '{"v":1,"type":"auth","date":"2026-06-01T10:30:00.250+02:00","server":"mx1","service":"dovecot","pid":4294967295,'
    '"outcome":"failure","attempts":3,"mechanism":"PLAIN","ip":"2001:db8::1","port":4711,"client":null,'
    '"user":"anna","reason":"x","pos":"a:1","hostname":null,"reverse_dns_status":"Errno 1","country_code":"DE",'
    '"asn":4200000000,"aso":"Example"}\n'
)
EXPECTED = ["\\N\t\\N\t60000", "2001:db8::1\tExample\t3"]
TYPES = "count(asn), max(asn), max(pid), max(port), count(DISTINCT server), min(date) = max(date)"
EXPECTED_TYPES = ["1\t4200000000\t4294967295\t4711\t1\tfalse"]


def commands(*words):
    """Returns the indented block of the guide that contains these words."""
    with open(GUIDE, encoding="utf-8") as guide:
        blocks = guide.read().split("\n\n")
    block = next(block for block in blocks if block.startswith("    ") and all(word in block for word in words))
    return block.replace("/usr/share/maillogsentinel/schema.json", SCHEMA) + "\n"


def run(script):
    """Runs a text in a shell and returns its output."""
    programs = f'duckdb() {{ "{sys.executable}" "{__file__}" duckdb "$@"; }}\n' \
               f'clickhouse() {{ "{sys.executable}" "{__file__}" clickhouse "$@"; }}\n'
    found = subprocess.run(["bash", "-euc", programs + script], stdout=subprocess.PIPE, text=True, check=True)
    return found.stdout.splitlines()


def check(found, expected):
    if found != expected:
        sys.exit(f"found {found}, expected {expected}")


def main():
    os.environ["TZ"] = "America/New_York"
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        with open("events.ndjson", "w", encoding="utf-8") as file:
            file.writelines(RECORD % (n % 60) for n in range(60000))
            file.write(LAST)
        duckdb = commands("duckdb events.duckdb", "columns=")
        check(run(duckdb), EXPECTED)
        check(run(f'duckdb events.duckdb "SELECT {TYPES} FROM events"'), EXPECTED_TYPES)
        run(duckdb[:duckdb.index("    duckdb")] + commands("COPY"))
        check(sorted(os.listdir("archive")), ["day=2026-05-31", "day=2026-06-01"])
        check(run(f"duckdb '' \"SELECT {TYPES} FROM 'archive/*/*.parquet'\""), EXPECTED_TYPES)
        clickhouse = commands("clickhouse local")
        check(run(clickhouse), EXPECTED)
        query = clickhouse[clickhouse.index("SELECT"):clickhouse.index("FROM")]
        grouped = clickhouse[clickhouse.index("GROUP"):clickhouse.index("SETTINGS")]
        types = clickhouse.replace(query, f"SELECT {TYPES} ").replace(grouped, "")
        check(run(types), [EXPECTED_TYPES[0].replace("false", "0")])


def engine(name, *arguments):
    """Prints the result of a query in the format of the engine's own program."""
    if name == "duckdb":
        import duckdb
        where, query = arguments
        rows = duckdb.connect(where or ":memory:").execute(query).fetchall()
        for row in rows if query.startswith("SELECT") else []:
            print(*("\\N" if value is None else str(value).lower() if isinstance(value, bool) else value for value in row), sep="\t")
    else:
        import chdb
        print(chdb.query(arguments[-1], "TSV"), end="")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        engine(*sys.argv[1:])
    else:
        main()
