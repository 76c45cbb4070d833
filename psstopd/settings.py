"""Read the config file and the environment, check every value, and hand on a plain `psstopd.config.Config`.

    python -m psstopd.settings --config FILE

writes that Config as JSON to standard output, the token included, for the daemon that started it. The description of a
field is what an operator reads after "must be" when the value is wrong.
"""

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic_settings
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from psstopd import config, exits
from psstopd import settings_checks as checks
from psstopd import settings_files as files
from psstopd.settings_errors import Location, Origin, Problem, SettingsError, explain, refusal, shown, unknown_key

DEFAULT_PATH = Path("/etc/psstop/psstop.toml")
PREFIX = "PSSTOP_"

HOUR, DAY, CENTURY = 3600, 86400, 36500 * 86400
MIB = 1 << 20

Text = Annotated[str, AfterValidator(checks.printable_text)]
Regex = Annotated[Text, AfterValidator(checks.regex)]
Url = Annotated[str, AfterValidator(checks.base_url)]
Duration = Annotated[int, BeforeValidator(checks.seconds)]
Size = Annotated[int, BeforeValidator(checks.byte_count)]
CaFile = Annotated[str, AfterValidator(files.ca_file)]
CertFile = Annotated[str, AfterValidator(files.cert_file)]
KeyFile = Annotated[str, AfterValidator(files.key_file)]
SampleField = Annotated[str, AfterValidator(checks.sample_field)]
TagKey = Annotated[str, AfterValidator(checks.tag_key)]
TagValue = Annotated[str, AfterValidator(checks.tag_value)]


