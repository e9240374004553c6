"""Every setting of a server, in one place.

A setting comes from the environment (``STATEROOM_PORT``), for secrets also from a file the environment
names (``STATEROOM_DATABASE_URL_FILE``), or from a TOML file (``STATEROOM_CONFIG``), in this order.  The
text under each field is its documentation: ``docs/settings.md`` is made from it.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ByteSize, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from app.errors import StateroomError
from app.secret import Secret

PREFIX = "STATEROOM_"
LOOPBACK = ("127.0.0.1", "::1", "localhost")

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Bytes = Annotated[ByteSize, Field(ge=1)]
#: Several values: separated by commas in the environment, a list in TOML.
Words = Annotated[tuple[str, ...], NoDecode]


class SettingsError(StateroomError):
    """The settings cannot be used; the sentence names each variable at fault and what it may be."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    # -- where things lie ------------------------------------------------------------------------------------
    data_dir: Path = Field(default_factory=lambda: _default_data_dir())
    """Directory for everything kept on this machine: keys, working directories, and database, objects and
    queue where no URL says otherwise.  Default: `$XDG_DATA_HOME/stateroom`, else
    `~/.local/share/stateroom`."""
    database_url: Annotated[Secret[str], NoDecode] = Field(default=Secret(""), validate_default=False)
    """Database: `postgres://USER:PASSWORD@HOST/NAME` or `sqlite:///PATH`.  Default: SQLite in the data
    directory."""
    database_pool: Count = 10
    """Most connections to PostgreSQL that one process opens."""
    redis_url: Annotated[Secret[str] | None, NoDecode] = None
    """Valkey or Redis: `redis://HOST:6379/0`, `rediss://…` or `unix:///PATH`.  Without one everything still
    works, but jobs wait for the next look at the table and log readers see segments instead of lines."""
    objects_url: Annotated[Secret[str], NoDecode] = Field(default=Secret(""), validate_default=False)
    """Object store: `file:///DIR`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or
    `az://ACCOUNT/CONTAINER/PREFIX`. Default: `objects` in the data directory."""
    objects_options: dict[str, str] = {}
    """Options of the object store as obstore names them, a JSON object: `{"endpoint": "https://…",
    "region": "…"}`. Credentials are better left to the environment variables of the store's own SDK."""
    keys: Annotated[Secret[str] | None, NoDecode] = None
    """The key ring that encrypts everything stored, as the text of a key file.  Default: `keys.json` in the data
    directory, made at first start."""
    tools_dir: Path = Field(default=Path(), validate_default=False)
    """Installed Terraform and OpenTofu versions, as `terraform/1.11.4/terraform`.  Default: `tools` in the
    data directory."""
    mirror_dir: Path = Field(default=Path(), validate_default=False)
    """Filesystem mirror of providers, read-only for runs.  Default: `mirror` in the data directory."""

    # -- how it is reached -----------------------------------------------------------------------------------
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8443, ge=0, le=65535)
    """Port to listen on."""
    external_url: str = Field(default="", validate_default=False)
    """The URL people and terraform use: in links, discovery and signed URLs.  Default:
    `https://localhost:PORT`."""
    internal_url: str = Field(default="", validate_default=False)
    """The URL by which workers and the proxies of their sandboxes reach the API.  Default: the external
    one."""
    tls: bool = True
    """Speak HTTPS.  Terraform's discovery insists on it; without, only loopback may be listened on."""
    tls_certificate: Path | None = None
    """Certificate (PEM, with its chain).  Default: one from a local CA that the first start makes."""
    tls_key: Path | None = None
    """Private key of the certificate (PEM)."""
    tls_ca: Path | None = None
    """CA bundle that workers trust besides the system's when they call the internal URL or fetch a Terraform."""
    behind_proxy: bool = False
    """A proxy in front ends TLS and sends `X-Forwarded-For` and `X-Forwarded-Proto`."""
    trusted_proxies: Words = ("127.0.0.1",)
    """Addresses whose forwarding headers are believed."""

    # -- GitHub ----------------------------------------------------------------------------------------------
    webhook_url: str = Field(default="", validate_default=False)
    """The URL that GitHub delivers to, where GitHub reaches this server by another one than people do.  Default: the
    external one."""
    instance_name: str = Field(default="", max_length=40, pattern=r"^[ -~]*$")
    """What checks on GitHub call this installation, before the organization's name.  Branch protection knows checks by
    their names, so settle it before the first.  Default: the host name of the external URL."""
    checks_per_commit: int = Field(default=20, ge=0, le=200)
    """Most workspaces of an organization that get a check of their own on one commit; the organization's check counts
    all of them."""
    fetch_lfs: bool = False
    """Bring the files that Git LFS keeps beside a repository, which counts as its owner's bandwidth there.  Needs
    `git-lfs` where workers run.  Without it a run finds the short texts that point to them."""

    # -- who may ---------------------------------------------------------------------------------------------
    allow_forks: bool = False
    """Let workspaces plan pull requests of strangers' forks without anybody's approval (`fork-policy` `allow`).  Such a
    plan gets no sensitive variable, but code that nobody has looked at runs, and may print what is in the state."""
    organizations_open: bool = False
    """Let every user create organizations, not only site admins."""
    session_life: Seconds = 14 * 24 * 3600
    """Seconds a browser's login lasts without use."""
    login_link_life: Seconds = 3600
    """Seconds a one-time login link can be used."""
    signed_url_life: Seconds = 25 * 3600
    """Seconds a signed URL (log, state, archive) can be used."""
    api_rate_limit: int = Field(default=100, ge=0)
    """Requests a second for each user or token owner, for each address when anonymous.  0 turns the limit
    off."""
    metrics_token: Annotated[Secret[str] | None, NoDecode] = None
    """Bearer token that may read `/metrics` from elsewhere than loopback; behind a proxy, from anywhere."""

    # -- workers ---------------------------------------------------------------------------------------------
    worker_slots: Count = Field(default_factory=lambda: len(os.sched_getaffinity(0)))
    """Phases one worker runs at a time.  Default: the number of cores."""
    sandbox: Literal["bwrap", "none"] = "bwrap"
    """What confines a run.  `none` lets every run read and write as the worker's user: only for runs you
    would start by hand."""
    sandbox_uids: str = ""
    """First uid of a range that is used one per slot when the worker runs as root.  Default: chosen from
    what is mapped."""
    organization_cap: Count | None = None
    """Most jobs of one organization at a time.  Default: none."""
    plan_timeout: Seconds = 2 * 3600
    """Seconds after which a plan is interrupted, as a cancel would."""
    apply_timeout: Seconds = 24 * 3600
    """Seconds after which an apply is interrupted, as a cancel would."""
    force_cancel_cooloff: Annotated[float, Field(ge=0)] = 60
    """Seconds after a cancel before a run may be force-canceled."""
    saved_plan_life: Seconds = 28 * 24 * 3600
    """Seconds after which a saved plan that nobody confirmed is discarded."""
    idle_poll: Seconds = 2
    """Seconds between an idle slot's looks at the job table; a bell wakes it earlier."""
    lease_renew: Seconds = 5
    """Seconds between a worker's signs of life for its job."""
    lease_expire: Seconds = 15
    """Seconds without a sign of life after which others end a lease."""
    lease_stop: Seconds = 10
    """Seconds without a successful renewal after which a worker stops by itself.  Must be less than
    `lease_expire`."""
    adoption_wait: Seconds = 15 * 60
    """Seconds an apply whose worker is lost waits to be adopted before it is given up."""
    downloads: bool = True
    """Let workers download official releases of Terraform and OpenTofu, verified by signature and checksum."""
    terraform_releases_url: str = "https://releases.hashicorp.com"
    """Where Terraform's releases are: a mirror is laid out in the same way (`terraform/index.json`,
    `terraform/1.9.8/…`)."""
    opentofu_releases_url: str = "https://github.com/opentofu/opentofu/releases/download"
    """Where OpenTofu's releases are, as `v1.9.0/tofu_1.9.0_linux_amd64.zip`."""
    opentofu_index_url: str = "https://get.opentofu.org/tofu/api.json"
    """Which releases of OpenTofu there are: a mirror serves the same document."""
    release_keys: Path | None = None
    """File of OpenPGP public keys that may sign releases, besides those that come along.  Default: none."""

    # -- a run's network -------------------------------------------------------------------------------------
    egress_public: bool = True
    """Let runs reach every public host.  Private and metadata addresses are closed unless `egress_allow`
    names them."""
    egress_allow: Words = ()
    """Hosts a run may reach: names, `*.suffix`, addresses or networks, each with an optional `:PORT`."""
    mirror_only: bool = False
    """Install providers from the mirror alone."""

    # -- limits ----------------------------------------------------------------------------------------------
    max_json_body: Bytes = ByteSize(2 * 1024**2)
    """Largest JSON body of a request."""
    max_inline_state: Bytes = ByteSize(32 * 1024**2)
    """Largest state inside a JSON body."""
    max_state: Bytes = ByteSize(1024**3)
    """Largest uploaded state."""
    max_archive: Bytes = ByteSize(100 * 1024**2)
    """Largest configuration archive, packed."""
    max_archive_unpacked: Bytes = ByteSize(1024**3)
    """Largest configuration archive, unpacked."""
    max_archive_files: Count = 100_000
    """Most entries of a configuration archive."""
    max_log: Bytes = ByteSize(256 * 1024**2)
    """Longest log of a phase; what follows is left out, and a line says so."""
    max_release: Bytes = ByteSize(2 * 1024**3)
    """Largest zip of a Terraform release or of a registered bundle."""
    max_release_unpacked: Bytes = ByteSize(8 * 1024**3)
    """Largest release or bundle, unpacked."""
    max_variable: Bytes = ByteSize(256 * 1024)
    """Longest value of a variable."""
    max_page_size: Count = 100
    """Most items of a page."""
    log_hold: Annotated[float, Field(ge=0)] = 20
    """Seconds a request for a log with nothing new is held open."""
    max_valkey_memory: Bytes = ByteSize(256 * 1024**2)
    """Memory of the embedded Valkey."""

    # -- operation -------------------------------------------------------------------------------------------
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe messages that are logged."""
    log_format: Literal["text", "json"] = "text"
    """How messages are written."""
    smtp_url: Annotated[Secret[str] | None, NoDecode] = None
    """Mail server: `smtp://USER:PASSWORD@HOST:587`.  Without one, links are shown instead of sent."""

    @field_validator("egress_allow", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(word for word in value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator(
        "external_url",
        "internal_url",
        "webhook_url",
        "terraform_releases_url",
        "opentofu_releases_url",
        "opentofu_index_url",
    )
    @classmethod
    def _is_a_base_url(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must begin with https:// (or http://)")
        return value.rstrip("/")

    @model_validator(mode="before")
    @classmethod
    def _fill_from_others(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Give what depends on another setting its value."""
        data = Path(given.get("data_dir") or _default_data_dir()).expanduser().absolute()
        scheme = "http" if str(given.get("tls", "true")).lower() in ("false", "0", "no", "off", "f", "n") else "https"
        external = given.get("external_url") or f"{scheme}://localhost:{given.get('port', 8443)}"
        return {
            "database_url": f"sqlite://{data}/stateroom.sqlite3",
            "objects_url": f"file://{data}/objects",
            "tools_dir": data / "tools",
            "mirror_dir": data / "mirror",
            "internal_url": external,
            "webhook_url": external,
            **{name: value for name, value in given.items() if value is not None},
            "external_url": external,
            "data_dir": data,
        }

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not (self.tls or self.behind_proxy or self.host in LOOPBACK):
            raise ValueError(
                f"host {self.host} without TLS would send tokens in clear text: set "
                "STATEROOM_TLS_CERTIFICATE and STATEROOM_TLS_KEY, or STATEROOM_BEHIND_PROXY=true where a "
                "proxy ends TLS, or listen on 127.0.0.1"
            )
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("STATEROOM_TLS_CERTIFICATE and STATEROOM_TLS_KEY belong together: set both or none")
        if not self.lease_renew < self.lease_stop < self.lease_expire:
            raise ValueError(
                "STATEROOM_LEASE_RENEW < STATEROOM_LEASE_STOP < STATEROOM_LEASE_EXPIRE must hold, or two "
                "workers could believe that they hold the same job"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = TomlConfigSettingsSource(settings_cls, os.environ.get(PREFIX + "CONFIG"))
        return init_settings, env_settings, SecretFiles(settings_cls), toml


class SecretFiles(PydanticBaseSettingsSource):
    """``STATEROOM_X_FILE``: the secret setting X is what that file holds, without the newline at its end."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        variable = f"{PREFIX}{field_name.upper()}_FILE"
        path = os.environ.get(variable)
        if not path or "Secret" not in str(field.annotation):
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n"), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise SettingsError(f"{variable} names {path}, which cannot be read: {reason}.") from error

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in Settings.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


_current: Settings | None = None


def load(**overrides: Any) -> Settings:
    """Read the settings, *overrides* going before everything, and make them the current ones."""
    global _current
    _check_config_file()
    try:
        _current = Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(problem, overrides) for problem in error.errors())) from None
    return _current


def current() -> Settings:
    """The settings in force; read from the environment if nothing loaded them yet."""
    return _current or load()


def loaded() -> Settings | None:
    """Those in force, if any were read yet: for what may not fail over them."""
    return _current


def unknown(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Variables that look like ours and mean nothing: most likely misspelt."""
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in _variables())


