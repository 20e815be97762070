# The demo trainer of the compose stack: the H2 run with its metrics, as a user without rights, on a read-only disk.

FROM python:3.13.16-slim-trixie AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/quantum-monitor
COPY pyproject.toml constraints.txt README.md LICENSE docker-compose.yml ./
COPY exporter exporter
COPY alertmanager alertmanager
COPY dashboards dashboards
COPY docs/runbooks docs/runbooks
COPY prometheus prometheus
COPY targets targets
RUN pip --disable-pip-version-check --python /opt/quantum-monitor/bin/python install --no-cache-dir \
    --constraint constraints.txt '.[demo]'

# Nothing of the build comes along but the finished environment: no sources, no caches, no compilers.
FROM python:3.13.16-slim-trixie
LABEL org.opencontainers.image.title="quantum-monitor demo trainer" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 trainer \
    && useradd --uid 10001 --gid trainer --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin trainer \
    && install --directory --owner trainer --group trainer /var/lib/quantum-monitor/runs /var/lib/quantum-monitor/targets
COPY --from=build /opt/quantum-monitor /opt/quantum-monitor
# Every interface of the container, for that is where Prometheus asks from; nothing is published by this alone.
ENV PATH=/opt/quantum-monitor/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    QUANTUM_MONITOR_METRICS_ADDR=0.0.0.0 \
    QUANTUM_MONITOR_DISCOVERY=/var/lib/quantum-monitor/targets
WORKDIR /var/lib/quantum-monitor/runs
USER 10001:10001
EXPOSE 9888
# Python ends cleanly on this one; as process 1 it would ignore SIGTERM.
STOPSIGNAL SIGINT
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9888/-/healthy', timeout=4)"]
ENTRYPOINT ["quantum-monitor"]
CMD ["demo", "--serve", "--steps", "1000", "--storage", "/var/lib/quantum-monitor/runs"]