class Table(BaseModel):
    """One table of the file; lives until its values are copied into a Config."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class Rule(Table):
    """One `[[watch]]`."""

    name: Text | None = Field(None, description='the name of the group, such as "web"')
    comm: Text | None = Field(None, description='a glob on the name of the program, such as "gunicorn*"')
    cmdline: Regex | None = Field(None, description='a regular expression, such as "myapp[.]wsgi"')
    exe: Text | None = Field(None, description='a glob on the path of the executable, such as "/opt/myapp/*"')
    user: Text | None = Field(None, description='a user, such as "www-data"')
    unit: Text | None = Field(None, description='a glob on the systemd unit, such as "myapp@*.service"')
    group_by: Literal["rule", "program", "unit", "user"] | None = Field(
        None, description='"rule", "program", "unit" or "user"'
    )

    @field_validator("group_by")
    @classmethod
    def _rule_has_name(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value == "rule" and info.data.get("name", "") is None:
            raise ValueError('needs the name of the group; add name = "web", or group by "program", "unit" or "user"')
        return value


class Sampling(Table):
    """`[sampling]`."""

    interval: Duration = Field(10, ge=1, le=HOUR, description='a duration from 1s to 1h, such as "10s"')
    max_names: int = Field(200, ge=1, le=5000, description="a whole number from 1 to 5000")
    top_processes: int = Field(0, ge=0, le=100, description="a whole number from 0 to 100")


class Overhead(Table):
    """`[overhead]`."""

    target_share: float = Field(0.005, gt=0, le=1, description="a number above 0 and up to 1, such as 0.005")
    cpu_share: float = Field(0.02, gt=0, le=1, description="a number above 0 and up to 1, such as 0.02")
    max_age: Duration = Field(60, ge=0, le=HOUR, description='a duration from 0s to 1h, such as "60s"')

    @field_validator("max_age", mode="before")
    @classmethod
    def _zero_needs_no_unit(cls, value: object) -> object:
        return 0 if value == "0" else value


class Journal(Table):
    """`[journal]`."""

    path: Text = Field("/var/lib/psstop/journal.db", description="the path of the journal file")
    raw_for: Duration = Field(7 * DAY, ge=HOUR, le=CENTURY, description='a duration from 1h to 36500d, such as "7d"')
    rollup_for: Duration = Field(
        180 * DAY,
        ge=HOUR,
        le=CENTURY,
        validate_default=True,
        description='a duration from raw_for to 36500d, such as "180d"',
    )
    max_size: Size = Field(
        512 * MIB, ge=8 * MIB, le=MIB * MIB, description='a size from 8MiB to 1024GiB, such as "512MiB"'
    )

    @field_validator("rollup_for")
    @classmethod
    def _not_shorter_than_raw(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("raw_for", 0):
            raise ValueError("must be at least as long as raw_for; it is 180d unless set")
        return value


class InfluxDB(Table):
    """`[influxdb]`."""

    url: Url = Field(description='a URL, such as "https://influx.example:8086"')
    api: Literal["v1", "v2"] = Field("v2", description='"v2", or "v1" for InfluxDB 1.x')
    org: Text = Field("-", description='the organization in InfluxDB, such as "ops"')
    bucket: Text = Field(description='the bucket in InfluxDB, such as "psstop"')
    token: SecretStr | None = Field(None, description="text")
    token_file: str | None = Field(None, description="the absolute path of a file that holds the token")
    batch_size: int = Field(5000, ge=1, le=50000, description="a whole number from 1 to 50000")
    flush_interval: Duration = Field(10, ge=1, le=HOUR, description='a duration from 1s to 1h, such as "10s"')
    timeout: Duration = Field(10, ge=1, le=300, description='a duration from 1s to 5m, such as "10s"')
    backfill_rate: int = Field(10_000, ge=1, le=1_000_000, description="a whole number from 1 to 1000000")
    fields: list[SampleField] | None = Field(
        None, min_length=1, description='"all", or a list such as ["pss_bytes", "processes"]'
    )
    ca_file: CaFile | None = Field(None, description="the path of a file with CA certificates")
    cert_file: CertFile | None = Field(None, description="the absolute path of a file with the client certificate")
    key_file: KeyFile | None = Field(
        None, validate_default=True, description="the absolute path of a file with the client certificate's key"
    )

    @field_validator("bucket")
    @classmethod
    def _v1_is_database(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("api") == "v1" and not re.fullmatch("[^/]+(/[^/]+)?", value):
            raise ValueError('must be database or database/retention-policy with api = "v1"')
        return value

    @field_validator("token")
    @classmethod
    def _token_fits_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            checks.header_text(value.get_secret_value())
        return value

    @field_validator("token_file")
    @classmethod
    def _token_file_holds_token(cls, value: str | None, info: ValidationInfo) -> str | None:
        if not value or info.data.get("token") is not None:
            return None
        return files.token_file(value)

    @field_validator("key_file")
    @classmethod
    def _key_belongs_to_certificate(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "cert_file" in info.data:  # otherwise that one has a problem of its own
            files.client_certificate(info.data["cert_file"], value)
        return value

    @field_validator("fields", mode="before")
    @classmethod
    def _all_is_none(cls, value: object) -> object:
        return None if value == "all" else value


class Settings(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    names: list[Text] = Field([], description='a list of program names, such as ["nginx", "postgres"]')
    watch: list[Rule] = Field([], description="a list of rules, each below its own [[watch]]")
    sampling: Sampling = Field(Sampling(), description="a table")
    overhead: Overhead = Field(Overhead(), description="a table")
    journal: Journal = Field(Journal(), description="a table")
    influxdb: InfluxDB | None = Field(None, description="a table, or JSON in a variable")
    tags: dict[TagKey, TagValue] = Field({}, max_length=20, description='text, at most 20 of them, such as dc = "fra1"')


class Environment(Settings, BaseSettings):
    """The same keys as variables, PSSTOP_JOURNAL__PATH for journal.path; never instantiated."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__")


TABLES: dict[str, type[Table]] = {
    "watch": Rule,
    "sampling": Sampling,
    "overhead": Overhead,
    "journal": Journal,
    "influxdb": InfluxDB,
}
KEYS = [*Settings.model_fields, *(f"{table}.{key}" for table, model in TABLES.items() for key in model.model_fields)]
VARIABLES = [PREFIX + key.replace(".", "__").upper() for key in KEYS if not key.startswith("watch.")]