def misspelt(environment: Mapping[str, str] = os.environ) -> str | None:
    """A sentence about what is `unknown`, each with the setting that may have been meant; None if nothing is."""
    names = []
    for name in unknown(environment):
        (near, *_) = (*difflib.get_close_matches(name, _variables(), n=1, cutoff=0.8), None)
        names.append(f"{name} (did you mean {near}?)" if near else name)
    if not names:
        return None
    return (
        f"No such setting{'s' if len(names) > 1 else ''}, and ignored: {', '.join(names)}. docs/settings.md lists all."
    )


def _variables() -> set[str]:
    """Every variable of the environment that is read."""
    files = {PREFIX + n.upper() + "_FILE" for n, f in Settings.model_fields.items() if "Secret" in str(f.annotation)}
    return {PREFIX + name.upper() for name in Settings.model_fields} | {PREFIX + "CONFIG"} | files


def _default_data_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base, "stateroom").expanduser()


def _check_config_file() -> None:
    path = os.environ.get(PREFIX + "CONFIG")
    if not path:
        return
    import tomllib

    try:
        tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{PREFIX}CONFIG names {path}, which cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise SettingsError(f"{path} (named by {PREFIX}CONFIG) is not valid TOML: {error}.") from error


def _sentence(problem: Any, overrides: Mapping[str, Any]) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:] if not message.startswith("STATEROOM") else message
    if not problem["loc"]:
        return f"{message}."
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        return f"{os.environ.get(PREFIX + 'CONFIG', 'The configuration')} has {name!r}, which is no setting."
    asked = f"--{name.replace('_', '-')} or " if name in overrides else ""
    about = (Settings.model_fields[name].description or "").split(".  ")[0].replace("\n", " ").rstrip(".")
    return f"{asked}{PREFIX}{name.upper()}: {message}. ({about}.)"
