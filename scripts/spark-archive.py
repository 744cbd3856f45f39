#!/usr/bin/env python3
"""Adds mail logs to an archive: Parquet files of all login attempts, partitioned by day.

    spark-submit scripts/spark-archive.py ARCHIVE LOG...

LOG is a file, a pattern such as 'hdfs:///logs/*/mail.log*', or @FILE with one of these on each line. Each log is read alone by
mls-tail | mls-parse | mls-enrich --no-dns. crates/GUIDE.md, section "Archives", explains the columns and the cost.

A line that is already in the archive is not added again, so a run that died, or had logs that failed, can be repeated.
Exit codes: 0 if all logs were added, 1 if some were not (their names are printed), 75 if another run is adding logs,
70 if this program failed: then run it again.
"""

import argparse
import collections
import heapq
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet
from pyspark import SparkConf, SparkContext, SparkFiles, StorageLevel, TaskContext
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

HERE = os.path.dirname(os.path.abspath(__file__))
# This line is for the driver. On a worker, Spark puts the module into the search path.
sys.path.insert(0, HERE)
import mls_archive  # noqa: E402

SCHEMAS = [
    os.path.join(HERE, "..", "crates", "mls-event", "schema.json"),
    os.path.join(HERE, "schema.json"),
    "/usr/share/maillogsentinel/schema.json",
]

# These columns identify a line. `pos` alone is not enough, because two files can begin with the same line. `date` is not
# among them: two copies of a line can be read with different time zones or years. Then `date` differs, but not `second`.
IDENTITY = ["pos", "server", "service", "pid", "second"]

# A task reads several logs, because starting a task costs about 0.15 s. There are enough tasks to
# keep all cores busy until the end. If a worker dies, its tasks are repeated, so tasks must not be
# too large: a task gets at most about TASK_BYTES, or one larger log.
TASKS_PER_CORE = 6
TASK_BYTES = 128 << 20

# The least number of tasks on a cluster: while its workers are starting, Spark does not know how many cores it has.
CLUSTER_TASKS = 200

# Starting the tools for a log takes as long as reading this number of bytes.
START_BYTES = 1 << 20

# The largest number of rows in a file. A task holds the rows of one file in memory.
FILE_ROWS = 500_000


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, fromfile_prefix_chars="@")
    parser.add_argument("archive", metavar="ARCHIVE", help="directory of the archive, created if it is missing")
    parser.add_argument("logs", metavar="LOG", nargs="+")
    parser.add_argument("--schema", metavar="FILE", help="JSON Schema of the records [default: the installed one]")
    mls_archive.add_options(parser)
    options = parser.parse_args()
    mls_archive.find_tools(options, HERE)
    # Start only the context. Spark SQL needs several seconds to start, and only copies of lines need Spark SQL.
    context = SparkContext.getOrCreate(configuration())
    context.addPyFile(os.path.join(HERE, "mls_archive.py"))
    archive = Archive(context, options.archive)
    try:
        with archive:
            return add(context, archive, options)
    except Busy as busy:
        print(f"spark-archive: error: {busy}", file=sys.stderr)
        return 75
    except Exception as error:
        traceback.print_exc()
        # Leave out the stack of Java, which the message of Spark contains: print_exc has printed it.
        message = str(error).partition("\n\tat ")[0].replace("\n", " ")
        print(f"spark-archive: error: {mls_archive.printable(message)}; run it again", file=sys.stderr)
        return 70
    finally:
        context.stop()


def configuration():
    """Returns the settings of the user, and ours if the user has none."""
    # Without this call, SparkConf does not contain the settings of the user.
    SparkContext._ensure_initialized()
    # The rows are already compressed when Spark stores them.
    conf = SparkConf().setIfMissing("spark.rdd.compress", "false")
    if conf.get("spark.master", "").startswith("local["):
        # On one machine, rows that Spark SQL compares do not go through a network, so do not compress them.
        conf.setIfMissing("spark.shuffle.compress", "false")
    return conf


