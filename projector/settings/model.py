"""What can be set, and what is refused.

`Settings(...)` takes only what it is given; `sources` reads the surroundings. Secrets are `SecretStr`
and never part of a message. Each field's description is what `docs/reference/settings.md` says of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from typing_extensions import override

from projector.core.errors import SettingsError
from projector.core.secrets import conceal
from projector.core.start import BEGINNING, StartFrom
from projector.projection.chosen import DEFINITION
from projector.projection.project import Projection
from projector.projection.selection import Selection
from projector.settings.values import (
    Name,
    ResourceName,
    RoleName,
    Token,
    new_instance_name,
    parse_start_from,
)

PREFIX = "PROJECTOR_"
MAX_PAGE_SIZE = 10_000
MAX_PORT = 65_535


class Settings(BaseSettings):
    """Everything a person can set; immutable."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    cosmos_endpoint: str | None = Field(
        default=None,
        description="URL of the Cosmos DB account, for example `https://acme.documents.azure.com:443/`.",
    )
    cosmos_key: SecretStr | None = Field(
        default=None,
        description="Account key. Absent: `DefaultAzureCredential` signs in (managed identity, `az login`, ...).",
    )
    cosmos_verify_tls: bool = Field(
        default=True,
        description="Check the endpoint's certificate. Set to false only for an emulator with a self-signed one.",
    )
    cosmos_database: ResourceName = Field(
        default="acme-webstore", description="Database of the cart container."
    )
    cosmos_container: ResourceName = Field(
        default=DEFINITION.container,
        description=f"The container to copy, partitioned on `{DEFINITION.key_path}`.",
    )
    lease_database: ResourceName | None = Field(
        default=None, description="Database of the lease container. Absent: the cart container's."
    )
    lease_container: ResourceName = Field(
        default="lease",
        description="Container of the leases, partitioned on `/id`; created when missing.",
    )
    processor_name: ResourceName = Field(
        default="projector",
        description="Hosts of one processor name share the ranges; another name reads everything anew.",
    )
    instance_name: Name = Field(
        default_factory=new_instance_name,
        description="Name of this host in the leases; no two hosts should share one. Absent: host name, process id and a random part.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL 14 to 18, for example `postgresql://user:password@host:5432/shop`."
        " Absent: the embedded PostgreSQL in `PROJECTOR_DATA_DIR`.",
    )
    database_sign_in: Literal["password", "entra"] = Field(
        default="password",
        description="`password`: as the URL says. `entra`: `DefaultAzureCredential` signs in to Azure Database for"
        " PostgreSQL, under the user of the URL, which then holds no password.",
    )
    reader_role: RoleName = Field(
        default=DEFINITION.reader_role,
        description="Role that may read the views and nothing else. Roles belong to the whole server: give"
        " each of its databases a role of its own where their readers differ.",
    )
    data_dir: Path = Field(
        default=Path(".projector"), description="Folder of the embedded PostgreSQL."
    )
    start_from: Annotated[StartFrom, NoDecode, BeforeValidator(parse_start_from)] = Field(
        default=BEGINNING,
        description="Where a range without a bookmark starts: `beginning`, `now` or an ISO 8601 time with its zone.",
    )
    only_where: str | None = Field(
        default=None,
        description="A field and the values it has in documents that are meant, such as `type=line,cartLine`."
        " Others are passed over. Absent: all are meant.",
    )
    only_with: str | None = Field(
        default=None,
        description="Fields that a document that is meant has, such as `item,quantity`."
        " Others are passed over. Absent: all are meant.",
    )
    max_rejected_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of the first 1,000 documents of a copy that may be rejected; above it the host stops."
        " 1: never.",
    )
    page_size: int = Field(
        default=1000,
        ge=1,
        le=MAX_PAGE_SIZE,
        description="Documents to ask for in one read of the feed, 1 to 10,000.",
    )
    poll_min_seconds: float = Field(
        default=0.05,
        gt=0,
        le=3600,
        description="Wait between reads of a range right after a change. Each read costs 1 RU.",
    )
    poll_max_seconds: float = Field(
        default=1.0,
        gt=0,
        le=3600,
        description="Wait between reads of an idle range, reached step by step.",
    )
    max_request_units: float | None = Field(
        default=None,
        ge=1,
        le=1_000_000_000,
        description="Request units per second that all hosts of the processor together spend on the container, at most;"
        " those of the leases apart. Absent: no limit.",
    )
    cosmos_priority: Literal["low", "high"] | None = Field(
        default=None,
        description="`low` or `high`: which reads the service refuses first when request units are short, where"
        " the account has priority-based execution. Absent: the account's default.",
    )
    cosmos_throughput_bucket: int | None = Field(
        default=None,
        ge=1,
        le=5,
        description="Number of the container's throughput bucket, 1 to 5, whose share the reads may use. Absent: none.",
    )
    lease_acquire_seconds: float = Field(
        default=13.0, gt=0, le=3600, description="Time between two balancing cycles."
    )
    lease_renew_seconds: float = Field(
        default=17.0, gt=0, le=3600, description="Time between two renewals of an owned lease."
    )
    lease_expiration_seconds: float = Field(
        default=60.0,
        gt=0,
        le=86_400,
        description="A lease not renewed for this long may be taken by another host.",
    )
    min_leases: int = Field(
        default=0, ge=0, description="Leases this host takes even when its fair share is smaller."
    )
    max_leases: int | None = Field(
        default=None, ge=1, description="Leases this host never exceeds. Absent: no limit."
    )
    web_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address of console, health and metrics.",
    )
    web_port: int = Field(
        default=8080, ge=0, le=MAX_PORT, description="Their port; 0 switches them off."
    )
    web_token: Token | None = Field(
        default=None,
        description="What the console asks for, 16 characters or more. Absent: the console is open on loopback, and closed on any other address.",
    )
    web_names: str | None = Field(
        default=None,
        description="Further names under which the console may be asked for, with commas between them, such as that of an ingress.",
    )
    rebuild_source: Literal["feed", "scan"] = Field(
        default="feed",
        description="Where a rebuild gets the documents from: `feed`, the change feed from its beginning, or `scan`, a query of the container.",
    )
    rebuild_page_size: int = Field(
        default=5000,
        ge=1,
        le=MAX_PAGE_SIZE,
        description="Documents to ask for in one read of a rebuild, 1 to 10,000; each read is one transaction.",
    )
    probe_host: str = Field(
        default="127.0.0.1", min_length=1, description="Address of health and metrics alone."
    )
    probe_port: int = Field(
        default=0,
        ge=0,
        le=MAX_PORT,
        description="Their port, beside the console's, so that it can stay on loopback; 0: none.",
    )
    health_lag_seconds: float = Field(
        default=300.0,
        gt=0,
        le=31_536_000,
        description="A range whose rows are further behind than this is not healthy.",
    )
    housekeeping_purge_hours: float = Field(
        default=1.0,
        ge=0,
        le=8760,
        description="Hours between two purges of tombstones that nothing can outdate; 0: never.",
    )
    housekeeping_retry_hours: float = Field(
        default=6.0,
        ge=0,
        le=8760,
        description="Hours between two retries of quarantined documents that may have changed; 0: never.",
    )
    housekeeping_verify_hours: float = Field(
        default=24.0,
        ge=0,
        le=8760,
        description="Hours between two verifications of the whole copy; 0: never.",
    )
    housekeeping_repair: bool = Field(
        default=False, description="Whether a scheduled verification mends what differs."
    )
    housekeeping_closed_days: float = Field(
        default=30.0, ge=0, le=36_500, description="Days that a closed quarantine entry is kept."
    )
    rebuild_keep_hours: float = Field(
        default=24.0,
        ge=0,
        le=8760,
        description="Hours that the former generation is fed after a promotion, so that one may go back to it.",
    )
    rebuild_lag_seconds: float = Field(
        default=1.0,
        gt=0,
        le=3600,
        description="A new generation that is further behind than this is not promoted.",
    )
    timeline_days: float = Field(
        default=90.0,
        ge=0,
        le=36_500,
        description="Days that the timeline and the snapshots of resets are kept; of the timeline at most 10,000 entries of a kind.",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        description="URL of an OpenTelemetry collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; needs"
        " the extra `otel`. Absent: no traces, and metrics for Prometheus alone.",
    )
    history: bool = Field(
        default=True,
        description="Whether it is written down what happens to lines: events, the carts of a time, days. The host"
        " that starts last decides.",
    )
    history_keep_months: int = Field(
        default=13,
        ge=0,
        le=1200,
        description="Whole months that events are kept; 0: for ever. Days are kept for ever.",
    )
    days_time_zone: Name = Field(
        default="UTC",
        description="Time zone in which days end, by its IANA name, such as `Europe/Berlin`. Days that are over stay.",
    )
    abandoned_after_hours: float = Field(
        default=24.0,
        gt=0,
        le=87_600,
        description="Hours without a touch after which a cart counts as abandoned.",
    )
    log_format: Literal["auto", "console", "json", "logfmt"] = Field(
        default="auto",
        description="`auto`, `console`, `json` or `logfmt`; `auto` is `console` on a terminal, else `logfmt`.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="Least level that is logged: `debug`, `info`, `warning` or `error`.",
    )

    @field_validator("otlp_endpoint")
    @classmethod
    def _check_collector(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://none")
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
            raise ValueError("must be a URL such as http://127.0.0.1:4318, without credentials")
        return value

    @field_validator("cosmos_endpoint")
    @classmethod
    def _check_endpoint(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be a URL such as https://acme.documents.azure.com:443/")
        if "@" in parts.netloc:
            raise ValueError("must hold no credentials: the key goes to PROJECTOR_COSMOS_KEY")
        return value

    @field_validator("only_where")
    @classmethod
    def _check_filter(cls, value: str | None) -> str | None:
        Selection.parse(value, None)
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _without_line_end(cls, value: object) -> object:
        """A secret that comes from a file often ends with a line break."""
        return value.strip() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.lease_renew_seconds >= self.lease_expiration_seconds:
            raise ValueError(
                "PROJECTOR_LEASE_RENEW_SECONDS must be less than PROJECTOR_LEASE_EXPIRATION_SECONDS,"
                f" but {self.lease_renew_seconds:g} is not less than {self.lease_expiration_seconds:g}"
            )
        if self.poll_min_seconds > self.poll_max_seconds:
            raise ValueError(
                "PROJECTOR_POLL_MIN_SECONDS must not exceed PROJECTOR_POLL_MAX_SECONDS,"
                f" but {self.poll_min_seconds:g} is more than {self.poll_max_seconds:g}"
            )
        if self.database_sign_in == "entra" and self.database_url is None:
            raise ValueError("PROJECTOR_DATABASE_SIGN_IN=entra needs PROJECTOR_DATABASE_URL")
        if self.max_leases is not None and self.min_leases > self.max_leases:
            raise ValueError("PROJECTOR_MIN_LEASES must not exceed PROJECTOR_MAX_LEASES")
        return self

    @override
    def model_post_init(self, context: object, /) -> None:
        """Whoever has read a secret sees to it that no text shows it."""
        given = (self.cosmos_key, self.database_url, self.web_token)
        conceal(secret.get_secret_value() for secret in given if secret is not None)

    @property
    def projection(self) -> Projection:
        """What documents turn into, and which of them are meant."""
        return Projection(DEFINITION, selection=Selection.parse(self.only_where, self.only_with))

    @property
    def lease_database_name(self) -> str:
        """The database that holds the lease container."""
        return self.lease_database or self.cosmos_database

    @override
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given: reading the surroundings is the loader's choice."""
        return (init_settings,)


def variable(field_name: str) -> str:
    """The environment variable of a field of `Settings`."""
    return PREFIX + field_name.upper()


def required_endpoint(settings: Settings) -> str:
    """The account's URL.

    Raises:
        SettingsError: It is not set.
    """
    if settings.cosmos_endpoint is None:
        raise SettingsError(
            "PROJECTOR_COSMOS_ENDPOINT is not set: give the URL of your Cosmos DB account,"
            " or try everything without one: projector demo"
        )
    return settings.cosmos_endpoint
