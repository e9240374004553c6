"""The order a phase is given, and the result it leaves.

Both travel as JSON.  The order holds the run's token and its secrets, so it goes over a socket and is never a file;
the result holds none and is a file.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

MiB = 1024 * 1024
GiB = 1024 * MiB

PLAN_FILE = "plan.tfplan"
GENERATED_FILE = "generated.tf"
"""The saved plan's name in the out directory."""

T = TypeVar("T")


@dataclass(frozen=True)
class Directories:
    """Where things lie on this machine.  The run may write to the first three and sees only them."""

    config: str
    """The unpacked configuration version, with the files written for this run."""
    state: str
    out: str
    control: str
    """The phase's own: log, journal, result.  Never visible to the run."""
    working: str = ""
    """The root module, relative to `config`."""


@dataclass(frozen=True)
class Tools:
    terraform: str
    """The binary, Terraform's or OpenTofu's."""
    version: str
    cli_config: str = field(repr=False)
    """The text of the CLI configuration.  It holds the run's token."""
    mirror: str | None = None
    run_mirror: str | None = None
    """Providers the configuration brought in the old layout, put into the new one."""
    providers: str | None = None
    """A mirror of the providers that came with the binary."""
    beside: tuple[str, ...] = ()
    """Files to lie beside the binary: providers, as Terraform 0.12 looks for them."""
    name: str = "Terraform"
    """As the log's first line calls it."""
    schemas: str | None = None
    """Where this worker keeps provider schemas between runs."""


@dataclass(frozen=True)
class Workspace:
    id: str
    name: str


@dataclass(frozen=True)
class Options:
    """What was asked of terraform.  An apply looks at `parallelism` and `debugging` alone: the plan says the rest."""

    destroy: bool = False
    refresh_only: bool = False
    refresh: bool = True
    targets: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    generates: bool = False
    """Let the plan write configuration for what it imports and what has none."""
    parallelism: int | None = None
    debugging: bool = False
    show_unchanged: bool = False
    """Make the plan's JSON although it changes nothing."""


@dataclass(frozen=True)
class Limits:
    """What a phase may use.  Processes and bytes of memory are terraform's and each of its children's."""

    seconds: float
    grace: float = 300
    """How long terraform may take to end after a time limit or a refused token interrupted it."""
    log: int = 256 * MiB
    document: int = 1 * GiB
    """The plan as JSON, the providers' schemas, a state."""
    processes: int = 512
    memory: int = 4 * GiB
    file_size: int = 4 * GiB
    open_files: int = 4096
    temporary: int = 1 * GiB
    cpu_seconds: int | None = None
    save_seconds: float = 900
    """How long the last state is offered to an API that is away."""
    fault_seconds: float = 120
    """And to one that answers with an error of its own."""
    read_seconds: float = 120


@dataclass(frozen=True)
class Egress:
    """Where the run may connect to, by its proxy.

    An entry is a name, a suffix (`.example.com`, `*.example.com`), an address or a network, each with an optional
    port: `db.corp:5432`, `10.1.0.0/16`, `[fd00::1]:443`.
    """

    allow: tuple[str, ...] | None = None
    """None: every public host.  Otherwise only these, as long as they are public."""
    private: tuple[str, ...] = ()
    """These as well, although their addresses are not public."""
    signed_prefixes: tuple[str, ...] = ("/v1/object/",)
    """The API's paths that need no token because they carry a signature."""


@dataclass(frozen=True)
class Spec:
    phase: Literal["plan", "apply"]
    directories: Directories
    tools: Tools
    workspace: Workspace
    limits: Limits
    api_url: str
    """Where this machine reaches the API; inside the sandbox it is `http://stateroom.internal`."""
    token: str = field(repr=False)
    ca_file: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    options: Options = Options()
    egress: Egress = Egress()
    sandbox: Literal["bwrap", "none"] = "bwrap"
    bwrap: str | None = None
    """The program to use, if the worker has looked for it."""
    uid: int | None = None
    """Root's workers give each slot a user of its own; others have no choice."""
    log_offset: int = 1
    """Where this attempt begins in the phase's stream, whose first byte is the worker's."""
    headed: bool = False
    """Whether the stream has the log's header already."""
    state_version: str | None = None
    """The version a plan was made on (`""`: none): if another is current, the apply refuses."""
    remarks: tuple[str, ...] = ()
    """Sentences for the log, below its header."""

    def encode(self) -> bytes:
        return encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Spec:
        return decode(cls, data)


@dataclass(frozen=True)
class Step:
    name: str
    exit_code: int
    seconds: float
    set_up: float
    """Seconds of those until terraform ran: sandbox and proxy."""


@dataclass(frozen=True)
class StateResult:
    """What became of the state."""

    input_version: str | None = None
    """The version the phase started from; None if the workspace had none."""
    uploaded_version: str | None = None
    snapshots: int = 0
    serial: int | None = None
    lineage: str | None = None
    left: str | None = None
    """A file on this machine holding a state that is newer than what the API has."""
    why: str = ""
    """Why it was left, as a sentence."""


Outcome = Literal["finished", "errored", "canceled", "lost"]
"""`lost`: the supervisor died without a result."""

Reason = Literal["", "interrupted", "killed", "timed-out", "token-refused", "sandbox", "state", "disk"]


@dataclass(frozen=True)
class Result:
    outcome: Outcome
    reason: Reason = ""
    message: str = ""
    """For people, if there is something to say that terraform has not said."""
    steps: tuple[Step, ...] = ()
    interrupted: bool = False
    killed: bool = False
    has_changes: bool | None = None
    masked: int = 0
    hosts: tuple[str, ...] = ()
    log_length: int = 0
    state: StateResult = StateResult()
    plan_json: str | None = None
    """Raw `terraform show -json`, with secrets: a file in the control directory."""
    schemas: str | None = None

    def encode(self) -> bytes:
        return encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Result:
        return decode(cls, data)


def encode(value: Any) -> bytes:
    return json.dumps(dataclasses.asdict(value), ensure_ascii=False).encode(errors="surrogatepass")


def decode(cls: type[T], data: bytes) -> T:
    return _build(cls, json.loads(data.decode(errors="surrogatepass")))


def _build(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        known = {key: _build(hints[key], item) for key, item in value.items() if key in hints}
        return typing.cast(Any, hint)(**known)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return None if value is None else _build(typing.get_args(hint)[0], value)
    if typing.get_origin(hint) is tuple:
        return tuple(_build(typing.get_args(hint)[0], item) for item in value)
    return value