def add(context, archive, options):
    """Adds the logs and returns the exit code."""
    started = time.monotonic()
    logs, errors = find_logs(context, options.logs)
    pipeline, schema, settings, tries = (
        mls_archive.commands(options), record_schema(options.schema), hadoop_settings(context), max_failures(context))
    least = TASKS_PER_CORE * context.defaultParallelism
    is_local = context.master == "local" or context.master.startswith("local[")
    groups = in_groups(logs, least if is_local else max(least, CLUSTER_TASKS))
    tasks = context.parallelize(groups, len(groups)).flatMap(
        lambda group: (part for entry in group for part in read_log(entry, schema, pipeline, settings, tries)))
    # Store the rows on disk. If a worker dies, its logs are read again.
    tasks.persist(StorageLevel.DISK_ONLY)
    summaries = dict(tasks.filter(lambda part: part[1] is None).map(lambda part: (part[0], part[2])).collect())
    errors += [summaries[log]["error"] for log in sorted(summaries) if "error" in summaries[log]]
    good = {log: summary for log, summary in summaries.items() if "error" not in summary}
    names = {log: name for log, name, _, _ in logs}
    for log in sorted(good):
        errors += [f"{names[log]}: only a part was added: {damage}" for damage in good[log]["damage"]]
    added = archive.add(tasks, good, schema, settings)
    total = {key: sum(summary[key] for summary in good.values()) for key in ("lines", "events", "rejects")}
    for error in errors:
        print(f"spark-archive: error: {mls_archive.printable(error)}", file=sys.stderr)
    print(f"{len(good)} logs read, {len(errors)} errors, {total['lines']:,} lines, {total['events']:,} events, "
          f"{total['rejects']:,} rejects, {added:,} new rows, {time.monotonic() - started:.1f} s")
    return 1 if errors else 0


# ---- which logs

def find_logs(context, patterns):
    """Returns the logs as (number, name, size, milliseconds since 1970), and an error for each pattern without a match."""
    jvm, conf = context._jvm, context._jsc.sc().hadoopConfiguration()
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