def load(path: Path | None, environ: Mapping[str, str], *, ships: bool = True) -> config.Config:
    """Read `path` (None: the default) and what `environ` overrides; raise SettingsError with all problems at once.

    For one that doesn't ship, what only the shipper may read is neither checked nor in the Config.
    """
    file = DEFAULT_PATH if path is None else path
    overrides, variables, problems = _from_environment(environ)
    try:
        values = checks.read_toml(file)
    except SettingsError as error:
        raise SettingsError([*error.problems, *problems]) from error
    for location, value in overrides.items():
        checks.put(values, location, value)
    if ships:
        files.fill_in_credentials(values, environ)
    else:
        files.leave_to_shipper(values)
    settings, invalid = _validated(values)
    origin = Origin(file, variables)
    problems += [problem.line(origin) for problem in (*invalid, *checks.conflicts(values))]
    if settings is None or problems:
        raise SettingsError(problems)
    return _plain(settings)


def _from_environment(environ: Mapping[str, str]) -> tuple[dict[Location, Any], dict[Location, str], list[str]]:
    """Give the values that PSSTOP_ variables set, which variable set which, and what is wrong with the others."""
    values: dict[Location, Any] = {}
    variables: dict[Location, str] = {}
    problems: list[str] = []
    source = EnvSettingsSource(Environment)
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        # One at a time: by itself the source reads os.environ, ignores what it doesn't know and stops at one mistake.
        source.env_vars = {variable.lower(): environ[variable]}
        try:
            decoded = source()
        except (pydantic_settings.SettingsError, RecursionError):
            decoded = {}
        if not decoded:
            problems.append(f"{variable}: {refusal(variable, VARIABLES)}")
        for location, value in checks.leaves(decoded):
            field = _field(location)
            values[location] = checks.number(value, field.annotation if field else None)
            variables[location] = variable
    return values, variables, problems


def _validated(values: Mapping[str, Any]) -> tuple[Settings | None, list[Problem]]:
    """Check each key by itself."""
    try:
        return Settings.model_validate(values), []
    except ValidationError as error:
        return None, [_problem(details, values) for details in error.errors(include_url=False, include_input=False)]


def _problem(details: Mapping[str, Any], values: Mapping[str, Any]) -> Problem:
    """Explain one of pydantic's findings by the field it is about and the value as it was given."""
    location: Location = details["loc"]
    if location[0] == "tags":
        location = location[:2]  # a third part, "[key]", says that the tag's key is wrong
    field = _field(location)
    if field is None:  # without its value: it may be a token under a misspelt key
        return Problem(location, None, unknown_key(location, KEYS))
    return Problem(location, shown(location, checks.found(values, location)), explain(details, field.description))


def _field(location: Location) -> FieldInfo | None:
    """Find the model's field for a key, the one around it for an item of a list; None if there is none."""
    table, *keys = (part for part in location if isinstance(part, str))
    if table in TABLES and keys:
        return TABLES[table].model_fields.get(keys[0])
    return Settings.model_fields.get(table)


def _plain(settings: Settings) -> config.Config:
    """Copy the values out of pydantic's hands."""
    influxdb = settings.influxdb and settings.influxdb.model_dump()
    if influxdb:
        influxdb["token"] = influxdb["token"] and config.Secret(influxdb["token"].get_secret_value())
        influxdb["fields"] = influxdb["fields"] and tuple(influxdb["fields"])
    return config.Config(
        watch=(*(_watch(Rule(name=name), program=name) for name in settings.names), *map(_watch, settings.watch)),
        sampling=config.Sampling(**settings.sampling.model_dump()),
        overhead=config.Overhead(**settings.overhead.model_dump()),
        journal=config.JournalConfig(**settings.journal.model_dump()),
        influxdb=config.InfluxDBConfig(**influxdb) if influxdb else None,
        tags=settings.tags,
    )


def _watch(rule: Rule, program: str | None = None) -> config.Watch:
    """Fill in what decides the name."""
    group_by = rule.group_by or ("program" if rule.name is None else "rule")
    return config.Watch(program=program, **rule.model_dump() | {"group_by": group_by})


def main(argv: Sequence[str]) -> int:
    """Write the Config as JSON and return 0, or say what is wrong and return 78."""
    parser = argparse.ArgumentParser(prog="python -m psstopd.settings", description="Check a config; write it as JSON.")
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"default: {DEFAULT_PATH}")
    parser.add_argument("--no-shipper", dest="ships", action="store_false", help="without what only the shipper reads")
    options = parser.parse_args(argv)
    try:
        settings = load(options.config, os.environ, ships=options.ships)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return exits.CONFIG
    sys.stdout.write(f"{config.to_json(settings)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
