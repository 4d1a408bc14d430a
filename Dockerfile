# The proxy as a container: locked packages by hash, an unprivileged user, no shell needed at run time.
FROM python:3.12-slim AS build
WORKDIR /build
COPY requirements/runtime.txt requirements/build.txt ./
RUN python -m venv /opt/policylayer \
 && /opt/policylayer/bin/pip install --no-cache-dir --require-hashes -r runtime.txt -r build.txt
COPY pyproject.toml README.md LICENSE ./
COPY policylayer ./policylayer
COPY migrations ./migrations
COPY policies ./policies
RUN /opt/policylayer/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.12-slim
COPY --from=build /opt/policylayer /opt/policylayer
RUN useradd --system --uid 10001 --home-dir /data --create-home policylayer
USER policylayer
WORKDIR /data
VOLUME /data
EXPOSE 8080
ENV PATH=/opt/policylayer/bin:$PATH PYTHONUNBUFFERED=1
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
ENTRYPOINT ["policylayer"]
CMD ["serve", "-c", "/etc/policylayer/policylayer.yaml"]
