"""A provider whose resources do what a test needs: take their time, fail, keep secrets, come by import.

Started by terraform inside the sandbox, with the system's Python and the packages that lie beside it; nothing of
Stateroom's is there.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent / "packages"))

from tf import runner
from tf.iface import DataSource, Provider, Resource
from tf.schema import Attribute, Schema
from tf.types import Number, String

#: What `secret` begins with, in every resource.
SECRET = "made-by-the-provider-"
#: An import by an id that begins so lacks what the configuration must have: what is generated from it is not valid.
NAMELESS = "nameless"
#: While a resource with this name is made, the provider hears of no interrupt.
STUBBORN = "stubborn"

#: The names of what is being made.
_making: list[str] = []


class Stoppable(runner._ShutdownInterceptor):
    """Ends the provider when terraform asks it to stop, unless something stubborn is being made."""

    def intercept_service(self, continuation: Any, call: Any) -> Any:
        if call.method.endswith("/StopProvider") and STUBBORN in _making:
            return continuation(call)
        return super().intercept_service(continuation, call)


class Step(Resource):
    """`rehearsal_step`: waits for *seconds*, and fails with the words in *fails*."""

    def __init__(self, provider: Provider) -> None:
        """Nothing of it is needed."""

    @classmethod
    def get_name(cls) -> str:
        return "step"

    @classmethod
    def get_schema(cls) -> Schema:
        return Schema(
            attributes=[
                Attribute("id", String(), computed=True),
                Attribute("name", String(), required=True),
                Attribute("seconds", Number(), optional=True),
                Attribute("fails", String(), optional=True),
                Attribute("password", String(), optional=True, sensitive=True),
                Attribute("secret", String(), computed=True, sensitive=True),
            ]
        )

    def create(self, ctx: Any, planned: dict[str, Any]) -> dict[str, Any] | None:
        _making.append(planned["name"])
        time.sleep(float(planned["seconds"] or 0))
        _making.remove(planned["name"])
        if planned["fails"]:
            ctx.diagnostics.add_error("The rehearsal failed", planned["fails"])
            return None
        return {**planned, "id": planned["name"], "secret": SECRET + planned["name"]}

    def read(self, ctx: Any, current: dict[str, Any]) -> dict[str, Any]:
        return current

    def update(self, ctx: Any, current: dict[str, Any], planned: dict[str, Any]) -> dict[str, Any] | None:
        return self.create(ctx, planned)

    def delete(self, ctx: Any, current: dict[str, Any]) -> None:
        time.sleep(float(current["seconds"] or 0))

    def import_(self, ctx: Any, id: str) -> dict[str, Any]:
        name = None if id.startswith(NAMELESS) else id
        return {"id": id, "name": name, "seconds": None, "fails": None, "password": None, "secret": SECRET + id}


class Rehearsal(Provider):
    def get_model_prefix(self) -> str:
        return "rehearsal_"

    def full_name(self) -> str:
        return "registry.example.com/acme/rehearsal"

    def get_provider_schema(self, diags: Any) -> Schema:
        return Schema()

    def validate_config(self, diags: Any, config: dict[str, Any]) -> None:
        """There is none."""

    def configure_provider(self, diags: Any, config: dict[str, Any]) -> None:
        """There is nothing to configure."""

    def get_data_sources(self) -> list[type[DataSource]]:
        return []

    def get_resources(self) -> list[type[Resource]]:
        return [Step]


if __name__ == "__main__":
    runner._ShutdownInterceptor = Stoppable
    runner.run_provider(Rehearsal())
