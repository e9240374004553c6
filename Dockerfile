# One image for `serve`, `worker`, `migrate` and the other commands of stateroom; compose.yaml shows them together.
FROM python:3.13-slim-bookworm AS build

WORKDIR /src
COPY requirements.lock ./
RUN python -m venv /opt/stateroom \
 && /opt/stateroom/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY backend_api backend_api
COPY github_app github_app
COPY migrations migrations
RUN /opt/stateroom/bin/pip install --no-cache-dir --no-deps --no-build-isolation .


FROM python:3.13-slim-bookworm

# git: modules by git URL, and commits of which GitHub's archive lacks something; git-lfs: STATEROOM_FETCH_LFS.  bubblewrap: the sandbox of every run.
RUN apt-get update \
 && apt-get install -y --no-install-recommends bubblewrap ca-certificates git git-lfs \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --create-home --home-dir /var/lib/stateroom --shell /usr/sbin/nologin stateroom

COPY --from=build /opt/stateroom /opt/stateroom
ENV PATH=/opt/stateroom/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    STATEROOM_DATA_DIR=/var/lib/stateroom \
    STATEROOM_HOST=0.0.0.0

USER stateroom
WORKDIR /var/lib/stateroom
VOLUME /var/lib/stateroom
EXPOSE 8443
ENTRYPOINT ["stateroom"]
CMD ["serve"]
