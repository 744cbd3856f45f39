#!/usr/bin/env python3
"""Adds mail logs to an archive: Parquet files of all login attempts, partitioned by day.

    spark-submit scripts/spark-archive.py ARCHIVE LOG...

LOG is a file, a pattern such as 'hdfs:///logs/*/mail.log*', or @FILE with one of these on each line. Each log is one task:
mls-tail | mls-parse | mls-enrich --no-dns. crates/GUIDE.md, section "Archives", explains the columns and the cost.

A line that is already in the archive is not added again, so a run that died, or had logs that failed, can be repeated.
Exit codes: 0 if all logs were added, 1 if some were not (their names are printed), 75 if another run is adding logs,
70 if this program failed: then run it again.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from datetime import date, datetime, timedelta, timezone

from pyspark import SparkFiles, TaskContext
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

HERE = os.path.dirname(os.path.abspath(__file__))
# On a worker, Spark puts the module into the search path.
sys.path.insert(0, HERE)
import mls_archive  # noqa: E402

SCHEMAS = [
    os.path.join(HERE, "..", "crates", "mls-event", "schema.json"),
    os.path.join(HERE, "schema.json"),
    "/usr/share/maillogsentinel/schema.json",
]

# These columns identify a line. `pos` alone is not enough, because two files can begin with the same line. If a zone or
# a year was read differently, `date` differs, but its seconds do not.
IDENTITY = ["pos", "server", "service", "pid", "second"]

# Copies of a file have the same generation.
GENERATION = "substring_index(pos, ':', 1)"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, fromfile_prefix_chars="@")
    parser.add_argument("archive", metavar="ARCHIVE", help="directory of the archive, created if it is missing")
    parser.add_argument("logs", metavar="LOG", nargs="+")
    parser.add_argument("--schema", metavar="FILE", help="JSON Schema of the records [default: the installed one]")
    mls_archive.add_options(parser)
    options = parser.parse_args()
    mls_archive.find_tools(options, HERE)
    # The copies of a line are in different logs, so a first search in each log alone would find nothing.
    spark = (SparkSession.builder.appName("spark-archive").config("spark.sql.session.timeZone", "UTC")
             .config("spark.sql.optimizer.windowGroupLimitThreshold", "-1").getOrCreate())
    spark.sparkContext.addPyFile(os.path.join(HERE, "mls_archive.py"))
    archive = Archive(spark, options.archive)
    try:
        with archive:
            return add(spark, archive, options)
    except Busy as busy:
        print(f"spark-archive: error: {busy}", file=sys.stderr)
        return 75
    except Exception as error:
        traceback.print_exc()
        print(f"spark-archive: error: {mls_archive.printable(str(error))}; run it again", file=sys.stderr)
        return 70
    finally:
        spark.stop()


def add(spark, archive, options):
    """Adds the logs and returns the exit code."""
    started = time.monotonic()
    logs, errors = find_logs(spark, options.logs)
    staged = archive.staging + "/records"
    stage(spark, logs, record_type(options.schema), staged, options)
    records = spark.read.parquet(staged)
    summaries = {row.log: json.loads(row.summary)
                 for row in records.where("summary is not null").select("log", "summary").collect()}
    errors += [summaries[log]["error"] for log in sorted(summaries) if "error" in summaries[log]]
    good = {log: summary for log, summary in summaries.items() if "error" not in summary}
    names = {log: name for log, name, _, _ in logs}
    for log in sorted(good):
        errors += [f"{names[log]}: only a part was added: {damage}" for damage in good[log]["damage"]]
    files = files_of_logs(records)
    check_counts(files, good)
    added = archive.add(to_rows(spark, records, logs, good), files)
    total = {key: sum(summary[key] for summary in good.values()) for key in ("lines", "events", "rejects")}
    for error in errors:
        print(f"spark-archive: error: {mls_archive.printable(error)}", file=sys.stderr)
    print(f"{len(good)} logs read, {len(errors)} errors, {total['lines']:,} lines, {total['events']:,} events, "
          f"{total['rejects']:,} rejects, {added:,} new rows, {time.monotonic() - started:.1f} s")
    return 1 if errors else 0


# ---- which logs

def find_logs(spark, patterns):
    """Returns the logs as (number, name, size, milliseconds since 1970), and an error for each pattern without a match."""
    jvm, conf = spark._jvm, spark._jsc.sc().hadoopConfiguration()
    found, errors = {}, []
    for pattern in patterns:
        path = jvm.org.apache.hadoop.fs.Path(pattern)
        matches = path.getFileSystem(conf).globStatus(path)
        files = [status for status in matches or [] if status.isFile()]
        if not files:
            errors.append(f"{pattern}: no such file")
        for status in files:
            found[status.getPath().toString()] = (status.getLen(), status.getModificationTime())
    # The largest logs come first, so that no worker begins with a large log at the end.
    order = sorted(found, key=lambda name: (-found[name][0], name))
    return [(number, name, *found[name]) for number, name in enumerate(order)], errors


# ---- the tasks

def stage(spark, logs, record, path, options):
    """Runs a task for each log, and writes records and summaries to `path`. Tasks that fail write nothing."""
    context = spark.sparkContext
    pipeline = mls_archive.commands(options)
    tries = max_failures(context)
    # Settings for file systems that only Spark can read.
    settings = [(key[len("spark.hadoop."):], value) for key, value in context.getConf().getAll()
                if key.startswith("spark.hadoop.")]
    tasks = context.parallelize(logs, max(1, len(logs))).mapPartitions(
        lambda entries: (row for entry in entries for row in read_log(entry, pipeline, settings, tries)))
    blocks = T.StructType([
        T.StructField("log", T.IntegerType()),
        T.StructField("block", T.BinaryType()),
        T.StructField("summary", T.StringType()),
    ])
    # Each block is one array, because a JSON parser for each record costs more than the parsing.
    record = T.StructType([T.StructField("type", T.StringType()), *record])
    array = F.from_json(F.col("block").cast("string"), T.ArrayType(record))
    records = spark.createDataFrame(tasks, blocks, verifySchema=False).select(
        "log", "summary", F.explode_outer(array).alias("record"))
    # A leap second becomes the last second of its minute.
    text = F.col("record.date")
    text = F.when(F.substring(text, 18, 2) == "60", F.regexp_replace(text, "^(.{17})60", "$159")).otherwise(text)
    others = [f"record.{field.name}" for field in record if field.name not in ("type", "date")]
    records.where((F.col("record.type") == "auth") | F.col("summary").isNotNull()).select(
        "log", "summary", F.try_to_timestamp(text).alias("date"), *others,
    ).write.option("parquet.enable.dictionary", "false").parquet(path)


def read_log(entry, pipeline, settings, tries):
    """Yields (log, block of records, summary) of one log. The summary is last."""
    number, name, _size, mtime = entry
    with tempfile.TemporaryDirectory(prefix="mls-archive-") as scratch:
        try:
            path = local_path(name) or fetch(name, mtime, scratch, settings)
            log = mls_archive.Log(name, path, pipeline)
            for block in log.blocks():
                yield number, b"[" + block[:-1].replace(b"\n", b",") + b"]", None
            summary = {"lines": log.lines, "events": log.events, "rejects": log.rejects, "damage": log.damage}
        except mls_archive.ToolFailed as failure:
            # Spark repeats a task that raises. After the last try it gives up the whole job.
            if not failure.is_permanent and TaskContext.get().attemptNumber() + 1 < tries:
                raise
            summary = {"error": str(failure)}
        yield number, None, json.dumps(summary)


def max_failures(context):
    """Returns how often Spark tries a task."""
    master = context.master
    if master.startswith("local["):
        return int(master.rstrip("]").split(",")[1]) if "," in master else 1
    return 1 if master == "local" else int(context.getConf().get("spark.task.maxFailures", "4"))


def local_path(name):
    return name[len("file:"):].replace("//", "", 1) if name.startswith("file:") else None


def fetch(name, mtime, scratch, settings):
    """Copies a log to this machine from a file system that only Spark can read."""
    path = os.path.join(scratch, os.path.basename(name))
    # Settings can contain secrets, which must not be arguments of a command. Hadoop reads a file of this name.
    conf = os.path.join(scratch, "core-site.xml")
    with open(os.open(conf, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
        file.write(site_xml(settings))
    # Spark puts the jars of --packages and --jars next to the files of the job.
    jars = [os.path.join(directory, "*") for directory in (os.path.join(spark_home(), "jars"), SparkFiles.getRootDirectory())]
    class_path = [directory for directory in (os.environ.get("HADOOP_CONF_DIR"), scratch) if directory] + jars
    java = os.path.join(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else "java"
    # The copy needs no large heap, and no compiler that helps only long runs.
    command = [java, "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", ":".join(class_path),
               "org.apache.hadoop.fs.FsShell", "-conf", conf, "-get", name, path]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if run.returncode != 0:
        said = run.stderr[-mls_archive.KEPT:].decode("utf-8", "replace").strip()
        raise mls_archive.ToolFailed(f"{name}: it cannot be copied: {said}", False)
    os.utime(path, (mtime / 1000, mtime / 1000))
    return path


def site_xml(settings):
    from xml.sax.saxutils import escape
    properties = "".join(f"<property><name>{escape(key)}</name><value>{escape(value)}</value></property>" for key, value in settings)
    return f"<configuration>{properties}</configuration>"


def spark_home():
    if "SPARK_HOME" in os.environ:
        return os.environ["SPARK_HOME"]
    from pyspark.find_spark_home import _find_spark_home
    return _find_spark_home()


# ---- the columns

def record_type(path):
    """Returns Spark's type of an `auth` record, from the JSON Schema."""
    path = path or next(filter(os.path.exists, SCHEMAS), SCHEMAS[-1])
    with open(path, encoding="utf-8") as file:
        members = json.load(file)["$defs"]["auth"]["properties"]
    return T.StructType([T.StructField(name, column_type(member)) for name, member in members.items()])


