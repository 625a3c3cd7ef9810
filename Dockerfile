# The launcher in a container: Python, the docker command and the compose plugin, nothing else.
#
# Debian 13 is the first whose own packages have compose v2, hence trixie. To pin the base by digest,
# build with --build-arg BASE=python:3.13-slim-trixie@sha256:... (docker buildx imagetools inspect
# python:3.13-slim-trixie prints it) and let your dependency bot move it.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
WORKDIR /src
RUN python3 -m venv /opt/venv
COPY requirements/run.txt requirements/keyless.txt requirements/build.txt requirements/
# What only some policies need, by name: `keyless` for attested_by (--build-arg EXTRAS=keyless).
ARG EXTRAS=
# Only what is pinned and hashed gets in; the build tool stays out of the environment that ships.
RUN /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        --require-hashes --requirement requirements/run.txt \
        ${EXTRAS:+--requirement requirements/${EXTRAS}.txt} \
 && /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        --require-hashes --requirement requirements/build.txt --target /opt/build
COPY pyproject.toml README.md LICENSE ./
COPY webhook_launcher webhook_launcher
RUN PYTHONPATH=/opt/build /opt/venv/bin/python -m pip install --no-cache-dir \
        --disable-pip-version-check --no-index --no-deps --no-build-isolation .

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="webhook-launcher" \
      org.opencontainers.image.description="Signed registry-push webhooks in; verified, health-gated, reversible Docker Compose redeploys out" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

RUN apt-get update \
 && apt-get install --yes --no-install-recommends docker-cli docker-compose \
 && rm -rf /var/lib/apt/lists/*

# The user is in no group that may use the socket: grant the socket's own group at run time, with
# `group_add` (docker-compose.yml) or `docker run --group-add "$(stat -c %g /var/run/docker.sock)"`.
RUN groupadd --gid 10001 launcher \
 && useradd --uid 10001 --gid launcher --home-dir /var/lib/webhook-launcher --no-create-home \
        --shell /usr/sbin/nologin launcher \
 && install --directory --owner launcher --group launcher --mode 0700 /var/lib/webhook-launcher

COPY --from=build /opt/venv /opt/venv
# gunicorn reads its configuration from the working directory.
WORKDIR /opt/webhook-launcher
COPY gunicorn.conf.py ./
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

USER launcher
VOLUME /var/lib/webhook-launcher
# Inside a container the configuration says `listen: 0.0.0.0:8080`; what reaches the port is decided
# where it is published.
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
# SIGHUP is ignored until gunicorn handles it: a reload during the start must not end the launcher.
ENTRYPOINT ["env", "--ignore-signal=HUP"]
CMD ["webhook-launcher", "serve"]
