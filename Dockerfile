# mmfer serve: docker build -t mmfer . && docker run --rm -p 8080:8080 mmfer
FROM python:3.12-slim
# Kernels that the build compiles are kept here; on another kind of processor they are compiled again, once.
ENV NUMBA_CACHE_DIR=/var/cache/mmfer PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 MALLOC_ARENA_MAX=1
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE MANIFEST.in ./
COPY mmfer mmfer
COPY docs/faces.png docs/
RUN pip install -c constraints.txt '.[serve]' && cd / && mmfer predict /src/docs/faces.png && chown -R nobody /var/cache/mmfer
WORKDIR /
USER nobody
EXPOSE 8080
HEALTHCHECK CMD python -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health', timeout=5)"
ENTRYPOINT ["mmfer", "serve", "--host", "0.0.0.0"]