def column_type(member):
    types = member["type"] if isinstance(member["type"], list) else [member["type"]]
    if "integer" in types:
        return T.IntegerType() if member["maximum"] < 2**31 else T.LongType()
    return T.StringType()


def files_of_logs(records):
    """Finds the files that the logs are copies of, as (log, generation, number of rows): see mls-event(5), `pos`."""
    rows = records.where("date is not null").groupBy("log", F.expr(GENERATION).alias("generation")).count().collect()
    return [(row.log, row.generation, row["count"]) for row in rows]


def check_counts(files, good):
    """Fails unless every record of the tools became a row with a date."""
    counts = collections.Counter()
    for log, _, count in files:
        counts[log] += count
    for log, summary in good.items():
        if counts[log] != summary["events"]:
            raise RuntimeError(f"log {log}: {summary['events']} records became {counts[log]} rows")


def to_rows(spark, records, logs, good):
    """Turns records into rows of the archive, with `log`. A line can still occur several times."""
    origins = spark.createDataFrame(
        [(log, name, datetime.fromtimestamp(mtime / 1000, timezone.utc)) for log, name, _, mtime in logs if log in good],
        "log int, path string, file_time timestamp")
    return records.where("date is not null").drop("summary").join(F.broadcast(origins), "log").withColumn("day", F.to_date("date"))


