# The worker. Nothing is compiled and nothing is fetched but what scripts/requirements-worker.txt pins by hash.
#   docker build -t streamfold .
#   docker run --init -v ./folder-with-stream.toml:/etc/stream:ro streamfold
ARG PYTHON=3.13
FROM python:${PYTHON}-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/opt/streamfold \
    PATH=/opt/venv/bin:$PATH

RUN useradd --system --uid 10001 --create-home stream \
 && mkdir -p /etc/stream /var/lib/stream \
 && chown stream /var/lib/stream

# First what changes seldom: an edit of the package alone rebuilds none of this.
COPY scripts/requirements-worker.txt /tmp/requirements.txt
RUN python -m venv /opt/venv \
 && pip install --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes \
      -r /tmp/requirements.txt \
 && rm /tmp/requirements.txt

COPY LICENSE /opt/streamfold/LICENSE
COPY scripts/run-or-hold /usr/local/bin/run-or-hold
COPY stream /opt/streamfold/stream
# `exec`: process 1 must be the worker itself, or signals would end in a shell.
RUN printf '#!/bin/sh\nexec python -m stream "$@"\n' > /usr/local/bin/stream \
 && chmod 755 /usr/local/bin/stream /usr/local/bin/run-or-hold \
 && python -m compileall -q /opt/streamfold

# Models of the user's own lie beside the configuration and are imported from here.
WORKDIR /etc/stream
USER stream

# Progress, not a port: no lag, or a committed offset that moves. /tmp/held is run-or-hold's.
HEALTHCHECK --interval=30s --timeout=30s --start-period=60s --retries=3 \
  CMD test ! -e /tmp/held && stream status -c /etc/stream/stream.toml --progress-within 10

STOPSIGNAL SIGTERM
ENTRYPOINT ["stream"]
CMD ["run", "-c", "/etc/stream/stream.toml"]
