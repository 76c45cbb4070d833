"""The journal's tables: the words in which psstop is written down, the same in SQL, in line protocol and in JSON.

Read it with plain SQL while the daemon runs:

    sqlite3 -readonly journal.db "SELECT time, name, pss_bytes FROM samples ORDER BY time DESC LIMIT 10"

`samples` and `rollups` are the views for people; all sizes are bytes, all times Unix seconds. NULL means not measured
(nothing readable, or a line that this kernel does not have), 0 means measured and zero.
"""

SCHEMA_VERSION = 1

# Columns of `sample` and fields of the measurement psstop, in this order.
SAMPLE_FIELDS = (
    "pss_bytes",
    "swap_pss_bytes",
    "uss_bytes",
    "rss_bytes",
    "pss_anon_bytes",
    "pss_file_bytes",
    "pss_shmem_bytes",
    "pss_max_bytes",
    "processes",
    "unreadable",
    "starts_total",
    "age_ms",
    "read_us",
)

# Columns of `process_sample` and fields of psstop_process; `slot` is its tag.
PROCESS_FIELDS = (
    "pss_bytes",
    "swap_pss_bytes",
    "uss_bytes",
    "rss_bytes",
    "pss_anon_bytes",
    "pss_file_bytes",
    "pss_shmem_bytes",
    "pid",
    "start_time",
)

# Columns of `tick` and fields of psstopd, next to `up` and `names`.
HEALTH_FIELDS = (
    "processes",
    "tick_us",
    "late_ticks_total",
    "pending_points",
    "pending_age_s",
    "dropped_total",
    "quarantined_total",
    "send_errors_total",
    "self_pss_bytes",
    "self_cpu_us_total",
)

# Kept as minimum, mean and maximum over five minutes for as long as `rollup_for`.
ROLLUP_FIELDS = ("pss_bytes", "swap_pss_bytes", "uss_bytes", "rss_bytes", "pss_anon_bytes", "processes")
ROLLUP_SECONDS = 300

_INT = " INTEGER"


def _columns(fields: tuple[str, ...]) -> str:
    return ",\n    ".join(field + _INT for field in fields)


def _rollup_columns() -> str:
    return ",\n    ".join(f"{field}_min INTEGER, {field}_sum INTEGER, {field}_max INTEGER" for field in ROLLUP_FIELDS)


def _rollup_view() -> str:
    return ",\n    ".join(f"{field}_min, {field}_sum / n AS {field}_mean, {field}_max" for field in ROLLUP_FIELDS)


# Rows are clustered by tick: by name they would write a hundred times as much to disk (a page for each name and tick).
SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE name (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    starts_total INTEGER NOT NULL DEFAULT 0,
    newest_start INTEGER NOT NULL DEFAULT 0 -- clock ticks since boot
);
CREATE TABLE tick (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of the queue; clocks step, ids don't
    time INTEGER NOT NULL,
    points_before INTEGER NOT NULL, -- points of all earlier ticks, so that pending ones need no counting
    {_columns(HEALTH_FIELDS)}
);
CREATE INDEX tick_time ON tick (time);
CREATE TABLE sample (
    tick_id INTEGER NOT NULL,
    name_id INTEGER NOT NULL,
    {_columns(SAMPLE_FIELDS)},
    PRIMARY KEY (tick_id, name_id)
) WITHOUT ROWID;
CREATE TABLE process_sample (
    tick_id INTEGER NOT NULL,
    name_id INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    {_columns(PROCESS_FIELDS)},
    PRIMARY KEY (tick_id, name_id, slot)
) WITHOUT ROWID;
CREATE TABLE rollup (
    time INTEGER NOT NULL, -- begin of the five minutes
    name_id INTEGER NOT NULL,
    n INTEGER NOT NULL, -- ticks with a measured size; a kernel has a line of smaps_rollup in all of them or in none
    unreadable_max INTEGER NOT NULL,
    starts_total INTEGER NOT NULL,
    {_rollup_columns()},
    PRIMARY KEY (time, name_id)
) WITHOUT ROWID;
CREATE VIEW samples AS
    SELECT tick.time AS time, name.name AS name, {", ".join("sample." + field for field in SAMPLE_FIELDS)}
    FROM sample JOIN tick ON tick.id = sample.tick_id JOIN name ON name.id = sample.name_id;
CREATE VIEW rollups AS
    SELECT rollup.time AS time, name.name AS name, n, unreadable_max, rollup.starts_total AS starts_total,
    {_rollup_view()}
    FROM rollup JOIN name ON name.id = rollup.name_id;
INSERT INTO meta VALUES ('journal_id', lower(hex(randomblob(16))));
PRAGMA user_version = {SCHEMA_VERSION};
"""
