"""Terraform's commands: their arguments, their environment, and the head of their log."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from app.supervisor.sandbox import Inside
from app.supervisor.spec import GENERATED_FILE, PLAN_FILE, Options, Spec

#: What a run's own variables may not change: where terraform finds its state, its settings, and us.
PROTECTED = frozenset(
    (
        *("TF_CLI_CONFIG_FILE", "TF_DATA_DIR", "TF_WORKSPACE", "TF_INPUT", "TF_IN_AUTOMATION"),
        *("TF_FORCE_LOCAL_BACKEND", "TF_PLUGIN_CACHE_DIR", "TFE_RUN_ID", "HOME"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    )
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def header(spec: Spec) -> str:
    """The three lines with which every log begins; the CLI drops them from an apply's."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    return f"{spec.tools.name} v{spec.tools.version}\non linux_{machine}\nInitializing plugins and modules...\n"


def init() -> list[str]:
    return ["init", "-input=false", "-no-color"]


def plan(options: Options, inside: Inside) -> list[str]:
    return [
        "plan",
        "-input=false",
        "-detailed-exitcode",
        f"-out={inside.out}/{PLAN_FILE}",
        *(["-destroy"] if options.destroy else []),
        *(["-refresh-only"] if options.refresh_only else []),
        *([] if options.refresh else ["-refresh=false"]),
        *(f"-target={address}" for address in options.targets),
        *(f"-replace={address}" for address in options.replace),
        *([f"-generate-config-out={inside.out}/{GENERATED_FILE}"] if options.generates else []),
        *_parallelism(options),
    ]


def apply(options: Options, inside: Inside) -> list[str]:
    return ["apply", "-input=false", *_parallelism(options), f"{inside.out}/{PLAN_FILE}"]


def show(inside: Inside) -> list[str]:
    return ["show", "-json", f"{inside.out}/{PLAN_FILE}"]


def schemas() -> list[str]:
    return ["providers", "schema", "-json"]


def _parallelism(options: Options) -> list[str]:
    return [f"-parallelism={options.parallelism}"] if options.parallelism else []


def environment(spec: Spec, inside: Inside) -> dict[str, str]:
    """The run's own variables, and ours where they must not be touched."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "SSL_CERT_DIR": "/etc/ssl/certs",
        "GOGC": "400",
        "CHECKPOINT_DISABLE": "1",
        **({"TF_LOG": "TRACE"} if spec.options.debugging else {}),
        **{name: value for name, value in spec.environment.items() if not refusal(name, value)},
        "HOME": inside.home,
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "TF_WORKSPACE": spec.workspace.name,
        "TF_CLI_CONFIG_FILE": inside.cli_config,
    }


def refusal(name: str, value: str) -> str | None:
    """Why a run cannot be given this variable, or None."""
    if not _NAME.fullmatch(name):
        return "its name is not one an environment can hold"
    if "\0" in value:
        return "its value contains a NUL"
    if name in PROTECTED or name.startswith("STATEROOM_"):
        return "Stateroom sets it itself"
    return None


def refused(environment: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable that is not passed on."""
    for name, value in environment.items():
        if why := refusal(name, value):
            yield f"The environment variable {name!r} was not passed on: {why}."
