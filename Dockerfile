# Innkeeper in a container; compose.yaml says how to run it.
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /app

# What the bot stands on changes less often than the bot: this layer is kept between builds.
COPY pyproject.toml constraints.txt LICENSE README.md ./
RUN pip install -c constraints.txt -e '.[fast]'

COPY . .
RUN python -m compileall -q bot handlers knowledge storage \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin innkeeper \
    && install -d -o innkeeper -g innkeeper -m 700 var

USER innkeeper
VOLUME /app/var
ENV BOT_WEB__HOST=0.0.0.0
EXPOSE 8080

# Python rather than curl, which is not in the image.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]

CMD ["python", "-m", "bot", "run"]
