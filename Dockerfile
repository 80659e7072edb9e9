# Two images, both without compiler, cache, root or capabilities:
#   docker build --target server .   the servers: docker run --rm --init -p 127.0.0.1:8000:8000 IMAGE gevent
#   docker build --target load .     servers, Locust, comparison and dashboard
# docker compose builds both by itself, and the anchor that ends them together; see docker-compose.yml.
ARG BASE=python:3.13-slim

# Only the dependencies of pyproject.toml, so that any other change there keeps the caches.
FROM ${BASE} AS requirements
COPY pyproject.toml /
RUN python3 -c "import pathlib, tomllib; \
    project = tomllib.loads(pathlib.Path('/pyproject.toml').read_text())['project']; \
    pathlib.Path('/server.txt').write_text('\n'.join(project['dependencies'])); \
    pathlib.Path('/load.txt').write_text('\n'.join(project['optional-dependencies']['load']))"

# The environment that is copied into the images has no pip; a second one installs into it.
FROM ${BASE} AS server-environment
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/venv
COPY --from=requirements /server.txt /
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/pip/bin/pip --python /opt/venv/bin/python install --quiet --requirement /server.txt

FROM server-environment AS load-environment
COPY --from=requirements /load.txt /
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/pip/bin/pip --python /opt/venv/bin/python install --quiet --requirement /load.txt

# Compiled here, since the containers are read-only. By hash, not by time: git sets the times of the
# sources at every checkout.
FROM ${BASE} AS code
WORKDIR /app
COPY servers servers
COPY loadtest loadtest
RUN python3 -m compileall -q --invalidation-mode unchecked-hash servers loadtest
# The commit that is checked out, if any; from here it cannot be told whether the tree was changed.
COPY pyproject.toml .gi[t] /git/
RUN cd /git; ref=$(sed -n 's/^ref: //p' HEAD 2>/dev/null); \
    { [ -z "$ref" ] && cat HEAD || cat "$ref" || sed -n "s|^\([0-9a-f]*\) $ref\$|\1|p" packed-refs; } \
      2>/dev/null | sed 's/$/-or-changed/' > /app/COMMIT

# Ends the other containers. It has none of our code, so a change there does not recreate it.
FROM ${BASE} AS anchor
COPY anchor.sh /
ENTRYPOINT ["sh", "/anchor.sh"]

FROM ${BASE} AS runtime
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin showcase
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 HOME=/tmp
STOPSIGNAL SIGTERM
ARG VERSION=0.1.0
ARG COMMIT=unknown
ENV SHOWCASE_COMMIT=${COMMIT}
LABEL org.opencontainers.image.title="concurrency-showcase" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"

FROM runtime AS load
COPY --from=load-environment /opt/venv /opt/venv
COPY --from=code /app /app
RUN mkdir results && chown showcase results
USER showcase
ENTRYPOINT ["python", "-m", "loadtest"]
CMD ["--help"]

FROM runtime AS server
COPY --from=server-environment /opt/venv /opt/venv
COPY --from=code /app/COMMIT COMMIT
COPY --from=code /app/servers servers
USER showcase
ENV SERVERS_BIND=0.0.0.0
EXPOSE 8000 7000
# In bash: a Python for every check would take CPU from the server. A slow machine may need a minute
# to start.
HEALTHCHECK --interval=5s --timeout=4s --retries=3 --start-period=60s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${SERVERS_HTTP_PORT:-8000} && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
ENTRYPOINT ["python", "-m", "servers"]
CMD ["gevent"]