def without_copies(rows):
    """Keeps one row for each line."""
    # Of several copies of a line, the one with the earliest date is right, because a copy of a file can only be younger. A line
    # that was cut at the end of a file has a shorter record than the whole line.
    length = F.length(F.to_json(F.struct([name for name in rows.columns if name not in ("log", "path", "file_time", "day")])))
    best = Window.partitionBy(*IDENTITY).orderBy("date", length.desc(), "path")
    return rows.withColumn("rank", F.row_number().over(best)).where("rank = 1").drop("rank")


# ---- the archive

class Busy(Exception):
    """Another run is adding logs to the archive."""


class Archive:
    """The directory: `day=YYYY-MM-DD/*.parquet`. Readers skip names that begin with `_`."""

    def __init__(self, spark, directory):
        self.spark, self.directory, self.run = spark, directory.rstrip("/"), uuid.uuid4().hex
        self.staging = f"{self.directory}/_staging/{self.run}"
        self.jvm = spark._jvm
        self.fs = self.path().getFileSystem(spark._jsc.sc().hadoopConfiguration())

    def path(self, name=""):
        return self.jvm.org.apache.hadoop.fs.Path(f"{self.directory}/{name}" if name else self.directory)

    def __enter__(self):
        self.fs.mkdirs(self.path())
        try:
            lock = self.fs.create(self.path("_lock"), False)
            lock.write(bytearray(self.run, "ascii"))
            lock.close()
        except Exception as error:
            if not self.fs.exists(self.path("_lock")):
                raise
            raise Busy(f"{self.directory}/_lock exists: another run is adding logs; if no run is active, delete that file") from error
        # Remove the files of dead runs.
        self.fs.delete(self.path("_staging"), True)
        return self

    def __exit__(self, *_error):
        self.fs.delete(self.path(f"_staging/{self.run}"), True)
        if self.has_lock():
            self.fs.delete(self.path("_staging"), True)
            self.fs.delete(self.path("_lock"), False)

    def has_lock(self):
        """Whether this run still has the lock. An administrator can delete the lock of a run that only looked dead."""
        try:
            stream = self.fs.open(self.path("_lock"))
        except Exception:
            return False
        try:
            return bytes(stream.readNBytes(64)).decode("ascii", "replace") == self.run
        finally:
            stream.close()

    def days(self):
        """Returns the days in the archive."""
        names = (status.getPath().getName() for status in self.fs.listStatus(self.path()))
        return [date.fromisoformat(name[4:]) for name in names if name.startswith("day=")]

    def add(self, rows, files):
        """Adds the rows that are not in the archive, and returns their number. `files` says which files each log is a copy of.

        All new files are complete before the first one is renamed to its place. If the run dies between two renames, the
        next run finds the rows of the first file and adds only the others.
        """
        known = self.known(rows)
        seen = collections.Counter(generation for _, generation, _ in files)
        if known is not None:
            seen.update(row.generation for row in known.select(F.expr(GENERATION).alias("generation")).distinct().collect())
        # Only lines of a file that was seen twice can be copies. To move and compare all rows would take most of the time.
        doubtful = list({log for log, generation, _ in files if generation is None or seen[generation] > 1})
        if doubtful:
            second = F.pmod(F.unix_micros("date"), F.lit(60_000_000))
            copies = without_copies(rows.where(F.col("log").isin(doubtful)).withColumn("second", second))
            if known is not None:
                known = known.withColumn("second", second)
                same = [copies[name].eqNullSafe(known[name]) for name in IDENTITY]
                copies = copies.join(known, same, "left_anti")
            rows = rows.where(~F.col("log").isin(doubtful)).unionByName(copies.drop("second"))
        rows = rows.drop("log")
        new = self.staging + "/new"
        rows.hint("rebalance", "day").sortWithinPartitions("day", "date").write.partitionBy("day").parquet(new)
        written = [status for status in self.fs.globStatus(self.path(f"_staging/{self.run}/new/day=*/*.parquet")) or []]
        if not written:
            return 0
        added = self.spark.read.parquet(new).count()
        if not self.has_lock():
            raise Busy(f"{self.directory}/_lock was deleted, and another run may be adding logs: nothing was added")
        for status in written:
            source = status.getPath()
            day = source.getParent().getName()
            self.fs.mkdirs(self.path(day))
            # The name contains the run, so no other run uses it.
            if not self.fs.rename(source, self.path(f"{day}/{self.run}-{source.getName()}")):
                raise RuntimeError(f"{source.toString()} could not be renamed")
        return added

    def known(self, rows):
        """Returns the rows of the archive that can be copies of these. Their dates can differ in year and zone, so it reads the
        same days of all years, and the days before and after them (in a leap year)."""
        present = self.days()
        if not present:
            return None
        days = rows.select(F.month("day").alias("month"), F.dayofmonth("day").alias("day")).distinct().collect()
        near = {(date(2000, row.month, row.day) + timedelta(days=n)).strftime("%m-%d") for row in days for n in range(-2, 3)}
        names = [f"{self.directory}/day={day}" for day in present if day.strftime("%m-%d") in near]
        return self.spark.read.option("basePath", self.directory).parquet(*names) if names else None


if __name__ == "__main__":
    sys.exit(main())
