# syntax=docker/dockerfile:1
# The projector alone: PostgreSQL and Cosmos DB are reached through PROJECTOR_* settings.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
COPY requirements-runtime.lock /tmp/
# --no-deps: the lock is complete; an install resolves nothing, whatever the index holds.
RUN /opt/venv/bin/pip install --no-deps --require-hashes --requirement /tmp/requirements-runtime.lock

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin projector \
    && printf '#!/bin/sh\nexec python -m projector "$@"\n' > /usr/local/bin/projector \
    && chmod 755 /usr/local/bin/projector
COPY --from=build /opt/venv /opt/venv
COPY alembic.ini /app/
COPY migrations /app/migrations
COPY cosmos_emulator /app/cosmos_emulator
COPY projector /app/projector
# The source is compiled now: the account that runs it may not write beside it.
RUN /opt/venv/bin/python -m compileall -q /app
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1
# What catalogues and scanners ask an image: docker build --build-arg REVISION=$(git rev-parse HEAD)
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cosmos-projector" \
      org.opencontainers.image.description="Keeps a PostgreSQL copy of an Azure Cosmos DB container exactly right, live" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13-slim"
# By number: Kubernetes cannot know that a name is not root's.
USER 10001
WORKDIR /app
EXPOSE 8080
# Complete and current, or behind within the limit; for a restart policy ask /livez instead.
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s --retries=3 CMD ["projector", "health"]
# SIGTERM finishes the batch, checkpoints and releases the leases.
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "projector"]
CMD ["run"]