def in_groups(logs, least):
    """Divides the logs, largest first, into groups of about the same size: at least this number, if there are so many logs."""
    total = sum(size for _, _, size, _ in logs)
    number = min(len(logs), max(least, -(-total // TASK_BYTES))) or 1
    groups = [(0, n, []) for n in range(number)]
    for entry in logs:
        size, n, group = groups[0]
        group.append(entry)
        heapq.heapreplace(groups, (size + max(entry[2], START_BYTES), n, group))
    return [group for _, _, group in sorted(groups, reverse=True)]


# ---- the tasks

def read_log(entry, schema, pipeline, settings, tries):
    """Yields (log, (day, rows), None) for all records of a log, and (log, None, summary) at the end."""
    number, name, _size, mtime = entry
    with tempfile.TemporaryDirectory(prefix="mls-archive-") as scratch:
        try:
            path = local_path(name) or fetch(name, mtime, scratch, settings)
            log = mls_archive.Log(name, path, pipeline)
            days, generations = collections.Counter(), set()
            for block in log.blocks():
                records = read_records(block, schema)
                rows = records.append_column("path", pa.repeat(name, len(records)))
                rows = rows.append_column("file_time", pa.repeat(pa.scalar(mtime * 1000, TIME), len(records)))
                generations.update(generations_of(rows))
                for day, part in by_day(rows):
                    days[day] += len(part)
                    yield number, (day, pack(part)), None
            if days.total() != log.events:
                raise mls_archive.ToolFailed(f"{name}: {log.events} records became {days.total()} rows", True)
            summary = {"lines": log.lines, "events": log.events, "rejects": log.rejects, "damage": log.damage,
                       "days": dict(days), "generations": generations}
        except pa.ArrowInvalid as error:
            summary = {"error": f"{name}: a record of the tools does not fit the schema: {error}"}
        except mls_archive.ToolFailed as failure:
            # If a task raises an exception, Spark tries it again. After the last try, Spark would stop the whole job.
            if not failure.is_permanent and TaskContext.get().attemptNumber() + 1 < tries:
                raise
            summary = {"error": str(failure)}
        yield number, None, summary


def rows_of(parts, good):
    """Yields (log, day, rows) of the good logs. Fails if a log that Spark had to read again is not the same as before."""
    for log, part, summary in parts:
        if log in good:
            if part is not None:
                yield log, *part
            elif summary != good[log]:
                raise RuntimeError(f"log {log} changed while it was added: {summary.get('error', 'it has other records')}")


def write_rows(parts, directory, settings):
    """Writes the rows of one day, ((day, number), rows), to one file. Yields its name and the number of its rows."""
    parts = list(parts)
    table = pa.concat_tables(unpack(rows).read_all() for _, rows in parts).sort_by("date")
    name = f"day={parts[0][0][0]}/{uuid.uuid4().hex}.parquet"
    target = f"{directory}/{name}"
    local = local_path(target)
    with tempfile.TemporaryDirectory(prefix="mls-archive-") as scratch:
        path = local or os.path.join(scratch, "rows.parquet")
        pa.parquet.write_table(table, path, compression="zstd", row_group_size=100_000)
        if not local:
            hadoop(["-put", path, target], f"{target}: it cannot be written", scratch, settings)
    yield name, len(table)


def hadoop_settings(context):
    """Returns the settings for file systems that only Spark can read."""
    return [(key[len("spark.hadoop."):], value) for key, value in context.getConf().getAll() if key.startswith("spark.hadoop.")]


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
    hadoop(["-get", name, path], f"{name}: it cannot be copied", scratch, settings)
    os.utime(path, (mtime / 1000, mtime / 1000))
    return path


def hadoop(arguments, failure, scratch, settings):
    """Runs a command of Hadoop's file system shell."""
    # Settings can contain secrets, which must not be arguments of a command. So write them to core-site.xml for Hadoop.
    conf = os.path.join(scratch, "core-site.xml")
    with open(os.open(conf, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
        file.write(site_xml(settings))
    # Spark puts the jars of --packages and --jars next to the files of the job.
    jars = [os.path.join(directory, "*") for directory in (os.path.join(spark_home(), "jars"), SparkFiles.getRootDirectory())]
    class_path = [directory for directory in (os.environ.get("HADOOP_CONF_DIR"), scratch) if directory] + jars
    java = os.path.join(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else "java"
    # The command runs for a short time: it needs no large heap and no optimizing compiler.
    command = [java, "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", ":".join(class_path),
               "org.apache.hadoop.fs.FsShell", "-conf", conf, *arguments]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if run.returncode != 0:
        said = run.stderr[-mls_archive.KEPT:].decode("utf-8", "replace").strip()
        raise mls_archive.ToolFailed(f"{failure}: {said}", False)


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

TIME = pa.timestamp("us", "UTC")


def record_schema(path):
    """Returns the columns of an `auth` record, from the JSON Schema."""
    path = path or next(filter(os.path.exists, SCHEMAS), SCHEMAS[-1])
    with open(path, encoding="utf-8") as file:
        members = json.load(file)["$defs"]["auth"]["properties"]
    return pa.schema([(name, column_type(member)) for name, member in members.items()])


def column_type(member):
    types = member["type"] if isinstance(member["type"], list) else [member["type"]]
    if "integer" in types:
        return pa.int32() if member["maximum"] < 2**31 else pa.int64()
    return pa.string()


def sql_schema(rows):
    """Returns the columns as Spark SQL writes them."""
    words = {TIME: "timestamp", pa.int32(): "int", pa.int64(): "bigint", pa.string(): "string"}
    return ", ".join(f"`{field.name}` {words[field.type]}" for field in rows)


def archive_schema(schema):
    """Returns the columns of a file of the archive."""
    schema = schema.set(schema.get_field_index("date"), pa.field("date", TIME))
    return schema.append(pa.field("path", pa.string())).append(pa.field("file_time", TIME))


def read_records(block, schema):
    """Returns the `auth` records of a block of lines."""
    lines = pa.json.read_json(
        pa.BufferReader(block), pa.json.ReadOptions(use_threads=False, block_size=max(len(block), 1)),
        pa.json.ParseOptions(pa.schema([("type", pa.string()), *schema]), unexpected_field_behavior="ignore"))
    is_auth = pc.equal(lines["type"], "auth")
    # A filter copies all columns. So filter only the few blocks that contain other records.
    records = (lines if pc.all(is_auth, skip_nulls=False).as_py() else lines.filter(is_auth)).drop_columns(["type"])
    return records.set_column(records.schema.get_field_index("date"), "date", times_of(records["date"]))


def times_of(dates):
    try:
        return dates.cast(TIME)
    except pa.ArrowInvalid:
        # A leap second becomes the last second of its minute.
        return pc.replace_substring_regex(dates, "^(.{17})60", "\\159").cast(TIME)


def generations_of(rows):
    """Returns the generations of the files that the rows are copies of: see mls-event(5), `pos`."""
    return set(pc.list_element(pc.split_pattern(rows["pos"], ":", max_splits=1), 0).unique().to_pylist())


def by_day(rows):
    """Yields the rows of each day."""
    days = rows["date"].cast(pa.date32())
    different = days.unique()
    for day in different:
        yield str(day), rows if len(different) == 1 else rows.filter(pc.equal(days, day))


def pack(rows):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
        stream.write_table(rows)
    return bytearray(sink.getvalue())


def unpack(rows):
    return pa.ipc.open_stream(rows)


def unpack_batches(batches):
    for batch in batches:
        for rows in batch["rows"]:
            yield from unpack(rows.as_buffer())


def without_copies(rows):
    """Keeps one row for each line."""
    # If several copies of a line have different dates, the earliest date is right, because a copy
    # of a file can only be younger than the file. If the dates are equal, the longest record is
    # right, because a line can be cut at the end of a file.
    length = F.length(F.to_json(F.struct([name for name in rows.columns if name not in ("path", "file_time", "day")])))
    best = Window.partitionBy(*IDENTITY).orderBy("date", length.desc(), "path")
    return rows.withColumn("rank", F.row_number().over(best)).where("rank = 1").drop("rank")


# ---- the archive

class Busy(Exception):
    """Another run is adding logs to the archive."""


class Archive:
    """The directory: `day=YYYY-MM-DD/*.parquet`. Readers skip names that begin with `_`."""

    def __init__(self, context, directory):
        self.context, self.directory, self.run = context, directory.rstrip("/"), uuid.uuid4().hex
        self.staging = f"{self.directory}/_staging/{self.run}"
        self.jvm = context._jvm
        self.fs = self.path().getFileSystem(context._jsc.sc().hadoopConfiguration())

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

    def add(self, tasks, good, schema, settings):
        """Adds the rows of the good logs that are not in the archive, and returns their number.

        All new files are complete before the first one is renamed to its place. If the run dies between two renames, the
        next run finds the rows of the first file and adds only the others.
        """
        known = self.known({day for summary in good.values() for day in summary["days"]})
        seen = collections.Counter(generation for summary in good.values() for generation in summary["generations"])
        if known is not None:
            generation = F.expr("substring_index(pos, ':', 1)").alias("generation")
            seen.update(row.generation for row in known.select(generation).distinct().collect())
        # Only lines of a file that was seen twice can be copies. To compare all rows would take most of the time.
        doubtful = {log for log, summary in good.items()
                    if any(generation is None or seen[generation] > 1 for generation in summary["generations"])}
        new, added = [], 0
        for name, count in self.write({log: good[log] for log in good.keys() - doubtful}, tasks, settings):
            new.append(self.path(f"_staging/{self.run}/new/{name}"))
            added += count
        if doubtful:
            added += self.write_new({log: good[log] for log in doubtful}, tasks, known, archive_schema(schema))
            new += [status.getPath() for status in self.fs.globStatus(self.path(f"_staging/{self.run}/compared/day=*/*.parquet")) or []]
        if not self.has_lock():
            raise Busy(f"{self.directory}/_lock was deleted, and another run may be adding logs: nothing was added")
        for source in new:
            day = source.getParent().getName()
            self.fs.mkdirs(self.path(day))
            # The name contains the run, so no other run uses it.
            if not self.fs.rename(source, self.path(f"{day}/{self.run}-{source.getName()}")):
                raise RuntimeError(f"{source.toString()} could not be renamed")
        return added

    def write(self, good, tasks, settings):
        """Writes all rows of these logs. Returns the names of the files and the numbers of their rows."""
        totals = collections.Counter()
        for summary in good.values():
            totals.update(summary["days"])
        for day in totals:
            self.fs.mkdirs(self.path(f"_staging/{self.run}/new/day={day}"))
        counts = {day: -(-total // FILE_ROWS) for day, total in totals.items()}
        numbers = {file: number for number, file in enumerate((day, n) for day in sorted(counts) for n in range(counts[day]))}
        if not numbers:
            return []
        directory = self.fs.makeQualified(self.path(f"_staging/{self.run}/new")).toString()

        def by_file(parts):
            for number, (log, day, rows) in enumerate(rows_of(parts, good)):
                yield (day, (log + number) % counts[day]), rows

        return (tasks.mapPartitions(by_file).partitionBy(len(numbers), lambda file: numbers[file])
                .mapPartitions(lambda parts: write_rows(parts, directory, settings)).collect())

    def write_new(self, good, tasks, known, schema):
        """Writes the rows of these logs, each line once, that are not in the archive. Returns their number."""
        spark = session(self.context)
        packed = tasks.mapPartitions(lambda parts: ((rows,) for _, _, rows in rows_of(parts, good)))
        rows = spark.createDataFrame(packed, "rows binary", verifySchema=False).mapInArrow(unpack_batches, sql_schema(schema))
        second = F.pmod(F.unix_micros("date"), F.lit(60_000_000))
        rows = without_copies(rows.withColumn("day", F.to_date("date")).withColumn("second", second))
        if known is not None:
            known = known.withColumn("second", second)
            rows = rows.join(known, [rows[name].eqNullSafe(known[name]) for name in IDENTITY], "left_anti")
        compared = self.staging + "/compared"
        rows = rows.drop("second").hint("rebalance", "day").sortWithinPartitions("day", "date")
        rows.write.partitionBy("day").parquet(compared, compression="zstd")
        return spark.read.schema(rows.schema).parquet(compared).count()

    def known(self, new_days):
        """Returns the rows of the archive that can be copies of these. Their dates can differ in year and zone, so it reads the
        same days of all years, and the days before and after them (in a leap year)."""
        present = self.days()
        dates = [date.fromisoformat(day).replace(year=2000) for day in new_days] if present else []
        near = {(day + timedelta(days=n)).strftime("%m-%d") for day in dates for n in range(-2, 3)}
        names = [f"{self.directory}/day={day}" for day in present if day.strftime("%m-%d") in near]
        return session(self.context).read.option("basePath", self.directory).parquet(*names) if names else None


def session(context):
    """Starts Spark SQL."""
    spark = SparkSession.builder.getOrCreate()
    settings = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        # Do not search for copies within each partition first. The copies of a line are in
        # different logs, so this search would find nothing.
        "spark.sql.optimizer.windowGroupLimitThreshold": "-1",
    }
    for key, value in settings.items():
        spark.conf.set(key, value)
    return spark


if __name__ == "__main__":
    sys.exit(main())
